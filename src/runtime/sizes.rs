//! One session for each batch size, for small networks on an engine that loses time whenever the size changes.
//!
//! OpenVINO prepares its memory anew whenever the batch size changes, and a graph with an open batch takes longer in
//! every run. A large network does not notice; ResNet-20 for CIFAR, int8, two threads, does 6,150 images/s in batches
//! of 8 and 7 by turns, 8,700 in batches of 8, and 9,650 where the graph says 8. A small network can afford the memory
//! of a session for each size.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
};

use ort::session::Session;
use prost::Message;

use super::{GraphSource, LoadError, Runtime, SessionOptions, Signature};
use crate::onnx::{self, ModelProto, untyped};

/// The largest graph that is compiled several times, in bytes: ten times ResNet-20's for CIFAR.
const LARGEST_GRAPH: usize = 8 << 20;

/// The sessions of a network by the size of batch; each is made when it is first needed.
pub(super) struct Sizes {
    runtime: Runtime,
    model: ModelProto,
    input: String,
    options: SessionOptions,
    sessions: BTreeMap<usize, Session>,
}

impl Sizes {
    /// Makes no session yet; values inside the graph, `exposed`, become further outputs of it. `None` for a network that is too large, or whose graph fixes the batch.
    pub(super) fn of(
        runtime: &Runtime,
        graph: GraphSource<'_>,
        signature: &Signature,
        options: SessionOptions,
        exposed: &[String],
    ) -> Option<Self> {
        let too_large = match graph {
            GraphSource::File(path) | GraphSource::Prepared(path) => {
                fs::metadata(path).is_ok_and(|file| file.len() > LARGEST_GRAPH as u64)
            }
            GraphSource::Memory(bytes) => bytes.len() > LARGEST_GRAPH,
        };
        if too_large || signature.fixed_batch.is_some() {
            return None;
        }
        let mut model = graph.read().ok()?;
        onnx::expose(&mut model, exposed.iter().map(|value| untyped(value)));
        // Weights may lie in a file of their own.
        let (input, runtime) = (signature.input.name.clone(), runtime.clone());
        (model.encoded_len() <= LARGEST_GRAPH).then(|| Self {
            runtime,
            model,
            input,
            options,
            sessions: BTreeMap::new(),
        })
    }

    /// The session for batches of just `size` images.
    pub(super) fn session(&mut self, size: usize) -> Result<&mut Session, LoadError> {
        match self.sessions.entry(size) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                // The weights are shared with the copy, not copied.
                let mut model = self.model.clone();
                onnx::fix_batch(&mut model, &self.input, size);
                let file = onnx::into_bytes(model);
                Ok(entry.insert(self.runtime.session(GraphSource::Memory(&file), self.options)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::{Executor as _, OrtExecutor, for_tests},
        tensor::{Batch, Layout, Logits},
    };

    const BUILT_IN: &[u8] = include_bytes!("../../models/resnet20-cifar10/1/model.onnx");

    fn executor() -> OrtExecutor {
        for_tests().executor(GraphSource::Memory(BUILT_IN), SessionOptions::reference(1, 8)).unwrap()
    }

    fn answers(executor: &mut OrtExecutor, len: usize) -> Vec<Vec<u32>> {
        let mut batch = Batch::new(Layout::Nchw, 32, 32, len);
        for image in 0..len {
            let slot = batch.push().iter_mut().enumerate();
            slot.for_each(|(place, value)| *value = ((place * 7 + image * 131) % 255) as f32 / 128.0 - 1.0);
        }
        let mut logits = Logits::default();
        executor.run(&batch, &mut logits).unwrap();
        logits.rows().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
    }

    #[test]
    fn a_session_of_each_size_answers_as_the_one_for_all_sizes_does() {
        let (mut one, mut many) = (executor(), executor());
        let options = SessionOptions::reference(1, 8);
        let sizes = Sizes::of(&for_tests(), GraphSource::Memory(BUILT_IN), one.signature(), options, &[]).unwrap();
        many.fix_sizes(sizes);
        for len in [8, 1, 5, 8, 2, 1] {
            assert_eq!(answers(&mut many, len), answers(&mut one, len), "{len} images");
        }
    }

    #[test]
    fn a_session_is_made_once_and_takes_no_other_size() {
        let one = executor();
        let options = SessionOptions::reference(1, 8);
        let mut sizes = Sizes::of(&for_tests(), GraphSource::Memory(BUILT_IN), one.signature(), options, &[]).unwrap();
        let dims = |session: &Session| session.inputs()[0].dtype().tensor_shape().map(|shape| shape.to_vec());
        assert_eq!(dims(sizes.session(3).unwrap()), Some(vec![3, 3, 32, 32]));
        assert_eq!(dims(sizes.session(1).unwrap()), Some(vec![1, 3, 32, 32]));
        sizes.session(3).unwrap();
        assert_eq!(sizes.sessions.len(), 2);
    }

    #[test]
    fn large_networks_are_compiled_once() {
        let one = executor();
        let large = vec![0; LARGEST_GRAPH + 1];
        let options = SessionOptions::reference(1, 8);
        assert!(Sizes::of(&for_tests(), GraphSource::Memory(&large), one.signature(), options, &[]).is_none());
    }
}
