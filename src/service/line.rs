//! One request's way: admit → preprocess → submit → await → classes and outputs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::{task::yield_now, time::timeout_at};

use super::{
    Answer, Error, ErrorKind, ErrorSubject, Item, Request, Service, Target, Timing, VersionPick,
    admission::Admitted,
    answered::{Answered, RowFrom},
    asker::take_images,
    classes::Classes,
    content::Content,
    decoders::Share,
    error::SHORTEST_RETRY,
    escalation::InTurn,
    outputs::Outputs,
    preparing::{Common, ReadyPicture},
    served::Served,
    spans,
};
use crate::{
    batching::{Inside, JobError, Priority, Submission, SubmitError, Terms},
    postprocess::top_k,
    preprocess,
    telemetry::{PhaseTimes, RefusalReason},
};

/// After so many classes that were sorted, the I/O thread does something else first.
const LOGITS_A_TURN: usize = 16 << 10;

impl Service {
    /// Does the work of a request. Dropping the future gives up its places in the queue.
    ///
    /// * `decoding`: the call's part of the threads that decode
    /// * `keep_rows`: whether every image's row of probabilities comes with the answer
    ///
    /// # Errors
    /// Every [`ErrorKind`]; with several images the message starts with the image's index.
    pub(super) async fn work(
        &self,
        request: Request,
        decoding: Share,
        keep_rows: bool,
    ) -> Result<(Answer, Vec<Box<[f32]>>), Error> {
        let started = Instant::now();
        let Request { target, items, wanted, deadline, priority, client, charge, trace } = request;
        let model = target.model();
        let classes = wanted.classes.map(|classes| Classes::of(classes, model.classes())).transpose()?;
        let mut outputs = Outputs::new(&wanted.outputs, model, items.len())?;
        if let Some(maps) = model.info.class_maps.as_ref().ok().filter(|_| wanted.maps.is_some()) {
            outputs = outputs.with_maps(items.len(), maps);
        }
        // How many of the items are one picture of the client's.
        let views = wanted.maps.unwrap_or(1).max(1);
        self.check_images(&target, items.len())?;
        self.check_pixels(&items, views)?;
        if let Some(caller) = &target.caller {
            take_images(caller, items.len())?;
        }
        let deadline = self.deadline(deadline, started);
        let of_numbers = items.iter().any(|item| matches!(item.0, Content::Tensor(_)));
        let common = Common {
            target: target.clone(),
            deadline,
            priority: priority.min(Priority::LAST),
            client,
            inside: outputs.inside(),
            charge,
            decoding,
            trace,
        };
        // Numbers are made for one network, and so is what only one says.
        let cascade = target.cascade.as_ref().filter(|_| !of_numbers && outputs.want_nothing_else());
        let cascade = cascade.filter(|cascade| cascade.standing.is_for(&target.served));
        if let Some(first) = cascade.and_then(|cascade| cascade.missing()) {
            self.wake(first, VersionPick::Highest);
        }
        if let Some(version) = target.course.as_ref().and_then(|course| course.missing()) {
            self.wake(&model.name, VersionPick::Number(version));
        }
        let in_turn = cascade.and_then(|cascade| InTurn::of(cascade, &common));
        let begins = in_turn.as_ref().map_or(&target, |in_turn| &in_turn.first.target);
        self.check_images(begins, items.len())?;
        let mut places = Admitted::of(&begins.served, items.len(), client)?;
        let mut answers = if items.len() == 1 {
            let item = items.into_iter().next().ok_or_else(no_image)?;
            let answer = self.answer_either(&common, in_turn.as_ref(), item, places).await;
            vec![answer.map_err(|error| error.about(ErrorSubject::Image(0)))?]
        } else {
            let is_one = items.len() <= views;
            let answers = items.into_iter().enumerate().map(|(index, item)| {
                let place = places.split_one();
                let (common, in_turn) = (&common, in_turn.as_ref());
                let index = index / views;
                async move {
                    let place = place.ok_or_else(no_image)?;
                    let answer = self.answer_either(common, in_turn, item, place).await;
                    let named = |error: Error| match is_one {
                        true => error,
                        false => Error { message: format!("image {index}: {}", error.message), ..error },
                    };
                    answer.map_err(|error| named(error).about(ErrorSubject::Image(index)))
                }
            });
            try_join_all(answers.collect::<Vec<_>>()).await?
        };

        let replied = Instant::now();
        let closing = common.trace.phase("postprocess");
        let all = || answers.iter().map(|(answer, _)| answer);
        let longest = |phase: fn(&Answered) -> Duration| all().map(phase).max().unwrap_or_default();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let timing = Timing {
            preprocess_ms: ms(longest(|answer| answer.preprocess)),
            queue_ms: ms(longest(|answer| answer.reply.queued)),
            inference_ms: ms(longest(|answer| answer.reply.inference)),
            total_ms: ms(replied.saturating_duration_since(started)),
        };
        let slowest = all().map(Answered::phases).max_by_key(|times| times.queue + times.input + times.infer);
        let batch_size = all().map(|answer| answer.reply.batch_size).max().unwrap_or_default();
        // A network that overflows says nothing about the image; an answer made of the rest would look like one.
        let overflowed = all().position(|answer| answer.reply.logits.iter().any(|value| !value.is_finite()));
        if let Some(image) = overflowed {
            if of_numbers {
                return Err(beyond_the_network(image));
            }
            return Err(engine_failed(&common, "the network's output holds values that are not finite numbers"));
        }
        let metrics = &target.served.metrics;
        let mut predictions = Vec::with_capacity(answers.len());
        let mut looked_at = 0;
        let cached = all().all(|answer| answer.from == RowFrom::Cache);
        let looked = all().filter_map(|answer| answer.looked).max();
        let (mut rows, mut answered_by) = (Vec::new(), Vec::new());
        for (Answered { reply, preprocess, from, is_decoded_elsewhere, .. }, first) in &mut answers {
            let by = first.as_ref().unwrap_or(&target.served);
            if let Some(cascade) = cascade {
                answered_by.push(by.model.name.clone());
                if let Some(obstacle) = cascade.standing.obstacle() {
                    cascade.metrics.note(obstacle);
                }
            }
            if looked_at > LOGITS_A_TURN {
                looked_at = 0;
                yield_now().await;
            }
            looked_at += reply.logits.len();
            if let Some(features) = &reply.features {
                looked_at += features.len();
                outputs.add_features(features);
            }
            if let Some(map) = &reply.map {
                outputs.add_map(map);
            }
            outputs.add_raw(&reply.logits);
            if classes.is_some() || outputs.want_probabilities() || keep_rows {
                by.model.activation.apply(&mut reply.logits);
                outputs.add_probabilities(&reply.logits);
            }
            let classes = classes.map(|classes| classes.name(&model.info.labels, &reply.logits));
            let class = match &classes {
                Some(classes) => classes.first().map(|class| class.index),
                // Whoever asked for outputs made an answer of them all the same.
                None if metrics.counts_predictions() => {
                    top_k(&reply.logits, 1, f32::NEG_INFINITY).first().map(|(index, _)| *index)
                }
                None => None,
            };
            if *from == RowFrom::Run {
                let preprocess = (!*is_decoded_elsewhere).then_some(*preprocess);
                by.metrics.note_image(preprocess, reply.queued, common.trace.recorded());
            }
            metrics.note_class(class);
            predictions.extend(classes);
            if keep_rows {
                rows.push(std::mem::take(&mut reply.logits));
            }
        }
        match (slowest, looked.filter(|_| cached)) {
            (_, Some(looked)) => metrics.note_kept_request(looked),
            (Some(phases), None) => metrics.note_request(PhaseTimes { output: replied.elapsed(), ..phases }, looked),
            (None, None) => {}
        }
        if let Some(closing) = closing {
            closing.end();
        }
        let answer = Answer {
            model: model.name.clone(),
            version: model.version,
            architecture: model.info.architecture.clone(),
            predictions,
            outputs: outputs.into_named(),
            timing,
            batch_size,
            cached,
            answered_by,
        };
        Ok((answer, rows))
    }

    /// Whether a request may have so many images: asked before they are taken out of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for none, [`ErrorKind::TooLarge`] for too many.
    pub fn check_images(&self, target: &Target, images: usize) -> Result<(), Error> {
        let limit = self.limits().max_images_per_request.min(target.model().capacity);
        if images == 0 {
            return Err(no_image());
        }
        if images > limit {
            let message = format!("{images} images in one request, the limit is {limit}; split them");
            return Err(Error::new(ErrorKind::TooLarge, message).about(ErrorSubject::Images));
        }
        Ok(())
    }

    /// Refuses a request whose pictures, by their headers, are more work together than one request may be.
    fn check_pixels(&self, items: &[Item], views: usize) -> Result<(), Error> {
        let limit = self.limits().max_request_pixels;
        // What has no header is refused with its index, when it is its turn.
        let headers = items.iter().filter_map(|item| match &item.0 {
            Content::Picture(picture) | Content::Crop(picture, 0) if items.len() > views => {
                preprocess::probe(&picture.file).ok()
            }
            _ => None,
        });
        let pixels = headers.fold(0u64, |sum, header| sum.saturating_add(header.work()));
        if pixels > limit {
            let message =
                format!("the images have {pixels} pixels together, the limit of a request is {limit}; split it");
            return Err(Error::new(ErrorKind::TooLarge, message).about(ErrorSubject::Images));
        }
        Ok(())
    }

    /// The client's deadline, or ours where it has none; never later than allowed.
    pub(super) fn deadline(&self, asked: Option<Instant>, started: Instant) -> Option<Instant> {
        let limits = self.limits();
        let latest = started.checked_add(limits.max_timeout);
        let wanted = asked.or_else(|| limits.default_timeout.and_then(|timeout| started.checked_add(timeout)));
        wanted.map(|deadline| latest.map_or(deadline, |latest| deadline.min(latest)))
    }

    /// Answers an image by the model that was asked for, or by those of its cascade, and then with the first one where that did.
    async fn answer_either(
        &self,
        common: &Common,
        in_turn: Option<&InTurn>,
        item: Item,
        place: Admitted,
    ) -> Result<(Answered, Option<Arc<Served>>), Error> {
        match in_turn {
            Some(in_turn) => self.answer_in_turn(in_turn, item, place).await,
            None => self.answer_one(common, item, place).await.map(|answered| (answered, None)),
        }
    }

    /// Answers an image by one model, from what is kept or under way, or by a run.
    pub(super) async fn answer_one(&self, common: &Common, item: Item, place: Admitted) -> Result<Answered, Error> {
        let work = async {
            // Maps are too large to be kept.
            let sharing = self.inner.sharing.as_ref().filter(|_| common.inside != Inside::Map);
            let Some(sharing) = sharing else { return self.run(common, item, place).await };
            let mut place = Some(place);
            // The run has the place, and keeps it for the others where this request leaves.
            let work = || {
                let (service, common, item, place) = (self.clone(), common.clone(), item.clone(), place.take());
                async move { service.run(&common, item, place.ok_or_else(no_image)?).await }
            };
            let whose = (common.priority, common.client);
            let looking = common.trace.phase("cache");
            let answered =
                sharing.answer(&common.target.served, (&item, common.inside == Inside::Features), whose, work).await?;
            spans::looked_up(looking, &common.target.served, &answered);
            Ok(answered)
        };
        match common.deadline {
            Some(deadline) => timeout_at(deadline.into(), work).await.map_err(|_| too_late())?,
            None => work.await,
        }
    }

    /// Decodes, waits for a worker, and for its run.
    async fn run(&self, common: &Common, item: Item, place: Admitted) -> Result<Answered, Error> {
        let &Common { deadline, priority, client, inside, .. } = common;
        // Before anything is decoded for it.
        let terms = Terms { deadline, priority, client, longest_wait: self.limits().target_queue };
        let announced = common.target.model().batcher.announce(&terms).map_err(|error| refused(common, error))?;
        let mut mirrored = common.target.course.as_ref().and_then(|course| course.mirror(&item.0));
        let ReadyPicture { input, place, time, is_shared } = match item.0 {
            Content::Tensor(input) => ReadyPicture { input, place, time: Duration::ZERO, is_shared: false },
            Content::Picture(ref picture) | Content::Crop(ref picture, _) => {
                let crop = if let Content::Crop(_, crop) = item.0 { Some(crop) } else { None };
                let preparing = common.trace.phase("preprocess");
                let ready = self.prepare(common, picture.clone(), crop, place).await?;
                spans::prepared(preparing, ready.time, ready.is_shared);
                ready
            }
        };
        if let Some(mirrored) = &mut mirrored {
            mirrored.see(&input);
        }
        let Admitted { permit, claim: _claim } = place;
        let (place, announced) = (Some(permit), Some(announced));
        let submission = Submission { input, announced, deadline, priority, client, inside, place };
        let waiting = common.trace.phase("queue");
        let pending = common.target.model().batcher.submit(submission);
        match pending.map_err(|error| refused(common, error))?.await {
            Ok(reply) => {
                spans::ran(waiting, &common.target.served, &reply);
                if let Some(mirrored) = mirrored {
                    mirrored.compare(&reply.logits, &self.spare());
                }
                Ok(Answered {
                    reply,
                    preprocess: time,
                    from: RowFrom::Run,
                    looked: None,
                    is_decoded_elsewhere: is_shared,
                })
            }
            Err(JobError::Expired) => {
                if let Some(waiting) = waiting {
                    waiting.fail("the deadline passed in the queue");
                }
                Err(too_late())
            }
            Err(JobError::Failed(cause)) => Err(engine_failed(common, &cause)),
        }
    }
}

fn no_image() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the request has no image; send at least one").about(ErrorSubject::Images)
}

/// Why an image was not taken, for the metrics.
fn reason(error: &SubmitError) -> Option<RefusalReason> {
    match error {
        SubmitError::Full { .. } => Some(RefusalReason::QueueFull),
        SubmitError::Congested { .. } => Some(RefusalReason::TargetQueue),
        SubmitError::Hopeless { .. } => Some(RefusalReason::Deadline),
        SubmitError::Expired => Some(RefusalReason::Expired),
        SubmitError::Closed | SubmitError::Broken => Some(RefusalReason::Unloading),
        SubmitError::Misfit { .. } => None,
    }
}

fn refused(common: &Common, error: SubmitError) -> Error {
    if let Some(reason) = reason(&error) {
        common.target.served.metrics.note_refused(reason);
    }
    match error {
        SubmitError::Full { retry_after, .. } => Error::new(ErrorKind::Overloaded, format!("{error}; try again later"))
            .retry_after(retry_after.max(SHORTEST_RETRY)),
        SubmitError::Congested { wait, .. } => {
            Error::new(ErrorKind::Overloaded, format!("{error}; try again later")).retry_after(wait.max(SHORTEST_RETRY))
        }
        SubmitError::Hopeless { wait } => {
            let message = format!("the deadline cannot be met: the queue takes {} ms", wait.as_millis());
            Error::new(ErrorKind::Overloaded, message).retry_after(wait.max(SHORTEST_RETRY))
        }
        SubmitError::Expired => too_late(),
        SubmitError::Closed | SubmitError::Broken => {
            Error::new(ErrorKind::Unavailable, error.to_string()).retry_after(SHORTEST_RETRY)
        }
        SubmitError::Misfit { .. } => engine_failed(common, &error.to_string()),
    }
}

/// Numbers as large as the client likes overflow any network; none does for a picture.
fn beyond_the_network(image: usize) -> Error {
    let message = format!(
        "image {image}: for these numbers the network's output is not finite: send them normalized, as it was trained"
    );
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Image(image))
}

fn too_late() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "the request's deadline passed before its answer")
}

fn engine_failed(common: &Common, cause: &str) -> Error {
    let (model, request_id) = (common.target.model(), &*common.trace.request_id);
    let trace_id = common.trace.trace_id().map(tracing::field::display);
    tracing::error!(model = &*model.name, version = model.version, request_id, trace_id, cause, "a batch failed");
    Error::new(ErrorKind::Internal, "the network could not be run; the server's log says why")
}
