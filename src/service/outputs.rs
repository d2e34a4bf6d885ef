//! The outputs that a client asked for by name: the graph's own, and what is made of it or lies inside it. Pure.

use std::collections::HashSet;

use super::{Error, ErrorKind, ErrorSubject, NamedOutput, Shown};
use crate::{
    batching::Inside,
    model::ServedModel,
    postprocess::{Activation, ClassMaps},
};

/// The name of the classes' probabilities, `f32[N, K]`: the graph's output after the model's activation. A graph whose own output
/// is called so has that one under the name.
pub const PROBABILITIES: &str = "probabilities";

/// The name of the graph's output as the network gives it, whatever the graph calls it, where these are logits.
pub const LOGITS: &str = "logits";

/// The name of the pooled values that the last layer reads, `f32[N, F]`.
pub const FEATURES: &str = "features";

/// The outputs of one request while they are put together, an image after the other.
pub(super) struct Outputs(Vec<(Source, NamedOutput)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// What the network gives.
    Raw,
    /// The same after the activation.
    Probabilities,
    /// What its last layer reads.
    Features,
    /// What is averaged before it; no client can ask for it by a name.
    Map,
}

impl Outputs {
    /// * `names`: what is asked for, in the order of the answer
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an output that there is not, with those that there are, and for one that is asked for
    /// twice.
    pub(super) fn new(names: &[String], model: &ServedModel, images: usize) -> Result<Self, Error> {
        check(names.iter().map(String::as_str), names.len(), model)?;
        let output = |name: &String| {
            let (source, width) = find(name, model).map_err(|reason| absent(name, model, reason))?;
            Ok((source, NamedOutput { name: name.as_str().into(), shape: [images, width], values: Vec::new() }))
        };
        names.iter().map(output).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn want_probabilities(&self) -> bool {
        self.want(Source::Probabilities)
    }

    /// Whether nothing is wanted that is a network's own: probabilities of the same classes are anybody's.
    pub(super) fn want_nothing_else(&self) -> bool {
        self.0.iter().all(|(source, _)| *source == Source::Probabilities)
    }

    /// What of the network's inside is wanted.
    pub(super) fn inside(&self) -> Inside {
        match (self.want(Source::Map), self.want(Source::Features)) {
            (true, _) => Inside::Map,
            (false, true) => Inside::Features,
            (false, false) => Inside::Nothing,
        }
    }

    /// Maps are wanted as well, as the last of the outputs; instead of features.
    pub(super) fn with_maps(mut self, images: usize, maps: &ClassMaps) -> Self {
        let width = maps.channels * maps.height * maps.width;
        self.0.push((Source::Map, NamedOutput { name: "".into(), shape: [images, width], values: Vec::new() }));
        self
    }

    pub(super) fn add_map(&mut self, row: &[f32]) {
        self.add(Source::Map, row);
    }

    pub(super) fn add_raw(&mut self, row: &[f32]) {
        self.add(Source::Raw, row);
    }

    pub(super) fn add_probabilities(&mut self, row: &[f32]) {
        self.add(Source::Probabilities, row);
    }

    pub(super) fn add_features(&mut self, row: &[f32]) {
        self.add(Source::Features, row);
    }

    pub(super) fn into_named(self) -> Vec<NamedOutput> {
        self.0.into_iter().map(|(_, output)| output).collect()
    }

    fn want(&self, wanted: Source) -> bool {
        self.0.iter().any(|(source, _)| *source == wanted)
    }

    fn add(&mut self, source: Source, row: &[f32]) {
        for (_, output) in self.0.iter_mut().filter(|(of, _)| *of == source) {
            if output.values.is_empty() {
                output.values.reserve_exact(output.shape[0] * row.len());
            }
            output.values.extend_from_slice(row);
        }
    }
}

/// Whether so many outputs can be meant, each once.
///
/// * `count`: how many are asked for, where `names` are only the first of them
pub(super) fn check<'n>(names: impl Iterator<Item = &'n str>, count: usize, model: &ServedModel) -> Result<(), Error> {
    let there = there(model);
    let mut seen = HashSet::new();
    // One more than there are can only be too many.
    for name in names.take(there.len() + 1) {
        if !seen.insert(name) {
            return Err(refused(format!("output `{}` is asked for twice: ask once", Shown(name))));
        }
    }
    if count > there.len() {
        let (model, there) = (&model.name, there.join("`, `"));
        return Err(refused(format!("{count} outputs are asked for, and model `{model}` has `{there}`")));
    }
    Ok(())
}

/// The names of all outputs that there are, the graph's own first.
fn there(model: &ServedModel) -> Vec<&str> {
    let own = &*model.info.output.name;
    let others = [PROBABILITIES, LOGITS, FEATURES].into_iter().filter(|name| *name != own && find(name, model).is_ok());
    std::iter::once(own).chain(others).collect()
}

/// Where an output comes from, and how many values an image has there; else why the model has it not, if its name says anything.
fn find(name: &str, model: &ServedModel) -> Result<(Source, usize), Option<String>> {
    let classes = model.classes();
    match name {
        name if name == model.info.output.name => Ok((Source::Raw, classes)),
        PROBABILITIES => Ok((Source::Probabilities, classes)),
        LOGITS => no_logits(model).map_or(Ok((Source::Raw, classes)), |reason| Err(Some(reason))),
        FEATURES => match &model.info.features {
            Ok(width) => Ok((Source::Features, *width)),
            Err(reason) => Err(Some(reason.to_string())),
        },
        _ => Err(None),
    }
}

fn absent(name: &str, model: &ServedModel, reason: Option<String>) -> Error {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let (there, model, name) = (there(model).join("`, `"), &model.name, Shown(name));
    refused(format!("model `{model}` has no output `{name}`{reason}; it has `{there}`"))
}

/// Whether the values after the activation say how probable each class is.
pub(super) fn gives_probabilities(model: &ServedModel) -> bool {
    match model.activation {
        Activation::Softmax | Activation::Sigmoid | Activation::Exp => true,
        Activation::None => no_logits(model).is_some(),
    }
}

/// Why the graph's output is no row of logits.
pub(super) fn no_logits(model: &ServedModel) -> Option<String> {
    let outputs = model.info.inspection.iter().flat_map(|inspection| &inspection.outputs);
    match model.activation {
        Activation::Softmax | Activation::Sigmoid => None,
        Activation::Exp => Some("its graph ends in a log-softmax".to_owned()),
        Activation::None => {
            let end = outputs.filter(|output| output.name == model.info.output.name).find_map(|output| output.ends_in);
            end.map(|end| format!("its graph ends in a {end}"))
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("outputs"))
}
