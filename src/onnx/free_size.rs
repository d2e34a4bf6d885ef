//! Lets a graph take images of any size: a network without fully connected layers before its global pooling has no size of its
//! own, but exporters write down the one that it was traced with.

use super::{
    GraphProto, ModelProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// Frees height and width of the image input, and forgets the sizes of inner values. Whether the graph then runs on other sizes
/// is for the engine to say.
pub fn free_size(model: &mut ModelProto) {
    let Some(graph) = &mut model.graph else { return };
    graph.value_info.clear();
    let GraphProto { input, initializer, .. } = graph;
    // Files before IR version 4 list weights among the inputs.
    let images = input.iter_mut().filter(|value| initializer.iter().all(|weight| weight.name != value.name));
    for dims in images.filter_map(dims_of).filter(|dims| dims.len() == 4) {
        let is_channels = |dim: &Dimension| matches!(dim.value, Some(dimension::Value::DimValue(1 | 3)));
        // Where nothing says where the channels are, a model's settings have to; and most graphs have them first.
        let first = if is_channels(&dims[3]) && !is_channels(&dims[1]) { 1 } else { 2 };
        for (dim, name) in dims[first..].iter_mut().zip(["height", "width"]) {
            dim.value = Some(dimension::Value::DimParam(name.to_owned()));
        }
    }
}

fn dims_of(value: &mut ValueInfoProto) -> Option<&mut Vec<Dimension>> {
    match value.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => Some(&mut tensor.shape.as_mut()?.dim),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, GraphBuilder, value_info};

    fn freed(dims: &[usize]) -> Vec<Option<i64>> {
        let mut graph = GraphBuilder::new("net");
        let x = graph.input(value_info("x", DataType::Float, dims));
        let y = graph.relu("y", &x);
        graph.output(&y, value_info("y", DataType::Float, &[2]));
        let mut model = graph.finish(8, 17, &[]);
        free_size(&mut model);
        let dims = dims_of(&mut model.graph.as_mut().unwrap().input[0]).unwrap();
        let known = |dim: &Dimension| match dim.value {
            Some(dimension::Value::DimValue(size)) => Some(size),
            _ => None,
        };
        dims.iter().map(known).collect()
    }

    #[test]
    fn height_and_width_are_freed_and_channels_are_not() {
        assert_eq!(freed(&[3, 224, 224]), [None, Some(3), None, None]);
        assert_eq!(freed(&[224, 224, 3]), [None, None, None, Some(3)]);
    }
}
