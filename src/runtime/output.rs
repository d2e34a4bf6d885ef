//! What a session gave, as rows of logits; 16-bit numbers are widened on the way.

use half::{f16, slice::HalfFloatSliceExt as _};
use ort::value::{DynValue, TensorElementType};

use crate::tensor::Logits;

/// Takes the rows of the first `len` images from an output.
///
/// * `widened`: memory for an output that is 16-bit
pub(super) fn read_rows(output: &DynValue, len: usize, widened: &mut Vec<f32>, logits: &mut Logits) -> ort::Result<()> {
    let (shape, values) = if *output.data_type() == TensorElementType::Float16 {
        let (shape, values) = output.try_extract_tensor::<f16>()?;
        widened.resize(values.len(), 0.0);
        values.convert_to_f32_slice(widened);
        (shape, &**widened)
    } else {
        output.try_extract_tensor::<f32>()?
    };
    let rows = shape.first().and_then(|&rows| usize::try_from(rows).ok()).unwrap_or(1).max(1);
    let classes = values.len() / rows;
    logits.fill(classes, &values[..classes * len.min(rows)]);
    Ok(())
}
