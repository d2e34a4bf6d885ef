//! One call for several models: the same pictures, decoded once for all that prepare them alike, and an answer or a refusal from each.
//!
//! Every model has its own places, queue and batches, as if it were asked alone; deadline, memory and threads to decode are the call's.
//! Dropping the future leaves them all.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Answer, Charge, ClassesWanted, Error, ErrorKind, ErrorSubject, Item, Prediction, Request, Service, Target,
    TraceContext, Wanted, classes::Classes, content::Content, ensemble, picture::PictureFile,
};
use crate::{
    batching::{ClientId, Priority},
    preprocess,
};

/// The same pictures for several models.
pub struct SeveralRequest {
    /// Each model and what is wanted of it; or why it cannot be asked, which is its answer then.
    pub asked: Vec<Result<(Target, Wanted), Error>>,
    /// The files as they came.
    pub pictures: Vec<Bytes>,
    /// The classes that the mean of all models' probabilities should have, where that is wanted.
    pub mean: Option<ClassesWanted>,
    /// When the client stops waiting, for any of them.
    pub deadline: Option<Instant>,
    /// Whom it may overtake.
    pub priority: Priority,
    /// Whose it is, where clients take turns.
    pub client: Option<ClientId>,
    /// The memory that it takes.
    pub charge: Arc<Charge>,
    /// What its lines of log carry.
    pub trace: TraceContext,
}

/// What the models said.
#[derive(Debug)]
pub struct SeveralAnswers {
    /// One a model, in the order of the call.
    pub answers: Vec<Result<Answer, Error>>,
    /// Where it was wanted: the classes of every image by the mean of the models' probabilities; the refusal of the first model that
    /// gave none.
    pub mean: Option<Result<Vec<Vec<Prediction>>, Error>>,
}

impl Service {
    /// Asks several models at once. What a model refuses or fails at is its own answer, and the others go on.
    ///
    /// # Errors
    /// For what is wrong with the call as a whole: a version twice, more pixels than a call may have, or a mean of what has none.
    pub async fn answer_several(&self, request: SeveralRequest) -> Result<SeveralAnswers, Error> {
        let SeveralRequest { asked, pictures, mean, deadline, priority, client, charge, trace } = request;
        let targets: Vec<_> = asked.iter().filter_map(|one| Some(&one.as_ref().ok()?.0)).collect();
        each_once(&targets)?;
        if mean.is_some() {
            ensemble::check(&targets)?;
        }
        self.check_work(&targets, &pictures)?;
        let mean_of_one = targets.first().map(|target| (*target).clone());
        let deadline = self.deadline(deadline, Instant::now());
        let decoding = self.inner.decoders.share();
        let pictures: Vec<_> = pictures.into_iter().map(PictureFile::shared).collect();
        let answers = asked.into_iter().map(|one| async {
            let (target, wanted) = one?;
            let items = pictures.iter().map(|picture| Item(Content::Picture(picture.clone()))).collect();
            let (charge, trace) = (charge.clone(), trace.clone());
            let request = Request { target, items, wanted, deadline, priority, client, charge, trace };
            self.answer_within(request, decoding.clone(), mean.is_some()).await
        });
        let answers = join_all(answers.collect::<Vec<_>>()).await;

        let mean = match (mean, mean_of_one) {
            (Some(wanted), Some(target)) => Some(mean_of(wanted, &target, &answers).await),
            _ => None,
        };
        let answers = answers.into_iter().map(|answer| answer.map(|(answer, _)| answer)).collect();
        Ok(SeveralAnswers { answers, mean })
    }

    /// Every way to prepare the pictures decodes them once more.
    fn check_work(&self, targets: &[&Target], pictures: &[Bytes]) -> Result<(), Error> {
        let specs = targets.iter().map(|target| &target.model().spec);
        let ways = specs.enumerate().filter(|(index, spec)| {
            let earlier = targets.iter().take(*index).map(|target| &target.model().spec);
            !earlier.into_iter().any(|its| its == *spec)
        });
        let ways = ways.count();
        // One alone is looked at with its request, and what has no header is refused there.
        if ways < 2 {
            return Ok(());
        }
        let limit = self.limits().max_request_pixels;
        let work = pictures.iter().filter_map(|file| preprocess::probe(file).ok()).map(|header| header.work());
        let pixels = work.fold(0u64, u64::saturating_add).saturating_mul(ways as u64);
        if pixels > limit {
            let message = format!(
                "the models prepare the images in {ways} ways, which is {pixels} pixels together, and the limit of a request is \
                 {limit}: ask fewer of them at a time"
            );
            return Err(Error::new(ErrorKind::TooLarge, message).about(ErrorSubject::Images));
        }
        Ok(())
    }
}

fn each_once(targets: &[&Target]) -> Result<(), Error> {
    let version = |target: &Target| (target.model().name.clone(), target.model().version);
    for (index, target) in targets.iter().enumerate() {
        let (name, number) = version(target);
        if targets.iter().take(index).any(|earlier| version(earlier) == (name.clone(), number)) {
            let message = format!("version {number} of model `{name}` is named twice: name it once");
            return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Model(name.to_string())));
        }
    }
    Ok(())
}

/// What a model said, and its row of each image; or why it said nothing.
type AnswerWithRows = Result<(Answer, Vec<Box<[f32]>>), Error>;

/// Of all models or of none: a mean of those that happened to answer would be another one each time.
async fn mean_of(
    wanted: ClassesWanted,
    target: &Target,
    answers: &[AnswerWithRows],
) -> Result<Vec<Vec<Prediction>>, Error> {
    let classes = Classes::of(wanted, target.model().classes())?;
    let mut rows = Vec::with_capacity(answers.len());
    for answer in answers {
        let (_, its) = answer.as_ref().map_err(Error::clone)?;
        rows.push(its.as_slice());
    }
    let labels = &target.model().info.labels;
    let images = rows.iter().map(|its| its.len()).min().unwrap_or_default();
    let mut predictions = Vec::with_capacity(images);
    for image in 0..images {
        let of_image: Vec<&[f32]> = rows.iter().filter_map(|its| Some(&**its.get(image)?)).collect();
        predictions.push(classes.name(labels, &ensemble::mean(&of_image)));
        // A row of many classes takes an I/O thread for a while.
        tokio::task::yield_now().await;
    }
    Ok(predictions)
}
