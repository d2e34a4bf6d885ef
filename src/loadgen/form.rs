//! The ways to send a picture: protocols, and the forms that each of them has.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// What is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WireProtocol {
    /// HTTP/1.1, a request at a time on each connection.
    #[default]
    Http1,
    /// HTTP/2, begun as such.
    Http2,
    /// gRPC, on its own port or on the one of HTTP.
    Grpc,
}

/// How a request carries its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PictureForm {
    /// The file as the body of `:classify`.
    Body,
    /// A form of files at `:classify`.
    Multipart,
    /// Base64 in JSON at `:classify`.
    Json,
    /// TensorFlow Serving: base64 in JSON at `:predict`, gRPC's `Predict`.
    Predict,
    /// The Open Inference Protocol: BYTES in JSON.
    V2Json,
    /// The same, as binary data; gRPC's `ModelInfer` with `raw_input_contents`.
    V2Binary,
    /// The same, where the body is the file and nothing else.
    V2Raw,
    /// The network's own input as numbers, as binary data: no picture is decoded.
    V2Tensor,
    /// gRPC's `resnetd.v1.Classifier/Classify`.
    Classify,
    /// gRPC's `resnetd.v1.Classifier/ClassifyStream`.
    Stream,
}

impl WireProtocol {
    const ALL: [(&str, Self); 3] = [("http1", Self::Http1), ("http2", Self::Http2), ("grpc", Self::Grpc)];

    /// Whether it is spoken over HTTP/2.
    pub fn is_http2(self) -> bool {
        self != Self::Http1
    }

    /// The forms that it has, the usual one first.
    pub fn forms(self) -> &'static [PictureForm] {
        use PictureForm as F;
        match self {
            Self::Http1 | Self::Http2 => {
                &[F::Body, F::Multipart, F::Json, F::Predict, F::V2Json, F::V2Binary, F::V2Raw, F::V2Tensor]
            }
            Self::Grpc => &[F::Classify, F::Stream, F::Predict, F::V2Binary, F::V2Tensor],
        }
    }
}

impl PictureForm {
    const ALL: [(&str, Self); 10] = [
        ("body", Self::Body),
        ("multipart", Self::Multipart),
        ("json", Self::Json),
        ("predict", Self::Predict),
        ("v2-json", Self::V2Json),
        ("v2-binary", Self::V2Binary),
        ("v2-raw", Self::V2Raw),
        ("v2-tensor", Self::V2Tensor),
        ("classify", Self::Classify),
        ("stream", Self::Stream),
    ];

    /// Whether a request of it has one picture, never several.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Body | Self::V2Raw)
    }

    /// Whether a request of it can say how urgent it is.
    pub fn has_priority(self, protocol: WireProtocol) -> bool {
        !matches!((self, protocol), (Self::V2Raw, _) | (Self::Predict, WireProtocol::Grpc))
    }

    /// Whether a request of it can say how long its answer is of use.
    pub fn has_deadline(self) -> bool {
        self != Self::V2Raw
    }
}

impl FromStr for WireProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(&Self::ALL, text).ok_or_else(|| format!("`{text}` is no protocol: use {}", names(&Self::ALL)))
    }
}

impl FromStr for PictureForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(&Self::ALL, text).ok_or_else(|| format!("`{text}` is no form: use {}", names(&Self::ALL)))
    }
}

impl fmt::Display for WireProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::ALL, *self))
    }
}

impl fmt::Display for PictureForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::ALL, *self))
    }
}

fn named<T: Copy>(all: &[(&str, T)], text: &str) -> Option<T> {
    all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(all: &[(&'static str, T)], wanted: T) -> &'static str {
    all.iter().find(|(_, value)| *value == wanted).map_or("?", |(name, _)| name)
}

fn names<T>(all: &[(&str, T)]) -> String {
    all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        for (name, protocol) in WireProtocol::ALL {
            assert_eq!((name.parse(), protocol.to_string().as_str()), (Ok(protocol), name));
        }
        for (name, form) in PictureForm::ALL {
            assert_eq!((name.parse(), form.to_string().as_str()), (Ok(form), name));
            let known = WireProtocol::ALL.into_iter().filter(|(_, protocol)| protocol.forms().contains(&form));
            assert!(known.count() > 0, "no protocol has {name}");
        }
        let error = "jpeg".parse::<PictureForm>().expect_err("unknown");
        assert!(error.contains("`jpeg`") && error.contains("v2-json"), "{error}");
    }
}
