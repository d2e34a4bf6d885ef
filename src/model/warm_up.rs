//! The images that a network sees before its first request: some photos, prepared as the model wants them.
//!
//! They serve two ends. The first run of a batch size takes several times as long as the next, and no request has to
//! wait for it; and engines can be compared by their answers to pictures of the kind that the network was made for, not
//! to noise.

use std::{borrow::Cow, iter, sync::Arc, time::Instant};

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use crate::{
    preprocess::{DecodeLimits, Orientation, Spec, decode, preprocess},
    runtime::RunError,
    tensor::{Batch, InputShape, Normalizer, Pixels},
    tune::Prepare,
};

const PHOTOS: [&[u8]; 4] = [
    include_bytes!("warm_up/cat.jpg"),
    include_bytes!("warm_up/coffee.jpg"),
    include_bytes!("warm_up/rocket.jpg"),
    include_bytes!("warm_up/photographer.jpg"),
];

/// The photos, each also mirrored, and a pattern; all of the network's size.
#[derive(Clone)]
pub(super) struct WarmUpImages {
    images: Vec<Pixels>,
    spec: Spec,
    normalizer: Normalizer,
    batch: Batch,
}

/// Clients of a network for small images send small images. Below this many pixels a side, the upload that stands for
/// theirs is as small as the network's input.
const SMALL_SIDE: u32 = 128;

/// What clients of other networks send: most of ImageNet's photos have this width and height. The ones here are smaller, and what decoding takes
/// from the cores beside a network decides into how many sessions these are best parted.
const TYPICAL: (u32, u32) = (500, 375);

impl WarmUpImages {
    /// * `size`: height and width of what the network takes
    pub(super) fn new(spec: &Spec, normalizer: Normalizer, (height, width): (usize, usize)) -> Self {
        // Without resize and crop a photo keeps its own size, which does not fit; then only the pattern remains.
        let photos = PHOTOS
            .iter()
            .filter_map(|photo| preprocess(photo, spec, &DecodeLimits::default()).ok())
            .filter(|photo| (photo.height() as usize, photo.width() as usize) == (height, width));
        let images = photos
            .flat_map(|photo| [mirrored(&photo), Some(photo)])
            .chain(iter::once(pattern(height, width)))
            .flatten()
            .collect();
        let batch = Batch::of(InputShape::of(&normalizer, height, width), 0);
        Self { images, spec: spec.clone(), normalizer, batch }
    }

    /// The number of different images.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    /// `count` images from number `first` on, over and over.
    ///
    /// # Errors
    /// [`RunError::Engine`] if there is no memory for so many.
    pub(super) fn batch(&mut self, first: usize, count: usize) -> Result<&Batch, RunError> {
        self.batch.clear();
        let without_memory = |_| RunError::Engine(format!("there is no memory for a batch of {count} images"));
        self.batch.reserve(count).map_err(without_memory)?;
        for pixels in self.images.iter().cycle().skip(first % self.images.len().max(1)).take(count) {
            self.normalizer.write(pixels, self.batch.push());
        }
        Ok(&self.batch)
    }

    /// The work of preparing one image, as clients send them: a JPEG.
    pub(super) fn upload(&self) -> Prepare {
        let (photo, spec) = (self.jpeg(), self.spec.clone());
        Arc::new(move || {
            // The result is thrown away: only the time that it took counts.
            let _ = std::hint::black_box(preprocess(&photo, &spec, &DecodeLimits::default()));
        })
    }

    /// How long that takes while nothing else runs, in milliseconds: the median of a few times.
    pub(super) fn upload_ms(&self) -> f64 {
        let prepare = self.upload();
        let mut took = [0.0; 5];
        for time in &mut took {
            let begun = Instant::now();
            prepare();
            *time = begun.elapsed().as_secs_f64() * 1e3;
        }
        took.sort_by(f64::total_cmp);
        took[took.len() / 2]
    }

    fn jpeg(&self) -> Cow<'static, [u8]> {
        let small = self.images.first().filter(|image| image.width().max(image.height()) < SMALL_SIDE);
        let upload = match small {
            Some(small) => encoded(small),
            None => decode(PHOTOS[0], Orientation::default(), &DecodeLimits::default())
                .ok()
                .and_then(|photo| continued(&photo, TYPICAL))
                .and_then(|photo| encoded(&photo)),
        };
        upload.map_or(Cow::Borrowed(PHOTOS[0]), Cow::Owned)
    }
}

/// The photos as clients of a network would send them: as they are, or as small as its input where that is small.
///
/// * `side`: the longer side of what the network takes, where that is known
pub fn sample_uploads(side: Option<u32>) -> Vec<Cow<'static, [u8]>> {
    let small = side.filter(|side| *side < SMALL_SIDE).map(|side| Spec {
        resize_size: Some(side),
        crop_size: Some(side),
        ..Spec::default()
    });
    let upload = |photo: &'static [u8]| {
        let small = small.as_ref().and_then(|spec| preprocess(photo, spec, &DecodeLimits::default()).ok());
        small.as_ref().and_then(encoded).map_or(Cow::Borrowed(photo), Cow::Owned)
    };
    PHOTOS.into_iter().map(upload).collect()
}

fn encoded(image: &Pixels) -> Option<Vec<u8>> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    compress(image.data(), width, height, PixelFormat::Rgb, 90, Subsampling::S420).ok()
}

fn mirrored(photo: &Pixels) -> Option<Pixels> {
    let rows = photo.data().chunks_exact(photo.width() as usize * 3);
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Pixels::new(photo.width(), photo.height(), data)
}

/// The photo, its own reflection beyond its edges, so that there is as much to see everywhere.
fn continued(photo: &Pixels, (width, height): (u32, u32)) -> Option<Pixels> {
    let within = |at: u32, size: u32| {
        let place = at % (2 * size);
        place.min(2 * size - 1 - place)
    };
    let pixel = |x: u32, y: u32| {
        let first = (within(y, photo.height()) * photo.width() + within(x, photo.width())) as usize * 3;
        &photo.data()[first..first + 3]
    };
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).copied().collect();
    Pixels::new(width, height, data)
}

/// Diagonals in every brightness and hue.
fn pattern(height: usize, width: usize) -> Option<Pixels> {
    let data = (0..height * width * 3).map(|index| (index * 31 % 256) as u8).collect();
    Pixels::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Format;
    use crate::tensor::{ColorOrder, Layout};

    fn images(spec: &Spec, side: usize) -> WarmUpImages {
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nhwc);
        WarmUpImages::new(spec, normalizer, (side, side))
    }

    #[test]
    fn photos_come_in_the_networks_size_each_with_its_mirror_image() {
        let mut images = images(&Spec::default(), 224);
        assert_eq!(images.len(), 2 * PHOTOS.len() + 1);
        let batch = images.batch(0, 2).unwrap();
        assert_eq!(batch.shape(), [2, 224, 224, 3]);
        let (mirror, photo) = batch.data().split_at(batch.image_len());
        assert_eq!(mirror[..3], photo[223 * 3..224 * 3]);
        assert_ne!(mirror, photo);
    }

    #[test]
    fn a_batch_larger_than_the_set_repeats_it() {
        let mut images = images(&Spec { resize_size: Some(32), crop_size: Some(32), ..Spec::default() }, 32);
        let count = images.len();
        let batch = images.batch(0, count + 1).unwrap();
        assert_eq!(batch.len(), count + 1);
        assert_eq!(batch.data()[..batch.image_len()], batch.data()[count * batch.image_len()..]);
    }

    #[test]
    fn what_stands_for_an_upload_is_a_jpeg_that_suits_the_network() {
        let size = |spec: &Spec, side| {
            let jpeg = images(spec, side).jpeg();
            let header = crate::preprocess::probe(&jpeg).unwrap();
            (header.format, header.width, header.height)
        };
        let small = Spec { resize_size: Some(32), crop_size: Some(32), ..Spec::default() };
        assert_eq!(size(&small, 32), (Format::Jpeg, 32, 32));
        assert_eq!(size(&Spec::default(), 224), (Format::Jpeg, TYPICAL.0, TYPICAL.1));
    }

    #[test]
    fn a_photo_goes_on_as_its_own_reflection() {
        let photo = Pixels::new(2, 1, vec![1, 1, 1, 2, 2, 2]).unwrap();
        let wider = continued(&photo, (5, 2)).unwrap();
        let row: Vec<_> = [1, 2, 2, 1, 1].into_iter().flat_map(|value| [value; 3]).collect();
        assert_eq!(wider.data(), [row.clone(), row].concat());
    }

    #[test]
    fn sample_uploads_are_as_small_as_a_small_network() {
        let sizes = |side| {
            let uploads = sample_uploads(side);
            let probe = |upload: &Cow<'static, [u8]>| crate::preprocess::probe(upload).unwrap();
            uploads.iter().map(probe).map(|header| (header.width, header.height)).collect::<Vec<_>>()
        };
        assert_eq!(sizes(Some(32)), [(32, 32); 4]);
        assert_eq!(sizes(Some(224)), sizes(None));
        assert_eq!(sizes(None)[0], (385, 256));
    }

    #[test]
    fn a_model_that_keeps_the_size_of_its_images_is_warmed_with_the_pattern() {
        let whole = Spec { resize_size: None, crop_size: None, ..Spec::default() };
        assert_eq!(images(&whole, 64).len(), 1);
    }
}
