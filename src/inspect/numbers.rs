//! Small integers that a graph computes for itself: pads, shapes and axes that an exporter left as arithmetic.
//!
//! PyTorch's exporter writes `F.pad` as ten nodes that only turn a constant list around, and `x.view(x.size(0), -1)` as
//! Shape, Gather and Concat. Computed in the order of the nodes, each once; anything large is left alone.

use super::shape::{index, product, reshape};
use crate::onnx::{NodeProto, TensorProto, i64_values, tensor_len};

/// No list of a classifier's pads or sizes is longer.
const MAX_NUMBERS: usize = 64;

/// A small tensor of integers, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    dims: Vec<usize>,
    pub(super) data: Vec<i64>,
}

impl Numbers {
    /// A list.
    pub(super) fn list(data: Vec<i64>) -> Self {
        Self { dims: vec![data.len()], data }
    }

    /// The values of a constant; `None` for what is large or no integer.
    pub(super) fn of(tensor: &TensorProto) -> Option<Self> {
        tensor_len(tensor).filter(|&len| len <= MAX_NUMBERS)?;
        let dims = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
        Self { dims, data: i64_values(tensor).ok()? }.small()
    }

    /// Itself, if it is as small as everything here has to be. A dimension can be huge where another is 0.
    fn small(self) -> Option<Self> {
        let fits = self.data.len() <= MAX_NUMBERS
            && self.dims.len() <= MAX_NUMBERS
            && self.dims.iter().all(|&dim| dim <= MAX_NUMBERS)
            && product(&self.dims) == Some(self.data.len());
        fits.then_some(self)
    }

    /// What `node` makes of its inputs; `None` where one is not known or the operator is none of those that occur.
    pub(super) fn compute<'n>(node: &NodeProto, input: impl Fn(usize) -> Option<&'n Self>) -> Option<Self> {
        let made = match node.op_type.as_str() {
            "Constant" => match (node.tensor("value"), node.ints("value_ints"), node.int("value_int")) {
                (Some(tensor), ..) => Self::of(tensor),
                (_, Some(list), _) => Some(Self::list(list.to_vec())),
                (.., Some(number)) => Some(Self { dims: vec![], data: vec![number] }),
                _ => None,
            },
            "ConstantOfShape" => {
                let dims = input(0)?.sizes()?;
                let len = dims
                    .iter()
                    .try_fold(1_usize, |len, &dim| len.checked_mul(dim))
                    .filter(|&len| len <= MAX_NUMBERS)?;
                // Without a value the zeros are floats, and no integers are wanted of them.
                Some(Self { dims, data: vec![*Self::of(node.tensor("value")?)?.data.first()?; len] })
            }
            "Identity" | "Cast" => input(0).cloned(),
            "Squeeze" | "Unsqueeze" => input(0).map(|x| Self::list(x.data.clone())),
            "Reshape" => input(0)?.reshaped(&input(1)?.data),
            "Concat" => {
                let parts = (0..node.input.len()).map(&input).collect::<Option<Vec<_>>>()?;
                let flat = parts.iter().all(|part| part.dims.len() == 1);
                flat.then(|| Self::list(parts.iter().flat_map(|part| part.data.iter().copied()).collect()))
            }
            "Gather" => {
                let (x, at) = (input(0)?, input(1)?);
                let pick = |&at: &i64| x.data.get(index(at, x.data.len())?).copied();
                let data = at.data.iter().map(pick).collect::<Option<_>>()?;
                (x.dims.len() == 1).then_some(Self { dims: at.dims.clone(), data })
            }
            "Transpose" => input(0)?.transposed(),
            "Slice" => {
                let number =
                    |at: usize| Some(input(at)?.data.as_slice()).filter(|list| list.len() == 1).map(|list| list[0]);
                let step = if node.input.len() > 4 { number(4)? } else { 1 };
                let axis = if node.input.len() > 3 { number(3)? } else { 0 };
                let x = input(0)?;
                (axis == 0 || axis == -(x.dims.len() as i64)).then(|| x.rows(number(1)?, number(2)?, step))?
            }
            _ => None,
        };
        made?.small()
    }

    fn sizes(&self) -> Option<Vec<usize>> {
        self.data.iter().map(|&dim| usize::try_from(dim).ok()).collect()
    }

    fn reshaped(&self, wanted: &[i64]) -> Option<Self> {
        Self { dims: reshape(&self.dims, wanted)?, data: self.data.clone() }.small()
    }

    fn transposed(&self) -> Option<Self> {
        let &[rows, columns] = &self.dims[..] else { return None };
        let data =
            (0..columns).flat_map(|column| (0..rows).map(move |row| self.data[row * columns + column])).collect();
        Some(Self { dims: vec![columns, rows], data })
    }

    /// Rows `start..end` in steps, with ONNX's rules for negative numbers.
    fn rows(&self, start: i64, end: i64, step: i64) -> Option<Self> {
        let count = i64::try_from(*self.dims.first()?).ok()?;
        let row = self.data.len().checked_div(self.dims[0])?;
        let (low, high) = if step > 0 { (0, count) } else { (-1, count - 1) };
        let clamp = |at: i64| (if at < 0 { at.saturating_add(count) } else { at }).clamp(low, high);
        let (mut at, end) = (clamp(start), clamp(end));
        let mut picked = Vec::new();
        while step != 0 && (if step > 0 { at < end } else { at > end }) {
            picked.push(usize::try_from(at).ok()?);
            at = at.saturating_add(step);
        }
        let mut dims = self.dims.clone();
        dims[0] = picked.len();
        let data = picked.iter().flat_map(|&at| self.data[at * row..(at + 1) * row].iter().copied()).collect();
        Some(Self { dims, data })
    }
}
