//! A body without JSON, `Inference-Header-Content-Length: 0`: one image, as a tensor or as a picture.

use bytes::Bytes;

use crate::{
    server::v2::{BYTES, InputData, InputTensor, name_of},
    service::{Error, ErrorKind, Target},
};

/// How files begin that could have the length of a tensor. As numbers they are none that a network gets.
const BEGINNINGS: [&[u8]; 2] = [b"\xff\xd8\xff", b"\x89PNG"];

/// What the body is: the network's input for one image where it has that length, a picture otherwise.
///
/// # Errors
/// `INVALID_ARGUMENT` where it is empty.
pub(super) fn input(body: Bytes, target: &Target) -> Result<InputTensor, Error> {
    let info = &target.model().info;
    let (shape, numbers) = (target.shape(), info.numbers);
    if body.is_empty() {
        let message = "the body is empty: send the bytes of one picture, or of the network's input for one image";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let name = info.input.name.clone();
    let is_tensor =
        body.len() == shape.image_len() * numbers.size() && !BEGINNINGS.iter().any(|it| body.starts_with(it));
    if !is_tensor {
        return Ok(InputTensor {
            name,
            datatype: BYTES.to_owned(),
            shape: vec![1],
            data: InputData::Elements(vec![body]),
        });
    }
    let dims = shape.dims().map(|dim| i64::try_from(dim).unwrap_or(i64::MAX));
    Ok(InputTensor {
        name,
        datatype: name_of(numbers).to_owned(),
        shape: [&[1], &dims[..]].concat(),
        data: InputData::Raw(body),
    })
}
