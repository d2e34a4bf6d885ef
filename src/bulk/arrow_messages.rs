//! The messages of a stream in Arrow's IPC format: taken off it here, and not by the crate's own reader, because that takes as much
//! memory as a batch says that it has, and a stream without an end mark for one that has ended.

use std::io::{self, Read};

use arrow_buffer::Buffer;
use arrow_ipc::{Message, root_as_message};

use super::frames::take;

/// What stands before each message, and what a stream begins with.
pub(super) const CONTINUES: [u8; 4] = [0xff; 4];

/// Bytes of a batch, and of all dictionaries together: a batch is in memory whole, beside the pictures that were taken out of it.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes of what is said of a batch, or of the columns.
const MOST_HEAD: u64 = 16 << 20;

const CUT: &str = "the stream ends inside a message: its writer has stopped in the middle";

/// What is said of the next message; `None` at the end mark.
pub(super) fn read_head(input: &mut impl Read) -> Result<Option<Vec<u8>>, String> {
    let mut begin = Vec::new();
    take(input, 8, &mut begin).map_err(|error| unread(&error))?;
    let length = match begin[..] {
        [0xff, 0xff, 0xff, 0xff, a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [] => {
            return Err("the stream ends without its end mark: its writer has stopped, or has not closed it".to_owned());
        }
        [..] if begin.len() < 8 => return Err(CUT.to_owned()),
        _ => return Err("the stream is out of step: there is no message of Arrow's where one should begin".to_owned()),
    };
    if length == 0 {
        return Ok(None);
    }
    if length > MOST_HEAD {
        return Err(format!(
            "a message says {length} bytes of itself, where {MOST_HEAD} are allowed: it is no stream of Arrow's, or has too many columns"
        ));
    }
    let mut head = Vec::new();
    let is_whole = take(input, length, &mut head).map_err(|error| unread(&error))?;
    if is_whole { Ok(Some(head)) } else { Err(CUT.to_owned()) }
}

fn unread(error: &io::Error) -> String {
    format!("the stream cannot be read: {error}")
}

/// What a head says.
pub(super) fn message(head: &[u8]) -> Result<Message<'_>, String> {
    root_as_message(head).map_err(|error| format!("the stream is damaged: {error}"))
}

/// The values of a message.
///
/// * `beside`: bytes that count with them
pub(super) fn read_body(input: &mut impl Read, message: &Message<'_>, beside: u64) -> Result<Buffer, String> {
    let said = message.bodyLength();
    let length = u64::try_from(said).map_err(|_| format!("the stream is damaged: a batch of {said} bytes"))?;
    if length > MOST_BYTES - beside.min(MOST_BYTES) {
        let what = if beside > 0 { "dictionaries" } else { "a record batch" };
        let bytes = length.saturating_add(beside);
        return Err(format!("{what} of {bytes} bytes, where {MOST_BYTES} are allowed: send smaller batches"));
    }
    let mut body = Vec::new();
    let is_whole = take(input, length, &mut body).map_err(|error| unread(&error))?;
    if is_whole { Ok(Buffer::from_vec(body)) } else { Err(CUT.to_owned()) }
}
