//! Why a weight file was not imported, and what to do about it.

use std::path::PathBuf;

/// A weight file that could not be imported; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ImportError {
    /// The file.
    pub path: PathBuf,
    /// What stands against it.
    pub reason: Reason,
}

/// What stands against a weight file. Each message ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system would not let us read it.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes contradict the format.
    #[error("not a sound {format} file: {what}; save or download it again")]
    Damaged {
        /// The format that the file's first bytes promised.
        format: &'static str,
        /// What is wrong, with the offending value.
        what: String,
    },
    /// A kind of file that we know and do not read.
    #[error("this is {what}; {remedy}")]
    Unsupported {
        /// The kind, with its article.
        what: &'static str,
        /// How to get a file that we do read.
        remedy: &'static str,
    },
    /// None of the formats we know.
    #[error(
        "not a weight file we know (it starts with {start}); give a .safetensors file, PyTorch's .pth, \
         Chainer's .npz, Caffe2's .pkl or Keras' .keras or .h5"
    )]
    UnknownFormat {
        /// The first bytes in hexadecimal.
        start: String,
    },
    /// A tensor of numbers that are not floating-point weights.
    #[error("tensor `{name}` holds {dtype} values; save the weights as float32, float16, bfloat16 or float64")]
    Dtype {
        /// The tensor's name in the file.
        name: String,
        /// The file's own word for the type.
        dtype: String,
    },
    /// More weights than any ResNet has.
    #[error("more than {limit} weights in one file; the largest ResNets have about 130 million")]
    TooLarge {
        /// The number of values that we accept.
        limit: u64,
    },
    /// `torch.save(model)`.
    #[error(
        "a pickled `{class}` object, which only Python code can bring back; save its weights instead: \
         torch.save(model.state_dict(), \"weights.pth\")"
    )]
    WholeModule {
        /// The Python class.
        class: String,
    },
    /// Tensors behind a Python callable that we do not interpret.
    #[error(
        "`{name}` is made by the Python callable `{global}`, which is never run here; save plain tensors: \
         torch.save({{k: v.detach().clone() for k, v in model.state_dict().items()}}, \"weights.pth\")"
    )]
    Callable {
        /// The tensor's name in the file.
        name: String,
        /// `module.name` of the callable.
        global: String,
    },
    /// A checkpoint in which no state dict was found.
    #[error("no state dict in this checkpoint, only {found}; save model.state_dict(), or put it under \"state_dict\"")]
    NoStateDict {
        /// The keys that were found, or the type of the object.
        found: String,
    },
    /// A key that leads to no network.
    #[error("no network under the key `{key}`; there is {there}")]
    NoSuchKey {
        /// What was asked for.
        key: String,
        /// The keys and prefixes that there are.
        there: String,
    },
    /// More than one network in the file.
    #[error("{count} networks in one file, at {places}; choose one with --key")]
    Ambiguous {
        /// How many.
        count: usize,
        /// The prefixes or keys at which they start.
        places: String,
    },
    /// No ResNet's names.
    #[error(
        "no ResNet in the {count} tensors ({examples}): neither torchvision's names (conv1.weight, layer1.0.conv1.weight, \
         …), Hugging Face's (embedder.embedder.convolution.weight, …), nor Chainer's (conv1/W, res2/a/conv1/W, …), \
         nor Caffe2's (conv1_w, res2_0_branch2a_w, …), nor Keras' (conv1_conv/kernel, conv2_block1_1_conv/kernel, …)"
    )]
    NotResNet {
        /// How many tensors the file has.
        count: usize,
        /// Some of their names.
        examples: String,
    },
    /// A relative of the ResNet that we do not build.
    #[error("tensor `{name}` belongs to a {variant}, which is not built; use the weights of a plain ResNet")]
    Variant {
        /// The tensor that gave it away.
        name: String,
        /// What the relative is called.
        variant: &'static str,
    },
    /// Two tensors of the file have the same torchvision name.
    #[error("`{first}` and `{second}` are both `{name}` by torchvision's names; save one network by itself")]
    Collision {
        /// The torchvision name.
        name: String,
        /// One tensor's name in the file.
        first: String,
        /// The other's.
        second: String,
    },
}

impl Reason {
    /// Of another machine.
    pub(super) fn big_endian() -> Self {
        Self::Unsupported {
            what: "a PyTorch file written on a big-endian machine",
            remedy: "load it and save it again on a little-endian one",
        }
    }

    /// The bytes contradict the format.
    pub(super) fn damaged(format: &'static str, what: impl Into<String>) -> Self {
        Self::Damaged { format, what: what.into() }
    }
}
