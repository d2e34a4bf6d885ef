//! Warns of an 8-bit version that was made for another processor, and that this one would answer worse, because its
//! 16-bit sums overflow.
//!
//! Model files are copied from machine to machine, and without the warning nobody would notice.

use crate::{
    onnx::{DataType, ModelProto, i64_values},
    runtime::{GraphSource, Provider},
};

/// Weights up to this size cannot overflow: 255 * 64 + 255 * 64 fits 16 bits.
const LARGEST_SAFE_WEIGHT: i64 = 64;

/// Whether sums of products with the graph's integer weights may leave 16 bits. `false` for a file that cannot be read:
/// loading refuses it with the reason.
///
/// Weights in files beside the graph's are read for it.
pub(super) fn may_happen(graph: GraphSource<'_>) -> bool {
    graph.read().is_ok_and(|model| has_large_weights(&model))
}

fn has_large_weights(model: &ModelProto) -> bool {
    let tensors = model.graph.iter().flat_map(|graph| &graph.initializer);
    // A tensor with one dimension or none is a scale or a zero point, no weight.
    let mut weights = tensors.filter(|tensor| tensor.data_type == i32::from(DataType::Int8) && tensor.dims.len() > 1);
    weights.any(|tensor| {
        i64_values(tensor).is_ok_and(|values| values.iter().any(|value| value.abs() > LARGEST_SAFE_WEIGHT))
    })
}

/// What to tell somebody who serves such a graph on `provider`; `None` where it computes exactly.
pub(super) fn warning(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Cpu => Some(
            "its int8 weights use all 8 bits, and this processor has no VNNI: its sums are computed exactly, and more \
             slowly; `resnetd quantize` on this processor makes a version with 7-bit weights",
        ),
        Provider::Openvino => Some(
            "its int8 weights use all 8 bits, and this processor has no VNNI: OpenVINO cuts off sums that do not fit 16 bits, \
             which changes answers; `resnetd quantize` on this processor makes a version with 7-bit weights, and provider = \
             \"cpu\" computes this one exactly",
        ),
        Provider::Cuda | Provider::Tensorrt => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{GraphBuilder, TensorProto};

    fn graph(data_type: DataType, dims: &[i64], values: &[i8]) -> ModelProto {
        let mut graph = GraphBuilder::new("weights");
        graph.initializer(TensorProto {
            name: "w".into(),
            dims: dims.to_vec(),
            data_type: data_type.into(),
            raw_data: values.iter().map(|&value| value as u8).collect::<Vec<_>>().into(),
            ..TensorProto::default()
        });
        graph.finish(3, 17, &[])
    }

    #[test]
    fn only_signed_weights_beyond_seven_bits_overflow() {
        assert!(has_large_weights(&graph(DataType::Int8, &[2, 1], &[1, -65])));
        assert!(!has_large_weights(&graph(DataType::Int8, &[2, 1], &[64, -64])));
        // Unsigned weights are not computed with the instruction that overflows, and a vector is a zero point.
        assert!(!has_large_weights(&graph(DataType::Uint8, &[2, 1], &[1, -65])));
        assert!(!has_large_weights(&graph(DataType::Int8, &[2], &[1, -65])));
    }

    #[test]
    fn both_providers_of_the_processor_are_warned_of_with_the_remedy() {
        for provider in [Provider::Cpu, Provider::Openvino] {
            assert!(warning(provider).is_some_and(|text| text.contains("resnetd quantize")), "{provider}");
        }
        assert_eq!(warning(Provider::Cuda), None);
    }
}
