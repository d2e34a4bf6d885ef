//! Numbers as short as a drawing wants them.

/// `25.56 M`, `4.09 G`, `640`.
pub(super) fn short(number: u64) -> String {
    let scaled = |by: f64, unit: &str| {
        let value = number as f64 / by;
        let digits = if value < 9.995 {
            2
        } else if value < 99.95 {
            if unit == "M" { 2 } else { 1 }
        } else {
            0
        };
        format!("{value:.digits$} {unit}")
    };
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => scaled(1e3, "k"),
        1_000_000..1_000_000_000 => scaled(1e6, "M"),
        1_000_000_000..1_000_000_000_000 => scaled(1e9, "G"),
        _ => scaled(1e12, "T"),
    }
}

/// Height and width, `?` where they are not known.
pub(super) fn size(size: Option<[usize; 2]>) -> String {
    size.map_or_else(|| "?".to_owned(), |[height, width]| format!("{height}x{width}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_papers_give() {
        let said = [0, 999, 9_536, 25_557_032, 11_689_512, 4_089_184_256, 215_808, 462_422_016].map(short);
        assert_eq!(said, ["0", "999", "9.54 k", "25.56 M", "11.69 M", "4.09 G", "216 k", "462 M"]);
    }
}
