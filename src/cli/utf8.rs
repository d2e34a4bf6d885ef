//! Bytes as text, piece by piece, where a character may be cut in two. Knows nothing else.

/// What of the last piece is not yet a whole character.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    rest: Vec<u8>,
}

impl Utf8 {
    /// The whole characters of what was left and of `bytes`; what can never become one is replaced.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        self.rest.extend(bytes);
        let incomplete = match self.rest.utf8_chunks().last().map(|chunk| chunk.invalid().len()) {
            // A beginning of at most three bytes, which the next piece may continue.
            Some(len @ 1..=3) if is_beginning(&self.rest[self.rest.len() - len..]) => len,
            _ => 0,
        };
        let rest = self.rest.split_off(self.rest.len() - incomplete);
        let whole = std::mem::replace(&mut self.rest, rest);
        String::from_utf8(whole).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// Whether more bytes could make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let text = "a – ä 写 🐈 z";
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::default();
            let (first, second) = text.as_bytes().split_at(cut);
            assert_eq!(utf8.take(first) + &utf8.take(second), text, "at {cut}");
        }
        let mut utf8 = Utf8::default();
        let bytes: String = text.bytes().map(|byte| utf8.take(&[byte])).collect();
        assert_eq!(bytes, text);
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(Utf8::default().take(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(Utf8::default().take(b"a\xff"), "a\u{fffd}");
    }
}
