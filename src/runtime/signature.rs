//! What a graph takes and gives: whether it classifies images, and how its batches lie in memory.
//!
//! Any exporter's graph is welcome: names do not matter, `NCHW` and `NHWC` are told apart by where the 3 channels are,
//! and a fixed batch is respected.

use super::RunError;
use crate::tensor::{Batch, Layout};

/// A tensor at the edge of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphTensor {
    /// Its name in the graph.
    pub name: String,
    /// Free dimensions are `-1`.
    pub shape: Vec<i64>,
    /// `float32`, `float16`, or what else the engine calls it.
    pub element: String,
}

/// The most pixels of an image along one side, and in all. Nobody classifies larger ones, and a graph can state any size.
const LARGEST_SIDE: usize = 16_384;
const LARGEST_IMAGE: usize = 4096 * 4096;

/// How to call an image classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The images.
    pub input: GraphTensor,
    /// The classes.
    pub output: GraphTensor,
    /// Where the channels are.
    pub layout: Layout,
    /// Height and width, where the graph fixes them.
    pub size: Option<(usize, usize)>,
    /// The batch, where the graph fixes it.
    pub fixed_batch: Option<usize>,
    /// The number of classes, where the graph declares it.
    pub classes: Option<usize>,
    /// The input is 16-bit.
    pub half_input: bool,
    /// The output is 16-bit.
    pub half_output: bool,
}

/// Why a graph is no image classifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not exactly one input.
    #[error("no image classifier: it has {count} inputs ({names}), expected one image batch")]
    Inputs {
        /// How many there are.
        count: usize,
        /// Their names.
        names: String,
    },
    /// The input is no batch of images.
    #[error("no image classifier: input `{name}` is {element}{shape:?}, expected float32 [N, 3, H, W] or [N, H, W, 3]")]
    Input {
        /// The input's name.
        name: String,
        /// Its element type.
        element: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// Its images are larger than any that is served.
    #[error(
        "input `{name}` takes images of {height}x{width}; the largest that are served have {LARGEST_SIDE} pixels a side and \
         {LARGEST_IMAGE} in all: export the graph for smaller images"
    )]
    Size {
        /// The input's name.
        name: String,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// No output is a row of classes per image.
    #[error("no image classifier: no output is float32 [N, classes] (there is {found})")]
    Output {
        /// What there is.
        found: String,
    },
}

impl Signature {
    /// Finds the image input and the class output.
    ///
    /// # Errors
    /// [`SignatureError`] says what was found instead.
    pub fn of(inputs: &[GraphTensor], outputs: &[GraphTensor]) -> Result<Self, SignatureError> {
        let [input] = inputs else {
            let names = inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(SignatureError::Inputs { count: inputs.len(), names });
        };
        let half_input = input.element == "float16";
        let layout = match input.shape[..] {
            [_, 3, ..] if input.shape.len() == 4 => Some(Layout::Nchw),
            [_, _, _, 3] => Some(Layout::Nhwc),
            _ => None,
        };
        let Some(layout) = layout.filter(|_| half_input || input.element == "float32") else {
            let GraphTensor { name, shape, element } = input.clone();
            return Err(SignatureError::Input { name, element, shape });
        };
        let (height, width) = match layout {
            Layout::Nchw => (input.shape[2], input.shape[3]),
            Layout::Nhwc => (input.shape[1], input.shape[2]),
        };
        check_size(&input.name, known(height).unwrap_or(1), known(width).unwrap_or(1))?;
        let output = outputs.iter().find(|output| is_class_row(output)).ok_or_else(|| SignatureError::Output {
            found: outputs
                .iter()
                .map(|o| format!("{} {}{:?}", o.name, o.element, o.shape))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok(Self {
            layout,
            size: known(height).zip(known(width)),
            fixed_batch: known(input.shape[0]),
            classes: output.shape.get(1).copied().and_then(known),
            half_input,
            half_output: output.element == "float16",
            input: input.clone(),
            output: output.clone(),
        })
    }

    /// Whether `batch` may be run.
    ///
    /// # Errors
    /// [`RunError::Shape`].
    pub fn check(&self, batch: &Batch) -> Result<(), RunError> {
        let got = batch.shape();
        let fits = got[0] > 0
            && self.fixed_batch.is_none_or(|fixed| got[0] <= fixed)
            && got.iter().zip(&self.input.shape).skip(1).all(|(&got, &want)| want < 0 || got as i64 == want);
        if fits {
            return Ok(());
        }
        let dims = self.input.shape.iter().map(|&dim| if dim < 0 { "?".to_owned() } else { dim.to_string() });
        Err(RunError::Shape { got, expected: format!("[{}]", dims.collect::<Vec<_>>().join(", ")) })
    }
}

/// Whether images of this size are served at all. Asked before anything is allocated for them.
///
/// # Errors
/// [`SignatureError::Size`].
pub fn check_size(name: &str, height: usize, width: usize) -> Result<(), SignatureError> {
    let pixels = height.checked_mul(width);
    if height <= LARGEST_SIDE && width <= LARGEST_SIDE && pixels.is_some_and(|pixels| pixels <= LARGEST_IMAGE) {
        return Ok(());
    }
    Err(SignatureError::Size { name: name.to_owned(), height, width })
}

fn known(dim: i64) -> Option<usize> {
    usize::try_from(dim).ok().filter(|&dim| dim > 0)
}

/// `[N, K]`, or `[N, K, 1, 1]` as Caffe's graphs end; a rank that the graph leaves open is tried too.
fn is_class_row(output: &GraphTensor) -> bool {
    let float = output.element == "float32" || output.element == "float16";
    float && output.shape.len() >= 2 && output.shape[2..].iter().all(|&dim| dim == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, element: &str, shape: &[i64]) -> GraphTensor {
        GraphTensor { name: name.into(), shape: shape.into(), element: element.into() }
    }

    #[test]
    fn channels_tell_the_layout() {
        let logits = [tensor("out", "float32", &[-1, 1000])];
        let of = |shape: &[i64]| Signature::of(&[tensor("x", "float32", shape)], &logits).unwrap();
        assert_eq!(of(&[-1, 3, 224, 224]).layout, Layout::Nchw);
        assert_eq!(of(&[-1, 224, 224, 3]).layout, Layout::Nhwc);
        assert_eq!(of(&[1, 3, -1, -1]).size, None);
        assert_eq!(of(&[1, 3, -1, -1]).fixed_batch, Some(1));
    }

    #[test]
    fn an_image_that_is_too_large_is_refused_with_its_size_and_the_limits() {
        let logits = [tensor("out", "float32", &[-1, 1000])];
        let of = |height, width| Signature::of(&[tensor("x", "float32", &[-1, 3, height, width])], &logits);
        assert!(of(4096, 4096).is_ok() && of(128, 16_384).is_ok() && of(-1, -1).is_ok());
        for (height, width) in [(1 << 24, 1 << 24), (1 << 31, 1), (10_000, 10_000), (1, 16_385), (i64::MAX, i64::MAX)] {
            let refusal = of(height, width).unwrap_err().to_string();
            assert!(refusal.contains(&format!("{height}x{width}")) && refusal.contains("16384"), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_classifier_is_named() {
        let image = tensor("x", "float32", &[-1, 3, 224, 224]);
        let logits = tensor("out", "float32", &[-1, 1000]);
        let message =
            |inputs: &[GraphTensor], outputs: &[GraphTensor]| Signature::of(inputs, outputs).unwrap_err().to_string();
        assert!(message(&[image.clone(), image.clone()], std::slice::from_ref(&logits)).contains("2 inputs"));
        assert!(message(&[tensor("ids", "int64", &[-1, 128])], &[logits]).contains("int64[-1, 128]"));
        assert!(message(&[image], &[tensor("mask", "float32", &[-1, 21, 224, 224])]).contains("mask"));
    }
}
