//! The files of the page: Swagger UI as it was published, which `build.rs` takes out of the crate that vendors it, and the few
//! lines that start it.

use crate::server::http::packed::PackedFile;

pub(super) const ASSETS: [PackedFile; 3] = [
    PackedFile {
        name: "swagger-ui.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/docs/swagger-ui.css.gz")),
    },
    PackedFile {
        name: "swagger-ui-bundle.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/docs/swagger-ui-bundle.js.gz")),
    },
    PackedFile {
        name: "start.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/docs/start.js.gz")),
    },
];

/// The page itself.
pub(super) const PAGE: &str = include_str!("page.html");
