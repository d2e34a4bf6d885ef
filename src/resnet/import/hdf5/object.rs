//! An object of an HDF5 file: the messages of its header say whether it is a group or an array, and what of.

use super::super::error::Reason;
use super::super::values::Dtype;
use super::FORMAT;
use super::window::{Fields, Window};

/// An object has a dozen messages in one or two blocks.
const MAX_BLOCKS: usize = 64;

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Of a group: the addresses of its tree and of its heap.
    pub(super) group: Option<(u64, u64)>,
    pub(super) shape: Option<Vec<usize>>,
    pub(super) number: Option<Number>,
    pub(super) data: Option<Data>,
    /// The attribute `name`, with which Keras says which layer a group is of.
    pub(super) label: Option<String>,
}

/// The type of an array's values.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Number {
    Float(Dtype),
    /// In words.
    Other(String),
}

/// Where an array's values are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// The address; `None` of an array that was never written.
    At(Option<u64>),
    /// In a way that we do not read.
    Otherwise,
}

impl Object {
    /// Reads the header at `address`.
    pub(super) fn read(window: &mut Window, address: u64) -> Result<Self, Reason> {
        let head = window.piece(address, 16)?;
        if head.starts_with(b"OHDR") {
            return Err(super::other_form());
        }
        let damaged = || Reason::damaged(FORMAT, format!("no object at {address}"));
        if head[0] != 1 {
            return Err(damaged());
        }
        let mut object = Self::default();
        let mut labels = Vec::new();
        let mut blocks = vec![(address + 16, u64::from(u32::from_le_bytes([head[8], head[9], head[10], head[11]])))];
        let mut done = 0;
        while let Some((start, bytes)) = blocks.pop() {
            done += 1;
            if done > MAX_BLOCKS {
                return Err(damaged());
            }
            let block = window.piece(start, bytes)?;
            let mut fields = Fields(&block);
            while let (Some(kind), Some(size), Some(flags)) = (fields.number(2), fields.number(2), fields.number(4)) {
                let content = fields.take(size as usize).ok_or_else(damaged)?;
                // A message that stands elsewhere: a type with a name, which no weight has.
                let is_shared = flags & 2 != 0;
                match kind {
                    _ if is_shared => {}
                    0x01 => object.shape = Some(shape(content).ok_or_else(damaged)?),
                    0x03 => object.number = Some(number(content).ok_or_else(damaged)?),
                    0x08 => object.data = Some(data(content).ok_or_else(damaged)?),
                    0x0b => object.data = Some(Data::Otherwise),
                    0x0c => labels.extend(label(content)),
                    0x10 => blocks.push(pair(content).ok_or_else(damaged)?),
                    0x11 => object.group = Some(pair(content).ok_or_else(damaged)?),
                    _ => {}
                }
            }
        }
        for (place, bytes) in labels.into_iter().take(1) {
            object.label = match place {
                Place::Here => String::from_utf8(bytes).ok(),
                Place::Heap { address, index } => heap_text(window, address, index)?,
            };
        }
        Ok(object)
    }
}

fn pair(content: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields(content);
    Some((fields.number(8)?, fields.number(8)?))
}

fn shape(content: &[u8]) -> Option<Vec<usize>> {
    let mut fields = Fields(content);
    let (version, rank) = (fields.number(1)?, fields.number(1)?);
    fields.skip(match version {
        1 => 6,
        2 => 2,
        _ => return None,
    })?;
    (0..rank).map(|_| fields.number(8).and_then(|size| usize::try_from(size).ok())).collect()
}

fn number(content: &[u8]) -> Option<Number> {
    let mut fields = Fields(content);
    let class = fields.number(1)? & 15;
    let (bits, bytes) = (fields.number(3)?, fields.number(4)?);
    if class != 1 {
        let word = ["whole numbers", "", "time", "text", "bits", "opaque", "records", "references", "names"];
        let word = word.get(class as usize).filter(|word| !word.is_empty()).unwrap_or(&"other");
        return Some(Number::Other(format!("{word} of {bytes} bytes")));
    }
    // Where the exponent starts, how long it is; where the mantissa starts, how long it is.
    fields.skip(4)?;
    let parts = [fields.number(1)?, fields.number(1)?, fields.number(1)?, fields.number(1)?];
    let is_big_endian = bits & 1 == 1;
    Some(match (bytes, parts) {
        _ if is_big_endian => Number::Other("big-endian".to_owned()),
        (2, [10, 5, 0, 10]) => Number::Float(Dtype::F16),
        (2, [7, 8, 0, 7]) => Number::Float(Dtype::Bf16),
        (4, [23, 8, 0, 23]) => Number::Float(Dtype::F32),
        (8, [52, 11, 0, 52]) => Number::Float(Dtype::F64),
        _ => Number::Other(format!("floating-point numbers of {bytes} bytes")),
    })
}

fn data(content: &[u8]) -> Option<Data> {
    let mut fields = Fields(content);
    Some(match (fields.number(1)?, fields.number(1)?) {
        (3 | 4, 1) => Data::At(Some(fields.number(8)?).filter(|&address| address != u64::MAX)),
        _ => Data::Otherwise,
    })
}

/// Where the text of an attribute is.
enum Place {
    Here,
    Heap { address: u64, index: u64 },
}

/// The text of the attribute `name`, or where it is.
fn label(content: &[u8]) -> Option<(Place, Vec<u8>)> {
    let mut fields = Fields(content);
    let version = fields.number(1)?;
    fields.skip(1)?;
    let sizes = [fields.number(2)?, fields.number(2)?, fields.number(2)?].map(|size| size as usize);
    // The first version fills its parts up to 8 bytes; the third says how the name is encoded.
    fields.skip(usize::from(version == 3))?;
    let [name, kind, shape] = if version == 1 { sizes.map(|size| size.next_multiple_of(8)) } else { sizes };
    let (name, kind) = (fields.take(name)?, fields.take(kind)?);
    fields.skip(shape)?;
    if name.split(|&byte| byte == 0).next() != Some(b"name") {
        return None;
    }
    match kind.first()? & 15 {
        3 => Some((Place::Here, fields.0.split(|&byte| byte == 0).next()?.to_vec())),
        9 => {
            fields.skip(4)?;
            Some((Place::Heap { address: fields.number(8)?, index: fields.number(4)? }, Vec::new()))
        }
        _ => None,
    }
}

/// A text in a heap that many objects share.
fn heap_text(window: &mut Window, address: u64, index: u64) -> Result<Option<String>, Reason> {
    let head = window.piece(address, 16)?;
    let bytes = Fields(&head[8..]).number(8).filter(|_| head.starts_with(b"GCOL"));
    let bytes = bytes.ok_or_else(|| Reason::damaged(FORMAT, format!("no heap at {address}")))?;
    let heap = window.piece(address, bytes)?;
    let mut fields = Fields(heap.get(16..).unwrap_or_default());
    while let (Some(found), Some(_), Some(size)) = (fields.number(2), fields.number(6), fields.number(8)) {
        // The free space behind the last one has the number 0.
        let Some(content) = usize::try_from(size).ok().and_then(|size| fields.take(size)).filter(|_| found != 0) else {
            break;
        };
        if found == index {
            return Ok(String::from_utf8(content.to_vec()).ok());
        }
        fields.skip((size.next_multiple_of(8) - size) as usize);
    }
    Ok(None)
}
