//! Caffe2's names for the parts of a ResNet, as in the model zoos of Detectron and Caffe2, told in torchvision's.
//!
//! `res3_0_branch1_w` is the projection of the first module of the second stage, which torchvision calls
//! `layer2.0.downsample.0.weight`; `branch2a`, `2b` and `2c` are its convolutions. A batch normalization with fixed statistics
//! is a scale and a shift (`_bn_s`, `_bn_b`); one that was not fixed has `_bn_rm` and `_bn_riv` beside them.
//!
//! Knows names only. Must not know files or tensors.

use super::number::number;

/// How the blobs end that Detectron's training saves beside each weight.
pub(super) const OF_OPTIMIZER: &str = "_momentum";

/// The torchvision name of a blob of Caffe2's ResNet, or `None` if it is not one of theirs.
pub(super) fn torchvision_name(name: &str) -> Option<String> {
    if let Some(field) = name.strip_prefix("pred_").or_else(|| name.strip_prefix("fc1000_")) {
        return Some(format!("fc.{}", affine_field(field)?));
    }
    if let Some(field) = name.strip_prefix("conv1_") {
        return Some(format!("conv1.{}", affine_field(field)?));
    }
    if let Some(field) = name.strip_prefix("res_conv1_bn_") {
        return Some(format!("bn1.{}", norm_field(field)?));
    }
    let mut parts = name.strip_prefix("res")?.splitn(4, '_');
    let stage = number(parts.next()?).filter(|stage| (2..=5).contains(stage))? - 1;
    let module = number(parts.next()?)?;
    let (branch, field) = (parts.next()?, parts.next()?);
    let (conv, norm) = match branch {
        "branch1" => ("downsample.0".to_owned(), "downsample.1".to_owned()),
        "branch2a" => ("conv1".to_owned(), "bn1".to_owned()),
        "branch2b" => ("conv2".to_owned(), "bn2".to_owned()),
        "branch2c" => ("conv3".to_owned(), "bn3".to_owned()),
        _ => return None,
    };
    let inner = match field.strip_prefix("bn_") {
        Some(field) => format!("{norm}.{}", norm_field(field)?),
        None => format!("{conv}.{}", affine_field(field)?),
    };
    Some(format!("layer{stage}.{module}.{inner}"))
}

fn affine_field(field: &str) -> Option<&'static str> {
    match field {
        "w" => Some("weight"),
        "b" => Some("bias"),
        _ => None,
    }
}

fn norm_field(field: &str) -> Option<&'static str> {
    match field {
        "s" => Some("weight"),
        "b" => Some("bias"),
        "rm" => Some("running_mean"),
        "riv" => Some("running_var"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::torchvision_name;

    #[test]
    fn every_kind_of_name_of_the_zoos_has_its_torchvision_name() {
        let pairs = [
            ("conv1_w", "conv1.weight"),
            ("res_conv1_bn_s", "bn1.weight"),
            ("res_conv1_bn_b", "bn1.bias"),
            ("res2_0_branch2a_w", "layer1.0.conv1.weight"),
            ("res3_3_branch2c_bn_s", "layer2.3.bn3.weight"),
            ("res4_22_branch2b_bn_rm", "layer3.22.bn2.running_mean"),
            ("res5_0_branch1_w", "layer4.0.downsample.0.weight"),
            ("res5_0_branch1_bn_riv", "layer4.0.downsample.1.running_var"),
            ("fc1000_w", "fc.weight"),
            ("pred_b", "fc.bias"),
        ];
        for (theirs, torchvision) in pairs {
            assert_eq!(torchvision_name(theirs).as_deref(), Some(torchvision));
        }
    }

    #[test]
    fn names_outside_the_family_are_not_guessed() {
        for name in
            ["", "res1_0_branch1_w", "res2_0_branch2d_w", "res2_a_branch1_w", "res2_0_branch1_m", "conv2_w", "res2_0"]
        {
            assert_eq!(torchvision_name(name), None, "{name}");
        }
    }
}
