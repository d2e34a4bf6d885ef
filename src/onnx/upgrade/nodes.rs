//! One operator after the other, as opset 13 says it.

use super::{error::UpgradeError, lift::Lift, softmax::Ranks, unchanged::UNCHANGED};
use crate::onnx::{
    AttributeProto, DataType, NodeProto, TensorProto, Walk, f32_values, float_tensor, half_tensor, int_tensor,
};

/// From this version on: `Slice` and `Resize` take inputs, and there is no `Upsample` any more.
const INPUTS_OF_SLICE: i64 = 10;
/// `Clip`, `Pad` and today's `Resize`.
const INPUTS_OF_CLIP: i64 = 11;

impl Lift<'_> {
    /// Puts `node` back, as one that means the same in opset 13, or as several.
    pub(super) fn node(&mut self, mut node: NodeProto, ranks: &Ranks) -> Result<(), UpgradeError> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            self.graph.node.push(node);
            return Ok(());
        }
        match node.op_type.as_str() {
            op if UNCHANGED.contains(&op) => {}
            "Softmax" | "LogSoftmax" | "Hardmax" => return self.softmax(node, ranks),
            "BatchNormalization" => self.batch_normalization(&mut node)?,
            // Nothing is dropped at inference, so that it does not matter how much would be.
            "Dropout" => node.attribute.retain(|attribute| attribute.name != "ratio"),
            "Clip" if self.opset < INPUTS_OF_CLIP => self.clip(&mut node),
            "Pad" if self.opset < INPUTS_OF_CLIP => self.pad(&mut node)?,
            "Slice" if self.opset < INPUTS_OF_SLICE => self.slice(&mut node)?,
            "Clip" | "Pad" | "Slice" => {}
            "Squeeze" | "Unsqueeze" | "ReduceSum" => self.list_to_input(&mut node, "axes"),
            "Split" => self.list_to_input(&mut node, "split"),
            "Upsample" => self.upsample(&mut node)?,
            "Resize" if self.opset < INPUTS_OF_CLIP => self.resize(&mut node)?,
            "Resize" => {}
            _ => return Err(self.refused(&node, "whose meaning may have changed since")),
        }
        self.graph.node.push(node);
        Ok(())
    }

    /// Only its first output is made at inference.
    fn batch_normalization(&self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        if node.int("spatial") == Some(0) {
            return Err(self.refused(node, "which normalises each pixel on its own"));
        }
        node.attribute.retain(|attribute| attribute.name != "spatial");
        node.output.truncate(1);
        Ok(())
    }

    fn clip(&mut self, node: &mut NodeProto) {
        let ends = [("min", node.float("min")), ("max", node.float("max"))];
        node.attribute.clear();
        for (key, end) in ends {
            let name = end.map_or_else(String::new, |end| self.number(node, key, end));
            node.input.push(name);
        }
    }

    fn pad(&mut self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        let pads = node.ints("pads").map(<[i64]>::to_vec);
        let pads = pads.ok_or_else(|| self.refused(node, "without pads"))?;
        let value = node.float("value").unwrap_or(0.0);
        node.attribute.retain(|attribute| attribute.name == "mode");
        let pads = self.integers(node, "pads", &pads);
        node.input.push(pads);
        if value != 0.0 {
            let value = self.number(node, "value", value);
            node.input.push(value);
        }
        Ok(())
    }

    fn slice(&mut self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        let list = |key: &str| node.ints(key).map(<[i64]>::to_vec);
        let (Some(starts), Some(ends)) = (list("starts"), list("ends")) else {
            return Err(self.refused(node, "without starts and ends"));
        };
        let axes = list("axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
        node.attribute.clear();
        for (key, values) in [("starts", starts), ("ends", ends), ("axes", axes)] {
            let name = self.integers(node, key, &values);
            node.input.push(name);
        }
        Ok(())
    }

    /// An attribute that became the second input. Without it, the operator means the same as before.
    fn list_to_input(&mut self, node: &mut NodeProto, key: &str) {
        let Some(values) = node.ints(key).map(<[i64]>::to_vec) else { return };
        node.attribute.retain(|attribute| attribute.name != key);
        let name = self.integers(node, key, &values);
        node.input.truncate(1);
        node.input.push(name);
    }

    /// `Upsample` of opset 7 has its scales as an attribute, that of opset 9 as an input.
    fn upsample(&mut self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        if let Some(scales) = node.attr("scales").map(|attribute| attribute.floats.clone()) {
            let tensor = float_tensor("", &[scales.len()], &scales);
            let name = self.constant(&label(node), "scales", tensor);
            node.input.truncate(1);
            node.input.push(name);
            node.attribute.retain(|attribute| attribute.name != "scales");
        }
        node.op_type = "Resize".to_owned();
        self.resize(node)
    }

    /// `Resize` of opset 10 counts from the corner of the first pixel, and takes the pixel before, or the one behind where
    /// it makes the image smaller.
    fn resize(&mut self, node: &mut NodeProto) -> Result<(), UpgradeError> {
        let scales = node.input.get(1).and_then(|name| Walk::new(self.graph).constant(name).map(f32_values));
        let Some(Ok(scales)) = scales else { return Err(self.refused(node, "whose scales are no constants")) };
        let (smaller, larger) = (scales.iter().any(|scale| *scale < 1.0), scales.iter().any(|scale| *scale > 1.0));
        if smaller && larger {
            return Err(self.refused(node, "which makes one side smaller and the other larger"));
        }
        let scales = self.constant(&label(node), "scales", float_tensor("", &[scales.len()], &scales));
        node.input = vec![std::mem::take(&mut node.input[0]), String::new(), scales];
        node.attribute.push(AttributeProto::of_string("coordinate_transformation_mode", "asymmetric"));
        node.attribute.push(AttributeProto::of_string("nearest_mode", if smaller { "ceil" } else { "floor" }));
        Ok(())
    }

    fn integers(&mut self, node: &NodeProto, key: &str, values: &[i64]) -> String {
        self.constant(&label(node), key, int_tensor("", values))
    }

    fn number(&mut self, node: &NodeProto, key: &str, value: f32) -> String {
        let tensor: TensorProto = match self.float {
            DataType::Float16 => half_tensor("", &[], &[value]),
            _ => float_tensor("", &[], &[value]),
        };
        self.constant(&label(node), key, tensor)
    }
}

/// What constants of a node are called after.
fn label(node: &NodeProto) -> String {
    node.output.first().unwrap_or(&node.name).clone()
}
