//! How large a request may be, and how long it may take.

use std::time::Duration;

/// The largest request that the doors accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The largest body of one request or gRPC message, in bytes; 0: [`Service::max_body_bytes`](super::Service::max_body_bytes) finds it.
    pub max_body_bytes: usize,
    /// The most images of one request.
    pub max_images_per_request: usize,
    /// The most bytes that all requests take together: bodies, messages, copies of them, pictures being decoded.
    pub max_in_flight_bytes: usize,
    /// The largest image, width times height, that is decoded.
    pub max_image_pixels: u64,
    /// The most pixels of all images of one request.
    pub max_request_pixels: u64,
    /// The deadline of a request that has none, from its arrival. `None`: it waits as long as its client does.
    pub default_timeout: Option<Duration>,
    /// The latest deadline that a request may have; later ones are brought forward to it.
    pub max_timeout: Duration,
    /// An image that would wait longer for a worker is refused. `None`: the queue's capacity alone decides.
    pub target_queue: Option<Duration>,
    /// Rows of answers are kept up to so many bytes; 0: none are.
    pub cache_bytes: usize,
    /// Whether requests for the same at the same time share one run.
    pub single_flight: bool,
}

impl RequestLimits {
    /// What a body may have at least, where its limit is found.
    pub(super) const LEAST_BODY_BYTES: usize = 32 << 20;
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 0,
            max_images_per_request: 64,
            max_in_flight_bytes: 1 << 30,
            max_image_pixels: 100_000_000,
            max_request_pixels: 400_000_000,
            default_timeout: None,
            max_timeout: Duration::from_secs(3_600),
            target_queue: None,
            cache_bytes: 0,
            single_flight: false,
        }
    }
}
