//! `resnetd build`: weights of any framework, or none, to a model folder that the server serves.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::{
    interrupt::{Interrupt, NOTHING_WRITTEN},
    output::{Output, complain},
};
use crate::files;
use crate::model::{GraphImage, InputSection, Preset};
use crate::resnet::{
    Choices, GraphOptions, IMAGENET_LABELS, Preprocessing, Recipe, Variant,
    architecture::{Architecture, Block, IdentityPadding, Shortcut, Stem, StrideIn},
    build,
    import::{self, Imported},
    state_dict::StateDict,
    untrained,
};

#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    /// resnet18/34/50/101/152, resnext50_32x4d, wide_resnet50_2, resnet20-cifar (any 6n+2), resnet[3,4,6,3]-basic …; or
    /// auto: found from the weights
    #[arg(value_name = "ARCH")]
    architecture: String,
    /// A weight file (.safetensors, .pth, .pt, .npz, .pkl, .keras, .h5), or untrained[:SEED]
    #[arg(long, value_name = "FILE|untrained[:SEED]")]
    weights: Weights,
    /// Which network of the file, where it holds several: a key of the checkpoint (model_ema), or what stands before the
    /// tensors' names (teacher)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The framework whose form of the network it is [default: the one that wrote the weights]
    #[arg(long, value_enum)]
    variant: Option<VariantArg>,
    /// Which convolution of a halving bottleneck has the stride [default: 3x3 for pytorch, 1x1 for chainer]
    #[arg(long, value_enum)]
    stride_in: Option<StrideInArg>,
    /// What goes around a module that changes the shape [default: found from the weights]
    #[arg(long, value_enum)]
    shortcut: Option<ShortcutArg>,
    /// Where an identity shortcut puts its zero channels [default: trailing]
    #[arg(long, value_enum)]
    identity_padding: Option<PaddingArg>,
    /// Outputs [default: those of the weights]
    #[arg(long, value_name = "K")]
    classes: Option<usize>,
    /// Height and width of the input in pixels [default: 224, or 32 for CIFAR]
    #[arg(long, value_name = "PIXELS")]
    input_size: Option<usize>,
    /// How images were prepared in training: torchvision, keras-caffe, tf, timm-in1k [default: the framework's that wrote
    /// the weights]
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// Label file: one a line, or WordNet-id<TAB>label [default: ImageNet's for 1000 classes]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Model repository to write to
    #[arg(long, value_name = "DIR", default_value = "models")]
    output: PathBuf,
    /// The name that it is served under [default: the architecture's]
    #[arg(long)]
    name: Option<String>,
    /// Version number [default: the next one]
    #[arg(long)]
    version: Option<u64>,
    /// Type of the weights in the file
    #[arg(long, value_enum, default_value = "fp32")]
    precision: PrecisionArg,
    /// Leave batch normalization as nodes of its own
    #[arg(long)]
    keep_bn: bool,
    /// Replace a version that is there
    #[arg(long)]
    force: bool,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Weights {
    File(PathBuf),
    Untrained(u64),
}

impl Weights {
    fn is_untrained(&self) -> bool {
        matches!(self, Self::Untrained(_))
    }
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("untrained") {
            Some("") => Ok(Self::Untrained(0)),
            Some(rest) if rest.starts_with(':') => match rest[1..].parse() {
                Ok(seed) => Ok(Self::Untrained(seed)),
                Err(_) => Err(format!("the seed {:?} is no number from 0 to {}", &rest[1..], u64::MAX)),
            },
            _ => Ok(Self::File(text.into())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VariantArg {
    /// torchvision, timm, Hugging Face
    Pytorch,
    /// Chainer, from Caffe
    Chainer,
    /// Caffe2, Detectron
    Caffe2,
    /// Keras, from Caffe
    Keras,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrideInArg {
    /// As PyTorch does
    #[value(name = "3x3")]
    Conv3x3,
    /// As in the paper
    #[value(name = "1x1")]
    Conv1x1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShortcutArg {
    /// A 1x1 convolution (option B)
    Projection,
    /// Every second pixel and zero channels (option A)
    Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PaddingArg {
    /// Behind the old channels
    Trailing,
    /// Half before, half behind
    Centered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    Fp32,
    Fp16,
}

pub(super) fn run(args: &BuildArgs) -> anyhow::Result<()> {
    let interrupt = Interrupt::watch(|| (), NOTHING_WRITTEN)?;
    let source = Source::open(&args.weights, args.key.as_deref())?;
    let variant = args.variant.map_or(source.variant, |variant| match variant {
        VariantArg::Pytorch => Variant::PyTorch,
        VariantArg::Chainer => Variant::Chainer,
        VariantArg::Caffe2 => Variant::Caffe2,
        VariantArg::Keras => Variant::Keras,
    });
    let architecture = choices(args).architecture(&args.architecture, variant, source.state.as_ref())?;
    let preprocessing = match args.preset {
        Some(preset) => prepared_as(preset, &architecture),
        None => variant.preprocessing(&architecture),
    };
    let mut metadata = vec![("variant".to_owned(), variant.as_str().to_owned())];
    metadata.extend(source.metadata);
    let recipe = Recipe {
        options: GraphOptions {
            precision: match args.precision {
                PrecisionArg::Fp32 => crate::resnet::GraphPrecision::Fp32,
                PrecisionArg::Fp16 => crate::resnet::GraphPrecision::Fp16,
            },
            keep_bn: args.keep_bn,
            features: false,
            metadata,
        },
        preprocessing,
        name: args.name.clone().unwrap_or_else(|| folder_name(&architecture)),
        version: args.version,
        labels: labels(args.labels.as_deref(), &architecture)?,
        force: args.force,
        architecture,
    };
    let weights = source.state.unwrap_or_else(|| untrained(&recipe.architecture, source.seed));
    // Folders that are half filled appear under another name; a signal waits until that is gone.
    let mut held = interrupt.hold();
    let written = build(&recipe, weights, &args.output)?;
    *held = true;
    drop(held);

    let mut output = Output::stdout();
    let untrained = if args.weights.is_untrained() { "untrained " } else { "" };
    let model = files::shown(&written.model);
    output.line(&format!("{model}: {untrained}{}", describe(&recipe.architecture)))?;
    if recipe.labels.is_none() {
        output.line("its classes have no names; give them with --labels")?;
    }
    output.finish()
}

/// Weights, and what is known of them.
struct Source {
    /// `None` for untrained ones, which need the architecture first.
    state: Option<StateDict>,
    seed: u64,
    variant: Variant,
    metadata: Vec<(String, String)>,
}

impl Source {
    fn open(weights: &Weights, key: Option<&str>) -> anyhow::Result<Self> {
        let pair = |key: &str, value: String| (key.to_owned(), value);
        match weights {
            Weights::Untrained(_) if key.is_some() => {
                bail!("--key chooses a network of a file; untrained weights are none")
            }
            Weights::Untrained(seed) => Ok(Self {
                state: None,
                seed: *seed,
                variant: Variant::PyTorch,
                metadata: vec![pair("untrained", "true".into()), pair("source", format!("untrained, seed {seed}"))],
            }),
            Weights::File(path) => {
                let imported = import::read_part(path, key)?;
                tell(&imported);
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let mut metadata = vec![pair("source", file.into_owned())];
                let license = ["license", "licence"].iter().find_map(|key| imported.notes.metadata.get(*key));
                metadata.extend(license.map(|license| pair("license", license.clone())));
                Ok(Self { state: Some(imported.state_dict), seed: 0, variant: imported.notes.variant, metadata })
            }
        }
    }
}

/// Says what of the file was not taken.
fn tell(imported: &Imported) {
    /// So many names are shown.
    const SHOWN: usize = 5;
    if let Some(part) = imported.part.as_ref().filter(|part| !part.beside.is_empty()) {
        let beside = part.beside.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        complain(&format!("the weights are those under `{}`; --key chooses others: {beside}", part.key));
    }
    let names = &imported.passed_over;
    if !names.is_empty() {
        let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
        complain(&format!("passed over, as it is no part of the network: {shown}{more}"));
    }
}

fn choices(args: &BuildArgs) -> Choices {
    Choices {
        stride_in: args.stride_in.map(|stride_in| match stride_in {
            StrideInArg::Conv3x3 => StrideIn::Conv3x3,
            StrideInArg::Conv1x1 => StrideIn::Conv1x1,
        }),
        identity: args.shortcut.map(|shortcut| shortcut == ShortcutArg::Identity),
        identity_padding: args.identity_padding.map(|padding| match padding {
            PaddingArg::Trailing => IdentityPadding::Trailing,
            PaddingArg::Centered => IdentityPadding::Centered,
        }),
        classes: args.classes,
        input_size: args.input_size,
    }
}

/// A preset's values, each of them written out.
fn prepared_as(preset: Preset, architecture: &Architecture) -> Preprocessing {
    let size = architecture.input_size;
    let image = GraphImage { size: Some((size, size)), channels: Some(3), ..GraphImage::default() };
    let values = InputSection { preset: Some(preset), ..InputSection::default() }.in_force(&image);
    // An `f32` as people write it: 0.485, not the double next to it.
    let three = |values: Option<Vec<f32>>, place: usize| {
        values.and_then(|values| values.get(place)?.to_string().parse().ok()).unwrap_or_default()
    };
    Preprocessing {
        source: format!("preset {}", preset.name()),
        resize_size: values.resize_size.map_or(0, |size| size as usize),
        crop_size: size,
        resize_mode: word(&values.resize_mode),
        interpolation: word(&values.interpolation),
        color: word(&values.color),
        scale: values.scale,
        mean: [0, 1, 2].map(|place| three(values.mean.clone(), place)),
        std: [0, 1, 2].map(|place| three(values.std.clone(), place)),
    }
}

/// As `model.toml` has it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

/// The file's text, or ImageNet's labels for a network that has its classes.
fn labels(path: Option<&Path>, architecture: &Architecture) -> anyhow::Result<Option<String>> {
    match path {
        Some(path) => match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(error).with_context(|| format!("cannot read the labels {}", path.display())),
        },
        None if architecture.classes == 1000 && matches!(architecture.stem, Stem::ImageNet(_)) => {
            Ok(Some(IMAGENET_LABELS.into()))
        }
        None => Ok(None),
    }
}

/// `resnet[3,4,6,3]-basic` cannot be a folder and a route; `resnet-3-4-6-3-basic` can.
fn folder_name(architecture: &Architecture) -> String {
    architecture.to_string().replace(['[', ','], "-").replace(']', "")
}

/// One line that says what was built, including the choices that the weights themselves do not determine.
fn describe(architecture: &Architecture) -> String {
    let Architecture { classes, input_size, .. } = architecture;
    let millions = architecture.parameters() / 1e6;
    let mut parts = vec![
        architecture.to_string(),
        format!("{classes} classes"),
        format!("{input_size}x{input_size} pixels"),
        format!("{millions:.1} million weights"),
    ];
    if architecture.block == Block::Bottleneck {
        parts.push(format!("stride in the {} (--stride-in)", architecture.stride_in));
    }
    parts.push(match architecture.shortcut {
        Shortcut::Projection => "projection shortcuts".into(),
        Shortcut::Identity(_) => format!("{} (--identity-padding)", architecture.shortcut),
    });
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrained_weights_take_a_seed_and_everything_else_is_a_file() {
        assert_eq!("untrained".parse(), Ok(Weights::Untrained(0)));
        assert_eq!("untrained:42".parse(), Ok(Weights::Untrained(42)));
        assert!("untrained:".parse::<Weights>().is_err());
        assert!("untrained:-1".parse::<Weights>().is_err());
        assert_eq!("untrained.pth".parse(), Ok(Weights::File("untrained.pth".into())));
    }

    #[test]
    fn a_preset_is_written_out_value_by_value() {
        let architecture: Architecture = "resnet50".parse().expect("an architecture");
        let written = prepared_as(Preset::KerasCaffe, &architecture).to_string();
        for line in [
            "# preset keras-caffe",
            "resize_size = 224",
            "crop_size = 224",
            "resize_mode = \"stretch\"",
            "interpolation = \"nearest\"",
            "color = \"bgr\"",
            "scale = 1.0",
            "mean = [103.939, 116.779, 123.68]",
            "std = [1.0, 1.0, 1.0]",
        ] {
            assert!(written.lines().any(|written| written == line), "{line}: {written}");
        }
        assert!(prepared_as(Preset::TimmIn1k, &architecture).to_string().contains("mean = [0.485, 0.456, 0.406]"));
    }

    #[test]
    fn every_architecture_has_a_name_that_can_be_a_route() {
        for (architecture, folder) in
            [("resnet50", "resnet50"), ("resnet[3,4,6,4]-basic-w32", "resnet-3-4-6-4-basic-w32")]
        {
            let architecture: Architecture = architecture.parse().expect("an architecture");
            assert_eq!(folder_name(&architecture), folder);
        }
    }
}
