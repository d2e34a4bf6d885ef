//! When a request has to be answered, and whom it may overtake: the parameters `timeout` and `priority`.

use std::time::{Duration, Instant};

use crate::service::{Error, ErrorKind, ErrorSubject, Priority, Shown};

/// The longest `timeout`: an hour. More is a mistake of units.
const MAX_TIMEOUT_US: u64 = 3_600_000_000;

/// The parameters of a request that say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Schedule {
    timeout: Option<Duration>,
    priority: Priority,
}

impl Schedule {
    /// From what the client sent; 0 is what was not said.
    ///
    /// * `timeout`: microseconds
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is no whole number, with its text, and for a timeout that nobody can mean.
    pub(in crate::server) fn new(
        timeout: Option<Result<u64, String>>,
        priority: Option<Result<u64, String>>,
    ) -> Result<Self, Error> {
        let timeout = match timeout.transpose().map_err(|text| no_number("timeout", &text, "microseconds"))? {
            None | Some(0) => None,
            Some(us @ 1..=MAX_TIMEOUT_US) => Some(Duration::from_micros(us)),
            Some(us) => return Err(no_number("timeout", &us.to_string(), "microseconds, at most an hour")),
        };
        let priority = priority.transpose().map_err(|text| no_number("priority", &text, "1 comes first"))?;
        let priority = match priority {
            None | Some(0) => Priority::DEFAULT,
            Some(priority) => Priority(u32::try_from(priority).unwrap_or(u32::MAX)),
        };
        Ok(Self { timeout, priority })
    }

    /// When the client stops waiting: after its `timeout`, or earlier by a deadline that it gave otherwise.
    pub(in crate::server) fn deadline(&self, arrived: Instant, otherwise: Option<Instant>) -> Option<Instant> {
        let own = self.timeout.and_then(|timeout| arrived.checked_add(timeout));
        own.into_iter().chain(otherwise).min()
    }

    pub(in crate::server) fn priority(&self) -> Priority {
        self.priority
    }
}

fn no_number(name: &str, text: &str, what: &str) -> Error {
    let text = Shown(text);
    let message = format!("parameter `{name}` is `{text}`: it must be a whole number, {what}");
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("parameters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_what_was_not_said() {
        assert_eq!(Schedule::new(None, None), Ok(Schedule::default()));
        assert_eq!(Schedule::new(Some(Ok(0)), Some(Ok(0))), Ok(Schedule::default()));
        let schedule = Schedule::new(Some(Ok(1500)), Some(Ok(1))).expect("valid");
        let now = Instant::now();
        assert_eq!(schedule.deadline(now, None), Some(now + Duration::from_micros(1500)));
        assert_eq!(schedule.deadline(now, Some(now)), Some(now));
        assert_eq!(schedule.priority(), Priority(1));
        assert_eq!(Schedule::default().deadline(now, None), None);
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for (timeout, priority, part) in [
            (Some(Err("-5".to_owned())), None, "`timeout` is `-5`"),
            (Some(Ok(u64::MAX)), None, "at most an hour"),
            (None, Some(Err("high".to_owned())), "`priority` is `high`"),
        ] {
            let message = Schedule::new(timeout, priority).expect_err(part).message;
            assert!(message.contains(part), "{message}");
        }
        assert!(Schedule::new(None, Some(Ok(u64::MAX))).is_ok_and(|it| it.priority() == Priority(u32::MAX)));
    }
}
