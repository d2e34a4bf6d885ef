//! An architecture and its weights, as an ONNX graph.
//!
//! `architecture` × `state_dict` → `onnx::ModelProto`. Every node carries the name of the layer in torchvision, so that
//! a person recognises the network in a viewer. The weights are moved, not copied: the state dict is used up.

use crate::onnx::{ConvShape, DataType, GraphBuilder, ModelProto, PoolShape, float_tensor, half_tensor, value_info};

use super::{
    architecture::{Architecture, ConvBn, IdentityPadding, MaxPool, Module, Shortcut, Stem},
    error::WeightsError,
    fold::fold,
    state_dict::{StateDict, Weight},
    weights,
};

/// Read by ONNX Runtime since 1.10 and by every converter of the last years.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// How the graph is written.
#[derive(Clone, Debug, Default)]
pub struct GraphOptions {
    /// The type of weights and of what flows between the layers; input and output are fp32 always.
    pub precision: GraphPrecision,
    /// Leaves batch normalisation as nodes of its own.
    pub keep_bn: bool,
    /// Adds an output `features`, `f32[N, C]`: what global average pooling gives.
    pub features: bool,
    /// More `metadata_props`: keys and values.
    pub metadata: Vec<(String, String)>,
}

/// The type of the numbers in the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraphPrecision {
    /// 32-bit floating point.
    #[default]
    Fp32,
    /// 16-bit floating point: half the file, for GPUs.
    Fp16,
}

/// Builds the network: `input` `f32[N, 3, S, S]` to `logits` `f32[N, K]`, `N` free.
///
/// # Errors
/// [`WeightsError`] when `state` is not that of `architecture`, with everything that does not fit.
pub fn network(
    architecture: &Architecture,
    state: StateDict,
    options: &GraphOptions,
) -> Result<ModelProto, WeightsError> {
    architecture.validate()?;
    weights::check(architecture, &state)?;
    let mut net = Network { graph: GraphBuilder::new(architecture.to_string()), architecture, state, options };

    let size = architecture.input_size;
    let input = net.graph.input(value_info("input", DataType::Float, &[3, size, size]));
    let mut x = match options.precision {
        GraphPrecision::Fp32 => input,
        GraphPrecision::Fp16 => net.graph.cast("input_fp16", &input, DataType::Float16),
    };
    x = net.stem(&x)?;
    for module in architecture.modules() {
        x = net.module(&module, &x)?;
    }
    net.head(&x)?;

    let mut metadata = architecture.metadata();
    metadata.extend(options.metadata.iter().cloned());
    Ok(net.graph.finish(IR_VERSION, OPSET, &metadata))
}

struct Network<'a> {
    graph: GraphBuilder,
    architecture: &'a Architecture,
    state: StateDict,
    options: &'a GraphOptions,
}

impl Network<'_> {
    fn stem(&mut self, x: &str) -> Result<String, WeightsError> {
        let x = self.conv_bn(&self.architecture.conv1(), x)?;
        let x = self.graph.relu("relu", &x);
        let Stem::ImageNet(pool) = self.architecture.stem else { return Ok(x) };
        let (padding, ceil_mode) = match pool {
            MaxPool::Padded => (1, false),
            MaxPool::Ceil => (0, true),
        };
        Ok(self.graph.max_pool("maxpool", &x, PoolShape { kernel: 3, stride: 2, padding, ceil_mode }))
    }

    /// `relu(shortcut(x) + convs(x))`, with a ReLU after every convolution but the last.
    fn module(&mut self, module: &Module, x: &str) -> Result<String, WeightsError> {
        let name = &module.name;
        let convs = module.convs(self.architecture);
        let mut branch = x.to_owned();
        for (index, conv) in convs.iter().enumerate() {
            branch = self.conv_bn(conv, &branch)?;
            if index + 1 < convs.len() {
                branch = self.graph.relu(&format!("{name}.relu{}", index + 1), &branch);
            }
        }
        let shortcut = self.shortcut(module, x)?;
        let sum = self.graph.add(&format!("{name}.add"), &branch, &shortcut);
        Ok(self.graph.relu(&format!("{name}.relu"), &sum))
    }

    fn shortcut(&mut self, module: &Module, x: &str) -> Result<String, WeightsError> {
        if !module.changes_shape() {
            return Ok(x.to_owned());
        }
        let padding = match self.architecture.shortcut {
            Shortcut::Identity(padding) => padding,
            Shortcut::Projection => {
                let projection = module.projection(self.architecture);
                return projection.map_or_else(|| Ok(x.to_owned()), |conv| self.conv_bn(&conv, x));
            }
        };
        let mut x = x.to_owned();
        if module.stride > 1 {
            x = self.graph.subsample(&format!("{}.shortcut.subsample", module.name), &x, module.stride);
        }
        let extra = module.outputs - module.inputs;
        let (before, after) = match padding {
            IdentityPadding::Trailing => (0, extra),
            IdentityPadding::Centered => (extra / 2, extra - extra / 2),
        };
        if extra > 0 {
            x = self.graph.pad_channels(&format!("{}.shortcut.pad", module.name), &x, before, after);
        }
        Ok(x)
    }

    fn head(&mut self, x: &str) -> Result<(), WeightsError> {
        let x = self.graph.global_average_pool("avgpool", x);
        let features = self.graph.flatten("flatten", &x);
        let weight = self.parameter("fc.weight")?;
        let bias = self.parameter("fc.bias")?;
        let mut logits = self.graph.linear("fc", &features, &weight, &bias);
        let mut features = features;
        if self.options.precision == GraphPrecision::Fp16 {
            logits = self.graph.cast("fc.fp32", &logits, DataType::Float);
            if self.options.features {
                features = self.graph.cast("flatten.fp32", &features, DataType::Float);
            }
        }
        self.graph.output(&logits, value_info("logits", DataType::Float, &[self.architecture.classes]));
        if self.options.features {
            self.graph.output(&features, value_info("features", DataType::Float, &[self.architecture.features()]));
        }
        Ok(())
    }

    /// A convolution and its batch normalisation: one node, or two with `keep_bn`.
    fn conv_bn(&mut self, conv: &ConvBn, x: &str) -> Result<String, WeightsError> {
        let shape =
            ConvShape { kernel: conv.kernel, stride: conv.stride, padding: conv.kernel / 2, groups: conv.groups };
        let epsilon = self.architecture.bn_epsilon;
        let (weight_name, bias_name) = (format!("{}.weight", conv.name), format!("{}.bias", conv.name));
        if !self.options.keep_bn {
            let (weight, bias) = fold(conv, epsilon, &mut self.state)?;
            let weight = self.initializer(&weight_name, weight)?;
            let bias = self.initializer(&bias_name, bias)?;
            return Ok(self.graph.conv(&conv.name, x, &weight, Some(&bias), shape));
        }
        let weight = self.parameter(&weight_name)?;
        let bias = if conv.bias { Some(self.parameter(&bias_name)?) } else { None };
        let x = self.graph.conv(&conv.name, x, &weight, bias.as_deref(), shape);
        let bn = &conv.bn;
        let scale = self.parameter(&format!("{bn}.weight"))?;
        let offset = self.parameter(&format!("{bn}.bias"))?;
        let mean = self.parameter(&format!("{bn}.running_mean"))?;
        let variance = self.parameter(&format!("{bn}.running_var"))?;
        Ok(self.graph.batch_normalization(bn, &x, [&scale, &offset, &mean, &variance], epsilon))
    }

    /// Moves a tensor from the state dict into the graph, as it is.
    fn parameter(&mut self, name: &str) -> Result<String, WeightsError> {
        let weight = self.state.take(name)?;
        if !weight.data.iter().all(|value| value.is_finite()) {
            return Err(WeightsError::NotFinite { tensor: name.into() });
        }
        self.initializer(name, weight)
    }

    fn initializer(&mut self, name: &str, weight: Weight) -> Result<String, WeightsError> {
        let tensor = match self.options.precision {
            GraphPrecision::Fp32 => float_tensor(name, &weight.shape, &weight.data),
            GraphPrecision::Fp16 => {
                let largest = weight.data.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                if largest > half::f16::MAX.to_f32() {
                    return Err(WeightsError::BeyondHalf { tensor: name.into(), value: largest });
                }
                half_tensor(name, &weight.shape, &weight.data)
            }
        };
        Ok(self.graph.initializer(tensor))
    }
}
