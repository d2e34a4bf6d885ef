//! What a graph takes and gives: whether it classifies images, and how its batches lie in memory.
//!
//! Any exporter's graph is welcome: names do not matter, `NCHW` and `NHWC` are told apart by where the channels are, and a
//! fixed batch is respected. What the graph leaves open is [`Stated`] by model.toml, and a refusal names the key.

use super::{
    RunError,
    class_output::{OutputError, choose, classes},
    element::Element,
    graph_tensor::GraphTensor,
};
use crate::tensor::{Batch, Layout};

/// The most pixels of an image along one side, and in all. Nobody classifies larger ones, and a graph can state any size.
const LARGEST_SIDE: usize = 16_384;
const LARGEST_IMAGE: usize = 4096 * 4096;

/// What is known of a graph from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Where the channels are.
    pub layout: Option<Layout>,
    /// Images are gray: where the graph leaves the number of channels free, there is one.
    pub gray: bool,
    /// Which output has the classes.
    pub output: Option<String>,
    /// How many classes have a name.
    pub labels: Option<usize>,
    /// Where the features are, for each output that could have the classes.
    pub features: Vec<InnerValue>,
    /// Where the maps are that are averaged before the last layer.
    pub maps: Vec<InnerValue>,
}

impl Stated {
    /// Values inside the graph that are to become outputs of it, sorted.
    pub fn exposed(&self) -> Vec<String> {
        let inside = self.features.iter().chain(&self.maps).filter(|inside| !inside.is_output);
        let mut exposed: Vec<_> = inside.filter_map(|inside| inside.value.clone().ok()).collect();
        exposed.sort();
        exposed.dedup();
        exposed
    }
}

/// A value inside the graph that belongs to an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerValue {
    /// The output.
    pub output: String,
    /// The value; else why there is none, as the end of a sentence.
    pub value: Result<String, String>,
    /// The graph gives that value out by itself.
    pub is_output: bool,
}

/// How to call an image classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The images.
    pub input: GraphTensor,
    /// The classes.
    pub output: GraphTensor,
    /// Where the channels are.
    pub layout: Layout,
    /// 3, or 1 for gray images.
    pub channels: usize,
    /// Height and width, where the graph fixes them.
    pub size: Option<(usize, usize)>,
    /// The batch, where the graph fixes it.
    pub fixed_batch: Option<usize>,
    /// The number of classes, where the graph declares it.
    pub classes: Option<usize>,
    /// What the numbers of the input are.
    pub element: Element,
    /// The output is 16-bit.
    pub half_output: bool,
}

/// Why a graph is no image classifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not exactly one input.
    #[error(
        "no image classifier: it has {count} inputs ({names}), expected one image batch; export it with that input only"
    )]
    Inputs {
        /// How many there are.
        count: usize,
        /// Their names.
        names: String,
    },
    /// The input is no batch of images.
    #[error(
        "no image classifier: input `{name}` is {element}{shape:?}, expected float32, float16, uint8 or int8 [N, C, H, W] or \
         [N, H, W, C] with 3 channels, or 1 of gray; where its dimensions are free, set [input] layout"
    )]
    Input {
        /// The input's name.
        name: String,
        /// Its element type.
        element: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// Nothing says where the channels are.
    #[error(
        "input `{name}` leaves its channels free ({shape:?}): set [input] layout = \"nchw\" (as PyTorch exports) or \"nhwc\" \
         (TensorFlow), and crop_size where images are not 224x224"
    )]
    OpenLayout {
        /// The input's name.
        name: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// `layout` in model.toml is not the graph's.
    #[error("model.toml says layout = {said:?} and input `{name}` is {shape:?}: remove [input] layout")]
    LayoutMismatch {
        /// The manifest's.
        said: Layout,
        /// The input's name.
        name: String,
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
    /// No output is a row of classes per image, or it is not clear which.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Signature {
    /// Finds the image input and the class output.
    ///
    /// # Errors
    /// [`SignatureError`] says what was found instead, and which key would help.
    pub fn of(inputs: &[GraphTensor], outputs: &[GraphTensor], stated: &Stated) -> Result<Self, SignatureError> {
        let [input] = inputs else {
            let names = inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(SignatureError::Inputs { count: inputs.len(), names });
        };
        let no_image = || {
            let GraphTensor { name, shape, element } = input.clone();
            SignatureError::Input { name, element, shape }
        };
        let element = Element::named(&input.element).ok_or_else(no_image)?;
        // A rank that is left open is that of images.
        let dims: [i64; 4] = match &input.shape[..] {
            [] => [-1; 4],
            dims => dims.try_into().map_err(|_| no_image())?,
        };
        let layout = layout(input, dims, stated)?;
        let [channels, height, width] = match layout {
            Layout::Nchw => [dims[1], dims[2], dims[3]],
            Layout::Nhwc => [dims[3], dims[1], dims[2]],
        };
        check_size(&input.name, known(height).unwrap_or(1), known(width).unwrap_or(1))?;
        let output = choose(outputs, stated.output.as_deref(), stated.labels)?;
        Ok(Self {
            layout,
            channels: known(channels).unwrap_or(if stated.gray { 1 } else { 3 }),
            size: known(height).zip(known(width)),
            fixed_batch: known(dims[0]),
            classes: classes(output).flatten(),
            element,
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

/// Where the channels are: where model.toml says, if that can be, else where there are 3 or 1.
fn layout(input: &GraphTensor, dims: [i64; 4], stated: &Stated) -> Result<Layout, SignatureError> {
    let has = |place: usize, channels: i64| dims[place] == channels;
    let can = |place: usize| has(place, 1) || has(place, 3) || known(dims[place]).is_none();
    let (name, shape) = (input.name.clone(), input.shape.clone());
    if let Some(said) = stated.layout {
        let place = if said == Layout::Nchw { 1 } else { 3 };
        return if can(place) { Ok(said) } else { Err(SignatureError::LayoutMismatch { said, name, shape }) };
    }
    // Three channels count for more than one: an image may well be a single pixel high.
    for channels in [3, 1] {
        match (has(1, channels), has(3, channels)) {
            (true, _) => return Ok(Layout::Nchw),
            (_, true) => return Ok(Layout::Nhwc),
            _ => {}
        }
    }
    match (can(1), can(3)) {
        (true, false) => Ok(Layout::Nchw),
        (false, true) => Ok(Layout::Nhwc),
        (true, true) => Err(SignatureError::OpenLayout { name, shape }),
        (false, false) => Err(SignatureError::Input { name, element: input.element.clone(), shape }),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, element: &str, shape: &[i64]) -> GraphTensor {
        GraphTensor { name: name.into(), shape: shape.into(), element: element.into() }
    }

    #[test]
    fn channels_tell_the_layout() {
        let logits = [tensor("out", "float32", &[-1, 1000])];
        let of = |shape: &[i64]| Signature::of(&[tensor("x", "float32", shape)], &logits, &Stated::default()).unwrap();
        assert_eq!(of(&[-1, 3, 224, 224]).layout, Layout::Nchw);
        assert_eq!(of(&[-1, 224, 224, 3]).layout, Layout::Nhwc);
        assert_eq!(of(&[1, 3, -1, -1]).size, None);
        assert_eq!(of(&[1, 3, -1, -1]).fixed_batch, Some(1));
    }

    #[test]
    fn an_image_that_is_too_large_is_refused_with_its_size_and_the_limits() {
        let logits = [tensor("out", "float32", &[-1, 1000])];
        let of = |height, width| {
            Signature::of(&[tensor("x", "float32", &[-1, 3, height, width])], &logits, &Stated::default())
        };
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
        let message = |inputs: &[GraphTensor], outputs: &[GraphTensor]| {
            Signature::of(inputs, outputs, &Stated::default()).unwrap_err().to_string()
        };
        assert!(message(&[image.clone(), image.clone()], std::slice::from_ref(&logits)).contains("2 inputs"));
        assert!(message(&[tensor("ids", "int64", &[-1, 128])], &[logits]).contains("int64[-1, 128]"));
        assert!(message(&[image], &[tensor("mask", "float32", &[-1, 21, 224, 224])]).contains("mask"));
    }

    #[test]
    fn one_channel_is_gray_and_whole_numbers_are_welcome() {
        let logits = [tensor("out", "float32", &[-1, 10])];
        let of = |element: &str, shape: &[i64]| {
            let signature = Signature::of(&[tensor("x", element, shape)], &logits, &Stated::default()).unwrap();
            (signature.layout, signature.channels, signature.element)
        };
        assert_eq!(of("float32", &[-1, 1, 28, 28]), (Layout::Nchw, 1, Element::Float));
        assert_eq!(of("float16", &[-1, 28, 28, 1]), (Layout::Nhwc, 1, Element::Half));
        assert_eq!(of("uint8", &[-1, 224, 224, 3]), (Layout::Nhwc, 3, Element::Uint8));
        assert_eq!(of("int8", &[-1, 1, 224, 3]), (Layout::Nhwc, 3, Element::Int8));
    }

    #[test]
    fn what_is_free_is_refused_with_the_key_and_served_with_it() {
        let logits = [tensor("out", "float32", &[-1, 10])];
        let of = |shape: &[i64], stated: &Stated| Signature::of(&[tensor("x", "float32", shape)], &logits, stated);
        let said = |layout| Stated { layout: Some(layout), ..Stated::default() };
        assert_eq!(
            of(&[-1, -1, 224, 224], &Stated::default()).unwrap().layout,
            Layout::Nchw,
            "no image has 224 channels"
        );
        for shape in [&[-1, -1, -1, -1][..], &[], &[-1, -1, 224, -1]] {
            let refusal = of(shape, &Stated::default()).unwrap_err().to_string();
            assert!(refusal.contains("[input] layout"), "{refusal}");
            assert_eq!(of(shape, &said(Layout::Nhwc)).unwrap().layout, Layout::Nhwc);
            assert_eq!(of(shape, &said(Layout::Nchw)).unwrap().channels, 3);
            assert_eq!(of(shape, &Stated { gray: true, ..said(Layout::Nchw) }).unwrap().channels, 1);
        }
        let refusal = of(&[-1, 3, 224, 224], &said(Layout::Nhwc)).unwrap_err().to_string();
        assert!(refusal.contains("remove [input] layout"), "{refusal}");
        let refusal = of(&[-1, 4, 224, 224], &Stated::default()).unwrap_err().to_string();
        assert!(refusal.contains("[-1, 4, 224, 224]") && refusal.contains("3 channels"), "{refusal}");
    }
}
