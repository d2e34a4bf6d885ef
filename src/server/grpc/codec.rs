//! Reading the messages of calls: protobuf, as much of it as a request to classify needs.
//!
//! Two bytes make an entry of a list that takes thirty in memory, and a message may have sixteen million of them, or of fields that
//! nobody knows: half a gigabyte, and a second of an I/O thread. So reading a message has a budget, of steps and of bytes that are
//! copied; files are slices of the message and cost one step each, whatever their size.
//!
//! For what clients send only: answers are made of many small fields. A protocol that carries numbers as fields, a step each, needs
//! a codec of its own.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use super::convert;
use crate::service::{Error, ErrorKind};

/// The most steps of a message: about as many as 20,000 images take. A request may have 4,096, whatever the configuration.
const MOST_STEPS: usize = 64 << 10;

/// So many bytes that are copied or looked at one by one, of a name for instance, count as a step.
const BYTES_PER_STEP: usize = 64;

/// The codec of the server's side.
pub(super) struct RequestCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for RequestCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for RequestCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = RequestDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Reads messages within the budget.
pub(super) struct RequestDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(message).map(Some).map_err(|error| convert::status(&error))
    }
}

fn decode<M: Message + Default>(message: impl Buf) -> Result<M, Error> {
    let mut metered = Metered { inner: message, left: MOST_STEPS };
    let decoded = M::decode(&mut metered);
    if metered.left == 0 {
        let message = format!(
            "the message has too many fields or too long a text, more than {MOST_STEPS} steps of reading it: send fewer images \
             at a time, and nothing else of that size"
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    decoded.map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("the message is no such protobuf: {error}")))
}

/// Bytes that end when the budget is used up.
struct Metered<B> {
    inner: B,
    left: usize,
}

impl<B: Buf> Buf for Metered<B> {
    fn remaining(&self) -> usize {
        if self.left == 0 { 0 } else { self.inner.remaining() }
    }

    fn chunk(&self) -> &[u8] {
        if self.left == 0 { &[] } else { self.inner.chunk() }
    }

    fn advance(&mut self, count: usize) {
        self.left = self.left.saturating_sub(1 + count / BYTES_PER_STEP);
        // Who asked knew of the bytes that were there before the end came.
        self.inner.advance(count.min(self.inner.remaining()));
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.left = self.left.saturating_sub(1);
        // A slice of the message.
        self.inner.copy_to_bytes(length.min(self.inner.remaining()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::server::grpc::proto::{ClassifyRequest, ClassifyStreamRequest};

    /// Bytes that count how often they are touched.
    struct Touched<'c>(Bytes, &'c Cell<usize>);

    impl Buf for Touched<'_> {
        fn remaining(&self) -> usize {
            self.0.remaining()
        }

        fn chunk(&self) -> &[u8] {
            self.0.chunk()
        }

        fn advance(&mut self, count: usize) {
            self.1.set(self.1.get() + 1);
            self.0.advance(count);
        }

        fn copy_to_bytes(&mut self, length: usize) -> Bytes {
            self.1.set(self.1.get() + 1);
            self.0.copy_to_bytes(length)
        }
    }

    fn read<M: Message + Default>(message: &[u8]) -> (Result<M, Error>, usize) {
        let touched = Cell::new(0);
        let read = decode(Touched(Bytes::copy_from_slice(message), &touched));
        (read, touched.get())
    }

    fn request(images: Vec<Bytes>) -> ClassifyRequest {
        ClassifyRequest {
            model: "pets".into(),
            version: 3,
            images,
            top_k: Some(2),
            min_probability: 0.5,
            version_label: "stable".into(),
            outputs: vec!["features".into()],
            priority: 200,
        }
    }

    #[test]
    fn the_largest_request_is_read_as_it_was_sent() {
        let sent = request(vec![Bytes::from_static(&[7; 5000]); 4097]);
        assert_eq!(read(&sent.encode_to_vec()).0, Ok(sent.clone()));
        let item = ClassifyStreamRequest { id: "1".into(), request: Some(sent), timeout_ms: 5 };
        assert_eq!(read(&item.encode_to_vec()).0, Ok(item));
        let file = request(vec![Bytes::from(vec![7; 32 << 20])]);
        let (read, touched) = read::<ClassifyRequest>(&file.encode_to_vec());
        assert_eq!(read, Ok(file));
        assert!(touched < 30, "a file is not copied: {touched}");
    }

    #[test]
    fn a_message_of_millions_of_fields_is_given_up_early() {
        let empty_image = [0x1a, 0];
        let unknown_number = [0x78, 1];
        let unknown_text = [0x7a, 0];
        let group_in_group = [0x7b];
        for field in [&empty_image[..], &unknown_number, &unknown_text, &group_in_group] {
            let message = field.repeat(4 << 20);
            let (read, touched) = read::<ClassifyRequest>(&message);
            read.expect_err("refused");
            assert!(touched <= MOST_STEPS + 1, "{field:?}: {touched}");
            // The same inside the request of a stream.
            let mut nested = vec![0x12];
            prost::encode_length_delimiter(message.len(), &mut nested).expect("memory");
            nested.extend_from_slice(&message);
            let (read, touched) = self::read::<ClassifyStreamRequest>(&nested);
            read.expect_err("refused");
            assert!(touched <= MOST_STEPS + 1, "{field:?} nested: {touched}");
        }
        let (read, _) = read::<ClassifyRequest>(&empty_image.repeat(4 << 20));
        assert_eq!(read.expect_err("refused").kind, ErrorKind::TooLarge);
    }

    #[test]
    fn a_name_of_megabytes_is_refused() {
        let long = ClassifyRequest { model: "x".repeat(8 << 20), ..ClassifyRequest::default() };
        assert_eq!(read::<ClassifyRequest>(&long.encode_to_vec()).0.expect_err("refused").kind, ErrorKind::TooLarge);
    }

    #[test]
    fn what_is_no_message_is_the_clients_affair() {
        for nonsense in [&b"\xff\xff\xff"[..], &[0x1a, 5, 1], &[0x0a, 2, 0xff, 0xff]] {
            let error = read::<ClassifyRequest>(nonsense).0.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
        }
    }
}
