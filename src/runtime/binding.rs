//! Input and output tensors that a session keeps from run to run: for GPUs, which cannot read a batch where it lies in
//! our memory.
//!
//! For each shape of a batch there is one input tensor and one output tensor, made the first time and used from then on.
//! In pinned memory a GPU fetches the input by itself, without a copy by the driver in between.

use std::collections::{BTreeMap, btree_map::Entry};

use half::{f16, slice::HalfFloatSliceExt as _};
use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::Tensor,
};

use super::{
    Element, Provider, Signature,
    element::{to_i8, to_u8},
    output::read_rows,
};
use crate::tensor::{Batch, Logits};

/// Where the input lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostMemory {
    /// The processor's ordinary memory.
    Pageable,
    /// Memory of the processor that stays in place and that the GPU sees.
    Pinned,
}

impl HostMemory {
    /// What a provider needs that cannot read a batch where it lies; `None` for one that can.
    pub(super) fn of(provider: Provider) -> Option<Self> {
        provider.is_gpu().then_some(Self::Pinned)
    }
}

/// The tensors of a session, by the shape of the batch.
pub(super) struct Bindings {
    bound: BTreeMap<[usize; 4], Bound>,
    allocator: Allocator,
    /// 16-bit outputs as `f32`; reused from run to run.
    widened: Vec<f32>,
}

/// The tensors of one shape.
struct Bound {
    binding: IoBinding,
    input: Input,
}

enum Input {
    Float(Tensor<f32>),
    Half(Tensor<f16>),
    Unsigned(Tensor<u8>),
    Signed(Tensor<i8>),
}

impl Bindings {
    /// Without tensors: those of a shape are made when its first batch comes.
    ///
    /// # Errors
    /// If the session's provider has no such memory.
    pub(super) fn new(session: &Session, memory: HostMemory) -> ort::Result<Self> {
        let allocator = match memory {
            HostMemory::Pageable => Allocator::default(),
            HostMemory::Pinned => {
                let device = AllocationDevice::CUDA_PINNED;
                Allocator::new(session, MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::CPU)?)?
            }
        };
        Ok(Self { bound: BTreeMap::new(), allocator, widened: Vec::new() })
    }

    /// The batch sizes that were run.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.bound.keys().map(|shape| shape[0])
    }

    /// Runs `batch` as one of `run_as` images, at least as many as it has; the others are black.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        signature: &Signature,
        batch: &Batch,
        run_as: usize,
        logits: &mut Logits,
    ) -> ort::Result<()> {
        let name = signature.output.name.as_str();
        let [_, a, b, c] = batch.shape();
        let shape = [run_as, a, b, c];
        let bound = match self.bound.entry(shape) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let input = Input::new(&self.allocator, shape, signature.element)?;
                let mut binding = session.create_binding()?;
                // A row of logits is small, so it is copied to ordinary memory. Bound to pinned memory, ONNX Runtime lets the
                // GPU write it there, copies it onto itself and fails in the second run.
                binding.bind_output_to_device(name, &MemoryInfo::default())?;
                entry.insert(Bound { binding, input })
            }
        };
        bound.input.fill(batch.data());
        // Binding is what copies to the GPU, so that an input has to be bound again for each run.
        match &bound.input {
            Input::Float(tensor) => bound.binding.bind_input(signature.input.name.as_str(), tensor)?,
            Input::Half(tensor) => bound.binding.bind_input(signature.input.name.as_str(), tensor)?,
            Input::Unsigned(tensor) => bound.binding.bind_input(signature.input.name.as_str(), tensor)?,
            Input::Signed(tensor) => bound.binding.bind_input(signature.input.name.as_str(), tensor)?,
        }
        bound.binding.synchronize_inputs()?;
        let outputs = session.run_binding(&bound.binding)?;
        bound.binding.synchronize_outputs()?;
        read_rows(&outputs[name], batch.len(), run_as, &mut self.widened, logits)?;
        Ok(())
    }
}

impl Input {
    fn new(allocator: &Allocator, shape: [usize; 4], element: Element) -> ort::Result<Self> {
        Ok(match element {
            Element::Float => Self::Float(Tensor::new(allocator, shape)?),
            Element::Half => Self::Half(Tensor::new(allocator, shape)?),
            Element::Uint8 => Self::Unsigned(Tensor::new(allocator, shape)?),
            Element::Int8 => Self::Signed(Tensor::new(allocator, shape)?),
        })
    }

    /// Writes `data` and zeros behind it.
    fn fill(&mut self, data: &[f32]) {
        match self {
            Self::Float(tensor) => {
                let (used, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
                used.copy_from_slice(data);
                rest.fill(0.0);
            }
            Self::Half(tensor) => {
                let (used, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
                used.convert_from_f32_slice(data);
                rest.fill(f16::ZERO);
            }
            Self::Unsigned(tensor) => {
                let (used, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
                used.iter_mut().zip(data).for_each(|(value, &from)| *value = to_u8(from));
                rest.fill(0);
            }
            Self::Signed(tensor) => {
                let (used, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
                used.iter_mut().zip(data).for_each(|(value, &from)| *value = to_i8(from));
                rest.fill(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        onnx::{self, DataType, GraphBuilder, ModelProto, value_info},
        runtime::{Executor as _, GraphSource, OrtExecutor, SessionOptions, for_tests},
        tensor::Layout,
    };

    const BUILT_IN: &[u8] = include_bytes!("../../models/resnet20-cifar10/1/model.onnx");

    fn plain(file: &[u8]) -> OrtExecutor {
        for_tests().executor(GraphSource::Memory(file), SessionOptions::reference(1, 8)).unwrap()
    }

    fn bound(file: &[u8]) -> OrtExecutor {
        let mut executor = plain(file);
        let bindings = Bindings::new(executor.session(), HostMemory::Pageable).unwrap();
        executor.bind(bindings);
        executor
    }

    /// Images of 32x32 that all differ, also from those of another seed, followed by `black` black ones.
    fn images(seed: usize, count: usize, black: usize) -> Batch {
        let mut batch = Batch::new(Layout::Nchw, 32, 32, count + black);
        for image in 0..count + black {
            for (place, value) in batch.push().iter_mut().enumerate() {
                let bright = (place * 7 + image * 131 + seed * 977) % 255;
                *value = if image < count { bright as f32 / 128.0 - 1.0 } else { 0.0 };
            }
        }
        batch
    }

    fn run(executor: &mut OrtExecutor, batch: &Batch) -> Vec<Vec<u32>> {
        let mut logits = Logits::default();
        executor.run(batch, &mut logits).unwrap();
        logits.rows().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
    }

    /// The means of the channels, in 16 bits from end to end, or of a fixed batch.
    fn means(data_type: DataType, batch: Option<i64>) -> Vec<u8> {
        let mut graph = GraphBuilder::new("means");
        let mut edges = [value_info("x", data_type, &[3, 32, 32]), value_info("y", data_type, &[3])];
        if let Some(batch) = batch {
            for edge in &mut edges {
                let Some(onnx::type_proto::Value::TensorType(tensor)) =
                    edge.r#type.as_mut().and_then(|kind| kind.value.as_mut())
                else {
                    panic!("a tensor")
                };
                let batch = onnx::tensor_shape_proto::dimension::Value::DimValue(batch);
                tensor.shape.as_mut().unwrap().dim[0].value = Some(batch);
            }
        }
        let [input, output] = edges;
        let x = graph.input(input);
        let x = graph.global_average_pool("pool", &x);
        let x = graph.flatten("flatten", &x);
        graph.output(&x, output);
        let model: ModelProto = graph.finish(8, 17, &[]);
        onnx::into_bytes(model)
    }

    #[test]
    fn bound_memory_gives_the_same_bits_for_batches_that_grow_and_shrink() {
        let (mut bound, mut plain) = (bound(BUILT_IN), plain(BUILT_IN));
        for (seed, len) in [8_usize, 1, 5, 3, 8, 2, 7, 1, 4, 6].into_iter().enumerate() {
            let padded = len.next_power_of_two();
            let mut expected = run(&mut plain, &images(seed, len, padded - len));
            expected.truncate(len);
            assert_eq!(run(&mut bound, &images(seed, len, 0)), expected, "{len} images");
        }
    }

    #[test]
    fn nothing_of_an_earlier_larger_batch_is_left_in_a_smaller_one() {
        // The network mixes the images of a batch, so that an image left behind would show.
        let mut graph = GraphBuilder::new("mixing");
        let x = graph.input(value_info("x", DataType::Float, &[3, 32, 32]));
        let axes = graph.initializer(onnx::int_tensor("axes", &[0, 2, 3]));
        let sum = graph.node("ReduceSum", "sum", &[&x, &axes], Vec::new());
        let pooled = graph.global_average_pool("pool", &x);
        let mixed = graph.add("mixed", &pooled, &sum);
        let y = graph.flatten("flatten", &mixed);
        graph.output(&y, value_info("y", DataType::Float, &[3]));
        let file = onnx::into_bytes(graph.finish(8, 17, &[]));

        let mut used = bound(&file);
        run(&mut used, &images(1, 8, 0));
        assert_eq!(run(&mut used, &images(2, 5, 0)), run(&mut bound(&file), &images(2, 5, 0)));
    }

    #[test]
    fn networks_with_16_bit_ends_and_with_a_fixed_batch_are_bound_too() {
        for file in [means(DataType::Float16, None), means(DataType::Float, Some(4)), means(DataType::Float16, Some(4))]
        {
            let (mut bound, mut plain) = (bound(&file), plain(&file));
            for (seed, len) in [4, 1, 3, 2].into_iter().enumerate() {
                let images = images(seed, len, 0);
                assert_eq!(run(&mut bound, &images), run(&mut plain, &images), "{len} images");
            }
        }
    }

    #[test]
    fn the_processors_provider_has_no_pinned_memory() {
        assert!(Bindings::new(plain(BUILT_IN).session(), HostMemory::Pinned).is_err());
    }
}
