//! What a recognised network is called: torchvision's and timm's names where they have one, otherwise spelled out.

use super::report::{Block, ResNet, StemKind};

/// The ImageNet networks of the paper's table 1: depth, block, modules of each stage.
const IMAGENET: [(usize, Block, [usize; 4]); 5] = [
    (18, Block::Basic, [2, 2, 2, 2]),
    (34, Block::Basic, [3, 4, 6, 3]),
    (50, Block::Bottleneck, [3, 4, 6, 3]),
    (101, Block::Bottleneck, [3, 4, 23, 3]),
    (152, Block::Bottleneck, [3, 8, 36, 3]),
];

/// What a name depends on besides the network's facts.
pub(super) struct Traits {
    /// `se` or `eca` where all modules have channel attention, otherwise nothing.
    pub(super) attention: &'static str,
    /// The shortcuts pool before they project.
    pub(super) pooled_shortcut: bool,
    /// The widths double from stage to stage.
    pub(super) regular: bool,
}

/// The name.
pub(super) fn of(resnet: &ResNet, traits: &Traits) -> String {
    let ResNet { block, groups, width_per_group, stem, .. } = resnet;
    let modules: Vec<usize> = resnet.stages.iter().map(|stage| stage.modules).collect();
    let width = resnet.stages[0].channels / block.expansion();
    let plain = (*groups, *width_per_group) == (1, 64);
    let known = IMAGENET.iter().find(|(_, known, stages)| known == block && *stages == modules[..]);
    let attention = traits.attention;
    let version = match (resnet.pre_activation, stem.kind) {
        (true, _) => "v2",
        (false, StemKind::Deep) if traits.pooled_shortcut => "d",
        (false, StemKind::Deep) => "c",
        _ => "",
    };

    let cifar = stem.kind == StemKind::Cifar;
    let (mut name, usual_width) = match (stem.kind, known) {
        (StemKind::ImageNet | StemKind::Deep, Some((depth, ..))) if traits.regular => {
            let name = match (groups, width_per_group % 64) {
                _ if plain => format!("{attention}resnet{depth}{version}"),
                (1, 0) => format!("{attention}wide_resnet{depth}{version}_{}", width_per_group / 64),
                _ => format!("{attention}resnext{depth}{version}_{groups}x{width_per_group}d"),
            };
            (name, 64)
        }
        (StemKind::Cifar, _) if *block == Block::Basic && traits.regular && modules == [modules[0]; 3] => {
            (format!("{attention}resnet{}{version}-cifar", resnet.depth), 16)
        }
        _ => {
            let modules = modules.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let groups = if plain { String::new() } else { format!("-{groups}x{width_per_group}d") };
            let (suffix, width) = if cifar { ("-cifar", 16) } else { ("", 64) };
            (format!("{attention}resnet{version}[{modules}]-{block}{suffix}{groups}"), width)
        }
    };
    if width != usual_width {
        name.push_str(&format!("-w{width}"));
    }
    name
}

/// Says that `model` is the name of another network than `architecture`; `None` where the name claims nothing or is
/// right.
pub(super) fn contradiction(model: &str, architecture: &str) -> Option<String> {
    let claimed = claim(model)?;
    (claim(architecture) != Some(claimed)).then(|| {
        let (family, depth) = claimed;
        format!("it is called {model} and is no {family}{depth}: the graph is {architecture}")
    })
}

/// Family and depth of a name such as `resnet50`, `ResNet-50-int8`, `wide_resnet101_2`.
fn claim(name: &str) -> Option<(&'static str, usize)> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("se").or_else(|| name.strip_prefix("eca")).unwrap_or(&name);
    let (family, rest) = ["wide_resnet", "resnext", "resnet"]
        .into_iter()
        .find_map(|family| Some((family, name.strip_prefix(family)?)))?;
    let digits: String = rest.trim_start_matches(['-', '_']).chars().take_while(char::is_ascii_digit).collect();
    Some((family, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::contradiction;

    #[test]
    fn a_model_is_held_to_the_depth_and_family_in_its_name() {
        assert_eq!(contradiction("resnet50", "resnet50"), None);
        assert_eq!(contradiction("ResNet-50-int8", "resnet50v2"), None);
        assert_eq!(contradiction("resnet20-cifar10", "resnet20-cifar"), None);
        assert_eq!(contradiction("plants", "unknown"), None);
        assert!(contradiction("resnet50", "resnet34").is_some());
        assert!(contradiction("resnet50", "resnext50_32x4d").is_some());
        assert!(contradiction("resnet50", "unknown").is_some());
        assert!(contradiction("wide_resnet50_2", "resnet50").is_some());
    }
}
