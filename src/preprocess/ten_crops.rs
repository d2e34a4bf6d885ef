//! Ten crops of a picture, as torchvision's `TenCrop` cuts them: the four corners and the centre, then the same of the mirrored
//! picture. Pure.

use crate::tensor::Pixels;

/// One of the ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropPlace {
    /// The left edge in the picture that is not mirrored, in pixels.
    pub left: u32,
    /// The upper edge.
    pub top: u32,
    /// Whether it is mirrored after it was cut.
    pub is_mirrored: bool,
}

/// How many there are.
pub const TEN_CROPS: usize = 10;

/// Where the crops of `height` x `width` lie in a picture, in torchvision's order; `None` if the picture is smaller than one.
///
/// * `picture`: its height and width
pub fn ten_crops(picture: (u32, u32), (height, width): (u32, u32)) -> Option<[CropPlace; TEN_CROPS]> {
    let (down, right) = (picture.0.checked_sub(height)?, picture.1.checked_sub(width)?);
    let corners = [(0, 0), (0, right), (down, 0), (down, right), (half(down), half(right))];
    let upright = corners.map(|(top, left)| CropPlace { left, top, is_mirrored: false });
    // torchvision mirrors the picture and then cuts it. The centre of the mirrored picture is not the mirrored centre where half a
    // pixel is rounded.
    let mirrored = upright.map(|place| CropPlace { left: right - place.left, is_mirrored: true, ..place });
    let mut all = [upright[0]; TEN_CROPS];
    all.iter_mut().zip(upright.into_iter().chain(mirrored)).for_each(|(slot, place)| *slot = place);
    Some(all)
}

impl CropPlace {
    /// The crop of `height` x `width`; `None` where it does not lie within the picture.
    pub fn cut(self, picture: &Pixels, (height, width): (u32, u32)) -> Option<Pixels> {
        let stride = picture.width() as usize * 3;
        let (start, len) = (self.left as usize * 3, width as usize * 3);
        let mut data = Vec::with_capacity(height as usize * len);
        for row in picture.data().chunks_exact(stride.max(1)).skip(self.top as usize).take(height as usize) {
            let row = row.get(start..start + len)?;
            if self.is_mirrored {
                data.extend(row.as_chunks::<3>().0.iter().rev().flatten());
            } else {
                data.extend_from_slice(row);
            }
        }
        Pixels::new(width, height, data)
    }
}

/// Python's `int(round(rest / 2.0))`: a half goes to the even neighbour.
fn half(rest: u32) -> u32 {
    rest / 2 + (rest & (rest / 2) & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pixel is its row, its column and 0.
    fn grid(width: u32, height: u32) -> Pixels {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [y as u8, x as u8, 0]));
        Pixels::new(width, height, pixels.collect()).unwrap()
    }

    fn cut(picture: &Pixels, size: (u32, u32)) -> Option<Vec<Pixels>> {
        let places = ten_crops((picture.height(), picture.width()), size)?;
        places.into_iter().map(|place| place.cut(picture, size)).collect()
    }

    fn first_pixels(crops: &[Pixels]) -> Vec<(u8, u8)> {
        crops.iter().map(|crop| (crop.data()[0], crop.data()[1])).collect()
    }

    #[test]
    fn crops_lie_where_torchvision_puts_them() {
        // torchvision.transforms.functional.five_crop and center_crop: tops and lefts 0, H - h, W - w, and
        // int(round((H - h) / 2.0)), int(round((W - w) / 2.0)); here 5 / 2 = 2.5 goes to 2, 7 / 2 = 3.5 to 4.
        let crops = cut(&grid(11, 9), (4, 4)).unwrap();
        assert!(crops.iter().all(|crop| (crop.width(), crop.height()) == (4, 4)));
        let corners = [(0, 0), (0, 7), (5, 0), (5, 7), (2, 4)];
        let mirrored = [(0, 10), (0, 3), (5, 10), (5, 3), (2, 6)];
        assert_eq!(first_pixels(&crops), [corners, mirrored].concat());
        assert_eq!(crops[4].data()[3 * 4..][..6], [3, 4, 0, 3, 5, 0], "rows follow one another");
        assert_eq!(crops[9].data()[..6], [2, 6, 0, 2, 5, 0], "and are mirrored");
    }

    #[test]
    fn a_crop_beyond_the_picture_is_none() {
        let beyond = CropPlace { left: 2, top: 0, is_mirrored: false };
        assert!(beyond.cut(&grid(4, 4), (4, 4)).is_none());
        assert!(CropPlace { left: 0, top: 2, is_mirrored: true }.cut(&grid(4, 4), (4, 4)).is_none());
    }

    #[test]
    fn halves_are_rounded_as_python_does() {
        // [int(round(rest / 2.0)) for rest in range(8)] in Python 3
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(half), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn a_picture_of_the_crops_size_gives_itself_and_a_smaller_one_nothing() {
        let crops = cut(&grid(4, 4), (4, 4)).unwrap();
        assert!(crops[..5].iter().all(|crop| *crop == grid(4, 4)));
        assert!(cut(&grid(3, 4), (4, 4)).is_none());
    }
}
