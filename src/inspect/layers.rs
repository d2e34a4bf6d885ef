//! A graph as the layers that matter, the same for every exporter.
//!
//! What only moves or converts numbers is looked through (Transpose, Cast, Reshape, quantisation, Dropout); padding and
//! batch normalisation are joined to their convolution; a sum is a sum whatever its operator is called.

use std::collections::HashMap;

use super::{
    layer::{Conv, Kind, Layer},
    operators::{Slots, is_activation, is_norm, is_transparent},
    padding::{concat_padding, grown, padding, padding_before, steps},
    values::Values,
    window::Window,
};
use crate::onnx::{NodeProto, Walk};

/// How many layers a gate (squeeze-and-excitation, `x * sigmoid(x)`) may have between the value and its factor.
const GATE_LIMIT: usize = 16;

/// The layers of a graph, each after those that it reads.
pub(super) struct Layers<'a> {
    pub(super) all: Vec<Layer<'a>>,
    of_value: HashMap<&'a str, usize>,
    channels_last: HashMap<&'a str, bool>,
    /// Arithmetic with constants before the first layer: pixels are normalised in the graph.
    pub(super) input_arithmetic: Vec<&'a str>,
    /// Batch normalisations written as a product and a sum with constants.
    pub(super) products: usize,
    /// Transposes that image data flow through.
    pub(super) transposes: usize,
}

impl<'a> Layers<'a> {
    /// Reads the nodes along `order`. `channels_last`: whether the graph's input is NHWC.
    pub(super) fn of(walk: &'a Walk<'a>, order: &[usize], values: &Values<'a>, channels_last: bool) -> Self {
        let mut layers = Self {
            all: Vec::new(),
            of_value: HashMap::new(),
            channels_last: HashMap::new(),
            input_arithmetic: Vec::new(),
            products: 0,
            transposes: 0,
        };
        for input in walk.inputs() {
            layers.channels_last.insert(&input.name, channels_last);
            layers.push(Kind::Input, vec![], &input.name, &input.name);
        }
        for node in order.iter().map(|&index| &walk.graph().node[index]) {
            if let Some(output) = node.output.first().filter(|output| !values.is_inert(output)) {
                layers.read(node, output, walk, values);
            }
        }
        layers
    }

    /// The layer that a value comes from.
    pub(super) fn of_value(&self, value: &str) -> Option<usize> {
        self.of_value.get(value).copied()
    }

    /// Height and width of what comes out of a layer.
    pub(super) fn size(&self, layer: usize, values: &Values<'_>) -> Option<[usize; 2]> {
        let value = self.all[layer].value;
        match (values.shape(value)?, self.channels_last.get(value)) {
            (&[_, height, width, _], Some(true)) | (&[_, _, height, width], _) => Some([height, width]),
            _ => None,
        }
    }

    /// The layers from `start` back, through layers with one input, to the first that has none or several; that one
    /// is included.
    pub(super) fn back_from(&self, start: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(start), |&layer| match self.all[layer].inputs[..] {
            [input] => Some(input),
            _ => None,
        })
    }

    fn push(&mut self, kind: Kind<'a>, inputs: Vec<usize>, name: &'a str, value: &'a str) -> usize {
        self.all.push(Layer { kind, inputs, name, value });
        self.of_value.insert(value, self.all.len() - 1);
        self.all.len() - 1
    }

    /// `output` is the value of `layer` in another form.
    fn alias(&mut self, output: &'a str, layer: usize) {
        self.of_value.insert(output, layer);
    }

    fn read(&mut self, node: &'a NodeProto, output: &'a str, walk: &'a Walk<'a>, values: &Values<'a>) {
        let slots = Slots::of(node);
        let input = |position: usize| node.input.get(position).map_or("", String::as_str);
        let mut data: Vec<usize> = Vec::new();
        for name in &node.input {
            if let Some(layer) = self.of_value(name).filter(|layer| !data.contains(layer)) {
                data.push(layer);
            }
        }
        let name = if node.name.is_empty() { output } else { &node.name };
        let op = node.op_type.as_str();
        let channels_last = self.channels_last.get(input(slots.x)).copied().unwrap_or_default();
        self.channels_last.insert(output, channels_last);
        let Some(&x) = data.first() else {
            self.push(Kind::Other(op), vec![], name, output);
            return;
        };

        let kind = match op {
            "Transpose" => {
                self.transposes += 1;
                match node.ints("perm") {
                    Some([0, 3, 1, 2]) => self.channels_last.insert(output, false),
                    Some([0, 2, 3, 1]) => self.channels_last.insert(output, true),
                    _ => None,
                };
                return self.alias(output, x);
            }
            _ if data.len() == 1 && is_transparent(op) => return self.alias(output, x),
            "Conv" | "FusedConv" | "ConvInteger" | "QLinearConv" => {
                let Some(conv) = conv(node, slots, values) else {
                    self.push(Kind::Other(op), data, name, output);
                    return;
                };
                self.channels_last.insert(output, false);
                return self.convolve(node, conv, output, name);
            }
            "BatchNormalization" => {
                let alone = walk.consumers(input(0)).len() == 1;
                if let Kind::Conv(conv) = &mut self.all[x].kind
                    && alone
                    && !conv.norm
                {
                    conv.norm = true;
                    self.all[x].value = output;
                    return self.alias(output, x);
                }
                Kind::Norm
            }
            "Gemm" | "QGemm" | "MatMul" | "MatMulInteger" | "QLinearMatMul" if data.len() == 1 => {
                let outputs = values.shape(output).and_then(|shape| shape.last().copied());
                let weight = slots.weight.and_then(|slot| values.shape(input(slot)));
                let axis = if node.int("transB") == Some(1) { 0 } else { 1 };
                Kind::Linear { classes: weight.and_then(|shape| shape.get(axis).copied()).or(outputs) }
            }
            "MaxPool" => match Window::of(node, None, values.shape(input(0))) {
                Some(Window { kernel: [1, 1], pads: [0, 0, 0, 0], .. }) => Kind::Subsample,
                Some(window) => Kind::MaxPool(window),
                None => Kind::Other(op),
            },
            "AveragePool" | "QLinearAveragePool" => match Window::of(node, None, values.shape(input(0))) {
                Some(window) => match values.shape(input(0)) {
                    Some(&[_, _, height, width]) if window.kernel == [height, width] && window.kernel != [1, 1] => {
                        Kind::GlobalPool
                    }
                    _ if window.kernel == [1, 1] => Kind::Subsample,
                    _ => Kind::AveragePool(window),
                },
                None => Kind::Other(op),
            },
            "GlobalAveragePool" | "QLinearGlobalAveragePool" | "ReduceMean" => Kind::GlobalPool,
            "Softmax" | "LogSoftmax" | "QLinearSoftmax" => Kind::Softmax,
            "Pad" => padding(node, values, channels_last),
            "Concat" if data.len() == 1 => concat_padding(node, values, walk, channels_last),
            "Slice" => match steps(node, values, channels_last) {
                Some([1, 1]) | None => Kind::Other(op),
                Some(_) => Kind::Subsample,
            },
            "Add" | "Sum" | "QLinearAdd" if data.len() == 2 => Kind::Add,
            "Mul" | "QLinearMul" if data.len() == 2 => return self.product([data[0], data[1]], name, output),
            "Add" | "Sum" | "QLinearAdd" | "Sub" | "Mul" | "QLinearMul" | "Div" if data.len() == 1 => {
                match &mut self.all[x].kind {
                    Kind::Input => self.input_arithmetic.push(op),
                    Kind::Conv(conv) if op.ends_with("Mul") && has_scale(node, walk, values) => {
                        conv.norm = true;
                        self.products += 1;
                    }
                    Kind::Add | Kind::Activation(_) | Kind::MaxPool(_)
                        if op.ends_with("Mul") && has_scale(node, walk, values) =>
                    {
                        self.products += 1;
                        self.push(Kind::Norm, vec![x], name, output);
                        return;
                    }
                    Kind::Conv(conv) if !conv.norm && matches!(op, "Add" | "Sum" | "QLinearAdd") => conv.bias = true,
                    _ => {}
                }
                return self.alias(output, x);
            }
            _ if is_norm(op) => Kind::Norm,
            "Max" | "Min" if data.len() == 1 => Kind::Activation(op),
            _ if is_activation(op) => Kind::Activation(op),
            _ => Kind::Other(op),
        };
        self.take_padding(&kind, &mut data);
        let kind = match (kind, padding_before(&self.all[x].kind)) {
            (Kind::MaxPool(window), Some(pads)) => Kind::MaxPool(grown(window, pads)),
            (Kind::AveragePool(window), Some(pads)) => Kind::AveragePool(grown(window, pads)),
            (kind, _) => kind,
        };
        self.push(kind, data, name, output);
    }

    /// Adds a convolution, and what a fused one does after it.
    fn convolve(&mut self, node: &'a NodeProto, mut conv: Conv, output: &'a str, name: &'a str) {
        let Some(x) = node.input.first().and_then(|value| self.of_value(value)) else { return };
        if let Some(pads) = padding_before(&self.all[x].kind) {
            conv.window = grown(conv.window, pads);
        }
        let kind = Kind::Conv(conv);
        let mut inputs = vec![x];
        self.take_padding(&kind, &mut inputs);
        let mut last = self.push(kind, inputs, name, output);
        let other = Slots::of(node).other.and_then(|slot| node.input.get(slot)).and_then(|value| self.of_value(value));
        if let Some(other) = other {
            last = self.push(Kind::Add, vec![last, other], name, output);
        }
        if let Some(activation) = node.string("activation") {
            self.push(Kind::Activation(activation), vec![last], name, output);
        }
    }

    /// Reads past a padding layer whose zeros were added to the window that follows.
    fn take_padding(&self, kind: &Kind<'_>, inputs: &mut [usize]) {
        if matches!(kind, Kind::Conv(_) | Kind::MaxPool(_) | Kind::AveragePool(_))
            && let [x] = inputs
            && padding_before(&self.all[*x].kind).is_some()
            && let [before] = self.all[*x].inputs[..]
        {
            *x = before;
        }
    }

    /// A product of two values: a gate where one of them was computed from the other.
    fn product(&mut self, [a, b]: [usize; 2], name: &'a str, output: &'a str) {
        for (x, factor) in [(a, b), (b, a)] {
            let way: Vec<usize> = self.back_from(factor).take(GATE_LIMIT).take_while(|&layer| layer != x).collect();
            let reaches = way.last().is_some_and(|&last| self.all[last].inputs == [x]);
            if reaches {
                let ops = way.iter().map(|&layer| self.all[layer].kind.word()).collect();
                self.push(Kind::Gate(ops), vec![x], name, output);
                return;
            }
        }
        self.push(Kind::Other("Mul"), vec![a, b], name, output);
    }
}

fn conv(node: &NodeProto, slots: Slots, values: &Values<'_>) -> Option<Conv> {
    let shape = |slot: Option<usize>| values.shape(node.input.get(slot?)?);
    let &[outputs, per_group, ..] = shape(slots.weight)? else { return None };
    let groups = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&groups| groups > 0)?;
    Some(Conv {
        inputs: per_group.checked_mul(groups)?,
        outputs,
        groups,
        window: Window::of(node, shape(slots.weight), shape(Some(slots.x)))?,
        bias: slots.bias.and_then(|slot| node.input.get(slot)).is_some_and(|name| !name.is_empty()),
        norm: false,
    })
}

/// Whether one of the factors is a constant for each channel, as batch normalisation's scale is. A factor that is itself
/// a product is the scale of dynamic quantisation.
fn has_scale(node: &NodeProto, walk: &Walk<'_>, values: &Values<'_>) -> bool {
    node.input.iter().any(|name| {
        values.is_inert(name)
            && values.shape(name).is_some_and(|shape| shape.iter().any(|&dim| dim > 1))
            && walk.producer(name).is_none_or(|made| made.op_type != "Mul")
    })
}
