//! An answer that is one output and nothing else: its numbers, bare or as a NumPy file.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header::CONTENT_TYPE},
    response::Response,
};

use super::accept::AnswerForm;
use crate::service::{Answer, NamedOutput};

/// What the numbers are, beside them: which output, of which version of the model, in which shape.
const NAME: HeaderName = HeaderName::from_static("x-output-name");
const SHAPE: HeaderName = HeaderName::from_static("x-output-shape");
const DATATYPE: HeaderName = HeaderName::from_static("x-output-datatype");
const VERSION: HeaderName = HeaderName::from_static("x-model-version");

/// NumPy's format, version 1.0: its header's length is a multiple of this.
const NPY_ALIGNMENT: usize = 64;

/// Writes `output` of `answer` alone.
pub(super) fn write(answer: &Answer, output: &NamedOutput, form: AnswerForm) -> Response {
    let [images, width] = output.shape;
    let header = if form == AnswerForm::Npy { npy_header(output.shape) } else { Vec::new() };
    let mut body = Vec::with_capacity(header.len() + size_of_val(&*output.values));
    body.extend(header);
    body.extend(output.values.iter().flat_map(|value| value.to_le_bytes()));
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, form.content_type());
    headers.insert(DATATYPE, HeaderValue::from_static("FP32"));
    headers.insert(VERSION, HeaderValue::from(answer.version));
    let texts = [(NAME, output.name.to_string()), (SHAPE, format!("{images},{width}"))];
    // A graph may call its output what no header can say.
    headers.extend(texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?))));
    response
}

/// What stands before the numbers in a `.npy` file.
fn npy_header([images, width]: [usize; 2]) -> Vec<u8> {
    const BEGINNING: &[u8] = b"\x93NUMPY\x01\x00";
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({images}, {width}), }}");
    let before = BEGINNING.len() + 2;
    let whole = (before + dict.len() + 1).next_multiple_of(NPY_ALIGNMENT);
    let padding = " ".repeat(whole - before - dict.len() - 1);
    // Two numbers have far fewer digits than 16 bits can count.
    let length = u16::try_from(whole - before).unwrap_or(u16::MAX).to_le_bytes();
    [BEGINNING, &length, dict.as_bytes(), padding.as_bytes(), b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numpy_file_begins_as_numpy_writes_it() {
        // `np.save` of an array of zeros, `float32`, of shape (2, 2048), NumPy 2.
        let expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2048), }";
        let header = npy_header([2, 2048]);
        assert!(header.starts_with(expected), "{}", header.escape_ascii());
        assert_eq!((header.len(), header.last()), (128, Some(&b'\n')));
        assert_eq!(npy_header([usize::MAX, usize::MAX]).len() % NPY_ALIGNMENT, 0);
    }
}
