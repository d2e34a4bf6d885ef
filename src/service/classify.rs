//! One request's way: admit → preprocess → submit → await → top-k.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, TryAcquireError},
    task::spawn_blocking,
    time::timeout_at,
};

use super::{
    Classification, ClassifyOptions, ClassifyRequest, DEFAULT_TOP_K, Error, ErrorKind, Prediction, Service, Timing,
    registry::Served,
};
use crate::{
    batching::{JobError, Reply, SubmitError},
    model::ServedModel,
    postprocess::top_k,
    preprocess::{self, DecodeError},
    tensor::{Input, Pixels},
};

/// Up to so many pixels an image is decoded where the request is: handing it to another thread would cost more.
const INLINE_PIXELS: u64 = 64 * 64;

/// The shortest time after which trying again makes sense.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// An image that went through preprocessing, queue and network.
struct Answered {
    reply: Reply,
    preprocess: Duration,
}

impl Service {
    /// Classifies the images of a request. Dropping the future gives up its place in the queue.
    ///
    /// # Errors
    /// Every [`ErrorKind`]; with several images the message starts with the image's index.
    pub async fn classify(&self, request: ClassifyRequest) -> Result<Classification, Error> {
        let started = Instant::now();
        let Served { model, metrics } = self.inner.registry.served(&request.model, request.version)?;
        let top_k = check_options(&request.options, model.classes())?;
        self.check_images(&request.images, &model)?;
        let _permit = admit(&model, request.images.len())?;
        let mut answers = match &request.images[..] {
            [image] => vec![self.answer(&model, image.clone(), request.deadline).await?],
            images => {
                let answers = images.iter().enumerate().map(async |(index, image)| {
                    let answer = self.answer(&model, image.clone(), request.deadline).await;
                    answer.map_err(|error| Error { message: format!("image {index}: {}", error.message), ..error })
                });
                try_join_all(answers).await?
            }
        };
        let longest =
            |phase: fn(&Answered) -> Duration| answers.iter().map(phase).max().unwrap_or_default().as_secs_f64() * 1e3;
        let timing = Timing {
            preprocess_ms: longest(|answer| answer.preprocess),
            queue_ms: longest(|answer| answer.reply.queued),
            inference_ms: longest(|answer| answer.reply.inference),
            total_ms: started.elapsed().as_secs_f64() * 1e3,
        };
        let batch_size = answers.iter().map(|answer| answer.reply.batch_size).max().unwrap_or_default();
        let predictions = answers
            .iter_mut()
            .map(|Answered { reply, preprocess }| {
                let classes = name_classes(&model, &mut reply.logits, top_k, request.options.min_probability)?;
                metrics.note_image(*preprocess, reply.queued, classes.first().map(|class| class.index));
                Ok(classes)
            })
            .collect::<Result<_, Error>>()?;
        Ok(Classification {
            model: model.name.clone(),
            version: model.version,
            architecture: model.info.architecture.clone(),
            predictions,
            timing,
            batch_size,
        })
    }

    fn check_images(&self, images: &[Bytes], model: &ServedModel) -> Result<(), Error> {
        let limit = self.limits().max_images_per_request.min(model.capacity);
        if images.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the request has no image; send at least one"));
        }
        if images.len() > limit {
            let message = format!("{} images in one request, the limit is {limit}; split them", images.len());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }

    async fn answer(
        &self,
        model: &Arc<ServedModel>,
        image: Bytes,
        deadline: Option<Instant>,
    ) -> Result<Answered, Error> {
        let work = async {
            let (pixels, preprocess) = self.prepare(model, image).await?;
            let receiver = model.batcher.submit(Input::Pixels(pixels), deadline).map_err(refused)?;
            match receiver.await {
                Ok(Ok(reply)) => Ok(Answered { reply, preprocess }),
                Ok(Err(JobError::Expired)) => Err(too_late()),
                Ok(Err(JobError::Failed(cause))) => Err(engine_failed(model, &cause)),
                Err(_) => Err(engine_failed(model, "the worker is gone")),
            }
        };
        match deadline {
            Some(deadline) => timeout_at(deadline.into(), work).await.map_err(|_| too_late())?,
            None => work.await,
        }
    }

    /// Decodes, resizes and crops; tells how long it took without the wait for a thread.
    async fn prepare(&self, model: &Arc<ServedModel>, image: Bytes) -> Result<(Pixels, Duration), Error> {
        let header = preprocess::probe(&image).map_err(bad_image)?;
        let limits = preprocess::DecodeLimits { max_pixels: self.limits().max_image_pixels };
        let work = {
            let model = model.clone();
            move || {
                let started = Instant::now();
                let pixels = preprocess::preprocess(&image, &model.spec, &limits)?;
                Ok((pixels, started.elapsed()))
            }
        };
        let outcome = if u64::from(header.width) * u64::from(header.height) <= INLINE_PIXELS {
            work()
        } else {
            let permit = self.inner.decoders.clone().acquire_owned().await;
            let decode = spawn_blocking(move || {
                let _permit = permit;
                work()
            });
            decode.await.map_err(|_| Error::new(ErrorKind::Internal, "decoding failed"))?
        };
        let (pixels, time) = outcome.map_err(bad_image)?;
        let (height, width) = model.size;
        if (pixels.height() as usize, pixels.width() as usize) != (height, width) {
            let (got_height, got_width) = (pixels.height(), pixels.width());
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the image is {got_width}x{got_height}, model `{}` takes {width}x{height}: \
                     send that size, or set [input] crop_size in its model.toml",
                    model.name
                ),
            ));
        }
        Ok((pixels, time))
    }
}

impl Service {
    /// Reserves memory for a body of `bytes`, before it is read. Held until the request is answered.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where the bodies in work leave no room.
    pub fn admit_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let wanted = u32::try_from(bytes.div_ceil(super::KIB)).unwrap_or(u32::MAX);
        self.inner.bodies.clone().try_acquire_many_owned(wanted).map_err(|_| {
            let limit = self.limits().max_in_flight_bytes;
            let message = format!("the requests in work have {limit} bytes already, the limit; try again later");
            Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY)
        })
    }
}

fn admit(model: &ServedModel, images: usize) -> Result<OwnedSemaphorePermit, Error> {
    let wanted = u32::try_from(images).unwrap_or(u32::MAX);
    match model.permits.clone().try_acquire_many_owned(wanted) {
        Ok(permit) => Ok(permit),
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
            let message =
                format!("model `{}` has {} images in work, its limit; try again later", model.name, model.capacity);
            Err(Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY))
        }
    }
}

fn check_options(options: &ClassifyOptions, classes: usize) -> Result<usize, Error> {
    if !(0.0..=1.0).contains(&options.min_probability) {
        let message = format!("min_probability is {}, allowed is 0 to 1", options.min_probability);
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    match options.top_k {
        None => Ok(DEFAULT_TOP_K.min(classes)),
        Some(top_k) if (1..=classes).contains(&top_k) => Ok(top_k),
        Some(top_k) => {
            let message = format!("top_k is {top_k}, allowed is 1 to {classes}, the number of classes");
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
    }
}

fn name_classes(model: &ServedModel, row: &mut [f32], k: usize, minimum: f32) -> Result<Vec<Prediction>, Error> {
    // A network that overflows says nothing about the image; an answer made of the rest would look like one.
    if row.iter().any(|value| value.is_nan()) {
        return Err(engine_failed(model, "the network's output holds values that are not numbers"));
    }
    model.activation.apply(row);
    let named = top_k(row, k, minimum).into_iter().map(|(index, probability)| Prediction {
        index,
        label: model.info.labels[index].clone(),
        probability,
    });
    Ok(named.collect())
}

fn bad_image(error: DecodeError) -> Error {
    let kind = match error {
        DecodeError::UnsupportedFormat { .. } => ErrorKind::UnsupportedFormat,
        DecodeError::TooLarge { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidArgument,
    };
    Error::new(kind, error.to_string())
}

fn refused(error: SubmitError) -> Error {
    match error {
        SubmitError::Full { retry_after, .. } => Error::new(ErrorKind::Overloaded, format!("{error}; try again later"))
            .retry_after(retry_after.max(SHORTEST_RETRY)),
        SubmitError::Hopeless { wait } => {
            let message = format!("the deadline cannot be met: the queue takes {} ms", wait.as_millis());
            Error::new(ErrorKind::Overloaded, message).retry_after(wait.max(SHORTEST_RETRY))
        }
        SubmitError::Expired => too_late(),
        SubmitError::Closed => Error::new(ErrorKind::Unavailable, error.to_string()).retry_after(SHORTEST_RETRY),
    }
}

fn too_late() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "the request's deadline passed before its answer")
}

fn engine_failed(model: &ServedModel, cause: &str) -> Error {
    tracing::error!(model = &*model.name, version = model.version, cause, "a batch failed");
    Error::new(ErrorKind::Internal, "the network could not be run; the server's log says why")
}
