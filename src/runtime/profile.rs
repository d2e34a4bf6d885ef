//! The shapes that TensorRT compiles a network for. Pure.
//!
//! Without a profile it compiles for every possible shape, which its own log calls experimental.

use crate::onnx::{GraphProto, ValueInfoProto, Walk, tensor_shape_proto::dimension, type_proto};

/// Options of the provider: the smallest, the usual and the largest batch, as `name:8x3x224x224`. Empty for a graph
/// with a fixed batch, which needs no profile, and for one that leaves the image size open, for which no largest shape
/// is known.
pub(super) fn tensorrt_profile(graph: &GraphProto, max_batch_size: usize) -> Vec<(&'static str, String)> {
    let walk = Walk::new(graph);
    let mut inputs = walk.inputs();
    let (Some(input), None) = (inputs.next(), inputs.next()) else { return Vec::new() };
    let Some(image) = open_batch(input) else { return Vec::new() };
    let shape = |batch: usize| {
        let dims = std::iter::once(batch as i64).chain(image.iter().copied());
        format!("{}:{}", input.name, dims.map(|dim| dim.to_string()).collect::<Vec<_>>().join("x"))
    };
    vec![
        ("nv_profile_min_shapes", shape(1)),
        ("nv_profile_opt_shapes", shape(max_batch_size)),
        ("nv_profile_max_shapes", shape(max_batch_size)),
    ]
}

/// The sizes behind an open first dimension; `None` where that is fixed or another is open.
fn open_batch(input: &ValueInfoProto) -> Option<Vec<i64>> {
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
    let (batch, image) = tensor.shape.as_ref()?.dim.split_first()?;
    let size = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(size)) if *size > 0 => Some(*size),
        _ => None,
    };
    if size(&batch.value).is_some() {
        return None;
    }
    image.iter().map(|dim| size(&dim.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, value_info};

    fn graph(inputs: Vec<ValueInfoProto>) -> GraphProto {
        GraphProto { input: inputs, ..GraphProto::default() }
    }

    fn image(dims: &[usize]) -> ValueInfoProto {
        value_info("images", DataType::Float, dims)
    }

    #[test]
    fn an_open_batch_is_compiled_for_one_image_up_to_the_largest_batch() {
        assert_eq!(
            tensorrt_profile(&graph(vec![image(&[3, 224, 224])]), 32),
            [
                ("nv_profile_min_shapes", "images:1x3x224x224".to_owned()),
                ("nv_profile_opt_shapes", "images:32x3x224x224".to_owned()),
                ("nv_profile_max_shapes", "images:32x3x224x224".to_owned()),
            ]
        );
    }

    #[test]
    fn a_fixed_batch_needs_no_profile_and_an_open_image_size_gets_none() {
        let mut fixed = image(&[3, 224, 224]);
        let mut open = image(&[3, 224, 224]);
        let dims = |value: &mut ValueInfoProto, place: usize, size: Option<dimension::Value>| {
            let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().unwrap().value.as_mut() else {
                panic!("a tensor")
            };
            tensor.shape.as_mut().unwrap().dim[place].value = size;
        };
        dims(&mut fixed, 0, Some(dimension::Value::DimValue(8)));
        dims(&mut open, 2, Some(dimension::Value::DimParam("height".into())));
        for input in [fixed, open, ValueInfoProto::default()] {
            assert_eq!(tensorrt_profile(&graph(vec![input]), 32), []);
        }
        assert_eq!(tensorrt_profile(&graph(vec![image(&[3, 8, 8]), image(&[3, 8, 8])]), 32), []);
    }
}
