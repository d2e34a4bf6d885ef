//! Hugging Face's names for the parts of a ResNet (`transformers.ResNetForImageClassification`), told in torchvision's.
//!
//! Knows names only. Must not know files or tensors.

use super::number::number;

/// The torchvision name of a tensor in Hugging Face's ResNet, or `None` if it is not one of theirs.
///
/// Names start at the backbone, without `resnet.`; the head's are whole.
pub(super) fn torchvision_name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["classifier", "1", field @ ("weight" | "bias")] => Some(format!("fc.{field}")),
        ["embedder", "embedder", part, field] => Some(format!("{}1.{}", kind(part)?, checked(part, field)?)),
        ["encoder", "stages", stage, "layers", module, ref rest @ ..] => {
            let stage = number(stage)?.checked_add(1)?;
            let module = number(module)?;
            let (link, part, field) = match *rest {
                ["shortcut", part, field] => {
                    (format!("downsample.{}", if kind(part)? == "conv" { 0 } else { 1 }), part, field)
                }
                ["layer", index, part, field] => {
                    (format!("{}{}", kind(part)?, number(index)?.checked_add(1)?), part, field)
                }
                _ => return None,
            };
            Some(format!("layer{stage}.{module}.{link}.{}", checked(part, field)?))
        }
        _ => None,
    }
}

fn kind(part: &str) -> Option<&'static str> {
    match part {
        "convolution" => Some("conv"),
        "normalization" => Some("bn"),
        _ => None,
    }
}

/// The field's name is torchvision's already.
fn checked<'a>(part: &str, field: &'a str) -> Option<&'a str> {
    let known: &[&str] = match part {
        "convolution" => &["weight", "bias"],
        _ => &["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    };
    known.contains(&field).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::torchvision_name;

    #[test]
    fn every_kind_of_name_that_transformers_writes_has_its_torchvision_name() {
        let pairs = [
            ("embedder.embedder.convolution.weight", "conv1.weight"),
            ("embedder.embedder.normalization.running_var", "bn1.running_var"),
            ("encoder.stages.0.layers.0.shortcut.convolution.weight", "layer1.0.downsample.0.weight"),
            ("encoder.stages.1.layers.0.shortcut.normalization.bias", "layer2.0.downsample.1.bias"),
            ("encoder.stages.2.layers.22.layer.2.convolution.weight", "layer3.22.conv3.weight"),
            ("encoder.stages.3.layers.1.layer.0.normalization.running_mean", "layer4.1.bn1.running_mean"),
            ("classifier.1.weight", "fc.weight"),
            ("classifier.1.bias", "fc.bias"),
        ];
        for (theirs, torchvision) in pairs {
            assert_eq!(torchvision_name(theirs).as_deref(), Some(torchvision));
        }
    }

    #[test]
    fn names_outside_the_family_are_not_guessed() {
        for name in [
            "",
            "classifier.0.weight",
            "encoder.stages.0.layers.0.layer.0.convolution.gamma",
            "encoder.stages.00.layers.0.layer.0.convolution.weight",
            "encoder.stages.0.layers.0.layer.0.attention.weight",
            "encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight",
        ] {
            assert_eq!(torchvision_name(name), None, "{name}");
        }
    }
}
