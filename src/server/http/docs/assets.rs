//! The files of the page: Swagger UI as it was published, which `build.rs` takes out of the crate that vendors it, and the few
//! lines that start it.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;

/// A file of the page.
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    pub(super) bytes: &'static [u8],
    /// As gzip.
    pub(super) packed: bool,
}

pub(super) const ASSETS: [Asset; 3] = [
    Asset {
        name: "swagger-ui.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
        packed: true,
    },
    Asset {
        name: "swagger-ui-bundle.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
        packed: true,
    },
    Asset {
        name: "start.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("start.js"),
        packed: false,
    },
];

/// The page itself.
pub(super) const PAGE: &str = include_str!("page.html");

/// A packed file as it was.
pub(super) fn unpacked(packed: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    match GzDecoder::new(packed).read_to_end(&mut bytes) {
        Ok(_) => bytes.into(),
        Err(error) => {
            // It was packed by our own build, and a test unpacks it.
            tracing::error!(%error, "cannot unpack a file of the page");
            Bytes::new()
        }
    }
}
