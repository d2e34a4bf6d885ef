//! Python's pickle as a description of objects: what would be called with what, never a call.
//!
//! A pickle is a program for a stack machine whose `REDUCE` calls any Python function. This machine has no functions:
//! `REDUCE` and its kin only write down a [`Node::Call`], so that a hostile file can describe what it likes. Objects
//! live in one flat list and refer to each other by [`Id`], which lets the file build cycles without hurting us.
//!
//! Protocols 2 to 5, as far as `torch.save` and NumPy write them. Texts and bytes stay where they are and are told by their
//! place. Knows nothing of tensors.

mod graph;
mod machine;

use graph::PickleError;
pub(super) use graph::{Graph, Id, Node};
use machine::PickleMachine;

/// Reads one pickle. Bytes after its end are not looked at.
pub(super) fn read(bytes: &[u8]) -> Result<Graph<'_>, PickleError> {
    read_first(bytes).map(|(graph, _)| graph)
}

/// Reads the first pickle of `bytes`, with where it ends.
pub(super) fn read_first(bytes: &[u8]) -> Result<(Graph<'_>, usize), PickleError> {
    let mut machine = PickleMachine::over(bytes);
    loop {
        let at = machine.at;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop().ok_or(PickleError::Operand { opcode, at })?;
            return Ok((Graph::new(bytes, machine.nodes, root), machine.at));
        }
        machine.step(opcode)?.ok_or(PickleError::Operand { opcode, at })?;
    }
}
