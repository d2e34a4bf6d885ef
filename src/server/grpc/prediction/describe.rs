//! What is told of models, as messages.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::Any;

use crate::{
    server::{
        grpc::proto::tensorflow::{
            DataType, SignatureDef, TensorInfo, TensorShapeProto,
            error::Code,
            serving::{ModelVersionStatus, SignatureDefMap, StatusProto, model_version_status},
            tensor_shape_proto::Dim,
        },
        tfserving::{SignatureEntry, SignatureTensor, VersionStatus, signatures, states},
    },
    service::{Error, ErrorKind, ModelStatus, Shown, Target},
};

/// The only field of metadata that there is.
const SIGNATURE_DEF: &str = "signature_def";

/// What a client may know of a model, by the names of the fields that it asks for.
///
/// # Errors
/// `INVALID_ARGUMENT` for a field that there is not.
pub(super) fn metadata(fields: &[String], target: &Target) -> Result<HashMap<String, Any>, Error> {
    if let Some(other) = fields.iter().find(|field| *field != SIGNATURE_DEF) {
        let message = format!("there is no metadata_field `{}`: ask for `{SIGNATURE_DEF}`", Shown(other));
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let signatures = signatures(target).into_iter().map(|entry| (entry.name.to_owned(), signature(entry))).collect();
    let any = Any {
        type_url: "type.googleapis.com/tensorflow.serving.SignatureDefMap".to_owned(),
        value: SignatureDefMap { signature_def: signatures }.encode_to_vec(),
    };
    Ok(HashMap::from([(SIGNATURE_DEF.to_owned(), any)]))
}

fn signature(entry: SignatureEntry) -> SignatureDef {
    SignatureDef {
        inputs: entry.inputs.into_iter().map(tensor).collect(),
        outputs: entry.outputs.into_iter().map(tensor).collect(),
        method_name: entry.method.to_owned(),
    }
}

fn tensor(SignatureTensor { name, data_type, dims }: SignatureTensor) -> (String, TensorInfo) {
    let info = TensorInfo {
        name: name.clone(),
        dtype: DataType::from_str_name(data_type).unwrap_or_default().into(),
        tensor_shape: Some(shape(dims)),
    };
    (name, info)
}

/// A shape without names.
pub(super) fn shape(dims: Vec<i64>) -> TensorShapeProto {
    let dim = dims.into_iter().map(|size| Dim { size, name: String::new() }).collect();
    TensorShapeProto { dim, unknown_rank: false }
}

/// Where versions stand.
pub(super) fn statuses(versions: &[ModelStatus]) -> Vec<ModelVersionStatus> {
    let status = |VersionStatus { version, state, error_code, error_message }: VersionStatus| ModelVersionStatus {
        version: i64::try_from(version).unwrap_or(i64::MAX),
        state: model_version_status::State::from_str_name(state).unwrap_or_default().into(),
        status: Some(StatusProto {
            error_code: Code::from_str_name(error_code).unwrap_or_default().into(),
            error_message,
        }),
    };
    states(versions).into_iter().map(status).collect()
}
