//! Objects as a pickle describes them, in one flat list.

use std::ops::Range;

/// A checkpoint with its optimizer takes some ten thousand.
pub(super) const MAX_NODES: usize = 1 << 21;

/// The place of an object in its [`Graph`].
pub(in super::super) type Id = u32;

/// What a pickle describes.
#[derive(Debug)]
pub(in super::super) struct Graph<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    /// The object that was pickled.
    pub(in super::super) root: Id,
}

/// One Python object.
#[derive(Debug)]
pub(in super::super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float,
    /// A `str`: where it stands in the pickle. One of Python 2 may be anything.
    Text(Range<usize>),
    /// `bytes` or `bytearray`: where they stand in the pickle.
    Bytes(Range<usize>),
    /// An integer beyond 64 bits.
    Huge,
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, `module.name`.
    Global(String),
    /// An object that is kept outside the pickle: for `torch.save`, a storage.
    Persistent(Id),
    /// What Python would make by calling `callable(*args)`, and would then fill with state and items.
    Call {
        callable: Id,
        args: Id,
        state: Option<Id>,
        items: Vec<(Id, Id)>,
        appended: Vec<Id>,
    },
}

impl<'a> Graph<'a> {
    /// The pickle, the objects in the order in which the machine made them, and the one that was pickled.
    pub(super) fn new(bytes: &'a [u8], nodes: Vec<Node>, root: Id) -> Self {
        Self { bytes, nodes, root }
    }

    /// All objects.
    pub(in super::super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What stands at `range` of the pickle.
    pub(in super::super) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The object at `id`.
    pub(in super::super) fn node(&self, id: Id) -> &Node {
        // Ids come from `PickleMachine::add` alone, and the list never shrinks.
        &self.nodes[id as usize]
    }

    /// The elements of a tuple.
    pub(in super::super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Node::Tuple(elements) = self.node(id) { Some(elements) } else { None }
    }

    /// The text of a string.
    pub(in super::super) fn text(&self, id: Id) -> Option<&'a str> {
        if let Node::Text(range) = self.node(id) { str::from_utf8(self.bytes(range.clone())).ok() } else { None }
    }

    /// `module.name` of a class or function.
    pub(in super::super) fn global(&self, id: Id) -> Option<&str> {
        if let Node::Global(name) = self.node(id) { Some(name) } else { None }
    }

    /// An integer that can be a size.
    pub(in super::super) fn size(&self, id: Id) -> Option<usize> {
        if let Node::Int(value) = self.node(id) { usize::try_from(*value).ok() } else { None }
    }

    /// The objects that `id` refers to.
    pub(in super::super) fn children(&self, id: Id) -> Vec<Id> {
        match self.node(id) {
            Node::Tuple(elements) | Node::List(elements) => elements.clone(),
            Node::Dict(items) => items.iter().flat_map(|&(key, value)| [key, value]).collect(),
            Node::Persistent(key) => vec![*key],
            Node::Call { callable, args, state, items, appended } => [*callable, *args]
                .into_iter()
                .chain(*state)
                .chain(items.iter().flat_map(|&(key, value)| [key, value]))
                .chain(appended.iter().copied())
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Why bytes are not a pickle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum PickleError {
    #[error("its pickle ends at byte {at} in the middle of an instruction")]
    Truncated { at: usize },
    #[error("instruction {opcode:#04x} at byte {at} of its pickle is not one that torch.save or NumPy writes")]
    Opcode { opcode: u8, at: usize },
    #[error("instruction {opcode:#04x} at byte {at} of its pickle finds the wrong objects on the stack")]
    Operand { opcode: u8, at: usize },
    #[error("its pickle describes more than {MAX_NODES} objects")]
    TooMany,
}
