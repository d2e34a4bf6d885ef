//! The names of architectures: `resnet50`, `resnext101_64x4d`, `wide_resnet50_2`, `resnet20-cifar`, `resnet[3,4,6,3]-basic`.
//!
//! Where torchvision has a name, it is that one. Other networks are spelled out: the modules of each stage, the block,
//! `-cifar` for the 3x3 stem, `-32x4d` for groups and their width, `-w32` for the width of the first stage. Parsing
//! what [`Architecture`]'s `Display` prints gives the same layers.

use std::{fmt, str::FromStr};

use super::{
    architecture::{Architecture, Block, Stem},
    error::WeightsError,
};

/// The ImageNet networks of the paper's table 1: depth, block, modules of each stage.
const IMAGENET: [(usize, Block, [usize; 4]); 5] = [
    (18, Block::Basic, [2, 2, 2, 2]),
    (34, Block::Basic, [3, 4, 6, 3]),
    (50, Block::Bottleneck, [3, 4, 6, 3]),
    (101, Block::Bottleneck, [3, 4, 23, 3]),
    (152, Block::Bottleneck, [3, 8, 36, 3]),
];

/// The most parameters: at four bytes each they fill the 2 GiB that an ONNX file can hold.
const MAX_PARAMETERS: f64 = (1_u64 << 29) as f64;

/// A name that is of no architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} names no architecture ({reason}); it is one of resnet18, resnet34, resnet50, resnet101, resnet152, \
     resnext50_32x4d, resnext101_32x8d, resnext101_64x4d, wide_resnet50_2, wide_resnet101_2, resnet20-cifar (or any depth \
     6n+2), or spelled out as resnet[3,4,6,3]-basic or resnet[3,4,6,3]-bottleneck (-cifar for the 3x3 stem, -32x4d for groups, \
     -w32 for the width)"
)]
pub struct ArchitectureNameError {
    /// What was given.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Architecture {
    type Err = ArchitectureNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fail = |reason: &str| ArchitectureNameError { name: name.into(), reason: reason.into() };
        let mut words = name.split('-');
        let base = words.next().unwrap_or_default();
        let suffixes: Vec<&str> = words.collect();
        let cifar_classes = suffixes.iter().find_map(|suffix| match *suffix {
            "cifar" | "cifar10" => Some(10),
            "cifar100" => Some(100),
            _ => None,
        });

        let mut architecture = if let Some(list) = base.strip_prefix("resnet[").and_then(|rest| rest.strip_suffix(']'))
        {
            let stages: Result<Vec<usize>, _> = list.split(',').map(|count| count.trim().parse()).collect();
            let stages = stages.map_err(|_| fail("the modules of each stage are numbers"))?;
            let block = match (suffixes.contains(&"basic"), suffixes.contains(&"bottleneck")) {
                (true, false) => Block::Basic,
                (false, true) => Block::Bottleneck,
                _ => return Err(fail("say -basic or -bottleneck")),
            };
            let start = if cifar_classes.is_some() { Self::cifar(1) } else { Self::imagenet(block, &[]) };
            Self { block, stages, ..start }
        } else if let Some(rest) = base.strip_prefix("wide_resnet") {
            let (depth, factor) = rest.split_once('_').ok_or_else(|| fail("a wide ResNet says how wide: _2"))?;
            let factor: usize = number(factor).ok_or_else(|| fail("how wide is a number from 1 to 1024"))?;
            Self { width_per_group: 64 * factor, ..numbered(depth, false).map_err(|reason| fail(&reason))? }
        } else if let Some(rest) = base.strip_prefix("resnext") {
            let (depth, groups) = rest.split_once('_').ok_or_else(|| fail("a ResNeXt says its groups: _32x4d"))?;
            let (groups, width_per_group) = grouped(groups).ok_or_else(|| fail("groups are written 32x4d"))?;
            Self { groups, width_per_group, ..numbered(depth, false).map_err(|reason| fail(&reason))? }
        } else if let Some(depth) = base.strip_prefix("resnet") {
            numbered(depth, cifar_classes.is_some()).map_err(|reason| fail(&reason))?
        } else {
            return Err(fail("it does not begin with resnet, resnext or wide_resnet"));
        };

        for suffix in suffixes {
            match suffix {
                "basic" | "bottleneck" if base.ends_with(']') => {}
                "cifar" | "cifar10" | "cifar100" if architecture.stem == Stem::Cifar => {}
                _ => {
                    if let Some(width) = suffix.strip_prefix('w').and_then(number) {
                        architecture.width = width;
                    } else if let Some((groups, width)) = grouped(suffix) {
                        (architecture.groups, architecture.width_per_group) = (groups, width);
                    } else {
                        return Err(fail(&format!("-{suffix} is unknown here")));
                    }
                }
            }
        }
        architecture.classes = cifar_classes.unwrap_or(architecture.classes);
        architecture.validate().map_err(|cause| fail(&cause.to_string()))?;
        Ok(architecture)
    }
}

/// The network of that depth: an ImageNet one where the paper has it, else a CIFAR one.
fn numbered(depth: &str, cifar: bool) -> Result<Architecture, String> {
    let depth: usize = number(depth).ok_or_else(|| format!("the depth {depth:?} is no number"))?;
    if !cifar && let Some((_, block, stages)) = IMAGENET.iter().find(|(known, ..)| *known == depth) {
        return Ok(Architecture::imagenet(*block, stages));
    }
    if depth >= 8 && depth % 6 == 2 {
        return Ok(Architecture::cifar(depth / 6));
    }
    Err(format!("there is no ResNet of depth {depth}: the CIFAR ones have 6n+2 layers"))
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=10_000).contains(number))
}

/// `32x4d`: groups, and channels of each.
fn grouped(text: &str) -> Option<(usize, usize)> {
    let (groups, width) = text.strip_suffix('d')?.split_once('x')?;
    Some((number(groups)?, number(width)?))
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, width_per_group, .. } = *self;
        let table = IMAGENET.iter().find(|(_, block, stages)| *block == self.block && self.stages == stages);
        let plain = groups == 1 && width_per_group == 64;
        let mut groups_said = plain;
        let usual_width = match (self.stem, table) {
            (Stem::ImageNet(_), Some((depth, ..))) => {
                groups_said = true;
                match (groups, width_per_group % 64) {
                    _ if plain => write!(f, "resnet{depth}")?,
                    (1, 0) => write!(f, "wide_resnet{depth}_{}", width_per_group / 64)?,
                    _ => write!(f, "resnext{depth}_{groups}x{width_per_group}d")?,
                }
                64
            }
            (Stem::Cifar, _) if self.block == Block::Basic && self.stages == [self.stages[0]; 3] => {
                write!(f, "resnet{}-cifar", self.depth())?;
                16
            }
            (stem, _) => {
                let stages: Vec<String> = self.stages.iter().map(ToString::to_string).collect();
                let block = match self.block {
                    Block::Basic => "basic",
                    Block::Bottleneck => "bottleneck",
                };
                let (suffix, width) = if stem == Stem::Cifar { ("-cifar", 16) } else { ("", 64) };
                write!(f, "resnet[{}]-{block}{suffix}", stages.join(","))?;
                width
            }
        };
        if !groups_said {
            write!(f, "-{groups}x{width_per_group}d")?;
        }
        if self.width != usual_width {
            write!(f, "-w{}", self.width)?;
        }
        Ok(())
    }
}

impl Architecture {
    /// Checks that there is such a network.
    ///
    /// # Errors
    /// [`WeightsError::Architecture`] says which number cannot be.
    pub fn validate(&self) -> Result<(), WeightsError> {
        let smallest_input = if self.stem == Stem::Cifar { 4 } else { 32 };
        let inner = self.width.saturating_mul(self.width_per_group) / 64;
        let reason = if self.stages.is_empty() || self.stages.len() > 8 {
            format!("a network has 1 to 8 stages, not {}", self.stages.len())
        } else if self.stages.iter().any(|&count| count == 0 || count > 1000) {
            format!("a stage has 1 to 1000 modules, not {:?}", self.stages)
        } else if self.width == 0
            || self.width > 4096
            || inner == 0
            || self.groups == 0
            || inner.saturating_mul(self.groups) > 65_536
        {
            format!(
                "{} groups of {} at width {} leave no channels or too many",
                self.groups, self.width_per_group, self.width
            )
        } else if self.block == Block::Basic && (self.groups != 1 || self.width_per_group != 64) {
            "a basic module has no groups; use the bottleneck".into()
        } else if self.classes == 0 || self.classes > 1_000_000 {
            format!("a classifier has 1 to 1000000 classes, not {}", self.classes)
        } else if !(smallest_input..=4096).contains(&self.input_size) {
            format!("the input is {smallest_input} to 4096 pixels wide, not {}", self.input_size)
        } else if self.parameters() > MAX_PARAMETERS {
            format!("{:.1e} weights do not fit into an ONNX file, which holds {MAX_PARAMETERS:.1e}", self.parameters())
        } else {
            return Ok(());
        };
        Err(WeightsError::Architecture { reason })
    }

    /// What the file says about itself: `metadata_props` of the ONNX model.
    pub fn metadata(&self) -> Vec<(String, String)> {
        let mut metadata = vec![("architecture", self.to_string()), ("shortcut", self.shortcut.to_string())];
        if self.block == Block::Bottleneck {
            metadata.push(("stride_in", self.stride_in.to_string()));
        }
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_say_torchvision_networks() {
        for (name, depth, features, parameters) in [
            ("resnet18", 18, 512, 11_689_512),
            ("resnet34", 34, 512, 21_797_672),
            ("resnet50", 50, 2048, 25_557_032),
            ("resnet101", 101, 2048, 44_549_160),
            ("resnet152", 152, 2048, 60_192_808),
            ("resnext50_32x4d", 50, 2048, 25_028_904),
            ("resnext101_32x8d", 101, 2048, 88_791_336),
            ("resnext101_64x4d", 101, 2048, 83_455_272),
            ("wide_resnet50_2", 50, 2048, 68_883_240),
            ("wide_resnet101_2", 101, 2048, 126_886_696),
        ] {
            let network: Architecture = name.parse().unwrap();
            assert_eq!((network.depth(), network.features()), (depth, features), "{name}");
            // torchvision counts what is trained: not the running means and variances.
            let statistics: usize = network
                .tensors()
                .iter()
                .filter(|(tensor, _)| tensor.contains("running"))
                .map(|(_, shape)| shape[0])
                .sum();
            assert_eq!(network.parameters() as usize - statistics, parameters, "{name}");
        }
    }

    #[test]
    fn what_a_network_is_called_says_the_same_network() {
        for name in [
            "resnet50",
            "resnext50_32x4d",
            "wide_resnet101_2",
            "resnet20-cifar",
            "resnet50-cifar",
            "resnet1202-cifar",
            "resnet20-cifar-w64",
            "resnet18-w32",
            "resnet[3,4,6,4]-basic",
            "resnet[1,1]-bottleneck-8x16d",
            "resnet[2,2,3]-basic-cifar",
            "resnet[2,2,2]-bottleneck-cifar-w8",
        ] {
            let network: Architecture = name.parse().unwrap();
            assert_eq!(network.to_string(), name);
        }
    }

    #[test]
    fn other_spellings_say_the_same_network() {
        for (spelling, name) in [
            ("resnet20", "resnet20-cifar"),
            ("resnet110-cifar10", "resnet110-cifar"),
            ("resnet[3,4,6,3]-bottleneck", "resnet50"),
            ("resnet[3,4,6,3]-basic", "resnet34"),
            ("resnet[3,3,3]-basic-cifar", "resnet20-cifar"),
            ("resnet50-32x4d", "resnext50_32x4d"),
        ] {
            assert_eq!(spelling.parse::<Architecture>().unwrap().to_string(), name);
        }
        assert_eq!("resnet56-cifar100".parse::<Architecture>().unwrap().classes, 100);
    }

    #[test]
    fn names_of_no_network_are_refused() {
        for name in [
            "",
            "vgg16",
            "resnet",
            "resnet19",
            "resnet2-cifar",
            "resnet[]-basic",
            "resnet[3,4,6,3]",
            "resnet[3,0]-basic",
            "resnet[3,4,6,3]-basic-bottleneck",
            "resnet[3,4]-basic-4x4d",
            "resnet50-cifar-cifar-x",
            "resnet50-basic",
            "resnext50",
            "wide_resnet50",
            "wide_resnet18_2",
            "resnet50-w0",
            "resnet50-w99999999999999999999",
            "resnet[1000,1000,1000,1000,1000,1000,1000,1000]-bottleneck-w4096",
        ] {
            assert!(name.parse::<Architecture>().is_err(), "{name}");
        }
    }
}
