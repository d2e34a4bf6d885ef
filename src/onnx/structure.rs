//! What of a network stays when it is trained again: its graph, without the numbers that are trained.

use prost::Message;

use super::{AttributeProto, GraphProto, ModelProto, TensorProto, proto::tensor_proto::DataType};

/// The graph's nodes, the shapes and types of everything, and the integers that are shapes and axes, encoded: equal for two models that an engine
/// runs in the same way and in the same time. Texts about the model are no part of it.
pub fn structure(model: &ModelProto) -> Vec<u8> {
    let graph = model.graph.clone().map(bare);
    let opset_import = model.opset_import.clone();
    ModelProto { graph, opset_import, functions: model.functions.clone(), ..ModelProto::default() }.encode_to_vec()
}

fn bare(graph: GraphProto) -> GraphProto {
    let mut graph = GraphProto { name: String::new(), doc_string: String::new(), metadata_props: Vec::new(), ..graph };
    graph.initializer.iter_mut().for_each(untrain);
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().for_each(untrain);
    }
    for node in &mut graph.node {
        node.doc_string.clear();
        node.attribute.iter_mut().for_each(untrain_attribute);
    }
    graph
}

fn untrain_attribute(attribute: &mut AttributeProto) {
    attribute.doc_string.clear();
    attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(untrain);
    attribute.g = attribute.g.take().map(bare);
    attribute.graphs = std::mem::take(&mut attribute.graphs).into_iter().map(bare).collect();
}

/// Takes the numbers out, wherever they lie. Those that say a shape or an axis are 64 bits wide, and nothing that is trained is.
fn untrain(tensor: &mut TensorProto) {
    if tensor.data_type == DataType::Int64 as i32 {
        return;
    }
    let TensorProto { dims, data_type, name, .. } = std::mem::take(tensor);
    *tensor = TensorProto { dims, data_type, name, ..TensorProto::default() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{GraphBuilder, float_tensor, int_tensor, value_info};

    fn network(weight: f32, shape: [i64; 2], kernel: usize) -> ModelProto {
        let mut graph = GraphBuilder::new("net");
        let x = graph.input(value_info("x", DataType::Float, &[1, 4]));
        let w = graph.initializer(float_tensor("w", &[4, kernel], &vec![weight; 4 * kernel]));
        let y = graph.node("MatMul", "fc", &[&x, &w], Vec::new());
        let to = graph.initializer(int_tensor("to", &shape));
        let y = graph.node("Reshape", "flat", &[&y, &to], Vec::new());
        graph.output(&y, value_info("y", DataType::Float, &[4, 1]));
        graph.finish(8, 17, &[("trained".to_owned(), weight.to_string())])
    }

    #[test]
    fn other_weights_and_texts_are_the_same_network_and_other_shapes_are_not() {
        let of = |weight, shape, kernel| structure(&network(weight, shape, kernel));
        let one = of(0.5, [1, 4], 4);
        assert_eq!(one, of(-7.0, [1, 4], 4));
        assert_ne!(one, of(0.5, [4, 1], 4), "the shape that it reshapes to");
        assert_ne!(one, of(0.5, [1, 4], 5), "the shape of its weights");
        assert!(one.len() < 400, "no weights are in it");
    }
}
