//! How large a request may be.

/// The largest request that the doors accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The largest body of one request or gRPC message, in bytes.
    pub max_body_bytes: usize,
    /// The most images of one request.
    pub max_images_per_request: usize,
    /// The most bytes of all bodies that are being read or worked on.
    pub max_in_flight_bytes: usize,
    /// The largest image, width times height, that is decoded.
    pub max_image_pixels: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_images_per_request: 64,
            max_in_flight_bytes: 1 << 30,
            max_image_pixels: 100_000_000,
        }
    }
}
