//! The pickle of a PyTorch file, in an archive with two storages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::{archive, import};

fuzz_target!(|pickle: &[u8]| {
    let storage = [0x3f; 256];
    import(&archive([
        ("archive/data.pkl", pickle),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &storage),
        ("archive/data/1", &storage),
        ("archive/version", b"3\n"),
    ]));
});
