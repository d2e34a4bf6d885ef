//! What a model's images become before the network: what the graph and `model.toml` say together.

use super::{Manifest, ModelError};
use crate::{preprocess::Spec, runtime::Signature, tensor::Normalizer};

/// How a graph's images are prepared: what graph and manifest say together.
pub struct Prepared {
    /// From a file to pixels.
    pub spec: Spec,
    /// From pixels to numbers.
    pub normalizer: Normalizer,
    /// Height and width of what the network takes.
    pub size: (usize, usize),
}

impl Prepared {
    /// * `signature`: of the graph
    ///
    /// # Errors
    /// [`ModelError::LayoutMismatch`], [`ModelError::Size`], [`ModelError::OpenSize`].
    pub fn new(manifest: &Manifest, signature: &Signature) -> Result<Self, ModelError> {
        if let Some(said) = manifest.input.layout.filter(|said| *said != signature.layout) {
            return Err(ModelError::LayoutMismatch { said, found: signature.layout });
        }
        let spec = manifest.input.spec(signature.size);
        let size = image_size(signature, spec.crop_size)?;
        Ok(Self { spec, normalizer: manifest.input.normalizer(signature.layout), size })
    }
}

fn image_size(signature: &Signature, crop: Option<u32>) -> Result<(usize, usize), ModelError> {
    match (signature.size, crop) {
        (Some((height, width)), Some(crop)) if (height, width) != (crop as usize, crop as usize) => {
            Err(ModelError::Size { height, width, prepared: format!("{crop}x{crop}") })
        }
        (Some(size), _) => Ok(size),
        (None, Some(crop)) => Ok((crop as usize, crop as usize)),
        (None, None) => Err(ModelError::OpenSize),
    }
}
