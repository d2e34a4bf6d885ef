//! What `classify --stdin` reads, in either of its forms: the first four bytes say which one it is, because no key is as long as
//! Arrow's mark would have it.

use std::{
    io::{self, BufReader, Read},
    ops::ControlFlow,
};

use super::{
    arrow_messages::CONTINUES,
    arrow_stream::{StreamReading, Streamed},
    frames::read_frames,
    member::{Member, MemberError},
};

/// What files of Arrow's begin with, where a stream is wanted.
const FILE_MARK: [u8; 4] = *b"ARRO";

/// Bytes that are read at a time, where fewer are asked for.
const STEP: usize = 1 << 16;

/// A stream whose first bytes are known.
pub struct PictureStream<R> {
    begin: Vec<u8>,
    rest: R,
}

impl<R: Read> PictureStream<R> {
    /// Waits for the first bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(mut input: R) -> io::Result<Self> {
        let mut begin = Vec::new();
        input.by_ref().take(4).read_to_end(&mut begin)?;
        Ok(Self { begin, rest: input })
    }

    /// Whether it is made of record batches.
    pub fn has_batches(&self) -> bool {
        self.begin == CONTINUES
    }

    /// Hands every picture to `each` until there are no more, the stream is cut, or `each` has enough.
    pub fn read(self, reading: &StreamReading, each: &mut dyn FnMut(Streamed) -> ControlFlow<()>) {
        let has_batches = self.has_batches();
        if self.begin == FILE_MARK {
            let reason =
                "it is a file of Arrow's, which is read from its end: send a stream (ipc.new_stream, not ipc.new_file)";
            let content = Err(MemberError::Cut(reason.to_owned()));
            // There is nothing behind it.
            let _ = each(Streamed::Picture(Member { number: 0, key: String::new(), content }));
            return;
        }
        let mut input = BufReader::with_capacity(STEP, io::Cursor::new(self.begin).chain(self.rest));
        if has_batches {
            reading.read(&mut input, each);
        } else {
            read_frames(&mut input, reading.limit, &mut |member| each(Streamed::Picture(member)));
        }
    }
}
