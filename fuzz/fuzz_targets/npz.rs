//! The arrays of an `.npz` file under the names of a Chainer ResNet, so that the file is past the detection of its layout.
//!
//! Arrays lie one after the other, each begins with NumPy's magic number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::{archive, import};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Without the first two it is no ResNet of Chainer.
const NAMES: [&str; 10] = [
    "conv1/W.npy",
    "res2/a/conv1/W.npy",
    "bn1/gamma.npy",
    "bn1/beta.npy",
    "bn1/avg_mean.npy",
    "bn1/avg_var.npy",
    "fc6/W.npy",
    "fc6/b.npy",
    "res2/a/conv4/W.npy",
    "conv1/b.npy",
];

fuzz_target!(|arrays: &[u8]| {
    let mut starts: Vec<usize> = (0..arrays.len()).filter(|&at| arrays[at..].starts_with(MAGIC)).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([arrays.len()]);
    let mut parts: Vec<&[u8]> = starts.iter().zip(ends).map(|(&start, end)| &arrays[start..end]).collect();
    let first = parts[0];
    parts.resize(parts.len().clamp(2, NAMES.len()), first);
    import(&archive(NAMES.into_iter().zip(parts)));
});
