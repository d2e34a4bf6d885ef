//! Ten crops of a picture, as torchvision's `TenCrop` cuts them: the four corners and the centre, then the same of the mirrored
//! picture. Pure.

use crate::tensor::Pixels;

/// The crops of `picture` of `height` x `width`, in torchvision's order; `None` if the picture is smaller than one.
pub(super) fn ten_crops(picture: &Pixels, (height, width): (u32, u32)) -> Option<Vec<Pixels>> {
    let corners = five_places((picture.height(), picture.width()), (height, width))?;
    let mirrored = mirrored(picture)?;
    // The centre of the mirrored picture is not the mirrored centre where half a pixel is rounded.
    let crops = [picture, &mirrored].into_iter().flat_map(|side| corners.map(|at| cut(side, at, (height, width))));
    crops.collect()
}

/// Top and left of each crop: `top left, top right, bottom left, bottom right, centre`.
fn five_places(picture: (u32, u32), crop: (u32, u32)) -> Option<[(u32, u32); 5]> {
    let (down, right) = (picture.0.checked_sub(crop.0)?, picture.1.checked_sub(crop.1)?);
    Some([(0, 0), (0, right), (down, 0), (down, right), (half(down), half(right))])
}

/// Python's `int(round(rest / 2.0))`: a half goes to the even neighbour.
fn half(rest: u32) -> u32 {
    rest / 2 + (rest & (rest / 2) & 1)
}

fn cut(picture: &Pixels, (top, left): (u32, u32), (height, width): (u32, u32)) -> Option<Pixels> {
    let stride = picture.width() as usize * 3;
    let (start, len) = (left as usize * 3, width as usize * 3);
    let rows = picture.data().chunks_exact(stride).skip(top as usize).take(height as usize);
    Pixels::new(width, height, rows.flat_map(|row| &row[start..start + len]).copied().collect())
}

fn mirrored(picture: &Pixels) -> Option<Pixels> {
    let rows = picture.data().chunks_exact((picture.width() as usize * 3).max(1));
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Pixels::new(picture.width(), picture.height(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pixel is its row, its column and 0.
    fn grid(width: u32, height: u32) -> Pixels {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [y as u8, x as u8, 0]));
        Pixels::new(width, height, pixels.collect()).unwrap()
    }

    fn first_pixels(crops: &[Pixels]) -> Vec<(u8, u8)> {
        crops.iter().map(|crop| (crop.data()[0], crop.data()[1])).collect()
    }

    #[test]
    fn crops_lie_where_torchvision_puts_them() {
        // torchvision.transforms.functional.five_crop and center_crop: tops and lefts 0, H - h, W - w, and
        // int(round((H - h) / 2.0)), int(round((W - w) / 2.0)); here 5 / 2 = 2.5 goes to 2, 7 / 2 = 3.5 to 4.
        let crops = ten_crops(&grid(11, 9), (4, 4)).unwrap();
        assert!(crops.iter().all(|crop| (crop.width(), crop.height()) == (4, 4)));
        let corners = [(0, 0), (0, 7), (5, 0), (5, 7), (2, 4)];
        let mirrored = [(0, 10), (0, 3), (5, 10), (5, 3), (2, 6)];
        assert_eq!(first_pixels(&crops), [corners, mirrored].concat());
        assert_eq!(crops[4].data()[3 * 4..][..6], [3, 4, 0, 3, 5, 0], "rows follow one another");
        assert_eq!(crops[9].data()[..6], [2, 6, 0, 2, 5, 0], "and are mirrored");
    }

    #[test]
    fn halves_are_rounded_as_python_does() {
        // [int(round(rest / 2.0)) for rest in range(8)] in Python 3
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(half), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn a_picture_of_the_crops_size_gives_itself_and_a_smaller_one_nothing() {
        let crops = ten_crops(&grid(4, 4), (4, 4)).unwrap();
        assert!(crops[..5].iter().all(|crop| *crop == grid(4, 4)));
        assert!(ten_crops(&grid(3, 4), (4, 4)).is_none());
    }
}
