//! Chainer's names for the parts of a ResNet, told in torchvision's.
//!
//! `chainer.serializers.save_npz` joins the names of nested links with slashes: `res3/a/conv4/W` is the projection
//! of the first module of the second stage, which torchvision calls `layer2.0.downsample.0.weight`. In Chainer's
//! `ResNet*Layers` the module `a` changes the shape and holds the projection as `conv4`/`bn4`; `b1`, `b2`, … follow.
//!
//! Knows names only. Must not know files or tensors.

/// The torchvision name of a tensor in Chainer's `ResNet*Layers`, or `None` if it is not one of theirs.
///
/// A batch normalization's counter `N` becomes `num_batches_tracked`.
///
/// ```
/// use resnetd::resnet::import::chainer::torchvision_name;
/// assert_eq!(torchvision_name("res2/b1/bn3/avg_var").as_deref(), Some("layer1.1.bn3.running_var"));
/// assert_eq!(torchvision_name("fc6/W").as_deref(), Some("fc.weight"));
/// ```
pub fn torchvision_name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["fc6", field] => Some(format!("fc.{}", affine_field(field)?)),
        [link @ ("conv1" | "bn1"), field] => Some(format!("{link}.{}", field_of(link, field)?)),
        [stage, module, link, field] => {
            let stage = number(stage.strip_prefix("res")?).filter(|stage| (2..=5).contains(stage))? - 1;
            let module = match module.strip_prefix('b') {
                Some(index) => number(index).filter(|&index| index >= 1)?,
                None if module == "a" => 0,
                None => return None,
            };
            let field = field_of(link, field)?;
            let link = match link {
                "conv1" | "conv2" | "conv3" | "bn1" | "bn2" | "bn3" => link,
                "conv4" if module == 0 => "downsample.0",
                "bn4" if module == 0 => "downsample.1",
                _ => return None,
            };
            Some(format!("layer{stage}.{module}.{link}.{field}"))
        }
        _ => None,
    }
}

fn field_of(link: &str, field: &str) -> Option<&'static str> {
    if link.starts_with("bn") { norm_field(field) } else { affine_field(field) }
}

fn affine_field(field: &str) -> Option<&'static str> {
    match field {
        "W" => Some("weight"),
        "b" => Some("bias"),
        _ => None,
    }
}

fn norm_field(field: &str) -> Option<&'static str> {
    match field {
        "gamma" => Some("weight"),
        "beta" => Some("bias"),
        "avg_mean" => Some("running_mean"),
        "avg_var" => Some("running_var"),
        "N" => Some("num_batches_tracked"),
        _ => None,
    }
}

/// Digits only: `usize::from_str` would also take `+1`, and `01` would be a second name of the same module.
fn number(digits: &str) -> Option<usize> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0') && digits.len() <= 4;
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::torchvision_name;

    #[test]
    fn every_kind_of_name_that_chainer_writes_has_its_torchvision_name() {
        let pairs = [
            ("conv1/W", "conv1.weight"),
            ("conv1/b", "conv1.bias"),
            ("bn1/gamma", "bn1.weight"),
            ("bn1/beta", "bn1.bias"),
            ("bn1/avg_mean", "bn1.running_mean"),
            ("bn1/avg_var", "bn1.running_var"),
            ("bn1/N", "bn1.num_batches_tracked"),
            ("res2/a/conv4/W", "layer1.0.downsample.0.weight"),
            ("res3/a/bn4/gamma", "layer2.0.downsample.1.weight"),
            ("res4/b22/conv2/W", "layer3.22.conv2.weight"),
            ("res5/b2/bn3/avg_mean", "layer4.2.bn3.running_mean"),
            ("fc6/W", "fc.weight"),
            ("fc6/b", "fc.bias"),
        ];
        for (chainer, torchvision) in pairs {
            assert_eq!(torchvision_name(chainer).as_deref(), Some(torchvision));
        }
    }

    #[test]
    fn names_outside_the_family_are_not_guessed() {
        let strange = [
            "",
            "/",
            "fc7/W",
            "res1/a/conv1/W",
            "res6/a/conv1/W",
            "res2/b0/conv1/W",
            "res2/b+1/conv1/W",
            "res2/b1/conv4/W",
            "res2/b/conv1/W",
            "res2/a/conv1/gamma",
            "res2/a/bn1/W",
            "res2/a/conv1/conv/W",
            "conv1.weight",
        ];
        for name in strange {
            assert_eq!(torchvision_name(name), None, "{name}");
        }
    }
}
