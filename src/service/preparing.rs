//! From the file of a picture to what the network takes: decoded on a thread when it is its turn, or where the request is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::{consume_budget, spawn_blocking};

use super::{
    Charge, Error, ErrorKind, Service, Target, TraceContext, admission::Admitted, crops, decoders::Share,
    picture::PictureFile,
};
use crate::{
    batching::{ClientId, Inside, Priority},
    model::ServedModel,
    preprocess::{self, DecodeError, DecodeLimits, Spec},
    telemetry::RefusalReason,
    tensor::{Input, Misfit, Pixels},
};

/// What all images of a request have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) target: Target,
    pub(super) deadline: Option<Instant>,
    pub(super) priority: Priority,
    pub(super) client: Option<ClientId>,
    /// What of the network's inside is wanted.
    pub(super) inside: Inside,
    pub(super) charge: Arc<Charge>,
    /// The request's part of the threads that decode.
    pub(super) decoding: Share,
    pub(super) trace: TraceContext,
}

/// A picture that the network can be given.
pub(super) struct ReadyPicture {
    pub(super) input: Input,
    pub(super) place: Admitted,
    /// How long it took, without the wait for a thread.
    pub(super) time: Duration,
    /// It was decoded for another model of the same call.
    pub(super) is_shared: bool,
}

impl Service {
    /// Decodes, resizes and crops.
    ///
    /// * `place`: travels with the work, and so does the charge for its memory: an image counts as in work while a thread
    ///   decodes it, whoever still waits
    /// * `crop`: which of ten crops; `None`: what the model is served with
    pub(super) async fn prepare(
        &self,
        common: &Common,
        picture: PictureFile,
        crop: Option<usize>,
        place: Admitted,
    ) -> Result<ReadyPicture, Error> {
        let (shape, model) = (common.target.shape(), common.target.model());
        let spec = crop.map_or_else(|| model.spec.clone(), |_| crops::whole(&model.spec));
        let fitting = |pixels: Pixels| {
            let pixels = if let Some(crop) = crop { crops::cut(&pixels, crop, shape)? } else { pixels };
            shape.pixels(pixels).map_err(|misfit| wrong_size(model, misfit))
        };
        let Some(preparation) = picture.preparation(&spec) else {
            let (pixels, place, time) = self.decode(common, &spec, picture.file, place).await?;
            return Ok(ReadyPicture { input: fitting(pixels)?, place, time, is_shared: false });
        };
        let (mut place, mut is_shared) = (Some(place), true);
        let decode = || async {
            is_shared = false;
            let taken = place.take().ok_or_else(lost)?;
            let (pixels, back, time) = self.decode(common, &spec, picture.file, taken).await?;
            place = Some(back);
            if crop.is_some() {
                // The whole of it stays until the last crop was cut.
                common.charge.add(pixels.data().len())?;
            }
            Ok((pixels, time))
        };
        let (pixels, time) = preparation.get_or_init(decode).await.clone()?;
        let place = place.ok_or_else(lost)?;
        if crop.is_some() {
            consume_budget().await;
        }
        Ok(ReadyPicture { input: fitting(pixels)?, place, time, is_shared })
    }

    async fn decode(
        &self,
        common: &Common,
        spec: &Spec,
        file: Bytes,
        place: Admitted,
    ) -> Result<(Pixels, Admitted, Duration), Error> {
        let target = &common.target;
        let header = preprocess::probe(&file).map_err(bad_image)?;
        let limits = DecodeLimits { max_pixels: self.limits().max_image_pixels };
        limits.admit(&header).map_err(bad_image)?;
        let client = place.claim.as_ref().map(|claim| claim.decoding().clone());
        let work = {
            let spec = spec.clone();
            move || {
                let started = Instant::now();
                let pixels = preprocess::preprocess(&file, &spec, &limits)?;
                Ok((pixels, place, started.elapsed()))
            }
        };
        let outcome = if header.is_quick() {
            // A request may have thousands of them: after some, the I/O thread does something else first.
            consume_budget().await;
            work()
        } else {
            let turn = self.inner.decoders.turn(&common.decoding, client.as_ref(), &target.served.decoding).await;
            let memory = preprocess::cost(&header, spec, &limits);
            let memory = self.inner.account.charge(usize::try_from(memory).unwrap_or(usize::MAX));
            let memory = memory.inspect_err(|_| target.served.metrics.note_refused(RefusalReason::Memory))?;
            let held = (common.charge.clone(), memory, turn);
            let decode = spawn_blocking(move || {
                let _held = held;
                work()
            });
            decode.await.map_err(|_| Error::new(ErrorKind::Internal, "decoding failed"))?
        };
        outcome.map_err(bad_image)
    }
}

/// Cannot be: whoever decodes gives the place back, or fails.
fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the place of an image was lost")
}

fn bad_image(error: DecodeError) -> Error {
    let kind = match error {
        DecodeError::UnsupportedFormat { .. } => ErrorKind::UnsupportedFormat,
        DecodeError::TooLarge { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidArgument,
    };
    Error::new(kind, error.to_string())
}

fn wrong_size(model: &ServedModel, misfit: Misfit) -> Error {
    let message = match misfit {
        Misfit::Size { height, width, got_height, got_width } => format!(
            "the image is {got_width}x{got_height}, model `{}` takes {width}x{height}: \
             send that size, or set [input] crop_size in its model.toml",
            model.name
        ),
        Misfit::Bytes { .. } => format!("model `{}`: {misfit}", model.name),
    };
    Error::new(ErrorKind::InvalidArgument, message)
}
