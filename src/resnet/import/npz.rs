//! `.npz`: a zip archive of `.npy` arrays, as `numpy.savez`, `numpy.savez_compressed` and Chainer's `save_npz` write it.

use std::io::Read;

use super::archive::Archive;
use super::error::Reason;
use super::raw_file::RawFile;
use super::values::{Budget, Dtype, count_of, gather};
use crate::resnet::state_dict::{Weight, is_counter};

pub(super) const FORMAT: &str = ".npz";

/// An array's header is one line of text; NumPy itself stops at 10,000 bytes.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Where the snapshot of a Chainer `Trainer` keeps the network; all else in it is the trainer's own state.
const SNAPSHOT_MODEL: &str = "updater/model:main/";

/// Reads every floating-point array of a network.
pub(super) fn read(mut archive: Archive) -> Result<RawFile, Reason> {
    let mut raw = RawFile::default();
    let mut budget = Budget::new();
    let entries = archive.names();
    let is_snapshot = entries.iter().any(|entry| entry.starts_with(SNAPSHOT_MODEL));
    for entry in entries {
        let Some(name) = entry.strip_suffix(".npy") else { continue };
        let is_trainer_state = is_snapshot && !name.starts_with(SNAPSHOT_MODEL);
        if is_counter(name) || is_trainer_state {
            continue;
        }
        match read_array(&mut archive, &entry, name, &mut budget) {
            Ok(weight) => drop(raw.state_dict.tensors.insert(name.to_owned(), weight)),
            Err(Reason::Dtype { name, dtype }) => drop(raw.others.insert(name, dtype)),
            Err(reason) => return Err(reason),
        }
    }
    Ok(raw)
}

fn read_array(archive: &mut Archive, entry: &str, name: &str, budget: &mut Budget) -> Result<Weight, Reason> {
    let mut reader = archive.entry(entry)?;
    let damaged = |what: String| Reason::damaged(FORMAT, format!("array {name}: {what}"));
    let header = read_header(&mut reader).map_err(|error| damaged(error.to_string()))?;
    let header = Header::parse(&header).ok_or_else(|| damaged(format!("header {}", header.escape_debug())))?;
    let dtype = match header.dtype {
        "<f2" => Dtype::F16,
        "<f4" => Dtype::F32,
        "<f8" => Dtype::F64,
        other => return Err(Reason::Dtype { name: name.to_owned(), dtype: other.to_owned() }),
    };
    let shape = header.shape;
    let count = count_of(&shape).ok_or_else(|| damaged(format!("shape {shape:?}")))?;
    let data = budget.read(&mut reader, dtype, count).map_err(|reason| match reason {
        Reason::Io(error) => damaged(error.to_string()),
        reason => reason,
    })?;
    // Read to the end: only then does the archive compare its checksum.
    let rest = std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| damaged(error.to_string()))?;
    if rest > 0 {
        return Err(damaged(format!("{rest} bytes more than its shape {shape:?} takes")));
    }
    let data = if header.fortran_order && shape.len() > 1 {
        // Fortran's order: the first index runs fastest.
        let strides: Vec<usize> =
            shape.iter().scan(1, |stride, &size| Some(std::mem::replace(stride, *stride * size))).collect();
        gather(&data, 0, &shape, &strides, budget).ok_or_else(|| damaged(format!("shape {shape:?}")))??
    } else {
        data
    };
    Ok(Weight { shape, data })
}

/// The text between the magic number and the values.
fn read_header(reader: &mut impl Read) -> std::io::Result<String> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    let length = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            usize::from(u16::from_le_bytes(length))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            u32::from_le_bytes(length) as usize
        }
        _ => return Err(invalid("no .npy header of version 1, 2 or 3")),
    };
    if length > MAX_HEADER_BYTES {
        return Err(invalid("a header of more than 64 KiB"));
    }
    let mut header = vec![0; length];
    reader.read_exact(&mut header)?;
    String::from_utf8(header).map_err(|_| invalid("a header that is not text"))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (64, 3, 7, 7), }`, a Python literal.
struct Header<'a> {
    dtype: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut dtype, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, value) = rest.split_once(':')?;
            let value = value.trim_start();
            rest = match key.trim().trim_matches(['\'', '"']) {
                // A structured type is written as a list; no weight has one.
                "descr" if value.starts_with('[') => {
                    dtype = Some("structured");
                    return Some(Self { dtype: dtype?, fortran_order: false, shape: Vec::new() });
                }
                "descr" => {
                    let quote = value.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
                    let (text, rest) = value[1..].split_once(quote)?;
                    dtype = Some(text);
                    rest
                }
                "fortran_order" => {
                    let (text, rest) = value.split_once(',').unwrap_or((value, ""));
                    fortran_order = Some(match text.trim() {
                        "True" => true,
                        "False" => false,
                        _ => return None,
                    });
                    rest
                }
                "shape" => {
                    let (text, rest) = value.strip_prefix('(')?.split_once(')')?;
                    let sizes = text.split(',').map(str::trim).filter(|size| !size.is_empty());
                    shape = Some(sizes.map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>()?);
                    rest
                }
                _ => return None,
            };
            rest = rest.trim_start_matches([',', ' ']);
        }
        Some(Self { dtype: dtype?, fortran_order: fortran_order?, shape: shape? })
    }
}

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn headers_that_numpy_writes_are_understood() {
        let matrix = Header::parse("{'descr': '<f4', 'fortran_order': False, 'shape': (64, 3, 7, 7), }   \n").unwrap();
        assert_eq!((matrix.dtype, matrix.fortran_order, matrix.shape), ("<f4", false, vec![64, 3, 7, 7]));
        let vector = Header::parse("{'descr': '<f8', 'fortran_order': True, 'shape': (5,), }\n").unwrap();
        assert_eq!((vector.dtype, vector.fortran_order, vector.shape), ("<f8", true, vec![5]));
        let scalar = Header::parse("{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n").unwrap();
        assert_eq!((scalar.dtype, scalar.shape), ("<i8", vec![]));
    }

    #[test]
    fn headers_that_are_no_literal_are_refused() {
        for text in ["", "{", "{}", "{'descr': '<f4'}", "{'descr': <f4, 'fortran_order': 1, 'shape': (-1,)}", "{'é"] {
            assert!(Header::parse(text).is_none(), "{text}");
        }
    }
}
