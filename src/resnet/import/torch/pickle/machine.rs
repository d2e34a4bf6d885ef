//! The stack machine that reads a pickle and calls nothing: each instruction only moves descriptions of objects.

use std::collections::HashMap;
use std::ops::Range;

use super::graph::{Id, MAX_NODES, Node, PickleError};

#[derive(Default)]
pub(super) struct PickleMachine<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    /// The heights of the stack at which a `MARK` stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// `None` where the stack does not hold what the instruction needs.
pub(super) type Step = Option<()>;

impl<'a> PickleMachine<'a> {
    /// Before the first instruction of `bytes`.
    pub(super) fn over(bytes: &'a [u8]) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn step(&mut self, opcode: u8) -> Result<Step, PickleError> {
        let at = self.at - 1;
        Ok(match opcode {
            0x80 => self.take(1).map(|_| Some(()))?, // PROTO
            0x95 => self.take(8).map(|_| Some(()))?, // FRAME
            b'(' => {
                self.marks.push(self.stack.len());
                Some(())
            }
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_mark().map(|_| ()),
            b'2' => self.top().map(|top| self.stack.push(top)),

            b'N' => self.push(Node::None)?,
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88))?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(value.into()))?
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Node::Int(value.into()))?
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(value.into()))?
            }
            0x8a => {
                let length = self.byte()?.into();
                self.long(length)?
            }
            0x8b => {
                let length = self.length4()?;
                self.long(length)?
            }
            b'G' => {
                self.take(8)?;
                self.push(Node::Float)?
            }

            0x8c | b'U' => {
                let length = self.byte()?.into();
                self.text(length)?
            }
            b'X' | b'T' => {
                let length = self.length4()?;
                self.text(length)?
            }
            0x8d => {
                let length = self.length8()?;
                self.text(length)?
            }
            b'C' => {
                let length = self.byte()?.into();
                self.octets(length)?
            }
            b'B' => {
                let length = self.length4()?;
                self.octets(length)?
            }
            0x8e | 0x96 => {
                let length = self.length8()?;
                self.octets(length)?
            }

            b')' => self.push(Node::Tuple(Vec::new()))?,
            0x85..=0x87 => match self.pop_many(usize::from(opcode - 0x84)) {
                Some(elements) => self.push(Node::Tuple(elements))?,
                None => None,
            },
            b't' => match self.pop_mark() {
                Some(elements) => self.push(Node::Tuple(elements))?,
                None => None,
            },
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'l' | 0x91 => match self.pop_mark() {
                Some(elements) => self.push(Node::List(elements))?,
                None => None,
            },
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b'd' => match self.pop_mark().and_then(|elements| pairs(&elements)) {
                Some(items) => self.push(Node::Dict(items))?,
                None => None,
            },
            b'a' => self.pop_many(1).and_then(|elements| self.append(&elements)),
            b'e' | 0x90 => self.pop_mark().and_then(|elements| self.append(&elements)),
            b's' => self.pop_many(2).and_then(|elements| self.set_items(&elements)),
            b'u' => self.pop_mark().and_then(|elements| self.set_items(&elements)),

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(format!("{module}.{name}")))?
            }
            0x93 => match self.pop_many(2).and_then(|parts| self.global_of(&parts)) {
                Some(global) => self.push(global)?,
                None => None,
            },
            b'R' | 0x81 => match self.pop_many(2) {
                Some(parts) => self.push(call(parts[0], parts[1]))?,
                None => None,
            },
            // NEWOBJ_EX has keyword arguments too; they are part of what is not called.
            0x92 => match self.pop_many(3) {
                Some(parts) => self.push(call(parts[0], parts[1]))?,
                None => None,
            },
            b'b' => self.build(),
            b'Q' => match self.pop() {
                Some(key) => self.push(Node::Persistent(key))?,
                None => None,
            },

            b'q' => {
                let key = self.byte()?.into();
                self.memoize(key)
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.memoize(key)
            }
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)
            }
            _ => return Err(PickleError::Opcode { opcode, at }),
        })
    }

    // The bytes.

    fn take(&mut self, length: usize) -> Result<&[u8], PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(PickleError::Truncated { at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length4(&mut self) -> Result<usize, PickleError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn length8(&mut self) -> Result<usize, PickleError> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| PickleError::Truncated { at: self.at })
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Truncated { at: self.at })?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    // The objects.

    fn push(&mut self, node: Node) -> Result<Step, PickleError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(PickleError::TooMany);
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(Some(()))
    }

    fn long(&mut self, length: usize) -> Result<Step, PickleError> {
        let bytes = self.take(length)?;
        let node = if length <= 8 {
            let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let mut value = if is_negative { [0xff; 8] } else { [0; 8] };
            value[..length].copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(value))
        } else {
            Node::Huge
        };
        self.push(node)
    }

    fn text(&mut self, length: usize) -> Result<Step, PickleError> {
        let range = self.range(length)?;
        self.push(Node::Text(range))
    }

    fn octets(&mut self, length: usize) -> Result<Step, PickleError> {
        let range = self.range(length)?;
        self.push(Node::Bytes(range))
    }

    fn range(&mut self, length: usize) -> Result<Range<usize>, PickleError> {
        self.take(length)?;
        Ok(self.at - length..self.at)
    }

    fn global_of(&self, parts: &[Id]) -> Option<Node> {
        match (&self.nodes[parts[0] as usize], &self.nodes[parts[1] as usize]) {
            (Node::Text(module), Node::Text(name)) => {
                let text = |range: &Range<usize>| String::from_utf8_lossy(&self.bytes[range.clone()]).into_owned();
                Some(Node::Global(format!("{}.{}", text(module), text(name))))
            }
            _ => None,
        }
    }

    // The stack. What lies below the last mark is out of reach.

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Option<Id> {
        if self.stack.len() > self.floor() { self.stack.last().copied() } else { None }
    }

    pub(super) fn pop(&mut self) -> Option<Id> {
        self.top()?;
        self.stack.pop()
    }

    /// The topmost `count`, in the order in which they were pushed.
    fn pop_many(&mut self, count: usize) -> Option<Vec<Id>> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor())?;
        Some(self.stack.split_off(start))
    }

    /// Everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Option<Vec<Id>> {
        let start = self.marks.pop()?;
        Some(self.stack.split_off(start))
    }

    fn top_node(&mut self) -> Option<&mut Node> {
        let top = self.top()?;
        self.nodes.get_mut(top as usize)
    }

    fn append(&mut self, elements: &[Id]) -> Step {
        match self.top_node()? {
            Node::List(list) | Node::Call { appended: list, .. } => list.extend_from_slice(elements),
            _ => return None,
        }
        Some(())
    }

    fn set_items(&mut self, elements: &[Id]) -> Step {
        let new = pairs(elements)?;
        match self.top_node()? {
            Node::Dict(items) | Node::Call { items, .. } => items.extend(new),
            _ => return None,
        }
        Some(())
    }

    fn build(&mut self) -> Step {
        let new = self.pop()?;
        match self.top_node()? {
            Node::Call { state, .. } => *state = Some(new),
            Node::Dict(_) | Node::List(_) => {}
            _ => return None,
        }
        Some(())
    }

    fn memoize(&mut self, key: u32) -> Step {
        let top = self.top()?;
        self.memo.insert(key, top);
        Some(())
    }

    fn recall(&mut self, key: u32) -> Step {
        self.stack.push(*self.memo.get(&key)?);
        Some(())
    }
}

fn call(callable: Id, args: Id) -> Node {
    Node::Call { callable, args, state: None, items: Vec::new(), appended: Vec::new() }
}

fn pairs(elements: &[Id]) -> Option<Vec<(Id, Id)>> {
    let (pairs, rest) = elements.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|&[key, value]| (key, value)).collect())
}
