//! Which outputs a client wants, and in what form: numbers, or classes as `"value:index:label"`.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    datatype::{BYTES, name_of},
    elements::with_lengths,
};
use crate::{
    service::{Answer, Error, ErrorKind, ErrorSubject, FEATURES, NamedOutput, Target, Wanted, top_k},
    tensor::NumberType,
};

/// An output as a client asked for it.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct RequestedOutput {
    pub(in crate::server) name: String,
    /// So many classes, the largest values first, instead of the values; 0: the values.
    pub(in crate::server) classes: u64,
    /// Whether it is wanted as binary data; what the request says where it says nothing.
    pub(in crate::server) binary: Option<bool>,
}

/// All outputs of a request, each once.
#[derive(Debug)]
pub(in crate::server) struct Requested(Vec<RequestedOutput>);

/// An output of an answer.
#[derive(Debug)]
pub(in crate::server) struct OutputTensor {
    pub(in crate::server) name: Arc<str>,
    pub(in crate::server) shape: [usize; 2],
    pub(in crate::server) column: Column,
    /// As asked for.
    pub(in crate::server) binary: Option<bool>,
}

/// What is in it, row by row.
#[derive(Debug)]
pub(in crate::server) enum Column {
    Numbers(Vec<f32>),
    Texts(Vec<String>),
}

impl Requested {
    /// Takes what a client asked for; the outputs that the metadata list where it asked for nothing.
    ///
    /// * `count`: how many it asked for, where `outputs` are only the first of them
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for one that is asked for twice, and for more than there are.
    pub(in crate::server) fn new(outputs: Vec<RequestedOutput>, count: usize, target: &Target) -> Result<Self, Error> {
        if count == 0 {
            let default = target.outputs().into_iter();
            let all = default.map(|name| RequestedOutput { name: name.to_owned(), ..Default::default() });
            return Ok(Self(all.collect()));
        }
        target.check_outputs(outputs.iter().map(|output| &*output.name), count)?;
        let classifies = |output: &RequestedOutput| output.classes > 0 && output.name == FEATURES;
        if outputs.iter().any(classifies) && target.model().info.output.name != FEATURES {
            let message = format!("`classification` is of classes, and `{FEATURES}` are none: ask for their values");
            return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("outputs")));
        }
        Ok(Self(outputs))
    }

    /// The same for the service.
    pub(in crate::server) fn wanted(&self) -> Wanted {
        Wanted::outputs(self.0.iter().map(|output| output.name.clone()).collect())
    }

    /// What the service answered to [`Requested::wanted`], in the form that was asked for.
    ///
    /// * `labels`: the model's
    pub(in crate::server) fn tensors(&self, answer: Answer, labels: &[Arc<str>]) -> Vec<OutputTensor> {
        let form = |(requested, output): (&RequestedOutput, NamedOutput)| {
            let NamedOutput { name, shape: [images, classes], values } = output;
            let binary = requested.binary;
            if requested.classes == 0 {
                return OutputTensor { name, shape: [images, classes], column: Column::Numbers(values), binary };
            }
            // As Triton does: more than there are is all of them.
            let most = usize::try_from(requested.classes).unwrap_or(usize::MAX).min(classes);
            let rows = values.chunks_exact(classes.max(1));
            let texts = rows.flat_map(|row| top_k(row, most, f32::NEG_INFINITY)).map(|class| text(class, labels));
            OutputTensor { name, shape: [images, most], column: Column::Texts(texts.collect()), binary }
        };
        self.0.iter().zip(answer.outputs).map(form).collect()
    }
}

/// `"value:index:label"`; without a label where the class has none but its index.
fn text((index, value): (usize, f32), labels: &[Arc<str>]) -> String {
    match labels.get(index).filter(|label| ***label != *index.to_string()) {
        Some(label) => format!("{value}:{index}:{label}"),
        None => format!("{value}:{index}"),
    }
}

impl OutputTensor {
    pub(in crate::server) fn datatype(&self) -> &'static str {
        match self.column {
            Column::Numbers(_) => name_of(NumberType::Float32),
            Column::Texts(_) => BYTES,
        }
    }

    /// As a binary tensor.
    pub(in crate::server) fn raw(&self) -> Bytes {
        match &self.column {
            Column::Numbers(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            Column::Texts(texts) => with_lengths(texts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_a_label_has_its_value_and_index_only() {
        let labels = ["tabby".into(), "1".into()];
        assert_eq!(text((0, 0.25), &labels), "0.25:0:tabby");
        assert_eq!(text((1, -1.5), &labels), "-1.5:1");
        assert_eq!(text((2, 1e-20), &labels), "0.00000000000000000001:2");
    }
}
