//! A model over a network that does what somebody says, without an engine: for the tests of the doors, and for the fuzz targets
//! (`fuzz/src/lib.rs` takes this file as it is).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use resnetd::{
    batching::{Batcher, Policy},
    inspect::inspect,
    model::{LoadedModel, ModelInfo, RESNET20_CIFAR10, ServedModel, TensorInfo},
    onnx::decode,
    postprocess::Activation,
    preprocess::Spec,
    runtime::Executor,
    tensor::{ColorOrder, InputShape, Layout, Normalizer, NumberType},
};
use tokio::sync::Semaphore;

/// The side of its input, in pixels.
pub(crate) const SIDE: u32 = 8;

/// The name of the scripted model.
pub(crate) const MODEL: &str = "pets";

/// Its labels; the scripted row of the tests makes `tabby` the first and `beagle` the last.
pub(crate) const LABELS: [&str; 4] = ["beagle", "tabby", "parrot", "goldfish"];

/// A model whose network does what `executor` says.
pub(crate) fn scripted_model(
    version: u64,
    executor: impl Executor,
    capacity: usize,
    max_batch_size: usize,
) -> LoadedModel {
    let shape = InputShape { layout: Layout::Nchw, channels: 3, height: SIDE as usize, width: SIDE as usize };
    let policy = Policy { max_batch_size, max_queue_delay: Duration::ZERO, queue_capacity: capacity };
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    let (batcher, workers) = Batcher::start(MODEL, policy, normalizer, shape, vec![executor]).expect("a thread");
    let side = i64::from(SIDE);
    let info = ModelInfo {
        architecture: "resnet20-cifar".into(),
        inspection: inspect(&decode(Bytes::from_static(RESNET20_CIFAR10.graph)).expect("an ONNX file")).ok(),
        input: TensorInfo { name: "input".to_owned(), shape: vec![-1, 3, side, side] },
        numbers: NumberType::Float32,
        output: TensorInfo { name: "logits".to_owned(), shape: vec![-1, 4] },
        features: Err("a scripted network has no layers".into()),
        class_maps: Err("a scripted network has no layers".into()),
        layout: Layout::Nchw,
        color: ColorOrder::Rgb,
        preparation: ["RGB, as it is".to_owned()].into(),
        labels: LABELS.map(Arc::from).into(),
        max_batch_size,
        instances: 1,
        intra_threads: 1,
        alone_threads: None,
        memory_bytes: 4_096,
        provider: "cpu".to_owned(),
        precision: "fp32".to_owned(),
        probability_drift: Some(0.004),
        choice: String::new(),
        untrained: false,
    };
    let model = ServedModel {
        name: MODEL.into(),
        version,
        info: Arc::new(info),
        spec: Spec { resize_size: None, crop_size: None, ..Spec::default() },
        activation: Activation::Softmax,
        batcher,
        permits: Arc::new(Semaphore::new(capacity)),
        capacity,
    };
    LoadedModel { model, workers, pace: None, bytes: 0 }
}
