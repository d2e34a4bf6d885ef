//! What the doors share of a call for several models. Knows the service; must not know a protocol.

use crate::service::{Answer, Error, ErrorKind};

/// The most models of one call. Each takes places and a line of the metrics; what compares more of them is no request.
pub(super) const MOST_MODELS: usize = 8;

/// The refusal of too many models.
pub(super) fn too_many_models(count: usize) -> Error {
    let message = format!("{count} models in one call, the limit is {MOST_MODELS}: ask them in several");
    Error::new(ErrorKind::InvalidArgument, message)
}

/// The refusal of the call, where no model answers: the first model's.
///
/// * `first`: the name of the first model
pub(super) fn refusal(first: &str, answers: &[Result<Answer, Error>]) -> Option<Error> {
    let errors: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let error = errors.first().filter(|_| errors.len() == answers.len())?;
    let is_of_all = errors.iter().all(|other| other.message == error.message);
    let message = if is_of_all { error.message.clone() } else { format!("model `{first}`: {}", error.message) };
    Some(Error { message, ..Error::clone(error) })
}
