//! Which outputs of a session a run gives back: the classes, and what lies inside the network only where somebody asks.

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};

use super::{InnerValue, Signature, Stated, graph_tensor::GraphTensor};
use crate::tensor::{FeatureMaps, Logits};

/// The outputs that runs of one graph fetch.
pub(super) struct Fetch {
    /// `None` where the graph has no other output: then all is the same.
    pub(super) classes: Option<RunOptions<HasSelectedOutputs>>,
    /// The values that the last layer reads. Else why there are no features, as the end of a sentence.
    pub(super) features: Result<InnerOutput, String>,
    /// What is averaged before it. Else why there are no maps.
    pub(super) maps: Result<InnerOutput, String>,
    /// Features and maps in one run, where there are both.
    pub(super) both: Option<RunOptions<HasSelectedOutputs>>,
}

/// An output that has what lies inside, beside the classes.
pub(super) struct InnerOutput {
    pub(super) name: String,
    pub(super) with_classes: RunOptions<HasSelectedOutputs>,
}

/// Where a run puts what it fetches.
pub(super) struct FetchedRows<'r> {
    pub(super) logits: &'r mut Logits,
    /// `None` where nobody asks for them.
    pub(super) features: Option<&'r mut Logits>,
    /// The same.
    pub(super) maps: Option<&'r mut FeatureMaps>,
}

impl Fetch {
    /// * `outputs`: all that the session has
    /// * `refused`: why the engine gives nothing out that lies inside
    pub(super) fn new(
        signature: &Signature,
        outputs: &[GraphTensor],
        stated: &Stated,
        refused: Option<&str>,
    ) -> ort::Result<Self> {
        let classes = &*signature.output.name;
        let find = |values: &[InnerValue]| match named(values, classes, outputs, refused) {
            Ok(name) => {
                let with_classes = select(&[classes, name])?;
                Ok::<_, ort::Error>(Ok(InnerOutput { name: name.to_owned(), with_classes }))
            }
            Err(reason) => Ok(Err(reason)),
        };
        let (features, maps) = (find(&stated.features)?, find(&stated.maps)?);
        let both = match (&features, &maps) {
            (Ok(features), Ok(maps)) => Some(select(&[classes, &features.name, &maps.name])?),
            _ => None,
        };
        let classes = if outputs.len() > 1 { Some(select(&[classes])?) } else { None };
        Ok(Self { classes, features, maps, both })
    }
}

fn select(names: &[&str]) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    let selector = names.iter().fold(OutputSelector::no_default(), |selector, name| selector.with(*name));
    Ok(RunOptions::new()?.with_outputs(selector))
}

/// The output that has the value which belongs to the classes; else why there is none.
fn named<'o>(
    values: &[InnerValue],
    classes: &str,
    outputs: &'o [GraphTensor],
    refused: Option<&str>,
) -> Result<&'o str, String> {
    let known = values.iter().find(|value| value.output == classes);
    let value =
        known.map_or(Err("its graph could not be looked through"), |it| it.value.as_deref().map_err(|it| &**it));
    let value = value.map_err(str::to_owned)?;
    match outputs.iter().find(|output| output.name == value) {
        Some(output) if matches!(&*output.element, "float32" | "float16") => Ok(&output.name),
        Some(output) => Err(format!("its last layer reads {}, which are no floats", output.element)),
        None => Err(refused.unwrap_or("the engine does not give them out").to_owned()),
    }
}
