//! Damaged and hostile weight files: an answer for every byte, and never a panic or a run-away allocation.

// The test's own functions, which the exemption for tests does not reach.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::Duration;

use resnetd::resnet::import::{self, ImportError, Imported};
use tempfile::NamedTempFile;

use crate::support::processor_time;

/// xorshift64*: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    /// Changes a few bytes; sometimes cuts the end off.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            bytes[at] = match self.below(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << self.below(8)),
                _ => self.below(256) as u8,
            };
        }
        if self.below(8) == 0 {
            bytes.truncate(self.below(bytes.len()));
        }
    }
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)).unwrap()
}

/// Imports a file of these bytes. A new file each time: some file systems wait for the disk when one is overwritten.
fn import(bytes: &[u8]) -> Result<Imported, ImportError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    import::read(file.path())
}

/// The entries of an archive.
fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// An archive whose checksums are right, whatever its entries say.
fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in entries {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A `.pth` around a pickle of our own.
fn torch_file(pickle: &[u8]) -> Vec<u8> {
    zip(&[("w/data.pkl".to_owned(), pickle.to_vec()), ("w/data/0".to_owned(), vec![0; 16])])
}

#[test]
fn every_truncation_of_a_weight_file_is_refused() {
    for (name, step) in [
        ("plain.pth", 7),
        ("float32.safetensors", 7),
        ("chainer.npz", 7),
        ("keras_weights.h5", 31),
        ("keras.weights.h5", 61),
        ("model.keras", 61),
    ] {
        let bytes = fixture(name);
        for length in (0..bytes.len()).step_by(step) {
            assert!(import(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn mutated_bytes_of_any_format_give_an_answer() {
    let mut random = Random(1);
    for name in [
        "plain.pth",
        "checkpoint.pth",
        "float16.safetensors",
        "hugging_face.safetensors",
        "chainer.npz",
        "snapshot.npz",
        "keras_weights.h5",
        "keras.weights.h5",
        "keras_packed.h5",
    ] {
        let bytes = fixture(name);
        for _ in 0..400 {
            let mut mutated = bytes.clone();
            random.mutate(&mut mutated);
            let _ = import(&mutated);
        }
    }
}

/// Behind the archive's checksums, where a hostile file would put them.
#[test]
fn mutated_pickles_and_headers_behind_right_checksums_give_an_answer() {
    let mut random = Random(2);
    for (name, target) in [
        ("views.pth", "data.pkl"),
        ("checkpoint.pth", "data.pkl"),
        ("protocol4.pth", "data.pkl"),
        ("chainer.npz", "W.npy"),
    ] {
        let entries = unzip(&fixture(name));
        let mut answers = [0, 0];
        for _ in 0..1000 {
            let mut entries = entries.clone();
            let (_, content) = entries.iter_mut().find(|(name, _)| name.ends_with(target)).unwrap();
            random.mutate(content);
            answers[usize::from(import(&zip(&entries)).is_ok())] += 1;
        }
        // Else the mutations would not reach beyond the first check.
        assert!(answers[0] > 100 && answers[1] > 50, "{name}: {answers:?}");
    }
}

#[test]
fn changed_byte_of_a_tensor_is_caught_by_the_checksum_of_the_archive() {
    for name in ["plain.pth", "snapshot.npz"] {
        let mut bytes = fixture(name);
        // conv1.weight's first value, which the files store uncompressed.
        let base = "conv1.weight".bytes().map(u32::from).sum::<u32>() % 64;
        let values: Vec<u8> = (base..base + 2).flat_map(|value| (value as f32 / 8.0).to_le_bytes()).collect();
        let row_major = bytes.windows(8).position(|window| window == values);
        let at = row_major.or_else(|| bytes.windows(4).position(|window| window == &values[..4])).unwrap();
        bytes[at + 2] ^= 1;
        let message = import(&bytes).unwrap_err().to_string();
        assert!(message.contains("hecksum"), "{name}: {message}");
    }
}

#[test]
fn tensor_that_claims_more_than_its_storage_is_refused_without_the_memory_for_it() {
    // {"conv1.weight": _rebuild_tensor_v2(storage "0" of 4 values, 0, (2**31 - 1, 2**31 - 1), (0, 0), False, {})}
    let mut pickle = b"\x80\x02}X\x0c\x00\x00\x00conv1.weightctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ");
    pickle.extend(b"K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86K\x00K\x00\x86\x89}tRs.");
    let message = import(&torch_file(&pickle)).unwrap_err().to_string();
    assert!(message.contains("leaves its storage of 4"), "{message}");
}

#[test]
fn pickle_of_objects_within_each_other_or_of_endless_depth_is_refused() {
    // A dict that is its own "state_dict", and a tuple in a tuple in a tuple.
    let cycle = b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.".to_vec();
    let deep = [&b"\x80\x02)"[..], &[0x85; 100_000], b"."].concat();
    for pickle in [cycle, deep] {
        let message = import(&torch_file(&pickle)).unwrap_err().to_string();
        assert!(message.contains("no state dict"), "{message}");
    }
}

#[test]
fn dict_that_holds_itself_under_every_key_is_looked_at_once() {
    let mut pickle = b"\x80\x02}q\x00(".to_vec();
    for key in ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "state_dict_ema"]
    {
        pickle.extend([b'X', key.len() as u8, 0, 0, 0]);
        pickle.extend(key.bytes());
        pickle.extend(b"h\x00");
    }
    pickle.extend(b"K\x01N".repeat(300_000));
    pickle.extend(b"u.");
    let started = processor_time();
    let message = import(&torch_file(&pickle)).unwrap_err().to_string();
    assert!(message.contains("no state dict"), "{message}");
    let taken = processor_time() - started;
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[test]
fn shape_of_very_many_dimensions_is_not_copied_for_each_tensor() {
    // Thirty thousand names for one tensor whose shape has a hundred thousand dimensions: 24 GB of sizes.
    let mut pickle = b"\x80\x02}(X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00(");
    pickle.extend(b"K\x01q\x01");
    pickle.extend(b"h\x01".repeat(100_000));
    pickle.extend(b"tq\x02h\x02\x89}tRq\x03");
    for index in 0..30_000 {
        pickle.extend(format!("X\x05\x00\x00\x00{index:05}h\x03").bytes());
    }
    pickle.extend(b"u.");
    let message = import(&torch_file(&pickle)).unwrap_err().to_string();
    assert!(message.contains("_rebuild_tensor_v2"), "{message}");
}

#[test]
fn array_that_claims_more_than_a_resnet_is_refused_before_it_is_unpacked() {
    let mut array = b"\x93NUMPY\x01\x00\x46\x00".to_vec();
    array.extend(format!("{:<70}", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999), }").bytes());
    let message = import(&zip(&[("fc6/W.npy".to_owned(), array)])).unwrap_err().to_string();
    assert!(message.contains("more than 536870912 weights"), "{message}");
}

/// A file that calls itself its own member, its own tree, its own continuation.
#[test]
fn hdf5_file_whose_addresses_lead_in_circles_gives_an_answer() {
    let bytes = fixture("keras.weights.h5");
    let addresses: Vec<usize> = (0..bytes.len() - 8)
        .step_by(8)
        .filter(|&at| matches!(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()), 96..=27_000))
        .collect();
    let mut random = Random(3);
    for _ in 0..1000 {
        let mut turned = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let [from, to] = [0; 2].map(|_| addresses[random.below(addresses.len())]);
            turned.copy_within(from..from + 8, to);
        }
        let _ = import(&turned);
    }
}

#[test]
fn files_of_other_kinds_are_named_with_the_remedy() {
    for (bytes, said) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"[..], "git lfs pull"),
        (&fixture("keras_packed.h5"), "save_npz"),
        (b"\x89HDF\r\n\x1a\n\0\0", "not a sound HDF5 file"),
        (b"", "it starts with nothing"),
        (b"<!DOCTYPE html>", "3c21444f43545950"),
    ] {
        let message = import(bytes).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
    let missing = import::read(Path::new("/nonexistent/weights.pth")).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/weights.pth: cannot read the file"), "{missing}");
}
