//! What the network is asked for one image, as a number that nobody can meet by design: a keyed hash of the bytes and of all that
//! its row depends on.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::content::Content;
use crate::tensor::Input;

/// Two images of one key have the same row: 128 bits of SHA-256, which processors compute by themselves at about 1.5 GB/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowKey(pub(super) [u8; 16]);

/// Makes keys, others in each process.
pub(super) struct RowKeys(Sha256);

impl RowKeys {
    pub(super) fn new() -> Self {
        let secret = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        // One block of the hash: its state is copied for each key.
        Self(secret.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part.as_bytes())))
    }

    /// * `served`: the number of the version as it is served; loaded anew, it has another
    /// * `features`: whether the network's features are wanted
    pub(super) fn of(&self, served: u64, features: bool, content: &Content) -> RowKey {
        let hash = self.0.clone().chain_update(served.to_le_bytes()).chain_update([u8::from(features)]);
        let hash = match content {
            Content::Picture(picture) => hash.chain_update([0]).chain_update(&picture.file),
            Content::Crop(picture, crop) => hash.chain_update([1, *crop as u8]).chain_update(&picture.file),
            Content::Tensor(input) => tensor(hash, input),
        };
        let digest: [u8; 32] = hash.finalize().into();
        let (key, _) = digest.split_at(16);
        RowKey(key.try_into().unwrap_or_default())
    }
}

fn tensor(hash: Sha256, input: &Input) -> Sha256 {
    let (kind, bytes) = input.bytes();
    hash.chain_update([1, kind]).chain_update(bytes)
}

/// How much is hashed for it.
pub(super) fn size(content: &Content) -> usize {
    match content {
        Content::Picture(picture) | Content::Crop(picture, _) => picture.file.len(),
        Content::Tensor(input) => input.bytes().1.len(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        service::picture::PictureFile,
        tensor::{InputShape, Layout, NumberType},
    };

    #[test]
    fn a_key_depends_on_all_that_the_row_depends_on() {
        let shape = InputShape { layout: Layout::Nchw, channels: 1, height: 1, width: 4 };
        let tensor = |numbers| {
            let bytes = Bytes::from(vec![
                1;
                4 * match numbers {
                    NumberType::Float32 => 4,
                    _ => 1,
                }
            ]);
            Content::Tensor(shape.tensor(bytes, numbers).expect("it fits"))
        };
        let samples = Content::Tensor(shape.samples(Bytes::from_static(&[1; 4])).expect("they fit"));
        let picture = |file: &'static [u8]| Content::Picture(PictureFile::new(Bytes::from_static(file)));
        let (keys, others) = (RowKeys::new(), RowKeys::new());
        let different = [
            keys.of(1, false, &picture(&[1; 4])),
            keys.of(2, false, &picture(&[1; 4])),
            keys.of(1, true, &picture(&[1; 4])),
            keys.of(1, false, &picture(&[1; 5])),
            keys.of(1, false, &samples),
            keys.of(1, false, &tensor(NumberType::Uint8)),
            keys.of(1, false, &tensor(NumberType::Int8)),
            keys.of(1, false, &tensor(NumberType::Float32)),
            others.of(1, false, &picture(&[1; 4])),
        ];
        for (index, key) in different.iter().enumerate() {
            assert!(!different[..index].contains(key), "{index}");
        }
        assert_eq!(keys.of(1, false, &picture(&[1; 4])), different[0]);
    }
}
