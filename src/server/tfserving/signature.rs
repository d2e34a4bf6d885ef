//! The signatures of a model: under what name it takes what, and what it gives.
//!
//! A graph of ONNX has none. A model here has three: what TensorFlow Serving's clients ask for by default gives probabilities, in
//! one output, so that a prediction is the row itself; `raw` is the graph as it is; `classify` stands for the classes.

use super::name_of;
use crate::{
    service::{Error, ErrorKind, PROBABILITIES, Shown, Target},
    tensor::NumberType,
};

/// A signature, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum ServingSignature {
    /// The network's input or pictures in, probabilities out.
    #[default]
    ServingDefault,
    /// The same in, the graph's own output out.
    Raw,
    /// Pictures in, labels and probabilities out.
    Classify,
}

/// What a method serves.
pub(in crate::server) const PREDICT_METHOD: &str = "tensorflow/serving/predict";
pub(in crate::server) const CLASSIFY_METHOD: &str = "tensorflow/serving/classify";

impl ServingSignature {
    /// By its name; the default where it is empty.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for another name, with those that there are.
    fn named(name: &str) -> Result<Self, Error> {
        match name {
            "" | "serving_default" => Ok(Self::ServingDefault),
            "raw" => Ok(Self::Raw),
            "classify" => Ok(Self::Classify),
            _ => {
                let message = format!(
                    "there is no signature `{}`: use `serving_default`, `raw` or `classify`, or leave it out",
                    Shown(name)
                );
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
        }
    }

    /// One for `predict`.
    ///
    /// # Errors
    /// As [`ServingSignature::named`], and for the one that classifies.
    pub(in crate::server) fn to_predict(name: &str) -> Result<Self, Error> {
        match Self::named(name)? {
            Self::Classify => {
                let message =
                    "signature `classify` is for the method classify: predict has `serving_default` and `raw`";
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            signature => Ok(signature),
        }
    }

    /// One for `classify`.
    ///
    /// # Errors
    /// As [`ServingSignature::named`], and for the one that only predicts.
    pub(in crate::server) fn to_classify(name: &str) -> Result<Self, Error> {
        match Self::named(name)? {
            Self::Raw => {
                let message =
                    "signature `raw` is for the method predict: classify has `serving_default` and `classify`";
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            signature => Ok(signature),
        }
    }

    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Self::ServingDefault => "serving_default",
            Self::Raw => "raw",
            Self::Classify => "classify",
        }
    }

    /// The name of the output that `predict` gives.
    pub(in crate::server) fn output(self, target: &Target) -> String {
        match self {
            Self::Raw => target.model().info.output.name.clone(),
            Self::ServingDefault | Self::Classify => PROBABILITIES.to_owned(),
        }
    }
}

/// A signature as it is described.
#[derive(Debug)]
pub(in crate::server) struct SignatureEntry {
    pub(in crate::server) name: &'static str,
    pub(in crate::server) method: &'static str,
    pub(in crate::server) inputs: Vec<SignatureTensor>,
    pub(in crate::server) outputs: Vec<SignatureTensor>,
}

/// An input or output.
#[derive(Clone, Debug)]
pub(in crate::server) struct SignatureTensor {
    pub(in crate::server) name: String,
    pub(in crate::server) data_type: &'static str,
    /// -1 where the size is free: the number of images.
    pub(in crate::server) dims: Vec<i64>,
}

/// The signatures of a model.
pub(in crate::server) fn signatures(target: &Target) -> Vec<SignatureEntry> {
    let info = &target.model().info;
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let input = SignatureTensor {
        name: info.input.name.clone(),
        data_type: name_of(info.numbers),
        dims: [&[-1], target.shape().dims().map(size).as_slice()].concat(),
    };
    let row = |name: String, data_type: &'static str| SignatureTensor {
        name,
        data_type,
        dims: vec![-1, size(target.model().classes())],
    };
    let predict = |signature: ServingSignature| SignatureEntry {
        name: signature.name(),
        method: PREDICT_METHOD,
        inputs: vec![input.clone()],
        outputs: vec![row(signature.output(target), name_of(NumberType::Float32))],
    };
    let classify = SignatureEntry {
        name: ServingSignature::Classify.name(),
        method: CLASSIFY_METHOD,
        inputs: vec![SignatureTensor { name: "inputs".to_owned(), data_type: STRING, dims: vec![-1] }],
        outputs: vec![row("classes".to_owned(), STRING), row("scores".to_owned(), name_of(NumberType::Float32))],
    };
    vec![predict(ServingSignature::ServingDefault), predict(ServingSignature::Raw), classify]
}

/// The type of texts and files.
const STRING: &str = "DT_STRING";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_signatures_and_no_name_means_the_default() {
        assert_eq!(ServingSignature::to_predict(""), Ok(ServingSignature::ServingDefault));
        assert_eq!(ServingSignature::to_predict("raw"), Ok(ServingSignature::Raw));
        assert_eq!(ServingSignature::to_classify("serving_default"), Ok(ServingSignature::ServingDefault));
        assert_eq!(ServingSignature::to_classify("classify"), Ok(ServingSignature::Classify));
        for refused in [
            ServingSignature::to_predict("classify"),
            ServingSignature::to_classify("raw"),
            ServingSignature::to_predict("predict_images"),
            ServingSignature::to_classify(" serving_default"),
        ] {
            assert!(refused.expect_err("another name").message.contains("`serving_default`"));
        }
        let long = ServingSignature::to_predict(&"x".repeat(9_000)).expect_err("another name").message;
        assert!(long.len() < 500, "{long}");
    }
}
