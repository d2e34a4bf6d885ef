//! What the targets share: weight files made around the fuzzer's bytes, so that it need not find checksums, lengths and names by chance.

use std::{
    cell::RefCell,
    fs,
    io::{Cursor, Write as _},
    path::PathBuf,
};

use bytes::Bytes;
use resnetd::{
    resnet::{check, detect, import},
    server,
    service::{RequestLimits, Service},
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The most images of a request: so many and one more may come out of a body.
const MAX_IMAGES: usize = 8;

/// Takes a body apart as `POST :classify` does.
pub fn take_apart(content_type: &str, body: Bytes) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().expect("no thread is started");
        static SERVICE: Service = {
            let limits = RequestLimits { max_images_per_request: MAX_IMAGES, ..RequestLimits::default() };
            Service::new(limits, 1, Metrics::new(false)).0
        };
    }
    let taken = SERVICE.with(|service| {
        RUNTIME.with(|runtime| runtime.block_on(server::take_apart(service, content_type, body)))
    });
    if let Ok(images) = taken {
        assert!(images <= MAX_IMAGES + 1, "{images} images");
    }
    SERVICE.with(|service| assert_eq!(service.in_flight_bytes(), 0, "what was charged is given back"));
}

/// Reads `bytes` as `resnetd build auto --weights FILE` does, as far as the graph.
pub fn import(bytes: &[u8]) {
    thread_local! {
        // In memory where the system has such a folder: a run is a write and a read.
        static FOLDER: RefCell<Option<(TempDir, PathBuf)>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let (_, path) = folder.get_or_insert_with(|| {
            let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder");
            let path = folder.path().join("weights");
            (folder, path)
        });
        fs::write(&*path, bytes).expect("the file is written");
        if let Ok(imported) = import::read(path)
            && let Ok(architecture) = detect(&imported.state_dict)
        {
            let _ = check(&architecture, &imported.state_dict);
        }
    });
}

/// A zip archive of these entries.
pub fn archive<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name, stored).expect("a new name");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}
