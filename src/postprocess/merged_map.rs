//! Maps of several views of a picture as one map of all of it. Pure.
//!
//! Each view has an equal part in the mean of the logits, and each of its places spreads its share evenly over the square that it
//! stands for. Squares of different views do not lie on one grid, so a share goes to the places of the whole by how much of the square
//! each covers: nothing is lost and nothing is counted twice, and the sum of the map and the bias is the mean of the logits. Where
//! more views look there is more to speak for or against a class, as there is in that mean.

use super::ClassMap;

/// A map of more places along a side than this is made coarser, unless a single view has more.
const MOST_PLACES: usize = 64;

/// The map of one view, and which part of the picture it lies over; in pixels of the picture that the views were cut from.
#[derive(Clone, Copy, Debug)]
pub struct ViewedMap<'a> {
    /// As the network saw it.
    pub map: &'a ClassMap,
    /// The left edge.
    pub left: u32,
    /// The upper edge.
    pub top: u32,
    /// Whether the network saw it mirrored.
    pub is_mirrored: bool,
}

/// The map of the whole picture.
///
/// * `picture`: its width and height
/// * `view`: width and height of each view; all lie within the picture, and their maps have one size
///
/// `None` where there is no view, or one of no size.
pub fn merged(picture: (u32, u32), view: (u32, u32), views: &[ViewedMap<'_>]) -> Option<ClassMap> {
    let first = views.first()?.map;
    let (columns, rows) = (first.width, first.rows().len());
    if columns == 0 || rows == 0 || view.0 == 0 || view.1 == 0 {
        return None;
    }
    let (across, down) = (Axis::new(picture.0, view.0, columns), Axis::new(picture.1, view.1, rows));
    let mut sums = vec![0.0f64; across.places * down.places];
    for ViewedMap { map, left, top, is_mirrored } in views {
        let (lines, squares) = (down.shares(*top, false), across.shares(*left, *is_mirrored));
        for (row, to_row, part) in &lines {
            let values = map.values.get(row * columns..(row + 1) * columns)?;
            let sums = sums.get_mut(to_row * across.places..(to_row + 1) * across.places)?;
            for (column, to_column, share) in &squares {
                *sums.get_mut(*to_column)? += f64::from(*values.get(*column)?) * part * share;
            }
        }
    }
    let values = sums.into_iter().map(|sum| (sum / views.len() as f64) as f32).collect();
    Some(ClassMap { values, width: across.places, bias: first.bias })
}

/// One axis of the whole picture.
struct Axis {
    /// Of the picture, in pixels.
    size: f64,
    /// Of the whole map: about as large as those of a view.
    places: usize,
    /// Of a view.
    own_places: usize,
    /// One of a view, in pixels.
    own_place: f64,
}

impl Axis {
    fn new(size: u32, view: u32, own_places: usize) -> Self {
        let own_place = f64::from(view) / own_places as f64;
        let places = (f64::from(size) / own_place).round_ties_even() as usize;
        Self { size: size.into(), places: places.clamp(1, MOST_PLACES.max(own_places)), own_places, own_place }
    }

    /// Which part of each place of a view goes to which place of the whole: `(of, to, part)`. The parts of a place are 1 together.
    fn shares(&self, start: u32, is_mirrored: bool) -> Vec<(usize, usize, f64)> {
        let place = self.size / self.places as f64;
        let mut shares = Vec::with_capacity(self.own_places * 2);
        for own in 0..self.own_places {
            let from = f64::from(start) + own as f64 * self.own_place;
            let until = from + self.own_place;
            let first = ((from / place) as usize).min(self.places - 1);
            // What rounding leaves beyond the last place is that one's.
            let last = (((until / place).ceil() as usize).max(1) - 1).clamp(first, self.places - 1);
            for to in first..=last {
                let begin = if to == first { from } else { to as f64 * place };
                let end = if to == last { until } else { (to + 1) as f64 * place };
                let of = if is_mirrored { self.own_places - 1 - own } else { own };
                shares.push((of, to, (end - begin) / self.own_place));
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32], width: usize) -> ClassMap {
        ClassMap { values: values.to_vec(), width, bias: 0.5 }
    }

    fn viewed(map: &ClassMap, left: u32, top: u32, is_mirrored: bool) -> ViewedMap<'_> {
        ViewedMap { map, left, top, is_mirrored }
    }

    #[test]
    fn views_of_the_whole_are_averaged_and_mirrored_ones_turned_back() {
        let (one, other) = (map(&[1.0, 2.0, 3.0, 4.0], 2), map(&[10.0, 20.0, 30.0, 40.0], 2));
        let whole = merged((32, 32), (32, 32), &[viewed(&one, 0, 0, false), viewed(&other, 0, 0, true)]).unwrap();
        assert_eq!(whole, map(&[10.5, 6.0, 21.5, 17.0], 2));
    }

    #[test]
    fn a_place_between_two_of_the_whole_gives_each_its_share() {
        // A view of one row of two places of 10 pixels, 5 pixels from the left of 30: halves of places.
        let view = map(&[4.0, 8.0], 2);
        let whole = merged((30, 10), (20, 10), &[viewed(&view, 5, 0, false)]).unwrap();
        assert_eq!(whole, map(&[2.0, 6.0, 4.0], 3));
    }

    #[test]
    fn nothing_is_lost_wherever_the_views_lie() {
        let views: Vec<_> =
            (0..10).map(|view| map(&(0..49).map(|it| (it * view) as f32).collect::<Vec<_>>(), 7)).collect();
        for picture in [(224, 224), (341, 256), (256, 1000), (10_000, 225)] {
            let places = (0..10).map(|at| (at * (picture.0 - 224) / 9, at * (picture.1 - 224) / 9));
            let views: Vec<_> =
                views.iter().zip(places).map(|(map, (left, top))| viewed(map, left, top, left % 2 == 0)).collect();
            let whole = merged(picture, (224, 224), &views).unwrap();
            let mean = views.iter().map(|view| f64::from(view.map.logit())).sum::<f64>() / 10.0;
            assert!((f64::from(whole.logit()) - mean).abs() < 1e-2, "{picture:?}: {} is not {mean}", whole.logit());
            assert!(whole.width <= MOST_PLACES && whole.rows().len() <= MOST_PLACES, "{picture:?}");
        }
    }

    #[test]
    fn no_view_has_no_map() {
        assert!(merged((8, 8), (8, 8), &[]).is_none());
        let empty = map(&[], 0);
        assert!(merged((8, 8), (8, 8), &[viewed(&empty, 0, 0, false)]).is_none());
    }
}
