//! The `resnetd` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the process has one thread so far, so nothing reads the environment meanwhile. ONNX Runtime looks for this
    // variable when its library is loaded; its telemetry stays off.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    resnetd::cli::run()
}
