//! How large an image may be: judged by its header, before memory is taken.

use super::{error::DecodeError, header::Header, spec::Spec};

/// What an image may cost, checked before memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most pixels that an image may claim, and that resizing may make of it.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 100 megapixels: twice what phones and most cameras take. (Pillow warns at 89 and refuses at 179 megapixels.)
    fn default() -> Self {
        Self { max_pixels: 100_000_000 }
    }
}

/// The longest side that is handled, in pixels. The weights of a resize take memory in proportion to it.
const MAX_SIDE: u64 = 1 << 24;

/// The longest side that an image may have between resize and crop. Only the crop is ever computed.
const MAX_RESIZED_SIDE: u64 = 1 << 26;

impl DecodeLimits {
    /// Checks what a file claims: that it is not too large, and that the file can hold it.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`], [`DecodeError::Corrupt`].
    pub fn admit(&self, header: &Header) -> Result<(), DecodeError> {
        self.admit_size(header.width.into(), header.height.into())?;
        header.check_length()
    }

    /// Checks a size.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub(super) fn admit_size(&self, width: u64, height: u64) -> Result<(), DecodeError> {
        let limit = if width.max(height) > MAX_SIDE { self.max_pixels.min(MAX_SIDE) } else { self.max_pixels };
        if width.saturating_mul(height) > limit {
            return Err(DecodeError::TooLarge { width, height, limit });
        }
        Ok(())
    }

    /// Checks what a resize makes of an image, and gives it back in the type that pixels are counted in.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub(super) fn admit_resized(&self, spec: &Spec, (width, height): (u64, u64)) -> Result<(u32, u32), DecodeError> {
        let too_large = |limit| DecodeError::TooLarge { width, height, limit };
        let kept = spec.crop().map_or((width, height), |(width, height)| (width.into(), height.into()));
        if kept.0.saturating_mul(kept.1) > self.max_pixels {
            return Err(too_large(self.max_pixels));
        }
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(w), Ok(h)) if width.max(height) <= MAX_RESIZED_SIDE => Ok((w, h)),
            _ => Err(too_large(MAX_RESIZED_SIDE)),
        }
    }
}
