//! What a session gave, as rows of logits; 16-bit numbers are widened on the way.

use half::{f16, slice::HalfFloatSliceExt as _};
use ort::value::{DynValue, TensorElementType};

use crate::tensor::Logits;

/// Takes the rows of the first `len` images from an output.
///
/// * `run_as`: the images that were run, `len` or more: the output has a row for each
/// * `widened`: memory for an output that is 16-bit
///
/// # Errors
/// If it has another number of rows: nobody can say then which numbers belong to which image.
pub(super) fn read_rows(
    output: &DynValue,
    len: usize,
    run_as: usize,
    widened: &mut Vec<f32>,
    logits: &mut Logits,
) -> ort::Result<()> {
    let (shape, values) = if *output.data_type() == TensorElementType::Float16 {
        let (shape, values) = output.try_extract_tensor::<f16>()?;
        widened.resize(values.len(), 0.0);
        values.convert_to_f32_slice(widened);
        (shape, &**widened)
    } else {
        output.try_extract_tensor::<f32>()?
    };
    let rows = match shape[..] {
        // A batch of one whose dimension was squeezed away.
        [_] | [] if run_as == 1 => 1,
        [rows, ..] => usize::try_from(rows).unwrap_or(0),
        [] => 1,
    };
    if rows != run_as {
        return Err(ort::Error::new(format!("{run_as} images gave an output of {:?}", &shape[..])));
    }
    let classes = values.len() / run_as.max(1);
    logits.fill(classes, &values[..classes * len]);
    Ok(())
}

/// The shape of one image's maps.
///
/// # Errors
/// If they are no maps.
pub(super) fn map_dims(output: &DynValue) -> ort::Result<[usize; 3]> {
    let shape = output.shape().to_vec();
    match shape[..] {
        [_, a, b, c] => Ok([a, b, c].map(|dim| usize::try_from(dim).unwrap_or(0))),
        _ => Err(ort::Error::new(format!("the maps before the last layer have shape {shape:?}"))),
    }
}
