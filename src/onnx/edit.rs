//! Making a graph: one method an operator, each returning the name of the value that it makes.
//!
//! A node's name is also the name of its output, so that a viewer shows `layer3.5.conv2` on the box and on the arrow.

use prost::Message;

use super::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, int_tensor,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// The geometry of a square convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Zeros around the image, on every side.
    pub padding: usize,
    /// Groups of channels that do not see each other; 1 is an ordinary convolution.
    pub groups: usize,
}

/// The geometry of a square max-pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Height and width of the window.
    pub kernel: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Ignored places around the image, on every side.
    pub padding: usize,
    /// Whether a last window that lies partly outside counts (Chainer's `cover_all`).
    pub ceil_mode: bool,
}

/// Fixes the first dimension of an input: the network then takes batches of exactly so many images.
pub fn fix_batch(model: &mut ModelProto, input: &str, size: usize) {
    let inputs = model.graph.iter_mut().flat_map(|graph| &mut graph.input);
    let value_type =
        inputs.filter(|value| value.name == input).filter_map(|value| value.r#type.as_mut()?.value.as_mut());
    for value in value_type {
        if let type_proto::Value::TensorType(tensor) = value
            && let Some(batch) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
        {
            batch.value = Some(dimension::Value::DimValue(size as i64));
        }
    }
}

/// Collects the nodes and weights of a new graph, in the order in which they run.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { graph: GraphProto { name: name.into(), ..GraphProto::default() } }
    }

    /// Declares an input.
    pub fn input(&mut self, value: ValueInfoProto) -> String {
        let name = value.name.clone();
        self.graph.input.push(value);
        name
    }

    /// Makes the value called `made` an output. The value is renamed to the output's name wherever a node writes or
    /// reads it.
    pub fn output(&mut self, made: &str, value: ValueInfoProto) {
        for node in &mut self.graph.node {
            for name in node.input.iter_mut().chain(&mut node.output).filter(|name| *name == made) {
                name.clone_from(&value.name);
            }
        }
        self.graph.output.push(value);
    }

    /// Adds a constant.
    pub fn initializer(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.graph.initializer.push(tensor);
        name
    }

    /// Adds a node of any kind with one output, which gets the node's name.
    pub fn node(&mut self, op_type: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.graph.node.push(NodeProto {
            op_type: op_type.into(),
            name: name.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![name.into()],
            attribute: attributes,
            ..NodeProto::default()
        });
        name.into()
    }

    /// `x: [N, C, H, W]`, `weight: [K, C / groups, kernel, kernel]`, `bias: [K]`.
    pub fn conv(&mut self, name: &str, x: &str, weight: &str, bias: Option<&str>, shape: ConvShape) -> String {
        let inputs: Vec<&str> = [x, weight].into_iter().chain(bias).collect();
        let attributes = vec![
            AttributeProto::of_ints("dilations", &[1, 1]),
            AttributeProto::of_int("group", shape.groups as i64),
            AttributeProto::of_ints("kernel_shape", &[shape.kernel as i64; 2]),
            AttributeProto::of_ints("pads", &[shape.padding as i64; 4]),
            AttributeProto::of_ints("strides", &[shape.stride as i64; 2]),
        ];
        self.node("Conv", name, &inputs, attributes)
    }

    /// Inference form; `parameters` are scale, bias, mean and variance, `[C]` each.
    pub fn batch_normalization(&mut self, name: &str, x: &str, parameters: [&str; 4], epsilon: f64) -> String {
        let [scale, bias, mean, variance] = parameters;
        let attributes = vec![AttributeProto::of_float("epsilon", epsilon as f32)];
        self.node("BatchNormalization", name, &[x, scale, bias, mean, variance], attributes)
    }

    /// The larger of each value and zero.
    pub fn relu(&mut self, name: &str, x: &str) -> String {
        self.node("Relu", name, &[x], Vec::new())
    }

    /// The sum of two values of one shape.
    pub fn add(&mut self, name: &str, a: &str, b: &str) -> String {
        self.node("Add", name, &[a, b], Vec::new())
    }

    /// The largest value of each window.
    pub fn max_pool(&mut self, name: &str, x: &str, shape: PoolShape) -> String {
        let attributes = vec![
            AttributeProto::of_int("ceil_mode", shape.ceil_mode.into()),
            AttributeProto::of_ints("kernel_shape", &[shape.kernel as i64; 2]),
            AttributeProto::of_ints("pads", &[shape.padding as i64; 4]),
            AttributeProto::of_ints("strides", &[shape.stride as i64; 2]),
        ];
        self.node("MaxPool", name, &[x], attributes)
    }

    /// Every `stride`-th pixel of every `stride`-th row of `x: [N, C, H, W]`, from the first on.
    ///
    /// Written as a max-pool of one pixel: ONNX Runtime runs it without leaving its own layout, which made ResNet-20
    /// 3 % faster than a strided Slice does, and it has no weights.
    pub fn subsample(&mut self, name: &str, x: &str, stride: usize) -> String {
        self.max_pool(name, x, PoolShape { kernel: 1, stride, padding: 0, ceil_mode: false })
    }

    /// Puts `before` zero channels in front of those of `x: [N, C, H, W]`, and `after` behind them.
    pub fn pad_channels(&mut self, name: &str, x: &str, before: usize, after: usize) -> String {
        let pads = [0, before as i64, 0, 0, 0, after as i64, 0, 0];
        let pads = self.initializer(int_tensor(format!("{name}.pads"), &pads));
        self.node("Pad", name, &[x, &pads], vec![AttributeProto::of_string("mode", "constant")])
    }

    /// The mean of each channel: `[N, C, H, W]` to `[N, C, 1, 1]`.
    pub fn global_average_pool(&mut self, name: &str, x: &str) -> String {
        self.node("GlobalAveragePool", name, &[x], Vec::new())
    }

    /// `[N, C, H, W]` to `[N, C * H * W]`.
    pub fn flatten(&mut self, name: &str, x: &str) -> String {
        self.node("Flatten", name, &[x], vec![AttributeProto::of_int("axis", 1)])
    }

    /// A fully connected layer: `x: [N, C]`, `weight: [K, C]`, `bias: [K]`.
    pub fn linear(&mut self, name: &str, x: &str, weight: &str, bias: &str) -> String {
        self.node("Gemm", name, &[x, weight, bias], vec![AttributeProto::of_int("transB", 1)])
    }

    /// Converts the element type.
    pub fn cast(&mut self, name: &str, x: &str, to: DataType) -> String {
        self.node("Cast", name, &[x], vec![AttributeProto::of_int("to", i64::from(i32::from(to)))])
    }

    /// The file: the graph, in one version of ONNX's own operators.
    pub fn finish(self, ir_version: i64, opset: i64, metadata: &[(String, String)]) -> ModelProto {
        ModelProto {
            ir_version,
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
                .collect(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

/// A value's name and type: a tensor whose first dimension is the free `N` and whose others are `dims`.
pub fn value_info(name: &str, data_type: DataType, dims: &[usize]) -> ValueInfoProto {
    let batch = dimension::Value::DimParam("N".into());
    let sizes = dims.iter().map(|&dim| dimension::Value::DimValue(dim as i64));
    let dim = std::iter::once(batch)
        .chain(sizes)
        .map(|value| Dimension { value: Some(value), ..Dimension::default() })
        .collect();
    let tensor = type_proto::Tensor { elem_type: data_type.into(), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Makes values inside a graph further outputs of it.
pub fn expose(model: &mut ModelProto, values: impl IntoIterator<Item = ValueInfoProto>) {
    if let Some(graph) = &mut model.graph {
        graph.output.extend(values);
    }
}

/// The same to the bytes of a file, without decoding it: protobuf joins a message that comes in two pieces, lists one after the other. A
/// file of 98 MB is copied three times less.
pub fn with_outputs(mut file: Vec<u8>, values: impl IntoIterator<Item = ValueInfoProto>) -> Vec<u8> {
    let graph = GraphProto { output: values.into_iter().collect(), ..GraphProto::default() };
    file.extend(ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec());
    file
}

/// A value's name and the type of its numbers. Its shape is left to ONNX Runtime, which warns where a wrong one is stated.
pub fn shapeless(name: &str, data_type: DataType) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: data_type.into(), shape: None };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// A value's name without its type, which ONNX Runtime finds by itself.
pub fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), ..ValueInfoProto::default() }
}

impl ModelProto {
    /// The version of ONNX's own operators that the file asks for.
    pub fn opset(&self) -> Option<i64> {
        self.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx")).map(|set| set.version)
    }

    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{decode, into_bytes};

    #[test]
    fn outputs_that_are_put_behind_a_file_are_the_graphs() {
        let mut graph = GraphBuilder::new("two");
        let x = graph.input(value_info("x", DataType::Float, &[3]));
        let inside = graph.relu("inside", &x);
        let y = graph.relu("y", &inside);
        graph.output(&y, value_info("y", DataType::Float, &[3]));
        let model = graph.finish(8, 17, &[("author".into(), "us".into())]);
        let mut exposed = model.clone();
        expose(&mut exposed, [untyped("inside")]);
        let file = with_outputs(into_bytes(model), [untyped("inside")]);
        assert_eq!(decode(file.into()).unwrap(), exposed);
    }
}
