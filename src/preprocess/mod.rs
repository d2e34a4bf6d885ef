//! From the bytes of a file to the pixels that the model was trained to see.
use serde::{Deserialize, Serialize};
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    #[default]
    ShorterSide,
    Stretch,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    #[default]
    Bilinear,
    Bicubic,
    Nearest,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    #[default]
    Apply,
    Ignore,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub resize_size: Option<u32>,
    pub crop_size: Option<u32>,
    pub resize_mode: ResizeMode,
    pub interpolation: Interpolation,
    pub orientation: Orientation,
}
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_pixels: u64,
}
pub struct Header {
    pub width: u32,
    pub height: u32,
}
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("x")]
    Empty,
    #[error("x")]
    UnsupportedFormat { found: String },
    #[error("x")]
    TooLarge { width: u64, height: u64, limit: u64 },
    #[error("x")]
    Corrupt { format: String, cause: String },
}
pub fn probe(_: &[u8]) -> Result<Header, DecodeError> {
    Err(DecodeError::Empty)
}
pub fn preprocess(_: &[u8], _: &Spec, _: &Limits) -> Result<crate::tensor::Pixels, DecodeError> {
    Err(DecodeError::Empty)
}
