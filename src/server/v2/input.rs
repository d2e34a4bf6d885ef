//! The input of a request: a tensor of the network's own input, or encoded pictures as BYTES, whatever that input is.

use bytes::Bytes;

use super::{
    datatype::{BYTES, Datatype},
    elements,
};
use crate::{
    server::threads::is_large,
    service::{Error, ErrorKind, ErrorSubject, Item, Service, Shown, Target},
    tensor::NumberType,
};

/// An input as a client sent it.
pub(in crate::server) struct InputTensor {
    pub(in crate::server) name: String,
    pub(in crate::server) datatype: String,
    pub(in crate::server) shape: Vec<i64>,
    pub(in crate::server) data: InputData,
}

/// What is in it.
pub(in crate::server) enum InputData {
    /// As a binary tensor has it: numbers in little-endian, or elements behind their lengths.
    Raw(Bytes),
    /// Numbers from a list, as `f32` in little-endian, whatever the datatype says.
    Floats(Vec<u8>),
    /// Elements of BYTES.
    Elements(Vec<Bytes>),
}

/// The one input of a request.
///
/// # Errors
/// `INVALID_ARGUMENT` for none and for several.
pub(in crate::server) fn only_input<T>(inputs: Vec<T>, count: usize, target: &Target) -> Result<T, Error> {
    let own = &target.model().info.input.name;
    match (count, inputs.into_iter().next()) {
        (1, Some(input)) => Ok(input),
        _ => {
            let model = &target.model().name;
            let message = format!("the request has {count} inputs, and model `{model}` has one, `{own}`: send that");
            Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("inputs")))
        }
    }
}

impl InputTensor {
    /// How many images there are, after a look at everything but the data.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for another name, datatype or shape than the model takes, `TOO_LARGE` for too many images.
    pub(in crate::server) fn check(&self, service: &Service, target: &Target) -> Result<(Datatype, usize), Error> {
        let (model, own) = (&target.model().name, &target.model().info.input.name);
        let refuse = |field, message: String| {
            Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field(field)))
        };
        if self.name != *own {
            let name = Shown(&self.name);
            return refuse("inputs[0].name", format!("model `{model}` has no input `{name}`; it has `{own}`"));
        }
        let datatype = Datatype::named(&self.datatype);
        let datatype = datatype.map_err(|error| error.about(ErrorSubject::Field("inputs[0].datatype")))?;
        let dims = target.shape().dims();
        let images = match (datatype, &*self.shape) {
            (Datatype::Bytes, [images] | [images, 1]) => usize::try_from(*images).ok(),
            (Datatype::Numbers(_), [images, rest @ ..]) if fits(rest, dims) => usize::try_from(*images).ok(),
            _ => None,
        };
        let Some(images) = images else {
            let (shape, [first, second, third]) = (shown(&self.shape), dims);
            let wanted = match datatype {
                Datatype::Bytes => "[N] or [N, 1], one element a picture".to_owned(),
                Datatype::Numbers(_) => format!("[N, {first}, {second}, {third}]"),
            };
            let datatype = &self.datatype;
            let message = format!("input `{own}` of {datatype} has shape {shape}, model `{model}` takes {wanted}");
            return refuse("inputs[0].shape", message);
        };
        service.check_images(target, images)?;
        Ok((datatype, images))
    }

    /// Whether [`InputTensor::into_items`] is better done on another thread.
    pub(in crate::server) fn is_work(&self) -> bool {
        match &self.data {
            InputData::Raw(section) => self.datatype != BYTES && is_large(section),
            InputData::Floats(floats) => is_large(floats),
            InputData::Elements(_) => false,
        }
    }

    /// The items of a request. Looks at every number: for many, not on an I/O thread.
    ///
    /// # Errors
    /// As [`InputTensor::check`], and `INVALID_ARGUMENT` where the data are not what the rest says.
    pub(in crate::server) fn into_items(self, service: &Service, target: &Target) -> Result<Vec<Item>, Error> {
        let (datatype, images) = self.check(service, target)?;
        let name = &self.name;
        let refused = |message: String| {
            let message = format!("input `{name}`: {message}");
            Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images)
        };
        match (datatype, self.data) {
            (Datatype::Bytes, InputData::Raw(section)) => {
                let elements = elements::take_apart(section, images).map_err(|error| refused(error.message))?;
                Ok(elements.into_iter().map(|file| target.picture(file)).collect())
            }
            (Datatype::Bytes, InputData::Elements(elements)) if elements.len() == images => {
                Ok(elements.into_iter().map(|file| target.picture(file)).collect())
            }
            (Datatype::Bytes, InputData::Elements(elements)) => {
                Err(refused(format!("{} elements came, and the shape says {images}", elements.len())))
            }
            (Datatype::Bytes, InputData::Floats(_)) => Err(refused("BYTES are files, and numbers came".to_owned())),
            (Datatype::Numbers(_), InputData::Elements(_)) => {
                Err(refused(format!("{} are numbers, and texts came: files are BYTES", self.datatype)))
            }
            (Datatype::Numbers(numbers), InputData::Raw(section)) => target.tensors(section, images, numbers),
            (Datatype::Numbers(NumberType::Float32), InputData::Floats(floats)) => {
                target.tensors(floats.into(), images, NumberType::Float32)
            }
            (Datatype::Numbers(NumberType::Float16 | NumberType::BFloat16), InputData::Floats(_)) => {
                Err(refused(format!("{} comes as a binary tensor only: send FP32, or binary data", self.datatype)))
            }
            (Datatype::Numbers(numbers), InputData::Floats(floats)) => {
                let bytes = to_bytes(&floats, numbers).map_err(refused)?;
                target.tensors(bytes.into(), images, numbers)
            }
        }
    }
}

/// Whole numbers, that came as `f32` in little-endian, as bytes with or without a sign.
///
/// # Errors
/// What is wrong with the first that is none.
fn to_bytes(floats: &[u8], numbers: NumberType) -> Result<Vec<u8>, String> {
    let (least, most) = if numbers == NumberType::Int8 { (-128.0, 127.0) } else { (0.0, 255.0) };
    let byte = |(index, value): (usize, &[u8; 4])| {
        let value = f32::from_le_bytes(*value);
        if value.fract() != 0.0 || !(least..=most).contains(&value) {
            return Err(format!(
                "number {index} is {value}, and the datatype has whole numbers from {least} to {most}"
            ));
        }
        Ok(if numbers == NumberType::Int8 { (value as i8).cast_unsigned() } else { value as u8 })
    };
    floats.as_chunks::<4>().0.iter().enumerate().map(byte).collect()
}

fn fits(rest: &[i64], dims: [usize; 3]) -> bool {
    rest.len() == dims.len() && rest.iter().zip(dims).all(|(given, wanted)| usize::try_from(*given) == Ok(wanted))
}

/// A shape as a message has it: a client may send a very long one.
fn shown(shape: &[i64]) -> String {
    const MOST: usize = 8;
    let more = if shape.len() > MOST { ", …" } else { "" };
    let dims: Vec<String> = shape.iter().take(MOST).map(i64::to_string).collect();
    format!("[{}{more}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_become_bytes_and_others_are_named() {
        let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(to_bytes(&floats(&[0.0, 128.0, 255.0]), NumberType::Uint8), Ok(vec![0, 128, 255]));
        assert_eq!(to_bytes(&floats(&[0.0, -128.0, 127.0]), NumberType::Int8), Ok(vec![0, 128, 127]));
        for (values, numbers) in [
            ([0.0, 0.5], NumberType::Uint8),
            ([0.0, 256.0], NumberType::Uint8),
            ([0.0, -1.0], NumberType::Uint8),
            ([0.0, 128.0], NumberType::Int8),
            ([0.0, -129.0], NumberType::Int8),
        ] {
            let message = to_bytes(&floats(&values), numbers).expect_err("refused");
            assert!(message.contains("number 1 is"), "{message}");
        }
    }

    #[test]
    fn a_long_shape_is_shown_by_its_start() {
        assert_eq!(shown(&[1, -1]), "[1, -1]");
        assert_eq!(shown(&[7; 10_000]), "[7, 7, 7, 7, 7, 7, 7, 7, …]");
    }
}
