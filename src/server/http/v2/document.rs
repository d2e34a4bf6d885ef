//! The JSON of a request to infer: the whole body, or what stands before the binary data.

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeSeed as _};
use serde_json::value::RawValue;

use super::values::{First, Parameter};
use crate::{
    server::{
        http::{flat::FlatReader, object::JsonObject},
        v2::{Datatype, InputData, InputTensor, Requested, RequestedOutput, Schedule, only_input},
    },
    service::{Charge, Error, ErrorKind, Service, Shown, Target},
};

/// The longest `id`, which the answer repeats.
const LONGEST_ID_BYTES: usize = 4 << 10;

/// A request to infer, of which the data are not looked at yet.
pub(super) struct InferDocument {
    pub(super) id: Option<String>,
    pub(super) schedule: Schedule,
    pub(super) input: InputTensor,
    pub(super) requested: Requested,
    /// Whether outputs that do not say come as binary data.
    pub(super) binary: bool,
}

#[derive(Deserialize)]
struct Document<'a> {
    id: Option<String>,
    parameters: Option<JsonObject<RequestParameters>>,
    #[serde(borrow, default)]
    inputs: First<JsonObject<Input<'a>>>,
    #[serde(default)]
    outputs: First<JsonObject<Output>>,
}

#[derive(Default, Deserialize)]
struct RequestParameters {
    timeout: Option<Parameter>,
    priority: Option<Parameter>,
    binary_data_output: Option<Parameter>,
}

#[derive(Deserialize)]
struct Input<'a> {
    name: String,
    shape: First<i64>,
    datatype: String,
    parameters: Option<JsonObject<InputParameters>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<Parameter>,
    shared_memory_region: Option<Parameter>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<JsonObject<OutputParameters>>,
}

#[derive(Default, Deserialize)]
struct OutputParameters {
    classification: Option<Parameter>,
    binary_data: Option<Parameter>,
    shared_memory_region: Option<Parameter>,
}

/// Reads a request.
///
/// * `json`: charged already
/// * `section`: the binary data behind it
///
/// # Errors
/// `INVALID_ARGUMENT` that says what was wrong, `TOO_LARGE` for too many images, `OVERLOADED` where there is no memory for them.
pub(super) fn read(
    json: &[u8],
    section: Bytes,
    service: &Service,
    target: &Target,
    charge: &Charge,
) -> Result<InferDocument, Error> {
    let JsonObject(document) = serde_json::from_slice::<JsonObject<Document<'_>>>(json).map_err(|error| {
        refused(format!(
            "the JSON cannot be read: {}; it is the whole body, unless the header inference-header-content-length says how long it is",
            Shown(&error.to_string())
        ))
    })?;
    if let Some(id) = document.id.as_ref().filter(|id| id.len() > LONGEST_ID_BYTES) {
        let length = id.len();
        return Err(refused(format!(
            "`id` has {length} bytes, at most {LONGEST_ID_BYTES} are allowed: send a shorter one"
        )));
    }
    let RequestParameters { timeout, priority, binary_data_output } =
        document.parameters.map_or_else(Default::default, |JsonObject(parameters)| parameters);
    let schedule = Schedule::new(timeout.map(Parameter::number), priority.map(Parameter::number))?;
    let binary = flag("binary_data_output", binary_data_output)?.unwrap_or(false);
    let First { kept, count } = document.outputs;
    let outputs = kept.into_iter().map(|JsonObject(output)| output.requested()).collect::<Result<_, _>>()?;
    let requested = Requested::new(outputs, count, target)?;
    let First { kept, count } = document.inputs;
    let JsonObject(input) = only_input(kept, count, target)?;
    let input = input.with_data(section, service, target, charge)?;
    Ok(InferDocument { id: document.id, schedule, input, requested, binary })
}

/// How long the client of a request waits, where that can be read: what is wrong with it is said once the model is there.
pub(super) fn schedule(json: &[u8]) -> Schedule {
    #[derive(Deserialize)]
    struct Timed {
        parameters: Option<JsonObject<RequestParameters>>,
    }
    let timed = serde_json::from_slice::<JsonObject<Timed>>(json).ok();
    let parameters = timed.and_then(|JsonObject(timed)| timed.parameters);
    let timeout = parameters.and_then(|JsonObject(parameters)| parameters.timeout);
    Schedule::new(timeout.map(Parameter::number), None).unwrap_or_default()
}

impl Output {
    fn requested(self) -> Result<RequestedOutput, Error> {
        let OutputParameters { classification, binary_data, shared_memory_region } =
            self.parameters.map_or_else(Default::default, |JsonObject(parameters)| parameters);
        if shared_memory_region.is_some() {
            return Err(no_shared_memory());
        }
        let classes = classification.map_or(Ok(0), Parameter::number).map_err(|text| {
            let text = Shown(&text);
            refused(format!(
                "parameter `classification` is `{text}`: it must be a whole number, how many classes an image gets"
            ))
        })?;
        Ok(RequestedOutput { name: self.name, classes, binary: flag("binary_data", binary_data)? })
    }
}

impl Input<'_> {
    /// With what it is about, from the JSON or from the section behind it.
    fn with_data(
        self,
        section: Bytes,
        service: &Service,
        target: &Target,
        charge: &Charge,
    ) -> Result<InputTensor, Error> {
        let First { kept: shape, count } = self.shape;
        if count > shape.len() {
            return Err(refused(format!("the shape of input `{}` has {count} dimensions", Shown(&self.name))));
        }
        let InputParameters { binary_data_size, shared_memory_region } =
            self.parameters.map_or_else(Default::default, |JsonObject(parameters)| parameters);
        if shared_memory_region.is_some() {
            return Err(no_shared_memory());
        }
        let mut input =
            InputTensor { name: self.name, datatype: self.datatype, shape, data: InputData::Raw(Bytes::new()) };
        // What it is decides how the data are read, and how many there may be.
        let (datatype, images) = input.check(service, target)?;
        let (size, behind) = (binary_data_size.map(Parameter::number).transpose(), section.len());
        let size = size.map_err(|text| {
            let text = Shown(&text);
            refused(format!("parameter `binary_data_size` is `{text}`: it must be the number of bytes behind the JSON"))
        })?;
        input.data = match (self.data, size) {
            (Some(_), Some(_)) => {
                return Err(refused("the input has both `data` and `binary_data_size`: send one of them".to_owned()));
            }
            (None, None) => {
                return Err(refused(
                    "the input has no data: send `data`, or `binary_data_size` and the bytes".to_owned(),
                ));
            }
            (None, Some(size)) if size == behind as u64 => InputData::Raw(section),
            (None, Some(size)) => {
                return Err(refused(format!("`binary_data_size` is {size}, and {behind} bytes came behind the JSON")));
            }
            (Some(_), None) if behind > 0 => {
                return Err(refused(format!(
                    "{behind} bytes came behind the JSON, and no input has `binary_data_size`"
                )));
            }
            (Some(data), None) => listed(data, &input, datatype, images, target, charge)?,
        };
        Ok(input)
    }
}

/// The data of a list in JSON.
fn listed(
    data: &RawValue,
    input: &InputTensor,
    datatype: Datatype,
    images: usize,
    target: &Target,
    charge: &Charge,
) -> Result<InputData, Error> {
    let wrong = |message: String| refused(format!("the data of input `{}`: {message}", Shown(&input.name)));
    let wanted = match datatype {
        Datatype::Bytes => images,
        Datatype::Numbers(_) => images * target.shape().image_len(),
    };
    // One of the other kind is enough to see that it came.
    let mut reader = match datatype {
        Datatype::Bytes => FlatReader::new(1, wanted, charge),
        Datatype::Numbers(_) => FlatReader::new(wanted, 1, charge),
    };
    let flat = reader.deserialize(&mut serde_json::Deserializer::from_str(data.get()));
    if let Some(refused) = reader.refused {
        return Err(refused);
    }
    let flat = flat.map_err(|error| wrong(Shown(&error.to_string()).to_string()))?;
    let is_nested = flat.dims.len() > 1;
    if is_nested && !flat.dims.iter().map(|dim| i64::try_from(*dim).ok()).eq(input.shape.iter().copied().map(Some)) {
        return Err(wrong(format!("it is nested as {:?}, and the shape says {:?}", flat.dims, input.shape)));
    }
    let is_of_numbers = !flat.numbers.is_empty();
    let is_of_its_kind = flat.count == 0 || is_of_numbers == matches!(datatype, Datatype::Numbers(_));
    if is_of_its_kind && flat.count != wanted {
        return Err(wrong(format!("{} entries came, and the shape {:?} has {wanted}", flat.count, input.shape)));
    }
    if is_of_numbers {
        return Ok(InputData::Floats(flat.numbers));
    }
    let elements = flat.texts.into_iter().enumerate().map(|(index, text)| {
        text.map_err(|error| {
            wrong(format!("element {index} is not base64 ({error}): send each file's bytes in base64"))
        })
    });
    elements.collect::<Result<_, _>>().map(InputData::Elements)
}

fn flag(name: &str, value: Option<Parameter>) -> Result<Option<bool>, Error> {
    let flag = value.map(Parameter::flag).transpose();
    flag.map_err(|text| refused(format!("parameter `{name}` is `{}`: it must be true or false", Shown(&text))))
}

fn no_shared_memory() -> Error {
    refused("shared memory is not spoken here: send the data themselves".to_owned())
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
