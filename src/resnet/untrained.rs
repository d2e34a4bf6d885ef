//! Weights without training: for benchmarks, and for trying a server before the weights are there.
//!
//! The same seed gives the same bits on every machine: only integers are used, and one division and one square root,
//! whose results IEEE 754 prescribes.

use super::{
    architecture::Architecture,
    state_dict::{StateDict, Weight},
};

/// Random weights with which activations keep their size from the first layer to the last.
///
/// Convolutions are uniform with He's variance, `2 / fan_in`. Batch normalisation changes nothing, except for the last
/// one of each module, which scales the branch by `1 / sqrt(modules)`. Without that, each sum would double the
/// variance, and a deep network would leave the range of half precision.
pub fn untrained(architecture: &Architecture, seed: u64) -> StateDict {
    let modules = architecture.modules().len().max(1) as f32;
    let last_bn = format!(".bn{}.weight", architecture.block.depth());
    let tensors = architecture.tensors().into_iter().map(|(name, shape)| {
        let len = shape.iter().product();
        let is_one = name.ends_with(".weight") || name.ends_with(".running_var");
        let data = match shape.len() {
            1 if name.ends_with(&last_bn) => vec![modules.sqrt().recip(); len],
            1 => vec![if is_one { 1.0 } else { 0.0 }; len],
            // A layer without a ReLU behind it needs half the variance.
            2 => uniform(seed, &name, len, (3.0 / shape[1] as f64).sqrt()),
            _ => uniform(seed, &name, len, (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt()),
        };
        (name, Weight { shape, data })
    });
    StateDict { tensors: tensors.collect() }
}

/// `len` numbers between `-bound` and `bound`. A tensor's numbers depend on its own name only, not on the other tensors.
fn uniform(seed: u64, name: &str, len: usize, bound: f64) -> Vec<f32> {
    let mut state = name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
    let mut values = Vec::with_capacity(len);
    for _ in 0..len {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let unit = (mix(state) >> 11) as f64 / (1_u64 << 53) as f64;
        values.push(((2.0 * unit - 1.0) * bound) as f32);
    }
    values
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
