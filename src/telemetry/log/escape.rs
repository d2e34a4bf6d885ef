//! Text that others wrote, made harmless for a line of the log or of a terminal.
//!
//! A name, a query, a file name may hold line breaks, which forge a second line; escape sequences, which rewrite what a
//! terminal shows; and marks that turn the direction of writing, which make a line read as something else. Here they
//! become visible. A leaf: knows text only.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// `text` on one line, with everything in it that could pretend to be something else made visible.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        // Writing to a string never fails.
        let _ = Notation::Text.write(character, &mut line);
    }
    Cow::Owned(line)
}

/// The same for a text of several lines, whose line breaks and tabs are its layout. What is made visible reads `\u001b`, so
/// that a string of JSON or TOML stays one and means the same.
pub fn escaped_layout(text: &str) -> Cow<'_, str> {
    if !text.contains(|character| is_hostile(character) && !is_layout(character)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        // Writing to a string never fails.
        let _ =
            if is_layout(character) { out.write_char(character) } else { Notation::Json.write(character, &mut out) };
    }
    Cow::Owned(out)
}

fn is_layout(character: char) -> bool {
    matches!(character, '\n' | '\t')
}

/// Control characters; separators of lines and paragraphs; marks that change the direction of writing.
fn is_hostile(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || character.is_control()
}

/// How what is hostile is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// `\n`, `\u{1b}`.
    Text,
    /// `\u001b`, as inside a string of JSON.
    Json,
}

impl Notation {
    fn write(self, character: char, out: &mut impl Write) -> fmt::Result {
        match (self, character) {
            (_, character) if !is_hostile(character) => out.write_char(character),
            (Self::Json, character) => write!(out, "\\u{:04x}", u32::from(character)),
            (_, '\n' | '\r' | '\t') => write!(out, "{}", character.escape_default()),
            (_, character) => write!(out, "{}", character.escape_unicode()),
        }
    }
}

/// Escapes one line on its way. A line break is escaped as well, unless it is the last that is written.
pub(super) struct EscapingLine<W> {
    out: W,
    notation: Notation,
    /// A line break was given and not yet written: is it the end of the line?
    broken: bool,
}

impl<W: Write> EscapingLine<W> {
    pub(super) fn new(out: W, notation: Notation) -> Self {
        Self { out, notation, broken: false }
    }

    /// Writes the line break that ends the line.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.out.write_char('\n')
    }
}

impl<W: Write> Write for EscapingLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.broken && !text.contains(is_hostile) {
            return self.out.write_str(text);
        }
        for character in text.chars() {
            if std::mem::replace(&mut self.broken, character == '\n') {
                self.notation.write('\n', &mut self.out)?;
            }
            if !self.broken {
                self.notation.write(character, &mut self.out)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pieces: &[&str], notation: Notation) -> String {
        let mut out = String::new();
        let mut line = EscapingLine::new(&mut out, notation);
        for piece in pieces {
            line.write_str(piece).unwrap();
        }
        line.finish().unwrap();
        out
    }

    #[test]
    fn what_could_pretend_to_be_something_else_becomes_visible() {
        assert_eq!(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escaped("\u{1b}[2J\u{9b}\u{7f}\0"), "\\u{1b}[2J\\u{9b}\\u{7f}\\u{0}");
        assert_eq!(escaped("x\u{2028}y\u{85}"), "x\\u{2028}y\\u{85}");
        assert_eq!(escaped("gpj\u{202e}.exe\u{2066}"), "gpj\\u{202e}.exe\\u{2066}");
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        for text in ["resnet50", "Größe 4×4 – „ja“", "写真.jpg", "صورة", "🐈‍⬛", "C:\\n"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_layout_keeps_its_lines_and_its_strings() {
        assert_eq!(escaped_layout("{\n\t\"ü\"\n}\n"), "{\n\t\"ü\"\n}\n");
        assert_eq!(escaped_layout("a\n\u{9b}2J\u{2028}"), "a\n\\u009b2J\\u2028");
    }

    #[test]
    fn only_the_last_line_break_ends_the_line() {
        assert_eq!(line(&["a\nb", "\n", "c", "\n"], Notation::Text), "a\\nb\\nc\n");
        assert_eq!(line(&["a", "\n\n"], Notation::Text), "a\\n\n");
        assert_eq!(line(&["a"], Notation::Text), "a\n");
    }

    #[test]
    fn in_json_an_escape_is_one_that_json_has() {
        let escaped = line(&["{\"name\":\"a\u{2028}\u{7f}\u{202e}b\"}\n"], Notation::Json);
        assert_eq!(escaped, "{\"name\":\"a\\u2028\\u007f\\u202eb\"}\n");
        let value: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(value["name"], "a\u{2028}\u{7f}\u{202e}b");
    }
}
