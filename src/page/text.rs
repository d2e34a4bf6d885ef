//! Text of others inside a page.

/// `text` as HTML and SVG show it, also inside an attribute in double quotes. Control characters, of which XML allows none,
/// and marks that turn the direction of what is written behind them, are shown as what they are: not to be shown.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                safe.push('\u{fffd}');
            }
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup() {
        assert_eq!(escaped("<b a='1'>\"&amp;"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;amp;");
    }

    #[test]
    fn what_no_xml_may_hold_is_replaced() {
        assert_eq!(escaped("a\0b\u{1b}[1m\u{202e}c\nd\u{ffff}"), "a\u{fffd}b\u{fffd}[1m\u{fffd}c\nd\u{fffd}");
    }
}
