//! What was read from files that others change, and what is read there now: which of it is in force.
//!
//! What was read the same twice in a row is judged; so nobody is told of a key that is a moment older than its certificate, and a file of which
//! only the first half is written is not taken for whole. What is refused changes nothing, and is told of once.
//!
//! A leaf: reads nothing itself.

/// What a look at files came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are as they were.
    Same,
    /// They are other ones, and the next look will judge them.
    Settling,
    /// They are in force.
    Taken,
    /// They cannot be used; those before stay in force.
    Refused,
}

/// What files held when they were taken, and what was read there since. It has no `Debug`: there may be a secret in it.
pub struct Followed<M> {
    in_force: M,
    /// What was read last, where it is something else.
    other: Option<Other<M>>,
}

struct Other<M> {
    /// An error as its text.
    read: Result<M, String>,
    is_told: bool,
}

impl<M: Clone + PartialEq> Followed<M> {
    /// Of what was taken.
    pub fn new(in_force: M) -> Self {
        Self { in_force, other: None }
    }

    /// A look at the files; and what is wrong with them, where nobody was told of it yet.
    ///
    /// * `read`: what they hold
    /// * `at_once`: somebody says that they are whole
    /// * `take`: puts it in force, unless there is something wrong with it
    pub fn look<E: ToString>(
        &mut self,
        read: Result<M, E>,
        at_once: bool,
        take: impl FnOnce(&M) -> Result<(), E>,
    ) -> (Look, Option<E>) {
        if read.as_ref().is_ok_and(|material| *material == self.in_force) {
            self.other = None;
            return (Look::Same, None);
        }
        let seen = read.as_ref().cloned().map_err(ToString::to_string);
        let is_told = match &self.other {
            Some(other) if other.read == seen => other.is_told,
            _ => {
                self.other = Some(Other { read: seen, is_told: false });
                if !at_once {
                    return (Look::Settling, None);
                }
                false
            }
        };
        match read.and_then(|material| take(&material).map(|()| material)) {
            Ok(material) => {
                *self = Self::new(material);
                (Look::Taken, None)
            }
            Err(refused) => {
                if let Some(other) = &mut self.other {
                    other.is_told = true;
                }
                (Look::Refused, (!is_told).then_some(refused))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_twice_is_judged_and_a_refusal_is_told_of_once() {
        let mut followed = Followed::new("one");
        let mut look = |read: Result<&'static str, &'static str>, at_once| {
            followed.look(read, at_once, |text| if *text == "half" { Err("it is cut off") } else { Ok(()) })
        };
        assert_eq!(look(Ok("one"), false), (Look::Same, None));
        assert_eq!(look(Ok("half"), false), (Look::Settling, None));
        assert_eq!(look(Ok("two"), false), (Look::Settling, None));
        assert_eq!(look(Ok("two"), false), (Look::Taken, None));
        assert_eq!(look(Ok("half"), false), (Look::Settling, None));
        assert_eq!(look(Ok("half"), false), (Look::Refused, Some("it is cut off")));
        assert_eq!(look(Ok("half"), false), (Look::Refused, None));
        assert_eq!(look(Ok("two"), false), (Look::Same, None));
        assert_eq!(look(Err("gone"), true), (Look::Refused, Some("gone")));
        assert_eq!(look(Err("gone"), false), (Look::Refused, None));
        assert_eq!(look(Ok("three"), true), (Look::Taken, None));
    }
}
