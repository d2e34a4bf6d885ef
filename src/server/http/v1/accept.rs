//! The form in which a client takes outputs, by its `Accept` header.

use axum::http::{HeaderMap, HeaderValue, header::ACCEPT};

/// The form of an answer with outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerForm {
    /// JSON, with the classes.
    Json,
    /// One output as `f32`, little-endian, a row for each image.
    Raw,
    /// The same as a NumPy file.
    Npy,
}

impl AnswerForm {
    /// The form that `headers` like best; JSON where they say nothing of it, or as much of another one.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        preferred(headers, Self::named, Self::Json)
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Raw => "application/octet-stream",
            Self::Npy => "application/x-npy",
        })
    }

    fn named(media_type: &str) -> Option<Self> {
        match media_type {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "application/octet-stream" => Some(Self::Raw),
            "application/x-npy" => Some(Self::Npy),
            _ => None,
        }
    }
}

/// The form that `headers` like best; `usual` where they say nothing of it, or as much of another one.
///
/// * `named`: a form by its media type, in lowercase
pub(super) fn preferred<F: Copy + PartialEq>(headers: &HeaderMap, named: impl Fn(&str) -> Option<F>, usual: F) -> F {
    let listed = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (usual, 0.0);
    for entry in listed.flat_map(|list| list.split(',')) {
        let mut parts = entry.split(';').map(str::trim);
        let Some(form) = parts.next().and_then(|name| named(&name.to_ascii_lowercase())) else { continue };
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if weight > best.1 || (weight == best.1 && form == usual) {
            best = (form, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_liked_best_is_taken_and_json_where_nothing_is_said() {
        for (accept, form) in [
            ("application/octet-stream", AnswerForm::Raw),
            ("Application/X-NPY", AnswerForm::Npy),
            ("application/x-npy, */*;q=0.1", AnswerForm::Npy),
            ("application/x-npy;q=0.5, application/octet-stream;q=0.9", AnswerForm::Raw),
            ("*/*", AnswerForm::Json),
            ("application/octet-stream, */*", AnswerForm::Json),
            ("application/octet-stream;q=0", AnswerForm::Json),
            ("text/html, image/webp", AnswerForm::Json),
            ("", AnswerForm::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(AnswerForm::accepted(&headers), form, "{accept}");
        }
        assert_eq!(AnswerForm::accepted(&HeaderMap::new()), AnswerForm::Json);
    }
}
