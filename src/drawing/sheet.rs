//! What is drawn on: SVG in which every text is escaped, and how much of a text has room.
//!
//! Nobody here can measure letters, so widths are estimated, rather too wide than too narrow.

use std::fmt::Write as _;

use crate::page::{escaped, line, rect};

/// The room at both sides.
pub(super) const MARGIN: f64 = 24.0;
/// Everything fits this width.
pub(super) const WIDTH: f64 = 1040.0;

/// Where a text starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing in the making.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    body: String,
}

impl Sheet {
    /// A text, which may be anybody's, in the colours and size of its classes.
    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ = write!(self.body, "<text class=\"{class}\"{anchor} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        line(&mut self.body, class, from, to);
    }

    /// A rectangle.
    pub(super) fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        rect(&mut self.body, class, corner, size);
    }

    /// A rectangle with round corners.
    pub(super) fn round(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), radius: f64) {
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\"/>"
        );
    }

    /// A circle.
    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let _ = write!(self.body, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
    }

    /// A path, in SVG's words.
    pub(super) fn path(&mut self, class: &str, path: &str) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    /// A small head of an arrow that points down.
    pub(super) fn arrow_down(&mut self, (x, y): (f64, f64)) {
        self.path("head", &format!("M{:.1} {:.1}h7l-3.5 6z", x - 3.5, y - 6.0));
    }

    /// What is drawn until `end` belongs together, and says `title` where a mouse rests on it.
    pub(super) fn begin(&mut self, title: &str) {
        let _ = write!(self.body, "<g><title>{}</title>", escaped(title));
    }

    /// See [`Sheet::begin`].
    pub(super) fn end(&mut self) {
        self.body.push_str("</g>");
    }

    /// Another sheet, moved.
    pub(super) fn place(&mut self, other: &Sheet, (x, y): (f64, f64)) {
        let _ = write!(self.body, "<g transform=\"translate({x:.1} {y:.1})\">{}</g>", other.body);
    }

    /// Another sheet, moved and made smaller.
    pub(super) fn scaled(&mut self, other: &Sheet, (x, y): (f64, f64), by: f64) {
        let _ = write!(self.body, "<g transform=\"translate({x:.1} {y:.1}) scale({by:.4})\">{}</g>", other.body);
    }

    /// The file.
    pub(super) fn svg(&self, title: &str, description: &str, (width, height): (f64, f64)) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"net\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\"><title>{}</title><desc>{}</desc><style>{}</style><rect class=\"sheet\" width=\"100%\" height=\"100%\"/>{}</svg>",
            escaped(title),
            escaped(description),
            include_str!("drawing.css"),
            self.body
        )
    }
}

/// About how wide a text is.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    let em = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']'
        | 'I' | '/' | '-' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
        letter if letter.is_ascii_uppercase() => 0.7,
        letter if (letter as u32) < 0x1100 => 0.58,
        _ => 1.05,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// As much of a text as has room, with dots where something is missing.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width_of(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        cut.push(letter);
        if width_of(&cut, size) + size > room {
            cut.pop();
            break;
        }
    }
    format!("{}…", cut.trim_end())
}

/// The same of a path, of which the end says most.
pub(super) fn fitted_end(text: &str, size: f64, room: f64) -> String {
    if width_of(text, size) <= room {
        return text.to_owned();
    }
    let turned: String = text.chars().rev().collect();
    fitted(&turned, size, room).chars().rev().collect()
}

/// A text in lines of a width, at most so many; the last one has dots where something is missing.
pub(super) fn wrapped(text: &str, size: f64, room: f64, lines: usize) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_full = whole.len() == lines;
        match whole.last_mut() {
            Some(last) if width_of(last, size) + width_of(word, size) + size * 0.36 <= room => {
                last.push(' ');
                last.push_str(word);
            }
            Some(last) if is_full => {
                *last = fitted(&format!("{last} {word} …"), size, room);
                break;
            }
            _ => whole.push(fitted(word, size, room)),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_ends_in_dots() {
        assert_eq!(fitted("resnet50", 13.0, 200.0), "resnet50");
        let cut = fitted(&"x".repeat(500), 13.0, 100.0);
        assert!(cut.ends_with('…') && width_of(&cut, 13.0) < 120.0, "{cut}");
        assert_eq!(fitted("", 13.0, 0.0), "");
        assert_eq!(fitted_end("a/long/way/to/model.onnx", 13.0, 100.0), "…o/model.onnx");
    }

    #[test]
    fn lines_are_no_wider_than_their_room_and_no_more_than_wanted() {
        let text = format!("a few words, {} and again a few words", "long".repeat(60));
        let lines = wrapped(&text, 12.0, 120.0, 3);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| width_of(line, 12.0) <= 126.0), "{lines:?}");
        assert!(lines[2].ends_with('…'), "{lines:?}");
        assert_eq!(wrapped("", 12.0, 120.0, 3), Vec::<String>::new());
        assert_eq!(wrapped("one two", 12.0, 120.0, 1), ["one two"]);
    }

    #[test]
    fn no_text_is_markup_whoever_wrote_it() {
        let mut sheet = Sheet::default();
        sheet.text("t", Anchor::Start, (0.0, 0.0), "</text><script>alert(1)</script>\u{1}");
        sheet.begin("\"><script>");
        sheet.end();
        let svg = sheet.svg("<b>", "</desc>&", (10.0, 10.0));
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{1}'), "{svg}");
        assert_eq!(svg.matches("</desc>").count(), 1);
    }
}
