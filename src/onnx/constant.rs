//! What a constant of a graph comes to in numbers, however its exporter wrote it: as integers with a scale, in half precision,
//! turned around, or in a file beside the graph's.
//!
//! A few operators on constants are carried out here, the ones that stand before weights. What else a graph may compute is an
//! engine's affair.

use std::path::Path;

use super::{DataType, NodeProto, TensorProto, Walk, external::with_values, f32_values, i64_values};

/// More operators than this before a weight have never been seen; a damaged file can have a circle.
const MOST_HOPS: usize = 16;

/// A constant's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its shape.
    pub dims: Vec<usize>,
    /// Row-major, as many as the shape says.
    pub values: Vec<f32>,
}

impl Constant {
    /// The constant called `value`.
    ///
    /// * `folder`: where the files are that the graph keeps weights in; `None` where it keeps none
    ///
    /// # Errors
    /// Why it cannot be had, as the end of a sentence.
    pub fn of(walk: &Walk<'_>, value: &str, folder: Option<&Path>) -> Result<Self, String> {
        computed(walk, value, folder, MOST_HOPS)
    }

    /// Without the axes that have one place.
    #[must_use]
    pub fn squeezed(self) -> Self {
        let dims = self.dims.iter().copied().filter(|&dim| dim != 1).collect();
        Self { dims, ..self }
    }

    /// Rows as columns, of a constant that has both.
    #[must_use]
    pub fn transposed(self) -> Self {
        let [rows, columns] = self.dims[..] else { return self };
        let column = |column| (0..rows).map(move |row| row * columns + column);
        let values = (0..columns).flat_map(column).map(|place| self.values[place]).collect();
        Self { dims: vec![columns, rows], values }
    }
}

fn computed(walk: &Walk<'_>, value: &str, folder: Option<&Path>, hops: usize) -> Result<Constant, String> {
    if let Some(tensor) = walk.constant(value) {
        let tensor = loaded(tensor, folder)?;
        let values = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Int8 | DataType::Uint8 | DataType::Int32 | DataType::Int64) => {
                i64_values(&tensor).map(|values| values.into_iter().map(|value| value as f32).collect())
            }
            _ => f32_values(&tensor),
        };
        return Ok(Constant { dims: dims(&tensor), values: values.map_err(|cause| cause.to_string())? });
    }
    let (Some(node), Some(hops)) = (walk.producer(value), hops.checked_sub(1)) else {
        return Err(format!("`{value}` is no constant"));
    };
    let input = |place: usize| node.input.get(place).map_or("", String::as_str);
    let first = || computed(walk, input(0), folder, hops);
    match node.op_type.as_str() {
        "Identity" | "Cast" | "CastLike" | "Dropout" => first(),
        // All that is asked of such a weight is which number comes after which; of a shape that is left open that is not known.
        "Squeeze" | "Flatten" | "Reshape" | "Unsqueeze" => first().map(Constant::squeezed),
        "Transpose" => match (first()?, node.ints("perm")) {
            (constant, None | Some([1, 0])) if constant.dims.len() == 2 => Ok(constant.transposed()),
            (constant, _) => Err(format!("`{value}` is a Transpose of {:?}", constant.dims)),
        },
        "DequantizeLinear" => {
            let optional = |place| (!input(place).is_empty()).then(|| computed(walk, input(place), folder, hops));
            let (scale, zero) = (computed(walk, input(1), folder, hops)?, optional(2).transpose()?);
            dequantized(node, first()?, &scale.values, &zero.map(|zero| zero.values).unwrap_or_default())
        }
        op => Err(format!("`{value}` is computed by a {op}")),
    }
}

/// `(value - zero) * scale`, with one scale for all or one for each place along an axis.
fn dequantized(node: &NodeProto, stored: Constant, scale: &[f32], zero: &[f32]) -> Result<Constant, String> {
    let Constant { dims, mut values } = stored;
    let axis = node.int("axis").unwrap_or(1);
    let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).unwrap_or(usize::MAX);
    let (along, behind) = match scale.len() {
        1 => (1, values.len().max(1)),
        count => {
            let behind = dims.get(axis + 1..).map_or(1, |behind| behind.iter().product());
            (count, behind)
        }
    };
    let fits = along == 1 || dims.get(axis) == Some(&along);
    if !fits || !(zero.is_empty() || zero.len() == scale.len()) || node.int("block_size").unwrap_or(0) != 0 {
        return Err(format!("the scales of `{}` do not fit its numbers", node.name));
    }
    for (place, value) in values.iter_mut().enumerate() {
        let step = place / behind.max(1) % along;
        *value = (*value - zero.get(step).copied().unwrap_or(0.0)) * scale[step];
    }
    Ok(Constant { dims, values })
}

fn loaded(tensor: &TensorProto, folder: Option<&Path>) -> Result<TensorProto, String> {
    with_values(tensor, folder).map_err(|cause| cause.to_string())
}

fn dims(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, GraphBuilder, float_tensor, half_tensor, int_tensor};

    /// What `op` makes of `w` and the others.
    fn of(op: &str, inputs: Vec<TensorProto>, attributes: Vec<AttributeProto>) -> Result<Constant, String> {
        let mut graph = GraphBuilder::new("constants");
        let names: Vec<_> = inputs.into_iter().map(|tensor| graph.initializer(tensor)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let made = graph.node(op, "made", &names, attributes);
        let graph = graph.finish(8, 17, &[]).graph.unwrap();
        Constant::of(&Walk::new(&graph), &made, None)
    }

    fn bytes(name: &str, dims: &[i64], values: &[i8]) -> TensorProto {
        let raw: Vec<u8> = values.iter().map(|value| *value as u8).collect();
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Int8.into(),
            raw_data: raw.into(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn integers_become_the_numbers_that_they_stand_for() {
        let weights = || bytes("w", &[2, 3], &[-2, 0, 2, 4, -128, 127]);
        let all = of("DequantizeLinear", vec![weights(), float_tensor("s", &[], &[0.5])], Vec::new()).unwrap();
        assert_eq!((all.dims, all.values), (vec![2, 3], vec![-1.0, 0.0, 1.0, 2.0, -64.0, 63.5]));
        let scales = || vec![weights(), float_tensor("s", &[2], &[1.0, 0.25]), bytes("z", &[2], &[0, 4])];
        let axis = |axis| vec![AttributeProto::of_int("axis", axis)];
        let by_row = of("DequantizeLinear", scales(), axis(0)).unwrap();
        assert_eq!(by_row.values, [-2.0, 0.0, 2.0, 0.0, -33.0, 30.75]);
        assert_eq!(of("DequantizeLinear", scales(), axis(-2)), Ok(by_row));
        assert!(of("DequantizeLinear", scales(), axis(1)).is_err());
    }

    #[test]
    fn weights_are_read_turned_around_and_in_half_precision() {
        let turned = of("Transpose", vec![half_tensor("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 0.5])], Vec::new());
        assert_eq!(turned, Ok(Constant { dims: vec![3, 2], values: vec![1.0, 4.0, 2.0, 5.0, 3.0, 0.5] }));
        let cast = of("Cast", vec![int_tensor("w", &[7])], Vec::new());
        assert_eq!(cast, Ok(Constant { dims: vec![1], values: vec![7.0] }));
    }

    #[test]
    fn what_is_no_constant_and_what_is_not_computed_here_are_named() {
        let refusal = of("MatMul", vec![float_tensor("w", &[1], &[1.0])], Vec::new()).unwrap_err();
        assert_eq!(refusal, "`made` is computed by a MatMul");
        let graph = GraphBuilder::new("empty").finish(8, 17, &[]).graph.unwrap();
        assert!(Constant::of(&Walk::new(&graph), "elsewhere", None).is_err_and(|it| it.contains("no constant")));
    }
}
