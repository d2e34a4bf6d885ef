//! Several models in the path of one call, `{a},{b}@{version},{c}@{label}:classify`: pure text.

use crate::{
    server::several::{MOST_MODELS, too_many_models},
    service::{Error, ErrorKind, Shown, VersionPick},
};

/// A model of several, and which of its versions is meant.
#[derive(Debug, PartialEq)]
pub(super) struct NamedModel {
    pub(super) name: String,
    version: Option<String>,
}

impl NamedModel {
    /// The version: a number, or else a label.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is neither.
    pub(super) fn version(&self) -> Result<VersionPick<'_>, Error> {
        let Some(text) = &self.version else { return Ok(VersionPick::Highest) };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number @ 1..) => Ok(VersionPick::Number(number)),
            _ if is_number => {
                let (name, text) = (Shown(&self.name), Shown(text));
                Err(refused(format!(
                    "`{name}@{text}` names no version: behind the `@` stands a positive integer or a label"
                )))
            }
            _ => Ok(VersionPick::Label(text)),
        }
    }
}

/// The models that a path names, where it names several.
///
/// * `is_known`: whether a model has this name; one that has an `@` in it is meant by it
///
/// # Errors
/// `INVALID_ARGUMENT` for too many, for one without a name, and for the same text twice.
pub(super) fn named_models(text: &str, is_known: impl Fn(&str) -> bool) -> Result<Vec<NamedModel>, Error> {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split(',') {
        if parts.len() == MOST_MODELS {
            return Err(too_many_models(text.split(',').count()));
        }
        if part.is_empty() || part.starts_with('@') {
            let text = Shown(text);
            return Err(refused(format!(
                "a model of `{text}` has no name: write `a,b`, or `a@3,b@stable` for versions"
            )));
        }
        if parts.contains(&part) {
            return Err(refused(format!("model `{}` is named twice: name it once", Shown(part))));
        }
        parts.push(part);
    }
    let named = |part: &str| match part.rsplit_once('@') {
        Some((name, version)) if !is_known(part) => {
            NamedModel { name: name.to_owned(), version: Some(version.to_owned()) }
        }
        _ => NamedModel { name: part.to_owned(), version: None },
    };
    Ok(parts.into_iter().map(named).collect())
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(text: &str) -> Vec<(String, String)> {
        let named = named_models(text, |name| name == "mail@home").expect("models");
        let pick = |model: &NamedModel| format!("{:?}", model.version().expect("a version"));
        named.iter().map(|model| (model.name.clone(), pick(model))).collect()
    }

    #[test]
    fn each_model_has_its_version_behind_it() {
        let expected = [("a", "Highest"), ("b", "Number(3)"), ("c", "Label(\"stable\")"), ("mail@home", "Highest")];
        let expected = expected.map(|(name, pick)| (name.to_owned(), pick.to_owned()));
        assert_eq!(picks("a,b@3,c@stable,mail@home"), expected);
        assert_eq!(picks("mail@home@2"), [("mail@home".to_owned(), "Number(2)".to_owned())]);
        assert_eq!(picks("a@1,a@2").len(), 2, "versions are compared");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        let many = (0..=MOST_MODELS).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        for (text, part) in [
            ("a,,b", "has no name"),
            ("a,", "has no name"),
            ("a,@3", "has no name"),
            ("a,b,a", "`a` is named twice"),
            (&*many, "9 models in one call, the limit is 8"),
        ] {
            let error = named_models(text, |_| false).expect_err(text);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
        for text in ["a@0,b", "a@99999999999999999999,b", "a@,b"] {
            let named = named_models(text, |_| false).expect("models");
            assert!(named.iter().any(|model| model.version().is_err()), "{text}");
        }
    }
}
