//! The input of a request to predict: a tensor of the network's own input, or encoded pictures, whatever that input is.

use bytes::Bytes;

use crate::{
    server::{
        grpc::{
            proto::tensorflow::{DataType, TensorProto},
            varint,
        },
        threads::LARGE_BYTES,
    },
    service::{Charge, Error, ErrorKind, ErrorSubject, Item, Service, Shown, Target},
    tensor::NumberType,
};

/// Whether [`items`] is better done on another thread.
pub(super) fn is_work(tensor: &TensorProto) -> bool {
    tensor.dtype() != DataType::DtString && tensor.numbers_len() >= LARGE_BYTES
}

/// The images of a tensor. Looks at every number: for many, not on an I/O thread.
///
/// * `name`: of the input; that of pictures is any
/// * `charge`: pays for what is copied
///
/// # Errors
/// `INVALID_ARGUMENT` that says what was wrong, `TOO_LARGE` for too many images.
pub(super) fn items(
    name: &str,
    tensor: TensorProto,
    service: &Service,
    target: &Target,
    charge: &Charge,
) -> Result<Vec<Item>, Error> {
    let shape = tensor.tensor_shape.as_ref();
    if shape.is_some_and(|shape| shape.unknown_rank) {
        return Err(refused(name, "its shape says that its rank is unknown: say how many there are"));
    }
    let dims: Vec<i64> = shape.into_iter().flat_map(|shape| &shape.dim).map(|dim| dim.size).collect();
    let numbers = match DataType::try_from(tensor.dtype) {
        Ok(DataType::DtString) => return pictures(name, tensor, &dims, service, target),
        Ok(DataType::DtFloat) => NumberType::Float32,
        Ok(DataType::DtHalf) => NumberType::Float16,
        Ok(DataType::DtBfloat16) => NumberType::BFloat16,
        Ok(DataType::DtUint8) => NumberType::Uint8,
        Ok(DataType::DtInt8) => NumberType::Int8,
        other => {
            let dtype = other.map_or_else(|_| tensor.dtype.to_string(), |known| known.as_str_name().to_owned());
            let message = format!(
                "its dtype is {dtype}: send DT_FLOAT, DT_HALF, DT_BFLOAT16 or DT_UINT8, or DT_STRING with pictures as JPEG or PNG files"
            );
            return Err(refused(name, &message));
        }
    };
    let own = &target.model().info.input.name;
    if name != own {
        let (model, name) = (&target.model().name, Shown(name));
        let message = format!("model `{model}` has no input `{name}`; it has `{own}`, and pictures may have any name");
        return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images));
    }
    let images = images(&dims, target).ok_or_else(|| {
        let [first, second, third] = target.shape().dims();
        refused(name, &format!("its shape is {}, the model takes [N, {first}, {second}, {third}]", shown(&dims)))
    })?;
    service.check_images(target, images)?;
    let bytes = numbers_of(name, tensor, numbers, images * target.shape().image_len(), charge)?;
    target.tensors(bytes, images, numbers)
}

/// How many images a tensor of the network's input has; `None` for another shape.
fn images(dims: &[i64], target: &Target) -> Option<usize> {
    let (images, rest) = dims.split_first()?;
    let fits =
        rest.len() == 3 && rest.iter().zip(target.shape().dims()).all(|(got, own)| usize::try_from(*got) == Ok(own));
    usize::try_from(*images).ok().filter(|_| fits)
}

fn pictures(
    name: &str,
    tensor: TensorProto,
    dims: &[i64],
    service: &Service,
    target: &Target,
) -> Result<Vec<Item>, Error> {
    if !tensor.tensor_content.is_empty() {
        return Err(refused(name, "files come in string_val, and tensor_content came"));
    }
    let images = match dims {
        [] => Some(1),
        [images] | [images, 1] => usize::try_from(*images).ok(),
        _ => None,
    };
    let came = tensor.string_val.len();
    let images = images.ok_or_else(|| {
        let shape = shown(dims);
        refused(name, &format!("DT_STRING of shape {shape}, the model takes [], [N] or [N, 1], one file an element"))
    })?;
    service.check_images(target, images)?;
    if came != images {
        return Err(refused(name, &format!("{came} files came in string_val, and the shape says {images}")));
    }
    Ok(tensor.string_val.into_iter().map(|file| target.picture(file)).collect())
}

/// The numbers of a tensor as they would lie in memory.
///
/// * `wanted`: so many
fn numbers_of(
    name: &str,
    tensor: TensorProto,
    numbers: NumberType,
    wanted: usize,
    charge: &Charge,
) -> Result<Bytes, Error> {
    let list = match numbers {
        NumberType::Float32 => tensor.float_val,
        NumberType::Float16 | NumberType::BFloat16 => tensor.half_val,
        NumberType::Uint8 | NumberType::Int8 => tensor.int_val,
    };
    let listed = list.iter().map(Bytes::len).sum::<usize>();
    match (tensor.tensor_content, listed) {
        (content, 0) if !content.is_empty() => return Ok(content),
        (content, 0) if content.is_empty() => {
            return Err(refused(
                name,
                "it has no data: send tensor_content, or the list of its dtype, such as float_val",
            ));
        }
        (content, _) if !content.is_empty() => {
            return Err(refused(name, "it has both tensor_content and a list of values: send one of them"));
        }
        _ => {}
    }
    let mut bytes = match numbers {
        NumberType::Float32 if list.len() == 1 && listed == wanted * numbers.size() => {
            return Ok(list.into_iter().next().unwrap_or_default());
        }
        NumberType::Float32 => {
            charge.add(listed)?;
            list.concat()
        }
        _ => {
            charge.add(listed.min(wanted) * numbers.size())?;
            from_varints(&list, wanted, numbers).map_err(|wrong| refused(name, &wrong))?
        }
    };
    // A list that is too short goes on with its last value.
    let missing = (wanted * numbers.size()).saturating_sub(bytes.len());
    if missing > 0 && bytes.len().is_multiple_of(numbers.size()) {
        charge.add(missing)?;
        let last = bytes.split_at(bytes.len() - numbers.size()).1.to_vec();
        bytes.extend(last.into_iter().cycle().take(missing));
    }
    Ok(bytes.into())
}

/// Bytes, or the 16 bits of halves, that came as varints.
fn from_varints(list: &[Bytes], wanted: usize, numbers: NumberType) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (least, most) = match numbers {
        NumberType::Int8 => (-128, 127),
        NumberType::Uint8 => (0, 255),
        _ => (0, i64::from(u16::MAX)),
    };
    let mut wrong = None;
    let read = varint::each(list, wanted, |value| {
        let value = value.cast_signed();
        if !(least..=most).contains(&value) {
            wrong = wrong.or(Some(value));
        }
        bytes.extend_from_slice(&value.to_le_bytes()[..numbers.size()]);
    });
    read.map_err(|wrong| format!("its list of values cannot be read: {wrong}"))?;
    match wrong {
        Some(value) => Err(format!("a value is {value}, and its dtype has whole numbers from {least} to {most}")),
        None => Ok(bytes),
    }
}

/// A shape as a message has it: a client may send a very long one.
fn shown(dims: &[i64]) -> String {
    const MOST: usize = 8;
    let more = if dims.len() > MOST { ", …" } else { "" };
    let dims: Vec<String> = dims.iter().take(MOST).map(i64::to_string).collect();
    format!("[{}{more}]", dims.join(", "))
}

fn refused(name: &str, message: &str) -> Error {
    let message = format!("input `{}`: {message}", Shown(name));
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images)
}
