//! What a model's images become before the network: what the graph and `model.toml` say together.

use super::{GraphImage, Manifest, ModelError};
use crate::{
    preprocess::Spec,
    runtime::{Element, Signature},
    tensor::{ColorOrder, Normalizer},
};

/// With fewer levels a picture is a stencil: nobody wants that, so it is settings for another kind of graph.
const FEWEST_LEVELS: usize = 16;

/// How a graph's images are prepared: what graph and manifest say together.
pub struct Prepared {
    /// From a file to pixels.
    pub spec: Spec,
    /// From pixels to numbers.
    pub normalizer: Normalizer,
    /// The order of the channels.
    pub color: ColorOrder,
    /// Height and width of what the network takes.
    pub size: (usize, usize),
    /// What was taken for granted and may be wrong, with the key that says it.
    pub taken: Vec<String>,
}

impl Prepared {
    /// * `signature`: of the graph
    ///
    /// # Errors
    /// [`ModelError::OneChannel`], [`ModelError::Size`], [`ModelError::OpenSize`].
    pub fn new(manifest: &Manifest, signature: &Signature) -> Result<Self, ModelError> {
        let (input, image) = (&manifest.input, GraphImage::from(signature));
        let color = input.color_for(&image);
        if signature.channels == 1 && color != ColorOrder::Gray {
            return Err(ModelError::OneChannel { said: color });
        }
        if let Some(levels) = input.levels(&image).filter(|levels| *levels < FEWEST_LEVELS) {
            return Err(ModelError::Levels { levels });
        }
        let spec = input.spec(&image);
        let size = image_size(signature, &spec)?;
        let mut taken = Vec::new();
        if signature.size.is_none() && input.crop_size.is_none() && input.crop_height.is_none() {
            let (height, width) = size;
            taken.push(format!(
                "its graph leaves the image size open, {height}x{width} is taken: set [input] crop_size"
            ));
        }
        let stated = input.scale.is_some() || input.mean.is_some() || input.std.is_some();
        match (signature.element, color) {
            (Element::Int8, _) if !stated => taken.push(
                "its graph takes int8, pixels less 128 are given: set [input] scale, mean and std where it wants others".to_owned(),
            ),
            (Element::Float | Element::Half, ColorOrder::Gray) if !stated => taken.push(
                "its images are gray, and ImageNet's average mean and deviation are taken: set [input] mean and std".to_owned(),
            ),
            _ => {}
        }
        Ok(Self { spec, normalizer: input.normalizer(&image), color, size, taken })
    }
}

fn image_size(signature: &Signature, spec: &Spec) -> Result<(usize, usize), ModelError> {
    let prepared = spec.output_size().map(|(width, height)| (height as usize, width as usize));
    match (signature.size, prepared) {
        (Some((height, width)), Some(prepared)) if (height, width) != prepared => {
            let remedy = if height == width {
                format!("crop_size = {height}")
            } else {
                format!("crop_height = {height} and crop_width = {width}, without crop_size")
            };
            Err(ModelError::Size { height, width, prepared: format!("{}x{}", prepared.0, prepared.1), remedy })
        }
        (Some(size), _) => Ok(size),
        (None, Some(prepared)) => Ok(prepared),
        (None, None) => Err(ModelError::OpenSize),
    }
}
