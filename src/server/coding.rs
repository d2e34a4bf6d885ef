//! Packed bodies and messages: the codings that HTTP (`content-encoding`) and gRPC (`grpc-encoding`) have in common.
//!
//! A few bytes can unpack to any number: the size of what comes out is bounded, its memory is asked for before it is taken, and
//! the work is done on the threads for what is large. Pictures hardly shrink; JSON with
//! base64 does, by a quarter, and there are clients that pack everything.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use brotli_decompressor::BrotliDecoderParameter;
use bytes::Bytes;
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use tokio::sync::Semaphore;

use super::threads::Threads;
use crate::service::{Error, ErrorKind, Shown};

/// Every coding that is read, as a client is told them.
pub(super) const READ: &str = "gzip, deflate, br, zstd";

/// The largest window of zstd, as RFC 9659 has it for HTTP: the decoder keeps so much beside what it has written. Its own limit is
/// 128 MiB, for a frame of a few bytes.
const ZSTD_WINDOW_LOG: u32 = 23;

/// The first piece of memory for what comes out; each further one doubles it.
const FIRST_PIECE: usize = 64 << 10;

/// How many may wait for a thread or have one. What is packed is cheap to send, so that memory bounds it late; this keeps the wait
/// behind nothing but the worst to some seconds.
const PLACES: usize = 256;

const RETRY: Duration = Duration::from_secs(1);

/// The fastest level: answers are packed on the thread that sends them.
const LEVEL: u32 = 1;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// In zlib's frame, as the standards say, or without, as some send it.
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The coding of that name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd]
            .into_iter()
            .find(|coding| is(coding.name()))
            .or_else(|| is("x-gzip").then_some(Self::Gzip))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Whether it can be written, too. Brotli is no coding of gRPC's, and no answer over HTTP is packed.
    pub(super) fn packs(self) -> bool {
        self != Self::Brotli
    }

    /// Packs `bytes`; `None` where it cannot.
    pub(super) fn pack(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let out = Vec::with_capacity(bytes.len() / 2);
        // Writing to memory does not fail; should it, the bytes are sent as they are.
        let packed = match self {
            Self::Gzip => written(GzEncoder::new(out, Compression::new(LEVEL)), bytes, GzEncoder::finish),
            Self::Deflate => written(ZlibEncoder::new(out, Compression::new(LEVEL)), bytes, ZlibEncoder::finish),
            Self::Zstd => zstd::bulk::compress(bytes, LEVEL as i32),
            Self::Brotli => return None,
        };
        packed.ok()
    }

    fn reader(self, packed: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Deflate if is_zlib(packed) => Box::new(ZlibDecoder::new(packed)),
            Self::Deflate => Box::new(DeflateDecoder::new(packed)),
            Self::Brotli => {
                let mut reader = brotli_decompressor::Decompressor::new(packed, 0);
                // Windows of a gigabyte are no part of the standard.
                reader.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Box::new(reader)
            }
            Self::Zstd => {
                let mut reader = zstd::Decoder::with_buffer(packed)?;
                reader.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(reader)
            }
        })
    }
}

fn written<W: Write>(mut packer: W, bytes: &[u8], end: impl FnOnce(W) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    packer.write_all(bytes)?;
    end(packer)
}

/// Zlib's frame begins with the method 8 and a checksum of two bytes.
fn is_zlib(packed: &[u8]) -> bool {
    matches!(packed, [first, second, ..] if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

/// Unpacks, on threads that may block. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Unpacker {
    places: Arc<Semaphore>,
    threads: Threads,
}

impl Unpacker {
    pub(super) fn new(threads: Threads) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), threads }
    }

    /// What `packed` holds. Dropped, a thread that has begun goes on to the limit.
    ///
    /// * `limit`: the most bytes that may come out
    /// * `take`: asked for the memory of what comes out before it is taken
    ///
    /// # Errors
    /// `TOO_LARGE` over the limit, `INVALID_ARGUMENT` for what is broken or ends early, `OVERLOADED` where too many wait, and the
    /// refusal of `take`.
    pub(super) async fn unpack(
        &self,
        coding: Coding,
        packed: Bytes,
        limit: usize,
        take: impl Fn(usize) -> Result<(), Error> + Send + 'static,
    ) -> Result<Bytes, Error> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let message =
                format!("{PLACES} packed bodies are being unpacked already; try again later, or send it as it is");
            Error::new(ErrorKind::Overloaded, message).retry_after(RETRY)
        })?;
        let unpacked = self.threads.run(move || {
            let _place = place;
            unpack(coding, &packed, limit, &take)
        });
        unpacked.await?.map(Bytes::from)
    }
}

fn unpack(
    coding: Coding,
    packed: &[u8],
    limit: usize,
    take: &dyn Fn(usize) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    let broken = |error: io::Error| {
        let (name, error) = (coding.name(), error.to_string());
        let message = format!("what came is not whole {name} ({}): pack it again, or send it as it is", Shown(&error));
        Error::new(ErrorKind::InvalidArgument, message)
    };
    let mut reader = coding.reader(packed).map_err(broken)?;
    let mut out = Vec::new();
    let mut length = 0;
    loop {
        if length == out.len() {
            // One byte more than allowed, to see whether there is one.
            let larger = (2 * length).max(FIRST_PIECE).min(limit.saturating_add(1));
            take(larger - length)?;
            out.resize(larger, 0);
        }
        match reader.read(out.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
        if length > limit {
            let name = coding.name();
            let message =
                format!("unpacked from {name} it has more than {limit} bytes, the limit: send less at a time");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
    }
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Poll};

    use flate2::write::DeflateEncoder;

    use super::*;

    /// [`text`], by node's zlib.
    const BROTLI: &[u8] =
        &[27, 159, 15, 248, 5, 118, 192, 190, 113, 182, 174, 129, 248, 45, 28, 32, 117, 0, 80, 22, 110, 1];

    /// The same with `BROTLI_PARAM_LARGE_WINDOW`, a window of 2^30 bytes.
    const LARGE_BROTLI: &[u8] = &[
        0x11, 0x5e, 0x7c, 0x3e, 0xe0, 0x17, 0xd8, 0x01, 0xfb, 0xc6, 0xd9, 0xba, 0x06, 0xe2, 0xb7, 0x70, 0x00, 0xa9,
        0x03, 0x80, 0xb2, 0x70, 0x0b,
    ];

    fn text() -> Vec<u8> {
        b"resnetd\n".repeat(500)
    }

    fn packed() -> Vec<(Coding, Vec<u8>)> {
        let raw = written(DeflateEncoder::new(Vec::new(), Compression::new(6)), &text(), DeflateEncoder::finish);
        let by_us = [Coding::Gzip, Coding::Deflate, Coding::Zstd]
            .map(|coding| (coding, coding.pack(&text()).expect("it is packed")));
        by_us.into_iter().chain([(Coding::Deflate, raw.expect("memory")), (Coding::Brotli, BROTLI.to_vec())]).collect()
    }

    fn free(_: usize) -> Result<(), Error> {
        Ok(())
    }

    #[test]
    fn every_coding_is_unpacked() {
        for (coding, packed) in packed() {
            assert!(packed.len() < 200, "{coding:?}");
            assert_eq!(unpack(coding, &packed, 4000, &free).expect("whole"), text(), "{coding:?}");
        }
    }

    #[test]
    fn several_members_and_frames_are_one_body() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let twice = coding.pack(&text()).expect("it is packed").repeat(2);
            assert_eq!(unpack(coding, &twice, 8000, &free).expect("whole"), text().repeat(2), "{coding:?}");
        }
    }

    #[test]
    fn names_are_taken_in_any_case() {
        for (name, coding) in
            [("gzip", Coding::Gzip), ("GZip", Coding::Gzip), ("x-gzip", Coding::Gzip), ("BR", Coding::Brotli)]
        {
            assert_eq!(Coding::named(name), Some(coding), "{name}");
        }
        assert!(READ.split(", ").all(|name| Coding::named(name).is_some_and(|coding| coding.name() == name)));
        assert_eq!(Coding::named("compress"), None);
    }

    #[test]
    fn what_comes_out_is_bounded_and_asked_for() {
        for (coding, packed) in packed() {
            let error = unpack(coding, &packed, 3999, &free).expect_err("a byte too many");
            assert_eq!(error.kind, ErrorKind::TooLarge, "{coding:?}");
            assert!(error.message.contains("3999"), "{}", error.message);
            let full = |_| Err(Error::new(ErrorKind::Overloaded, "full"));
            assert_eq!(unpack(coding, &packed, 4000, &full).expect_err("no room").kind, ErrorKind::Overloaded);
        }
        let taken = Cell::new(0);
        let bomb = Coding::Gzip.pack(&vec![0; 10 << 20]).expect("it is packed");
        let take = |bytes| {
            taken.set(taken.get() + bytes);
            Ok(())
        };
        unpack(Coding::Gzip, &bomb, 1 << 20, &take).expect_err("too large");
        assert_eq!(taken.get(), (1 << 20) + 1);
    }

    async fn waits(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_refused_at_once() {
        let threads = Threads::new();
        let unpacker = Unpacker::new(threads.clone());
        let _held = threads.hold_all().await;
        let bytes = Bytes::from(Coding::Gzip.pack(b"resnetd").expect("it is packed"));
        let wait = || Box::pin(unpacker.unpack(Coding::Gzip, bytes.clone(), 100, free));
        let mut waiting: Vec<_> = (0..PLACES).map(|_| wait()).collect();
        for unpacking in &mut waiting {
            assert!(waits(unpacking).await);
        }
        assert_eq!(wait().await.expect_err("no place").kind, ErrorKind::Overloaded);
        waiting.pop();
        assert!(waits(&mut wait()).await);
    }

    #[test]
    fn what_is_cut_or_nonsense_is_refused() {
        for (coding, packed) in packed() {
            for bytes in [&packed[..packed.len() / 2], &packed[..1], b"nonsense, and more of it"] {
                let error = unpack(coding, bytes, 4000, &free).expect_err("not whole");
                assert_eq!(error.kind, ErrorKind::InvalidArgument, "{coding:?}");
                assert!(error.message.contains(coding.name()), "{}", error.message);
            }
        }
    }

    #[test]
    fn a_window_beyond_the_standard_is_refused_before_it_is_taken() {
        // A frame whose header states a window of 128 MiB.
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        unpack(Coding::Zstd, &zstd, 4000, &free).expect_err("too large a window");
        unpack(Coding::Brotli, LARGE_BROTLI, 4000, &free).expect_err("too large a window");
    }
}
