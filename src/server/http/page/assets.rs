//! The files of the page, packed by `build.rs`: `assets/` has our own, `assets/vendor/` what others wrote, with its licences.

use crate::server::http::packed::PackedFile;

/// A file by its name; its kind is the media type.
macro_rules! file {
    (script: $name:literal) => {
        file!("text/javascript; charset=utf-8", $name)
    };
    (style: $name:literal) => {
        file!("text/css; charset=utf-8", $name)
    };
    (drawing: $name:literal) => {
        file!("image/svg+xml", $name)
    };
    ($media_type:literal, $name:literal) => {
        PackedFile {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/page/", $name, ".gz")),
        }
    };
}

/// What the page loads.
pub(super) const ASSETS: [PackedFile; 29] = [
    file!(script: "answer.js"),
    file!(script: "app.js"),
    file!(script: "camera.js"),
    file!(script: "chart.js"),
    file!(script: "classify.js"),
    file!(script: "code.js"),
    file!(script: "csv.js"),
    file!(script: "desk.js"),
    file!(script: "gather.js"),
    file!(script: "htm-preact.js"),
    file!(drawing: "icon.svg"),
    file!(script: "intake.js"),
    file!(script: "key.js"),
    file!(script: "line.js"),
    file!(script: "live.js"),
    file!(script: "models.js"),
    file!(script: "overlay.js"),
    file!(script: "parts.js"),
    file!(script: "picture.js"),
    file!(script: "server.js"),
    file!(script: "snippets.js"),
    file!(script: "store.js"),
    file!(style: "style.css"),
    file!(script: "table.js"),
    file!(style: "uplot.css"),
    file!(script: "uplot.js"),
    file!(script: "view_classify.js"),
    file!(script: "view_live.js"),
    file!(script: "view_models.js"),
];

/// The page itself.
pub(super) const PAGE: PackedFile = file!("text/html; charset=utf-8", "index.html");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let packed: usize = ASSETS.iter().chain([&PAGE]).map(|file| file.bytes.len()).sum();
        assert!(packed < 150_000, "{packed} bytes");
        for file in ASSETS.iter().chain([&PAGE]) {
            let text = String::from_utf8(file.unpacked().to_vec()).expect("text");
            let loads = [
                "src=\"http",
                "href=\"http",
                " url(",
                ":url(",
                "from 'http",
                "import('",
                "sourceMappingURL",
                "<style",
                " style=\"",
            ];
            for way in loads {
                assert!(!text.contains(way), "{}: {way}", file.name);
            }
        }
    }

    #[test]
    fn every_file_that_one_of_the_page_names_is_there() {
        let page = String::from_utf8(PAGE.unpacked().to_vec()).expect("text");
        let mut named: Vec<String> =
            page.split('"').filter_map(|part| part.strip_prefix("page/")).map(str::to_owned).collect();
        for file in ASSETS.iter().filter(|file| file.name.ends_with(".js")) {
            let text = String::from_utf8(file.unpacked().to_vec()).expect("text");
            named.extend(text.split('\'').filter_map(|part| part.strip_prefix("./")).map(str::to_owned));
        }
        named.sort();
        named.dedup();
        let mut there: Vec<_> = ASSETS.iter().map(|file| file.name.to_owned()).collect();
        there.sort();
        assert_eq!(named, there);
    }
}
