//! The outputs that a client asked for by name: the graph's own, and what is made of it. Pure.

use super::{Error, ErrorKind, NamedOutput, Shown};
use crate::model::ServedModel;

/// The name of the classes' probabilities, `f32[N, K]`: the graph's output after the model's activation. A graph whose own output
/// is called so has that one under the name.
pub const PROBABILITIES: &str = "probabilities";

/// The outputs of one request while they are put together, an image after the other.
pub(super) struct Outputs(Vec<(Source, NamedOutput)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// What the network gives.
    Raw,
    /// The same after the activation.
    Probabilities,
}

impl Outputs {
    /// * `names`: what is asked for, in the order of the answer
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an output that there is not, with those that there are.
    pub(super) fn new(names: &[String], model: &ServedModel, images: usize) -> Result<Self, Error> {
        let own = &*model.info.output.name;
        let output = |name: &String| {
            let source = match &**name {
                name if name == own => Source::Raw,
                PROBABILITIES => Source::Probabilities,
                name => {
                    let (model, name) = (&model.name, Shown(name));
                    let message =
                        format!("model `{model}` has no output `{name}`; it has `{own}` and `{PROBABILITIES}`");
                    return Err(Error::new(ErrorKind::InvalidArgument, message));
                }
            };
            Ok((
                source,
                NamedOutput { name: name.as_str().into(), shape: [images, model.classes()], values: Vec::new() },
            ))
        };
        names.iter().map(output).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn want_probabilities(&self) -> bool {
        self.0.iter().any(|(source, _)| *source == Source::Probabilities)
    }

    pub(super) fn add_raw(&mut self, row: &[f32]) {
        self.add(Source::Raw, row);
    }

    pub(super) fn add_probabilities(&mut self, row: &[f32]) {
        self.add(Source::Probabilities, row);
    }

    pub(super) fn into_named(self) -> Vec<NamedOutput> {
        self.0.into_iter().map(|(_, output)| output).collect()
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
