//! The messages of the gRPC interface; the first byte says which.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use resnetd::server::grpc::proto::{ClassifyRequest, ClassifyStreamRequest, ClassifyStreamResponse, GetModelRequest, Model};

fn decode<M: Message + Default>(bytes: Bytes) {
    if let Ok(message) = M::decode(bytes) {
        let again = message.encode_to_vec();
        assert_eq!(M::decode(&*again).expect("what was written is read").encode_to_vec(), again);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    match which % 5 {
        0 => decode::<ClassifyRequest>(bytes),
        1 => decode::<ClassifyStreamRequest>(bytes),
        2 => decode::<ClassifyStreamResponse>(bytes),
        3 => decode::<GetModelRequest>(bytes),
        _ => decode::<Model>(bytes),
    }
});
