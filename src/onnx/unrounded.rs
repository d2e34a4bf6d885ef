//! A quantized network without the rounding of its activations: the numbers that its integers stand for.
//!
//! Each engine rounds an int8 graph in other places (a fused addition keeps more digits than one alone), so no engine's
//! answers are the only right ones. To judge between two engines, this graph leaves the rounding out: a value that
//! QuantizeLinear and DequantizeLinear would round is only clipped to their range.

use super::{DataType, GraphProto, ModelProto, NodeProto, TensorProto, Walk, f32_values, float_tensor, i64_values};

/// The first opset whose Clip takes its ends as inputs, as they are needed here.
const CLIP_WITH_INPUTS: i64 = 11;

/// Takes the rounding out of a graph in QDQ form. `None` for a graph without rounding, and for one with operators on
/// integers or ranges that are not constants, from which it cannot be taken out.
pub fn without_rounding(mut model: ModelProto) -> Option<ModelProto> {
    let opset = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx")?.version;
    let graph = model.graph.as_mut().filter(|_| opset >= CLIP_WITH_INPUTS)?;
    let clips = clips(graph)?;
    if clips.is_empty() {
        return None;
    }
    for Clip { index, value, range } in clips {
        let node = &mut graph.node[index];
        let ends = ["low", "high"].map(|end| format!("{}/{end}", node.output[0]));
        let input = std::iter::once(value).chain(ends.iter().cloned()).collect();
        *node = NodeProto { op_type: "Clip".to_owned(), input, attribute: Vec::new(), ..std::mem::take(node) };
        graph.initializer.extend(ends.iter().zip(range).map(|(end, value)| float_tensor(end.clone(), &[], &[value])));
    }
    // Nodes whose outputs nobody reads any more stay in the graph; engines leave them out.
    Some(model)
}

/// What takes the place of a DequantizeLinear.
struct Clip {
    index: usize,
    /// What was rounded.
    value: String,
    range: [f32; 2],
}

fn clips(graph: &GraphProto) -> Option<Vec<Clip>> {
    let walk = Walk::new(graph);
    let mut clips = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        match node.op_type.as_str() {
            "DequantizeLinear" => {
                let [quantized, ..] = &node.input[..] else { return None };
                // Weights are constants; they stay what they are.
                let Some(rounding) = walk.producer(quantized).filter(|it| it.op_type == "QuantizeLinear") else {
                    walk.constant(quantized)?;
                    continue;
                };
                clips.push(Clip { index, value: rounding.input.first()?.clone(), range: range(&walk, rounding)? });
            }
            "QuantizeLinear" => {}
            _ if node.is_integer_arithmetic() => return None,
            _ => {}
        }
    }
    Some(clips)
}

/// The smallest and the largest value that a QuantizeLinear can express.
fn range(walk: &Walk<'_>, rounding: &NodeProto) -> Option<[f32; 2]> {
    let scale = one(&f32_values(walk.constant(rounding.input.get(1)?)?).ok()?)?;
    let zero_point = rounding.input.get(2).filter(|name| !name.is_empty()).map(|name| walk.constant(name));
    let (zero, low, high) = match zero_point {
        None => (0, 0, 255),
        Some(tensor) => {
            let tensor: &TensorProto = tensor?;
            let zero = one(&i64_values(tensor).ok()?)?;
            match DataType::try_from(tensor.data_type).ok()? {
                DataType::Uint8 => (zero, 0, 255),
                DataType::Int8 => (zero, -128, 127),
                _ => return None,
            }
        }
    };
    Some([low - zero, high - zero].map(|steps| steps as f32 * scale))
}

fn one<T: Copy>(values: &[T]) -> Option<T> {
    if let [value] = values { Some(*value) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{GraphBuilder, value_info};

    fn scalar(name: &str, data_type: DataType, value: u8) -> TensorProto {
        TensorProto {
            name: name.into(),
            data_type: data_type.into(),
            raw_data: vec![value].into(),
            ..TensorProto::default()
        }
    }

    /// `x` is rounded to steps of 0.5 from -1 on.
    fn rounding(zero_point: TensorProto) -> ModelProto {
        let mut graph = GraphBuilder::new("rounding");
        let x = graph.input(value_info("x", DataType::Float, &[3]));
        let scale = graph.initializer(float_tensor("scale", &[], &[0.5]));
        let zero = graph.initializer(zero_point);
        let quantized = graph.node("QuantizeLinear", "quantized", &[&x, &scale, &zero], Vec::new());
        let y = graph.node("DequantizeLinear", "y", &[&quantized, &scale, &zero], Vec::new());
        graph.output(&y, value_info("y", DataType::Float, &[3]));
        graph.finish(8, 17, &[])
    }

    fn clip_of(model: ModelProto) -> [f32; 2] {
        let model = without_rounding(model).expect("it is in QDQ form");
        let graph = model.graph.as_ref().unwrap();
        let walk = Walk::new(graph);
        let clip = walk.producer("y").unwrap();
        assert_eq!((clip.op_type.as_str(), clip.input[0].as_str()), ("Clip", "x"));
        [1, 2].map(|end| f32_values(walk.constant(&clip.input[end]).unwrap()).unwrap()[0])
    }

    #[test]
    fn a_value_is_no_longer_rounded_and_still_cut_off_at_the_ends_of_its_range() {
        assert_eq!(clip_of(rounding(scalar("zero", DataType::Uint8, 2))), [-1.0, 126.5]);
        assert_eq!(clip_of(rounding(scalar("zero", DataType::Int8, 0xfe))), [-63.0, 64.5]);
    }

    #[test]
    fn what_is_not_in_this_form_is_left_to_others() {
        let mut plain = GraphBuilder::new("plain");
        let x = plain.input(value_info("x", DataType::Float, &[3]));
        let y = plain.node("Relu", "y", &[&x], Vec::new());
        plain.output(&y, value_info("y", DataType::Float, &[3]));
        assert!(without_rounding(plain.finish(8, 17, &[])).is_none());

        let mut integers = rounding(scalar("zero", DataType::Uint8, 2));
        let graph = integers.graph.as_mut().unwrap();
        graph.node.push(NodeProto { op_type: "QLinearConv".into(), ..NodeProto::default() });
        assert!(without_rounding(integers).is_none());
    }
}
