//! Reckoning with shapes by ONNX's rules: axes counted from the end, broadcasting, Reshape's 0 and -1. Pure.

/// A shape with all dimensions known.
pub(super) type Shape = Vec<usize>;

/// The axis that a possibly negative number means.
pub(super) fn index(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// The same for several; those that mean no axis are left out.
pub(super) fn indices(axes: &[i64], rank: usize) -> Vec<usize> {
    axes.iter().filter_map(|&axis| index(axis, rank)).collect()
}

/// How many values it holds; `None` beyond what can be counted.
pub(super) fn product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))
}

/// What an operator on two values makes of their shapes, the shorter one filled up in front.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (1, other) | (other, 1) => Some(other),
            (same, other) => (same == other).then_some(same),
        })
        .collect()
}

/// What Reshape makes of `x`: 0 keeps a dimension, -1 takes what is left.
pub(super) fn reshape(x: &[usize], wanted: &[i64]) -> Option<Shape> {
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            0 => *x.get(axis)?,
            -1 => 1,
            dim => usize::try_from(dim).ok()?,
        });
    }
    if let Some(free) = wanted.iter().position(|&dim| dim == -1) {
        shape[free] = product(x)?.checked_div(product(&shape)?)?;
    }
    Some(shape)
}
