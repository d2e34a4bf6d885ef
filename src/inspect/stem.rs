//! What stands before the first residual module: convolutions and a max-pool, or something else.

use super::{
    layer::Kind,
    layers::Layers,
    modules::Module,
    report::{Stem, StemKind},
    window::{Window, described},
};

/// Reads from the input to the first module.
///
/// # Errors
/// Why there is no stem, as a sentence.
pub(super) fn stem(layers: &Layers<'_>, first: &Module<'_>, unusual: &mut Vec<String>) -> Result<Stem, String> {
    let mut way: Vec<usize> = layers.back_from(first.fork).collect();
    way.reverse();
    if !matches!(layers.all[way[0]].kind, Kind::Input) {
        return Err(format!("before its first residual module several branches meet in {:?}", layers.all[way[0]].name));
    }
    let mut windows = Vec::new();
    let mut channels = 0;
    let mut pools = Vec::new();
    for &layer in &way[1..] {
        match &layers.all[layer].kind {
            Kind::Conv(conv) => {
                channels = conv.outputs;
                windows.push(conv.window);
            }
            Kind::MaxPool(window) => pools.push(*window),
            Kind::Norm | Kind::Activation("Relu") | Kind::PadImage(_) => {}
            other => unusual.push(format!("{} in the stem", other.word())),
        }
    }
    let squares: Option<Vec<_>> = windows.iter().map(Window::square).collect();
    let halving = pools.len() == 1 && pools[0].square() == Some((3, 2));
    let kind = match (squares.as_deref(), pools.len()) {
        (Some([(7, 2)]), _) if halving => StemKind::ImageNet,
        (Some([(3, 2), (3, 1), (3, 1)]), _) if halving => StemKind::Deep,
        (Some([(3, 1)]), 0) => StemKind::Cifar,
        _ => StemKind::Other,
    };
    if windows.is_empty() {
        return Err("no convolution stands before its first residual module".into());
    }
    if kind == StemKind::Other {
        let pools =
            if pools.is_empty() { "no max-pool".into() } else { format!("max-pool {}", described(pools.iter())) };
        unusual.push(format!("a stem of its own: {}, {pools}", described(windows.iter())));
    }
    if let Some(window) = windows.iter().find(|window| !window.is_symmetric()) {
        unusual.push(format!(
            "the stem's {window} convolution is padded unevenly: {} (TensorFlow's SAME)",
            window.sides()
        ));
    }
    let pool = pools.first().map(|pool| format!("{pool}, {}", pool_padding(pool)));
    Ok(Stem { kind, convolutions: windows.iter().map(ToString::to_string).collect(), channels, pool })
}

/// How a stem's max-pool treats the border, and who does it so.
fn pool_padding(pool: &Window) -> String {
    match (pool.pads, pool.ceil_mode) {
        ([1, 1, 1, 1], _) => "padding 1 (PyTorch, Keras)".into(),
        ([0, 0, 0, 0], true) => "no padding, ceil mode (Chainer, Caffe)".into(),
        ([0, 0, 0, 0], false) => "no padding".into(),
        ([0, 0, 1, 1], _) => "padding 1 at the bottom and right (Caffe's ceil mode, TensorFlow's SAME)".into(),
        _ => format!("padding {}", pool.sides()),
    }
}
