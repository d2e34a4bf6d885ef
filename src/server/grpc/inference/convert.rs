//! Between the messages of `inference` and the protocol's words for both doors.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    server::{
        grpc::{
            contents::{InferTensorContents, floats},
            proto::inference::{
                self as proto, InferParameter, ModelInferRequest,
                infer_parameter::ParameterChoice,
                model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
                model_infer_response::InferOutputTensor,
            },
        },
        threads::LARGE_BYTES,
        v2::{Datatype, InputData, InputTensor, OutputTensor, Requested, RequestedOutput, Schedule, only_input},
    },
    service::{Charge, Error, ErrorKind, ErrorSubject, Item, Service, Shown, Target},
    tensor::NumberType,
};

/// With this parameter Triton's clients ask that the last answer to a request says so; here every answer is the last.
const WANTS_FINAL: &str = "triton_enable_empty_final_response";
const IS_FINAL: &str = "triton_final_response";

/// The parameters of a message.
type Parameters = HashMap<String, InferParameter>;

/// A request without its names.
pub(super) struct TakenApart {
    pub(super) items: Vec<Item>,
    pub(super) requested: Requested,
    pub(super) schedule: Schedule,
    pub(super) wants_final: bool,
}

/// Whether [`take_apart`] is better done on another thread.
pub(super) fn is_work(message: &ModelInferRequest) -> bool {
    let is_of_numbers = message.inputs.iter().any(|input| Datatype::named(&input.datatype) != Ok(Datatype::Bytes));
    let raw = message.raw_input_contents.iter().map(Bytes::len).sum::<usize>();
    let contents = message.inputs.iter().filter_map(|input| input.contents.as_ref());
    let listed = contents.map(InferTensorContents::numbers_len).sum::<usize>();
    is_of_numbers && raw + listed >= LARGE_BYTES
}

/// How long the client of a request waits: what is wrong with it is said once the model is there.
pub(super) fn schedule(message: &ModelInferRequest) -> Schedule {
    Schedule::new(number(&message.parameters, "timeout"), None).unwrap_or_default()
}

/// Takes a request apart.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what was wrong, `TOO_LARGE` for too many images.
pub(super) fn take_apart(
    message: ModelInferRequest,
    service: &Service,
    target: &Target,
    charge: &Charge,
) -> Result<TakenApart, Error> {
    let ModelInferRequest { parameters, inputs, outputs, raw_input_contents: raw, .. } = message;
    let schedule = Schedule::new(number(&parameters, "timeout"), number(&parameters, "priority"))?;
    let wants_final = matches!(choice(&parameters, WANTS_FINAL), Some(ParameterChoice::BoolParam(true)));
    let count = outputs.len();
    let requested = Requested::new(outputs.into_iter().map(requested).collect::<Result<_, _>>()?, count, target)?;
    let count = inputs.len();
    let is_raw = !raw.is_empty();
    if is_raw && raw.len() != count {
        return Err(refused(format!("{} raw_input_contents came for {count} inputs: send one for each", raw.len())));
    }
    let InferInputTensor { name, datatype, shape, parameters, contents } = only_input(inputs, count, target)?;
    if parameters.contains_key("shared_memory_region") {
        return Err(no_shared_memory());
    }
    let contents = contents.filter(|contents| !contents.is_empty());
    let mut input = InputTensor { name, datatype, shape, data: InputData::Raw(Bytes::new()) };
    // What it is decides how the data are read, and how many there may be.
    let (kind, images) = input.check(service, target)?;
    input.data = match (raw.into_iter().next(), contents) {
        (Some(_), Some(_)) => {
            let message = "the input has both `contents` and raw_input_contents: send one of them";
            return Err(refused(message.to_owned()));
        }
        (None, None) => {
            return Err(refused("the input has no data: send raw_input_contents or its `contents`".to_owned()));
        }
        (Some(raw), None) => InputData::Raw(raw),
        (None, Some(contents)) => listed(contents, kind, images * target.shape().image_len(), charge)?,
    };
    Ok(TakenApart { items: input.into_items(service, target)?, requested, schedule, wants_final })
}

/// The data in the field of their datatype.
///
/// * `wanted`: so many numbers
fn listed(contents: InferTensorContents, kind: Datatype, wanted: usize, charge: &Charge) -> Result<InputData, Error> {
    let unpacked = |pieces: Vec<Bytes>, signed: bool| {
        let bytes = pieces.iter().map(Bytes::len).sum::<usize>();
        charge.add(bytes.min(wanted) * size_of::<f32>())?;
        let floats = floats(&pieces, wanted, signed);
        floats.map(InputData::Floats).map_err(|wrong| refused(format!("the `contents` cannot be read: {wrong}")))
    };
    match kind {
        Datatype::Bytes => Ok(InputData::Elements(contents.bytes_contents)),
        Datatype::Numbers(NumberType::Float32) => {
            let mut pieces = contents.fp32_contents;
            if pieces.len() <= 1 {
                return Ok(InputData::Raw(pieces.pop().unwrap_or_default()));
            }
            charge.add(pieces.iter().map(Bytes::len).sum())?;
            Ok(InputData::Raw(pieces.concat().into()))
        }
        Datatype::Numbers(NumberType::Uint8) => unpacked(contents.uint_contents, false),
        Datatype::Numbers(NumberType::Int8) => unpacked(contents.int_contents, true),
        Datatype::Numbers(NumberType::Float16 | NumberType::BFloat16) => {
            Err(refused("FP16 and BF16 come in raw_input_contents only: send FP32, or those".to_owned()))
        }
    }
}

fn requested(output: InferRequestedOutputTensor) -> Result<RequestedOutput, Error> {
    if output.parameters.contains_key("shared_memory_region") {
        return Err(no_shared_memory());
    }
    let classes = number(&output.parameters, "classification").unwrap_or(Ok(0)).map_err(|text| {
        let text = Shown(&text);
        let message = format!(
            "parameter `classification` is `{text}`: it must be a whole number, how many classes an image gets"
        );
        Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("outputs"))
    })?;
    Ok(RequestedOutput { name: output.name, classes, binary: None })
}

/// The answer to a request.
pub(super) fn response(
    model: &str,
    version: u64,
    id: String,
    tensors: &[OutputTensor],
    wants_final: bool,
) -> proto::ModelInferResponse {
    let output = |tensor: &OutputTensor| InferOutputTensor {
        name: tensor.name.to_string(),
        datatype: tensor.datatype().to_owned(),
        shape: tensor.shape.map(|dim| i64::try_from(dim).unwrap_or(i64::MAX)).into(),
        ..InferOutputTensor::default()
    };
    let is_final = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    proto::ModelInferResponse {
        model_name: model.to_owned(),
        model_version: version.to_string(),
        id,
        parameters: wants_final.then(|| (IS_FINAL.to_owned(), is_final)).into_iter().collect(),
        outputs: tensors.iter().map(output).collect(),
        raw_output_contents: tensors.iter().map(OutputTensor::raw).collect(),
    }
}

fn choice<'p>(parameters: &'p Parameters, name: &str) -> Option<&'p ParameterChoice> {
    parameters.get(name)?.parameter_choice.as_ref()
}

/// A parameter that is a whole number from 0 on, or the text of what it is.
fn number(parameters: &Parameters, name: &str) -> Option<Result<u64, String>> {
    Some(match choice(parameters, name)? {
        ParameterChoice::Uint64Param(number) => Ok(*number),
        ParameterChoice::Int64Param(number) => u64::try_from(*number).map_err(|_| number.to_string()),
        ParameterChoice::BoolParam(value) => Err(value.to_string()),
        ParameterChoice::DoubleParam(value) => Err(value.to_string()),
        ParameterChoice::StringParam(text) => Err(format!("{:?}", Shown(text))),
    })
}

fn no_shared_memory() -> Error {
    refused("shared memory is not spoken here: send the data themselves".to_owned())
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images)
}
