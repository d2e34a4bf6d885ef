//! NumPy's arrays in a pickle, as Caffe2 and Detectron keep their weights: the numbers stand in the pickle itself.
//!
//! Knows what NumPy writes. Must not know state dicts.

use std::borrow::Cow;
use std::ops::Range;

use super::pickle::{Graph, Id, Node};

/// The most dimensions of an array: NumPy's own limit.
const MAX_RANK: usize = 64;

/// The bytes of an array, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArrayPlace {
    start: usize,
    end: usize,
    /// Python 3 writes bytes in protocol 2 as a text with a character a byte.
    is_text: bool,
}

impl ArrayPlace {
    fn new(Range { start, end }: Range<usize>, is_text: bool) -> Self {
        Self { start, end, is_text }
    }

    /// The bytes; `None` where the text has other characters.
    pub(super) fn bytes<'a>(&self, graph: &Graph<'a>) -> Option<Cow<'a, [u8]>> {
        let bytes = graph.bytes(self.start..self.end);
        if !self.is_text {
            return Some(bytes.into());
        }
        let text = str::from_utf8(bytes).ok()?;
        text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect::<Option<Vec<u8>>>().map(Cow::from)
    }
}

/// An array as it was pickled.
pub(super) struct Array {
    pub(super) place: ArrayPlace,
    /// NumPy's word, without the order of bytes: `f4`.
    pub(super) dtype: String,
    pub(super) is_big_endian: bool,
    pub(super) shape: Vec<usize>,
    /// The first index runs fastest.
    pub(super) is_fortran: bool,
}

/// The array that the call at `id` would make.
pub(super) fn array(graph: &Graph<'_>, id: Id) -> Option<Array> {
    let Node::Call { callable, args, state, .. } = graph.node(id) else { return None };
    let function = graph.global(*callable)?.strip_prefix("numpy.")?;
    let (shape, dtype, is_fortran, data) = match function {
        "core.multiarray._reconstruct" | "_core.multiarray._reconstruct" => {
            let &[.., shape, dtype, is_fortran, data] = graph.tuple((*state)?)? else { return None };
            (shape, dtype, matches!(graph.node(is_fortran), Node::Bool(true) | Node::Int(1)), data)
        }
        "core.numeric._frombuffer" | "_core.numeric._frombuffer" => {
            let &[data, dtype, shape, order] = graph.tuple(*args)? else { return None };
            (shape, dtype, graph.text(order) == Some("F"), data)
        }
        _ => return None,
    };
    let shape = graph.tuple(shape).filter(|shape| shape.len() <= MAX_RANK)?;
    let (dtype, is_big_endian) = element(graph, dtype)?;
    Some(Array {
        place: place(graph, data)?,
        dtype,
        is_big_endian,
        shape: shape.iter().map(|&size| graph.size(size)).collect::<Option<_>>()?,
        is_fortran,
    })
}

/// `numpy.dtype('f4', …)`, whose state has the order of the bytes second.
fn element(graph: &Graph<'_>, id: Id) -> Option<(String, bool)> {
    let Node::Call { callable, args, state, .. } = graph.node(id) else { return None };
    if graph.global(*callable)? != "numpy.dtype" {
        return None;
    }
    let name = graph.text(*graph.tuple(*args)?.first()?)?;
    let order = state.and_then(|state| graph.text(*graph.tuple(state)?.get(1)?));
    let is_big_endian = order == Some(">") || name.starts_with('>');
    Some((name.trim_start_matches(['<', '>', '=', '|']).to_owned(), is_big_endian))
}

fn place(graph: &Graph<'_>, id: Id) -> Option<ArrayPlace> {
    match graph.node(id) {
        Node::Bytes(range) | Node::Text(range) => Some(ArrayPlace::new(range.clone(), false)),
        Node::Call { callable, args, .. } => {
            let &[text, coding] = graph.tuple(*args)? else { return None };
            let is_latin1 =
                graph.global(*callable)? == "_codecs.encode" && matches!(graph.text(coding)?, "latin1" | "latin-1");
            match graph.node(text) {
                Node::Text(range) if is_latin1 => Some(ArrayPlace::new(range.clone(), true)),
                _ => None,
            }
        }
        _ => None,
    }
}
