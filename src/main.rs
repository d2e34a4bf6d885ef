//! The `resnetd` binary; everything is in the library.

fn main() -> ! {
    // SAFETY: the process has one thread so far, so nothing reads the environment meanwhile. ONNX Runtime looks for this
    // variable when its library is loaded; its telemetry stays off.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    resnetd::cli::run()
}
