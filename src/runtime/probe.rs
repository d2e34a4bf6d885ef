//! Looking inside a network: runs a graph and hands out every output by its name, whatever its shape.
//!
//! For the workshop, which exposes inner tensors as outputs. The serving path has [`OrtExecutor`](super::OrtExecutor).

use ort::{
    session::Session,
    value::{TensorElementType, ValueType},
};

use super::{Element, GraphSource, LoadError, RunError, Runtime, SessionOptions, element::Converted, ort::in_words};
use crate::tensor::Batch;

/// A session whose outputs are all of interest.
pub struct Probe {
    session: Session,
    element: Element,
    converted: Converted,
}

/// One output of a run.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The values of a `float32` tensor.
    Floats(&'a [f32]),
    /// A 1-D `int64` tensor, as the operator Shape gives.
    Integers(&'a [i64]),
}

impl Runtime {
    /// Compiles a graph for looking inside, on the processor.
    ///
    /// # Errors
    /// [`LoadError::Engine`].
    pub fn probe(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<Probe, LoadError> {
        let session = self.session(graph, options)?;
        let element = match session.inputs().first().map(|input| input.dtype()) {
            Some(ValueType::Tensor { ty: TensorElementType::Float16, .. }) => Element::Half,
            Some(ValueType::Tensor { ty: TensorElementType::Uint8, .. }) => Element::Uint8,
            Some(ValueType::Tensor { ty: TensorElementType::Int8, .. }) => Element::Int8,
            _ => Element::Float,
        };
        Ok(Probe { session, element, converted: Converted::default() })
    }
}

impl Probe {
    /// Runs `batch` and shows each output of the graph to `visit`, in the graph's order.
    ///
    /// # Errors
    /// [`RunError::Engine`], also for an output of another type than [`Seen`] has.
    pub fn run(&mut self, batch: &Batch, mut visit: impl FnMut(&str, Seen<'_>)) -> Result<(), RunError> {
        let engine = |error: ort::Error| RunError::Engine(in_words(&error.to_string()));
        let input = self.converted.tensor(self.element, batch.shape(), batch.data()).map_err(engine)?;
        let outputs = self.session.run([input.into()]).map_err(engine)?;
        for (name, value) in &outputs {
            if let Ok((_, values)) = value.try_extract_tensor::<f32>() {
                visit(name, Seen::Floats(values));
            } else {
                visit(name, Seen::Integers(value.try_extract_tensor::<i64>().map_err(engine)?.1));
            }
        }
        Ok(())
    }
}
