//! A run in memory that the engine gets for it alone, on a session that has no tensors of its own.

use ort::session::Session;

use super::{
    Signature,
    element::Converted,
    fetch::{Fetch, FetchedRows},
    output::{map_dims, read_rows},
};
use crate::tensor::Batch;

/// Memory that is used again by each run.
#[derive(Default)]
pub(super) struct Scratch {
    /// For a graph that takes other numbers: the batch, converted.
    converted: Converted,
    /// For a batch that is run as a larger one: filled up with zeros.
    padded: Vec<f32>,
    /// For a graph with 16-bit output.
    widened: Vec<f32>,
}

impl Scratch {
    /// Lets the engine read the batch where it lies, as far as it has the right size and type.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        signature: &Signature,
        fetch: &Fetch,
        batch: &Batch,
        run_as: usize,
        rows: FetchedRows<'_>,
    ) -> ort::Result<()> {
        let mut shape = batch.shape();
        let mut data = batch.data();
        if run_as != batch.len() {
            self.padded.clear();
            self.padded.extend_from_slice(data);
            self.padded.resize(run_as * batch.image_len(), 0.0);
            (shape[0], data) = (run_as, &self.padded);
        }
        let inputs = self.converted.tensor(signature.element, shape, data)?;
        let features = rows.features.and_then(|rows| Some((fetch.features.as_ref().ok()?, rows)));
        let maps = rows.maps.and_then(|maps| Some((fetch.maps.as_ref().ok()?, maps)));
        let options = match (&features, &maps) {
            (Some(_), Some(_)) => fetch.both.as_ref(),
            (Some((output, _)), None) => Some(&output.with_classes),
            (None, Some((output, _))) => Some(&output.with_classes),
            (None, None) => fetch.classes.as_ref(),
        };
        let outputs = match options {
            Some(options) => session.run_with_options([inputs.into()], options)?,
            None => session.run([inputs.into()])?,
        };
        if let Some((output, rows)) = features {
            read_rows(&outputs[output.name.as_str()], batch.len(), run_as, &mut self.widened, rows)?;
        }
        if let Some((output, maps)) = maps {
            let output = &outputs[output.name.as_str()];
            maps.dims = map_dims(output)?;
            read_rows(output, batch.len(), run_as, &mut self.widened, &mut maps.rows)?;
        }
        read_rows(&outputs[signature.output.name.as_str()], batch.len(), run_as, &mut self.widened, rows.logits)
    }
}
