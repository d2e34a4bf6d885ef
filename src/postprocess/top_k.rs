//! The most probable classes of a row.

/// The indices and values of the `k` largest values of `row` that are at least `minimum`, largest first.
/// Equal values keep the order of their indices; values that are not numbers are left out.
pub fn top_k(row: &[f32], k: usize, minimum: f32) -> Vec<(usize, f32)> {
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(k.min(row.len()) + 1);
    for (index, &value) in row.iter().enumerate() {
        // The usual case: of a thousand classes, nearly all are dropped by this one comparison.
        if best.len() == k && best.last().is_none_or(|&(_, least)| least >= value) {
            continue;
        }
        if value < minimum || value.is_nan() {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= value);
        best.insert(place, (index, value));
        best.truncate(k);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_ties_keep_their_order() {
        assert_eq!(top_k(&[0.1, 0.4, 0.1, 0.4], 3, 0.0), [(1, 0.4), (3, 0.4), (0, 0.1)]);
    }

    #[test]
    fn a_minimum_and_a_short_row_shorten_the_answer() {
        assert_eq!(top_k(&[0.7, 0.2, 0.1], 5, 0.15), [(0, 0.7), (1, 0.2)]);
        assert_eq!(top_k(&[0.7, 0.2], 5, 0.0), [(0, 0.7), (1, 0.2)]);
    }

    #[test]
    fn what_is_no_number_is_no_class() {
        assert_eq!(top_k(&[f32::NAN, 0.3, f32::NAN], 2, 0.0), [(1, 0.3)]);
    }
}
