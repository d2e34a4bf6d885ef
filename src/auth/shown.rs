//! What of a request's headers is a key: pure, over bytes that anybody may have sent.

/// The scheme of `authorization`.
const BEARER: &[u8] = b"bearer";

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownKey<'h> {
    /// No key.
    None,
    /// Something that may be one.
    Key(&'h [u8]),
    /// What cannot be one: another scheme, several of them, nothing behind the scheme.
    Malformed,
}

impl<'h> ShownKey<'h> {
    /// `x-api-key` goes before `authorization`, which a proxy may need for something else.
    ///
    /// * each: all values of that header
    pub fn of(
        mut x_api_key: impl Iterator<Item = &'h [u8]>,
        mut authorization: impl Iterator<Item = &'h [u8]>,
    ) -> Self {
        if let Some(value) = x_api_key.next() {
            return match value.trim_ascii() {
                // Which of two is meant is not for us to say.
                key if key.is_empty() || x_api_key.next().is_some() => Self::Malformed,
                key => Self::Key(key),
            };
        }
        match (authorization.next(), authorization.next()) {
            (None, _) => Self::None,
            (Some(value), None) => bearer(value).map_or(Self::Malformed, Self::Key),
            (Some(_), Some(_)) => Self::Malformed,
        }
    }
}

/// The token of `Bearer TOKEN`, in whatever case the scheme is written.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii().split_at_checked(BEARER.len())?;
    let token = rest.trim_ascii();
    let is_apart = rest.first().is_some_and(u8::is_ascii_whitespace);
    let is_one = !token.is_empty() && !token.iter().any(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(BEARER) && is_apart && is_one).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'h>(x_api_key: &[&'h str], authorization: &[&'h str]) -> ShownKey<'h> {
        ShownKey::of(x_api_key.iter().map(|it| it.as_bytes()), authorization.iter().map(|it| it.as_bytes()))
    }

    #[test]
    fn a_key_stands_in_either_header() {
        assert_eq!(of(&[], &[]), ShownKey::None);
        for value in ["Bearer k", "bearer k", "BEARER  k ", " Bearer\tk"] {
            assert_eq!(of(&[], &[value]), ShownKey::Key(b"k"), "{value:?}");
        }
        assert_eq!(of(&[" k "], &[]), ShownKey::Key(b"k"));
        assert_eq!(of(&["k"], &["Basic dTpw"]), ShownKey::Key(b"k"));
    }

    #[test]
    fn what_is_no_key_is_malformed_and_never_taken_for_none() {
        for value in ["", "k", "Bearer", "Bearer ", "Bearerk", "Basic dTpw", "Bearer a b", "Bearer\u{a0}k"] {
            assert_eq!(of(&[], &[value]), ShownKey::Malformed, "{value:?}");
        }
        assert_eq!(of(&[], &["Bearer k", "Bearer k"]), ShownKey::Malformed);
        assert_eq!(of(&["k", "k"], &[]), ShownKey::Malformed);
        assert_eq!(of(&[" "], &["Bearer k"]), ShownKey::Malformed);
    }
}
