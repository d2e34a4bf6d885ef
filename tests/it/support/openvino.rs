//! The OpenVINO plugin, where this machine has it and can use it.

use std::path::{Path, PathBuf};

use resnetd::runtime::Processor;

pub(crate) const PLUGIN: &str = "libonnxruntime_providers_openvino_plugin.so";

/// The folder that `make runtime-openvino` fills.
///
/// # Errors
/// Why there is nothing to test.
pub(crate) fn folder() -> Result<PathBuf, &'static str> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/openvino");
    if !folder.join(PLUGIN).is_file() {
        return Err("no OpenVINO plugin; `make runtime-openvino` fetches it");
    }
    // It lies there on other processors too, and finds no device.
    if Processor::of_this_machine().is_intel == Some(false) {
        return Err("the OpenVINO plugin offers itself on Intel's processors only");
    }
    Ok(folder)
}
