//! What a client asks of an answer, in one grammar for the query, form fields and JSON.
//!
//! An option that is not known is refused rather than passed over: a typo of `top_k` must not quietly change an answer.

use std::{borrow::Cow, time::Duration};

use percent_encoding::percent_decode_str;

use super::{
    asked::{AskedOutputs, Encoding},
    asked_classes::ExplainOptions,
};
use crate::service::{ClassesWanted, Error, ErrorKind, Shown};

/// The longest `timeout_ms`: an hour. More is a mistake of units.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// The options of one request; those that were not given are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RequestOptions {
    pub(super) classes: ClassesWanted,
    pub(super) outputs: AskedOutputs,
    pub(super) encoding: Encoding,
    pub(super) timeout: Option<Duration>,
    pub(super) ensemble: Option<Ensemble>,
    /// Where an explanation is asked for: what only that has.
    pub(super) explain: Option<ExplainOptions>,
}

/// What several models say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensemble {
    /// The mean of their probabilities.
    Mean,
}

/// An option that cannot be meant.
#[derive(Debug, PartialEq)]
pub(super) enum BadOption {
    /// Not even an integer, or none above 0; the text.
    TopK(String),
    /// What was wrong, and how to mend it.
    Other(String),
    /// It was not looked at.
    Refused(Error),
}

impl BadOption {
    /// The error for the client; `classes` is the model's number of them, if it is known.
    pub(super) fn into_error(self, classes: Option<usize>) -> Error {
        let message = match self {
            Self::TopK(text) => {
                let most = classes.map_or("the model's number of classes".to_owned(), |classes| classes.to_string());
                format!("top_k is `{}`: it must be an integer from 1 to {most}", Shown(&text))
            }
            Self::Other(message) => message,
            Self::Refused(error) => return error,
        };
        Error::new(ErrorKind::InvalidArgument, message)
    }
}

impl RequestOptions {
    /// The options of a URL's query.
    pub(super) fn from_query(query: Option<&str>) -> Result<Self, BadOption> {
        Self::default().with_query(query)
    }

    /// These, and those of a URL's query.
    pub(super) fn with_query(self, query: Option<&str>) -> Result<Self, BadOption> {
        let mut options = self;
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(&decode(key), &decode(value))?;
        }
        Ok(options)
    }

    /// Sets one option from its text; the last one counts.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), BadOption> {
        if let Some(explain) = &mut self.explain {
            match key {
                // Those that were named before count as well.
                "class" => {
                    explain.classes.add(value.to_owned());
                    return Ok(());
                }
                "view" => return explain.set_view(value).map_err(BadOption::Other),
                "crops" => return explain.set_crops(value).map_err(BadOption::Refused),
                "top_k" | "timeout_ms" => {}
                _ => {
                    let key = Shown(key);
                    let message = format!(
                        "there is no option `{key}` of an explanation: use `class`, `top_k`, `crops`, `view` or `timeout_ms`"
                    );
                    return Err(BadOption::Other(message));
                }
            }
        }
        match key {
            // What is too large is left to the service, which knows the model.
            "top_k" => {
                let number = parse_saturating(value).filter(|number| *number > 0);
                self.classes.top_k = Some(number.ok_or_else(|| BadOption::TopK(value.to_owned()))?);
            }
            "min_probability" => match value.parse::<f32>() {
                Ok(number) if (0.0..=1.0).contains(&number) => self.classes.min_probability = Some(number),
                _ => {
                    return Err(BadOption::Other(format!(
                        "min_probability is `{}`: it must be a number from 0 to 1",
                        Shown(value)
                    )));
                }
            },
            "timeout_ms" => match value.parse() {
                Ok(number @ 1..=MAX_TIMEOUT_MS) => self.timeout = Some(Duration::from_millis(number)),
                _ => {
                    let value = Shown(value);
                    let message = format!("timeout_ms is `{value}`: it must be an integer from 1 to {MAX_TIMEOUT_MS}");
                    return Err(BadOption::Other(message));
                }
            },
            "outputs" => self.outputs = AskedOutputs::listed(value),
            "encoding" => {
                self.encoding = Encoding::named(value).ok_or_else(|| {
                    BadOption::Other(format!("encoding is `{}`: it must be `numbers` or `base64`", Shown(value)))
                })?;
            }
            "ensemble" => match value {
                "mean" => self.ensemble = Some(Ensemble::Mean),
                _ => return Err(BadOption::Other(format!("ensemble is `{}`: it must be `mean`", Shown(value)))),
            },
            _ => {
                let key = Shown(key);
                let message = format!(
                    "there is no option `{key}`: use `top_k`, `min_probability`, `timeout_ms`, `outputs` or `encoding`"
                );
                return Err(BadOption::Other(message));
            }
        }
        Ok(())
    }
}

/// A non-negative integer; the largest `usize` for any larger one.
fn parse_saturating(text: &str) -> Option<usize> {
    let is_integer = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then(|| text.parse().unwrap_or(usize::MAX))
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{ExplainCrops, ExplainView};

    #[test]
    fn a_query_sets_its_options() {
        let options = RequestOptions::from_query(Some("top_k=3&min_probability=0.25&timeout_ms=1500")).expect("valid");
        assert_eq!(options.classes, ClassesWanted { top_k: Some(3), min_probability: Some(0.25) });
        assert_eq!(options.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(RequestOptions::from_query(None), Ok(RequestOptions::default()));
        assert_eq!(RequestOptions::from_query(Some("top%5Fk=%33")).expect("decoded").classes.top_k, Some(3));
    }

    #[test]
    fn outputs_and_their_encoding_are_options_too() {
        let options = RequestOptions::from_query(Some("outputs=features%2Clogits&encoding=base64")).expect("valid");
        assert_eq!((options.outputs, options.encoding), (AskedOutputs::listed("features,logits"), Encoding::Base64));
        assert!(RequestOptions::from_query(Some("outputs=")).expect("valid").outputs.is_empty());
        let bad = RequestOptions::from_query(Some("encoding=hex")).expect_err("no encoding");
        assert_eq!(bad.into_error(None).message, "encoding is `hex`: it must be `numbers` or `base64`");
    }

    #[test]
    fn an_ensemble_is_an_option_too() {
        assert_eq!(RequestOptions::from_query(Some("ensemble=mean")).expect("valid").ensemble, Some(Ensemble::Mean));
        let bad = RequestOptions::from_query(Some("ensemble=median")).expect_err("no ensemble");
        assert_eq!(bad.into_error(None).message, "ensemble is `median`: it must be `mean`");
    }

    #[test]
    fn an_explanation_has_options_of_its_own_and_no_others() {
        let asked = |query| {
            let options = RequestOptions { explain: Some(ExplainOptions::default()), ..RequestOptions::default() };
            options.with_query(Some(query))
        };
        let options = asked("class=3&class=tench%2C%20Tinca%20tinca&view=original&crops=10&top_k=2").expect("valid");
        let explain = options.explain.expect("an explanation");
        assert_eq!(explain.classes.0, ["3", "tench, Tinca tinca"]);
        assert_eq!((explain.view, explain.crops), (ExplainView::Original, ExplainCrops::Ten));
        assert_eq!(options.classes.top_k, Some(2));
        let refusal = |query| asked(query).expect_err(query).into_error(None).message;
        assert!(refusal("crops=3").starts_with("crops is `3`: it must be 1 or 10"));
        assert!(refusal("crops=1e1").starts_with("crops is `1e1`"));
        assert_eq!(refusal("view=all"), "view is `all`: it must be `crop` or `original`");
        let none =
            "there is no option `outputs` of an explanation: use `class`, `top_k`, `crops`, `view` or `timeout_ms`";
        assert_eq!(refusal("outputs=logits"), none);
        assert!(RequestOptions::from_query(Some("class=3")).is_err(), "a classification has none");
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_refused_with_the_range() {
        for value in ["0", "abc", "-1", "1.5", "", "+3", "0x5"] {
            let bad = RequestOptions::from_query(Some(&format!("top_k={value}"))).expect_err(value);
            let message = bad.into_error(Some(10)).message;
            assert!(message.contains("from 1 to 10") && message.contains(value), "{message}");
        }
        for pair in [
            "min_probability=2",
            "min_probability=NaN",
            "min_probability=-0.1",
            "timeout_ms=0",
            "timeout_ms=1e3",
            "timeout_ms=3600001",
        ] {
            let bad = RequestOptions::from_query(Some(pair)).expect_err(pair);
            assert!(bad.into_error(None).message.contains("it must be"), "{pair}");
        }
    }

    #[test]
    fn a_huge_top_k_is_left_to_the_service() {
        let options = RequestOptions::from_query(Some("top_k=99999999999999999999999999")).expect("an integer");
        assert_eq!(options.classes.top_k, Some(usize::MAX));
    }

    #[test]
    fn a_misspelt_option_is_refused_with_the_known_ones() {
        let bad = RequestOptions::from_query(Some("topk=3")).expect_err("a typo");
        assert_eq!(
            bad.into_error(None).message,
            "there is no option `topk`: use `top_k`, `min_probability`, `timeout_ms`, `outputs` or `encoding`"
        );
    }
}
