//! Why this class: an answer's classes with the part that every place of the picture has in them.
//!
//! The run is a request's like any other, which asks for the maps before the last layer; what those maps come to is computed
//! afterwards, on a thread that may take its time. Maps are not kept from request to request: they are larger than pictures.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{
    Answer, Charge, Error, ErrorKind, ErrorSubject, ExplainCrops, ExplainedCrop, NamedOutput, Request, Service, Target,
    Timing, Wanted,
    chosen::Chosen,
    crops::{self, TenPlaces},
    decoders::Share,
    outputs::no_logits,
    picture::PictureFile,
};
use crate::{
    batching::{ClientId, Priority},
    postprocess::{ClassMap, ClassMaps, top_k},
    preprocess::{self, DecodeLimits, Framing, ResizeMode, Spec},
    telemetry::TraceContext,
    tensor::Pixels,
};

/// The longest side of a picture that is shown as a whole, in pixels.
const LONGEST_SIDE: u32 = 1024;

/// One request to explain.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// Whom it is for.
    pub target: Target,
    /// Files of pictures, at least one.
    pub pictures: Vec<Bytes>,
    /// The classes, each by its label or index; none: the most probable ones.
    pub classes: Vec<String>,
    /// How many of the most probable, where none is named. `None`: one.
    pub top_k: Option<usize>,
    /// How often each picture is looked at.
    pub crops: ExplainCrops,
    /// Which pixels come with the answer.
    pub view: ExplainView,
    /// When the client stops waiting.
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

/// Which pixels come with an explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainView {
    /// None.
    #[default]
    Numbers,
    /// What the network saw.
    Crop,
    /// The whole picture upright, at most 1024 pixels along its longer side.
    Original,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The model that answered.
    pub model: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Which ResNet it is.
    pub architecture: Arc<str>,
    /// One for each picture, in order.
    pub explanations: Vec<Explanation>,
    /// Where the time went; without what the maps took.
    pub timing: Timing,
    /// The size of the largest batch that one of the pictures ran in.
    pub batch_size: usize,
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// In the order that was asked for; else the most probable first.
    pub classes: Vec<ExplainedClass>,
    /// What the network saw of the picture; of ten crops, all of it.
    pub framing: Framing,
    /// Where each of ten crops was; none where it was looked at once.
    pub crops: Vec<ExplainedCrop>,
    /// Where they were asked for.
    pub pixels: Option<Pixels>,
    /// They are the whole picture, not what the network saw of it.
    pub is_whole: bool,
}

/// One class of a picture.
#[derive(Clone, Debug)]
pub struct ExplainedClass {
    /// Its index.
    pub index: usize,
    /// Its name.
    pub label: Arc<str>,
    /// After the model's activation; of ten crops, the mean of theirs.
    pub probability: f32,
    /// What the last layer says, before softmax or sigmoid; of ten crops, the mean of what it says of each.
    pub logit: f32,
    /// What it says of each of ten crops.
    pub crop_logits: Vec<f32>,
    /// The parts of it.
    pub map: ClassMap,
}

impl Service {
    /// Classifies pictures, and says which places of them speak for the classes. Dropping the future gives up its places in the queue.
    ///
    /// # Errors
    /// As [`Service::answer`]; [`ErrorKind::InvalidArgument`] for a class that there is not, and for a network that does not end in a
    /// mean over the picture and one layer, with what it does instead.
    pub async fn explain(&self, request: ExplainRequest) -> Result<Explained, Error> {
        let ExplainRequest { target, pictures, classes, top_k, crops, view, deadline, priority, client, charge, trace } =
            request;
        let images = pictures.len() * crops.count();
        self.check_images(&target, images).map_err(|error| in_crops(error, pictures.len(), crops))?;
        let maps = class_maps(&target)?;
        let chosen = Chosen::of(&target, &classes, top_k)?;
        let bytes = images * (maps.channels * maps.height * maps.width + target.model().classes()) * 4;
        charge.add(bytes)?;
        let pictures: Vec<_> = pictures.into_iter().map(PictureFile::shared).collect();
        let items = pictures.iter().flat_map(|picture| crops.items(picture)).collect();
        let own = target.model().info.output.name.clone();
        let wanted = Wanted { outputs: vec![own], maps: Some(crops.count()), classes: None };
        let (held, shares) = (charge.clone(), self.inner.decoders.share());
        let request = Request { target: target.clone(), items, wanted, deadline, priority, client, charge, trace };
        let (answer, rows) = self.answer_within(request, shares.clone(), true).await?;

        let mut pixels = Vec::with_capacity(pictures.len());
        for picture in &pictures {
            pixels.push(match (view, crops) {
                (ExplainView::Numbers, _) => None,
                (ExplainView::Crop, ExplainCrops::One) => seen(picture, &target.model().spec),
                // Ten crops are all of it.
                (ExplainView::Crop | ExplainView::Original, _) => Some(self.whole(&target, picture, &shares).await?),
            });
        }
        let limits = DecodeLimits { max_pixels: self.limits().max_image_pixels };
        let work = move || {
            let _held = held;
            let pictures = pictures.iter().zip(pixels);
            explained((&target, &maps), (&chosen, crops, view), answer, &rows, &limits, pictures)
        };
        spawn_blocking(work).await.map_err(|_| Error::new(ErrorKind::Internal, "the maps could not be made"))?
    }

    /// The whole picture, upright, no larger than a screen.
    async fn whole(&self, target: &Target, picture: &PictureFile, share: &Share) -> Result<Pixels, Error> {
        let limits = DecodeLimits { max_pixels: self.limits().max_image_pixels };
        let unread = |cause: preprocess::DecodeError| Error::new(ErrorKind::InvalidArgument, cause.to_string());
        let own = &target.model().spec;
        let framing = preprocess::framing(&picture.file, own, &limits).map_err(unread)?;
        let spec = Spec { crop_size: None, crop_box: None, gray: false, ..on_screen(own, &framing) };
        let header = preprocess::probe(&picture.file).map_err(unread)?;
        let turn = self.inner.decoders.turn(share, None, &target.served.decoding).await;
        let memory = usize::try_from(preprocess::cost(&header, &spec, &limits)).unwrap_or(usize::MAX);
        let memory = self.inner.account.charge(memory)?;
        let file = picture.file.clone();
        let decode = spawn_blocking(move || {
            let _held = (memory, turn);
            preprocess::preprocess(&file, &spec, &limits)
        });
        let pixels = decode.await.map_err(|_| Error::new(ErrorKind::Internal, "decoding failed"))?;
        pixels.map_err(unread)
    }
}

/// How to make a picture as large as a screen shows it, at most.
fn on_screen(own: &Spec, framing: &Framing) -> Spec {
    let (width, height) = (framing.picture_width.max(1), framing.picture_height.max(1));
    let longer = width.max(height);
    if longer <= LONGEST_SIDE {
        return Spec { resize_size: None, resize_box: None, ..own.clone() };
    }
    let side = |side: u32| (u64::from(side) * u64::from(LONGEST_SIDE) / u64::from(longer)).max(1) as u32;
    Spec { resize_box: Some([side(height), side(width)]), resize_mode: ResizeMode::Stretch, ..own.clone() }
}

/// What the run made of a picture.
fn seen(picture: &PictureFile, spec: &Spec) -> Option<Pixels> {
    let preparation = picture.preparation(spec)?;
    let (pixels, _) = preparation.get()?.as_ref().ok()?;
    Some(pixels.clone())
}

fn class_maps(target: &Target) -> Result<Arc<ClassMaps>, Error> {
    let model = target.model();
    model.info.class_maps.clone().map_err(|reason| {
        let message = format!(
            "model `{}` cannot be explained: {reason}; a network can that ends in a mean over the picture and one layer, as ResNets do",
            model.name
        );
        Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("model"))
    })
}

/// The refusal of too many images, where it is not the pictures that are too many.
fn in_crops(error: Error, pictures: usize, crops: ExplainCrops) -> Error {
    let count = crops.count();
    if count == 1 || error.kind != ErrorKind::TooLarge {
        return error;
    }
    let message = format!("{pictures} pictures of {count} crops each: {}, or ask for crops=1", error.message);
    Error { message, ..error }
}

fn explained<'p>(
    (target, maps): (&Target, &ClassMaps),
    (chosen, crops, view): (&Chosen, ExplainCrops, ExplainView),
    mut answer: Answer,
    rows: &[Box<[f32]>],
    limits: &DecodeLimits,
    pictures: impl Iterator<Item = (&'p PictureFile, Option<Pixels>)>,
) -> Result<Explained, Error> {
    let lost = || Error::new(ErrorKind::Internal, "a picture has no maps");
    let model = target.model();
    let (inside, said) = (answer.outputs.pop().ok_or_else(lost)?, answer.outputs.pop().ok_or_else(lost)?);
    let row = |output: &'_ NamedOutput, image: usize| {
        let width = output.shape[1];
        output.values.get(image * width..(image + 1) * width).map(<[f32]>::to_vec)
    };
    let says_logits = no_logits(model).is_none();
    let spec = if crops == ExplainCrops::One { model.spec.clone() } else { crops::whole(&model.spec) };
    let mut explanations = Vec::with_capacity(rows.len());
    for (place, ((picture, pixels), rows)) in pictures.zip(rows.chunks(crops.count())).enumerate() {
        let first = place * crops.count();
        let images = (first..first + rows.len()).map(|image| Some((row(&inside, image)?, row(&said, image)?)));
        let images = images.collect::<Option<Vec<_>>>().ok_or_else(lost)?;
        let probabilities = mean_row(rows);
        let indices = match chosen {
            Chosen::Named(indices) => indices.clone(),
            Chosen::Best(count) => {
                top_k(&probabilities, *count, f32::NEG_INFINITY).into_iter().map(|(index, _)| index).collect()
            }
        };
        let ten = match crops {
            ExplainCrops::One => None,
            ExplainCrops::Ten => Some(TenPlaces::of(picture, &model.spec, target.shape()).ok_or_else(lost)?),
        };
        let class = |index: usize| {
            let of_each = images.iter().map(|(inside, _)| maps.of(index, inside)).collect::<Option<Vec<_>>>()?;
            let says = |(map, (_, said)): (&ClassMap, &(_, Vec<f32>))| {
                if says_logits { said.get(index).copied() } else { Some(map.logit()) }
            };
            let logits = of_each.iter().zip(&images).map(says).collect::<Option<Vec<_>>>()?;
            let logit = mean(logits.iter().copied(), logits.len());
            let (map, crop_logits) = match &ten {
                None => (of_each.into_iter().next()?, Vec::new()),
                Some(ten) => (ten.merged(&of_each)?, logits),
            };
            let (label, probability) = (model.info.labels.get(index)?.clone(), *probabilities.get(index)?);
            Some(ExplainedClass { index, label, probability, logit, crop_logits, map })
        };
        let classes = indices.into_iter().map(class).collect::<Option<Vec<_>>>().ok_or_else(lost)?;
        let framing = preprocess::framing(&picture.file, &spec, limits);
        let framing = framing.map_err(|cause| Error::new(ErrorKind::InvalidArgument, cause.to_string()))?;
        let crops = ten.map(|ten| ten.in_picture(&framing)).unwrap_or_default();
        let is_whole = view == ExplainView::Original && crops.is_empty();
        explanations.push(Explanation { classes, framing, crops, pixels, is_whole });
    }
    let Answer { model, version, architecture, timing, batch_size, .. } = answer;
    Ok(Explained { model, version, architecture, explanations, timing, batch_size })
}

/// The mean of every column.
fn mean_row(rows: &[Box<[f32]>]) -> Vec<f32> {
    match rows {
        [row] => row.to_vec(),
        [first, ..] => (0..first.len()).map(|column| mean(rows.iter().map(|row| row[column]), rows.len())).collect(),
        [] => Vec::new(),
    }
}

fn mean(numbers: impl Iterator<Item = f32>, count: usize) -> f32 {
    (numbers.map(f64::from).sum::<f64>() / count.max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(picture_width: u32, picture_height: u32) -> Framing {
        Framing { picture_width, picture_height, x: 0.0, y: 0.0, width: 1.0, height: 1.0 }
    }

    #[test]
    fn a_picture_is_shown_no_larger_than_a_screen_and_in_its_proportions() {
        let shown = |width, height| on_screen(&Spec::default(), &framing(width, height));
        assert_eq!((shown(1024, 500).resize_size, shown(1024, 500).resize_box), (None, None));
        assert_eq!(shown(4096, 3072).resize_box, Some([768, 1024]));
        assert_eq!(shown(1, 100_000).resize_box, Some([1024, 1]));
    }
}
