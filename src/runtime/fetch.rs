//! Which outputs of a session a run gives back: the classes, and the features only where somebody asks.

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};

use super::{Signature, Stated, graph_tensor::GraphTensor};
use crate::tensor::Logits;

/// The outputs that runs of one graph fetch.
pub(super) struct Fetch {
    /// `None` where the graph has no other output: then all is the same.
    pub(super) classes: Option<RunOptions<HasSelectedOutputs>>,
    /// Else why there are no features, as the end of a sentence.
    pub(super) features: Result<Features, String>,
}

/// The output that has the features, beside the classes.
pub(super) struct Features {
    pub(super) name: String,
    pub(super) with_classes: RunOptions<HasSelectedOutputs>,
}

/// Where a run puts what it fetches.
pub(super) struct FetchedRows<'r> {
    pub(super) logits: &'r mut Logits,
    /// `None` where nobody asks for them.
    pub(super) features: Option<&'r mut Logits>,
}

impl Fetch {
    /// * `outputs`: all that the session has
    /// * `refused`: why the engine does not give the features out
    pub(super) fn new(
        signature: &Signature,
        outputs: &[GraphTensor],
        stated: &Stated,
        refused: Option<String>,
    ) -> ort::Result<Self> {
        let classes = &*signature.output.name;
        let select = |names: &[&str]| {
            let selector = names.iter().fold(OutputSelector::no_default(), |selector, name| selector.with(*name));
            Ok::<_, ort::Error>(RunOptions::new()?.with_outputs(selector))
        };
        let known = stated.features.iter().find(|features| features.output == classes);
        let place =
            known.map_or(Err("its graph could not be looked through"), |it| it.value.as_deref().map_err(|it| &**it));
        let found = |value: &str| outputs.iter().find(|output| output.name == value);
        let features = match (place.map(found), refused) {
            (Ok(Some(output)), _) if matches!(&*output.element, "float32" | "float16") => {
                Ok(Features { name: output.name.clone(), with_classes: select(&[classes, &output.name])? })
            }
            (Ok(Some(output)), _) => Err(format!("its last layer reads {}, which are no floats", output.element)),
            (Ok(None), refused) => Err(refused.unwrap_or_else(|| "the engine does not give them out".to_owned())),
            (Err(reason), _) => Err(reason.to_owned()),
        };
        let classes = if outputs.len() > 1 { Some(select(&[classes])?) } else { None };
        Ok(Self { classes, features })
    }
}
