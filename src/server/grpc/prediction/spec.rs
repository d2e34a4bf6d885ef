//! Which model a request means, and which one answered.

use crate::{
    server::grpc::proto::tensorflow::serving::{ModelSpec, model_spec::VersionChoice},
    service::{Error, ErrorKind, VersionPick},
};

/// Which version is meant. An empty label is none.
///
/// # Errors
/// `INVALID_ARGUMENT` for a number that is no version's.
pub(super) fn version(spec: &ModelSpec) -> Result<VersionPick<'_>, Error> {
    match &spec.version_choice {
        None => Ok(VersionPick::Highest),
        Some(VersionChoice::VersionLabel(label)) if label.is_empty() => Ok(VersionPick::Highest),
        Some(VersionChoice::VersionLabel(label)) => Ok(VersionPick::Label(label)),
        Some(VersionChoice::Version(number)) => match u64::try_from(*number) {
            Ok(number) if number > 0 => Ok(VersionPick::Number(number)),
            _ => {
                let message =
                    format!("{number} is no version: a version is a positive integer; leave it out for the highest");
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
        },
    }
}

/// The version that answered.
pub(super) fn answered(name: &str, version: u64, signature: &str) -> ModelSpec {
    ModelSpec {
        name: name.to_owned(),
        version_choice: Some(VersionChoice::Version(i64::try_from(version).unwrap_or(i64::MAX))),
        signature_name: signature.to_owned(),
    }
}
