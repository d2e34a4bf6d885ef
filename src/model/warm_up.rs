//! The images that a network sees before its first request: some photos, prepared as the model wants them.
//!
//! They do two things. No request pays for the first run of a batch size, which costs several times the next; and
//! answers can be compared between engines on what the network was made for, not on noise.

use std::iter;

use crate::{
    preprocess::{Limits, Spec, preprocess},
    tensor::{Batch, Normalizer, Pixels},
};

const PHOTOS: [&[u8]; 4] = [
    include_bytes!("warm_up/cat.jpg"),
    include_bytes!("warm_up/coffee.jpg"),
    include_bytes!("warm_up/rocket.jpg"),
    include_bytes!("warm_up/photographer.jpg"),
];

/// The photos, each also mirrored, and a pattern; all of the network's size.
pub(super) struct WarmUpImages {
    images: Vec<Pixels>,
    normalizer: Normalizer,
    batch: Batch,
}

impl WarmUpImages {
    /// * `size`: height and width of what the network takes
    pub(super) fn new(spec: &Spec, normalizer: Normalizer, (height, width): (usize, usize)) -> Self {
        // Without resize and crop a photo keeps its own size, and the pattern is all there is.
        let photos = PHOTOS
            .iter()
            .filter_map(|photo| preprocess(photo, spec, &Limits::default()).ok())
            .filter(|photo| (photo.height() as usize, photo.width() as usize) == (height, width));
        let images = photos
            .flat_map(|photo| [mirrored(&photo), Some(photo)])
            .chain(iter::once(pattern(height, width)))
            .flatten()
            .collect();
        let batch = Batch::new(normalizer.layout(), height, width, 0);
        Self { images, normalizer, batch }
    }

    /// How many different ones there are.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    /// `count` images from number `first` on, over and over.
    pub(super) fn batch(&mut self, first: usize, count: usize) -> &Batch {
        self.batch.clear();
        for pixels in self.images.iter().cycle().skip(first % self.images.len().max(1)).take(count) {
            self.normalizer.write(pixels, self.batch.push());
        }
        &self.batch
    }
}

fn mirrored(photo: &Pixels) -> Option<Pixels> {
    let rows = photo.data().chunks_exact(photo.width() as usize * 3);
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Pixels::new(photo.width(), photo.height(), data)
}

/// Diagonals in every brightness and hue.
fn pattern(height: usize, width: usize) -> Option<Pixels> {
    let data = (0..height * width * 3).map(|index| (index * 31 % 256) as u8).collect();
    Pixels::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{ColorOrder, Layout};

    fn images(spec: &Spec, side: usize) -> WarmUpImages {
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nhwc);
        WarmUpImages::new(spec, normalizer, (side, side))
    }

    #[test]
    fn photos_come_in_the_networks_size_each_with_its_mirror_image() {
        let mut images = images(&Spec::default(), 224);
        assert_eq!(images.len(), 2 * PHOTOS.len() + 1);
        let batch = images.batch(0, 2);
        assert_eq!(batch.shape(), [2, 224, 224, 3]);
        let (mirror, photo) = batch.data().split_at(batch.image_len());
        assert_eq!(mirror[..3], photo[223 * 3..224 * 3]);
        assert_ne!(mirror, photo);
    }

    #[test]
    fn a_batch_larger_than_the_set_repeats_it() {
        let mut images = images(&Spec { resize_size: Some(32), crop_size: Some(32), ..Spec::default() }, 32);
        let count = images.len();
        let batch = images.batch(0, count + 1);
        assert_eq!(batch.len(), count + 1);
        assert_eq!(batch.data()[..batch.image_len()], batch.data()[count * batch.image_len()..]);
    }

    #[test]
    fn a_model_that_keeps_the_size_of_its_images_is_warmed_with_the_pattern() {
        let whole = Spec { resize_size: None, crop_size: None, ..Spec::default() };
        assert_eq!(images(&whole, 64).len(), 1);
    }
}
