//! What a group holds: a tree of nodes with names and addresses, the names in a heap beside it (HDF5's first form of groups, which
//! `h5py` writes unless it is told otherwise).

use super::super::error::Reason;
use super::FORMAT;
use super::window::{Fields, Window};

/// A ResNet has a few hundred layers; 16 levels of a tree would be more members than any file has.
const MAX_MEMBERS: usize = 1 << 16;
const MAX_LEVELS: usize = 16;

/// The members' names and addresses of the group whose tree and heap these are.
pub(super) fn members(window: &mut Window, tree: u64, heap: u64) -> Result<Vec<(String, u64)>, Reason> {
    let names = names(window, heap)?;
    let mut members = Vec::new();
    let mut nodes = vec![(tree, 0)];
    while let Some((address, depth)) = nodes.pop() {
        let head = window.piece(address, 24)?;
        if head.starts_with(b"SNOD") {
            symbols(window, address, &names, &mut members)?;
        } else {
            let children = children(window, address, &head)?;
            if depth == MAX_LEVELS || nodes.len() + children.len() > MAX_MEMBERS {
                return Err(Reason::damaged(FORMAT, format!("a group's tree without end at {address}")));
            }
            nodes.extend(children.into_iter().map(|child| (child, depth + 1)));
        }
        if members.len() > MAX_MEMBERS {
            return Err(Reason::damaged(FORMAT, format!("more than {MAX_MEMBERS} members in a group")));
        }
    }
    Ok(members)
}

fn names(window: &mut Window, heap: u64) -> Result<Vec<u8>, Reason> {
    let head = window.piece(heap, 32)?;
    let place = || {
        let mut fields = Fields(head.strip_prefix(b"HEAP")?);
        fields.skip(4)?;
        let bytes = fields.number(8)?;
        fields.skip(8)?;
        Some((fields.number(8)?, bytes))
    };
    let (address, bytes) = place().ok_or_else(|| Reason::damaged(FORMAT, format!("no heap of names at {heap}")))?;
    window.piece(address, bytes)
}

fn children(window: &mut Window, address: u64, head: &[u8]) -> Result<Vec<u64>, Reason> {
    let damaged = || Reason::damaged(FORMAT, format!("no node of a group's tree at {address}"));
    // The signature, the kind (0: of groups), the level, and how many; then the neighbours.
    let count = match head {
        [b'T', b'R', b'E', b'E', 0, _, low, high, ..] => u64::from(u16::from_le_bytes([*low, *high])),
        _ => return Err(damaged()),
    };
    let piece = window.piece(address + 24, count * 16 + 8)?;
    let mut fields = Fields(&piece);
    let mut child = || {
        fields.skip(8)?;
        fields.number(8)
    };
    (0..count).map(|_| child().ok_or_else(damaged)).collect()
}

fn symbols(window: &mut Window, address: u64, names: &[u8], members: &mut Vec<(String, u64)>) -> Result<(), Reason> {
    let damaged = || Reason::damaged(FORMAT, format!("no list of members at {address}"));
    let head = window.piece(address, 8)?;
    let count = u64::from(u16::from_le_bytes([head[6], head[7]]));
    let piece = window.piece(address + 8, count * 40)?;
    for entry in piece.chunks_exact(40) {
        let mut fields = Fields(entry);
        let (name, object) = (fields.number(8), fields.number(8));
        let name = name.and_then(|at| names.get(usize::try_from(at).ok()?..)).ok_or_else(damaged)?;
        let end = name.iter().position(|&byte| byte == 0).ok_or_else(damaged)?;
        members.push((String::from_utf8_lossy(&name[..end]).into_owned(), object.ok_or_else(damaged)?));
    }
    Ok(())
}
