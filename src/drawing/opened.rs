//! One module of each kind opened, as in figure 5 of the paper.

use super::{
    kinds::{ModuleKind, kinds},
    sheet::{Anchor, MARGIN, Sheet, WIDTH, fitted, width_of},
};
use crate::inspect::{Anatomy, Block, OpenedConv, OpenedModule, OpenedShortcut, ResNet};

/// Side by side.
const PER_ROW: usize = 3;
const GUTTER: f64 = 16.0;
/// Letters of 13 pixels, drawn bold, take the room of larger ones.
const BOLD: f64 = 14.2;
const CARD: f64 = (WIDTH - 2.0 * MARGIN - (PER_ROW as f64 - 1.0) * GUTTER) / PER_ROW as f64;
/// The column of convolutions in a card, and the boxes in it.
const COLUMN: f64 = 90.0;
const BOX: (f64, f64) = (140.0, 32.0);
/// With a line for what is unusual.
const TALL: f64 = 46.0;
const GAP: f64 = 27.0;
/// The shortcut's column.
const AROUND: f64 = 230.0;
/// Lines that say where such modules stand.
const MOST_PLACES: usize = 6;
const PLACE: f64 = 16.0;

/// Draws the cards below `top`; gives where they end.
pub(super) fn draw(sheet: &mut Sheet, top: f64, resnet: &ResNet, anatomy: &Anatomy) -> f64 {
    let (kinds, left_out) = kinds(&anatomy.stages);
    sheet.text("h2", Anchor::Start, (MARGIN, top + 6.0), "Its modules, opened");
    if left_out > 0 {
        let said = format!("{left_out} further forms are not shown");
        sheet.text("odd s", Anchor::End, (WIDTH - MARGIN, top + 6.0), &said);
    }
    let mut y = top + 22.0;
    for row in kinds.chunks(PER_ROW) {
        let height = row.iter().map(height).fold(0.0, f64::max);
        for (column, kind) in row.iter().enumerate() {
            let mut card = Sheet::default();
            card.round("panel", (0.0, 0.0), (CARD, height), 8.0);
            draw_card(&mut card, kind, resnet);
            sheet.place(&card, (MARGIN + column as f64 * (CARD + GUTTER), y));
        }
        y += height + GUTTER;
    }
    y + 10.0
}

/// What one box says.
struct Layer {
    text: String,
    /// Below it.
    note: Option<String>,
    is_odd: bool,
    /// Whether it is a convolution, and no attention.
    is_conv: bool,
}

impl Layer {
    fn height(&self) -> f64 {
        if self.note.is_some() { TALL } else { BOX.1 }
    }
}

fn layers(module: &OpenedModule, block: Block) -> Vec<Layer> {
    let of_conv = |(at, conv): (usize, &OpenedConv)| {
        let early = block == Block::Bottleneck && at == 0 && conv.is_strided();
        let grouped = (conv.groups > 1).then(|| format!("{} groups", conv.groups));
        let note = if early { Some("stride in the first 1x1".to_owned()) } else { conv.oddity().map(str::to_owned) };
        Layer { text: in_short(conv), is_odd: note.is_some(), note: note.or(grouped), is_conv: true }
    };
    let convs = module.convolutions.iter().enumerate().map(of_conv);
    let extras = module.extras.iter().map(|extra| match extra.strip_prefix("squeeze") {
        Some(_) => Layer { text: "SE".to_owned(), note: Some(extra.clone()), is_odd: true, is_conv: false },
        None => Layer { text: extra.clone(), note: None, is_odd: true, is_conv: false },
    });
    convs.chain(extras.take(2)).collect()
}

/// `3x3, 64, /2`.
fn in_short(conv: &OpenedConv) -> String {
    let [height, width] = conv.kernel;
    format!("{height}x{width}, {}{}", conv.outputs, stride(conv.stride))
}

fn stride([height, width]: [usize; 2]) -> String {
    match (height, width) {
        (1, 1) => String::new(),
        _ if height == width => format!(", /{height}"),
        _ => format!(", /{height}x{width}"),
    }
}

fn places(kind: &ModuleKind<'_>) -> Vec<String> {
    let mut places: Vec<_> = kind.places.iter().take(MOST_PLACES).cloned().collect();
    if kind.places.len() > MOST_PLACES {
        places.push(format!("and at {} more places", kind.places.len() - MOST_PLACES));
    }
    places
}

fn height(kind: &ModuleKind<'_>) -> f64 {
    let boxes: f64 = layers(kind.module, Block::Bottleneck).iter().map(|layer| layer.height() + GAP).sum();
    76.0 + boxes + 56.0 + 26.0 + PLACE * places(kind).len() as f64
}

fn draw_card(card: &mut Sheet, kind: &ModuleKind<'_>, resnet: &ResNet) {
    let ModuleKind { module, stage, .. } = kind;
    let inputs = module.convolutions.first().map_or(0, |conv| conv.inputs);
    let outputs = module.convolutions.last().map_or(0, |conv| conv.outputs);
    let title = format!("{}{}", around(&module.shortcut), if shrinks(module) { ", smaller image" } else { "" });
    card.text("b", Anchor::Start, (14.0, 24.0), &fitted(&title, BOLD, CARD - 28.0));
    card.text("soft s", Anchor::Middle, (COLUMN, 50.0), &format!("{inputs}-d"));
    let fork = 62.0;
    let mut y = fork;
    card.line("way", (COLUMN, 55.0), (COLUMN, y));
    let class = format!("k{}", stage % 5 + 1);
    for (at, layer) in layers(module, resnet.block).iter().enumerate() {
        card.line("way", (COLUMN, y), (COLUMN, y + GAP - 5.0));
        card.arrow_down((COLUMN, y + GAP));
        // In version 2 they stand before every convolution; a fork may lie behind the first of them.
        let between = match (layer.is_conv, at) {
            (true, 0) => module.pre_activation.then_some("BN, ReLU"),
            (true, _) => Some(if resnet.pre_activation { "BN, ReLU" } else { "ReLU" }),
            (false, _) => None,
        };
        if let Some(between) = between {
            card.text("soft xs", Anchor::Start, (COLUMN + 9.0, y + GAP - 9.0), between);
        }
        y += GAP;
        let left = COLUMN - BOX.0 / 2.0;
        card.round(if layer.is_odd { "boxodd" } else { "box" }, (left, y), (BOX.0, layer.height()), 4.0);
        if layer.is_conv {
            card.rect(&class, (left + 1.0, y + 4.0), (4.0, layer.height() - 8.0));
        }
        card.text("b", Anchor::Middle, (COLUMN, y + 21.0), &fitted(&layer.text, BOLD, BOX.0 - 8.0));
        if let Some(note) = &layer.note {
            let class = if layer.is_odd { "odd xs" } else { "soft xs" };
            card.text(class, Anchor::Middle, (COLUMN, y + 37.0), &fitted(note, 11.0, BOX.0 - 8.0));
        }
        y += layer.height();
    }
    let sum = y + 24.0;
    card.line("way", (COLUMN, y), (COLUMN, sum - 9.0));
    draw_around(card, module, fork + 2.0, sum);
    card.circle("box", (COLUMN, sum), 9.0);
    card.line("way", (COLUMN - 5.0, sum), (COLUMN + 5.0, sum));
    card.line("way", (COLUMN, sum - 5.0), (COLUMN, sum + 5.0));
    card.line("way", (COLUMN, sum + 9.0), (COLUMN, sum + 25.0));
    card.arrow_down((COLUMN, sum + 31.0));
    if !resnet.pre_activation {
        card.text("soft xs", Anchor::Start, (COLUMN + 9.0, sum + 24.0), "ReLU");
    }
    card.text("soft s", Anchor::Middle, (COLUMN, sum + 45.0), &format!("{outputs}-d"));
    for (line, place) in places(kind).iter().enumerate() {
        let y = sum + 72.0 + PLACE * line as f64;
        card.text("soft s", Anchor::Start, (14.0, y), &fitted(place, 12.0, CARD - 28.0));
    }
}

/// The shortcut: from the fork to the right, down, and into the sum.
fn draw_around(card: &mut Sheet, module: &OpenedModule, fork: f64, sum: f64) {
    let class = if module.shortcut == OpenedShortcut::Identity { "way" } else { "way turn" };
    let end = COLUMN + 10.0;
    let path = format!("M{COLUMN} {fork:.1}H{:.1}q10 0 10 10V{:.1}q0 10 -10 10H{end:.1}", AROUND - 10.0, sum - 10.0);
    card.path(class, &path);
    card.path("head", &format!("M{:.1} {:.1}v7l-6 -3.5z", end + 6.0, sum - 3.5));
    let middle = (fork + sum) / 2.0;
    let (boxed, words, is_odd) = match &module.shortcut {
        OpenedShortcut::Identity => (None, vec!["identity"], false),
        OpenedShortcut::Projection { kernel: [height, width], stride: by, pooled } => {
            let outputs = module.convolutions.last().map_or(0, |conv| conv.outputs);
            let text = format!("{height}x{width}, {outputs}{}", stride(*by));
            (Some(text), if *pooled { vec!["mean first"] } else { vec![] }, *pooled || [*height, *width] != [1, 1])
        }
        OpenedShortcut::Padded { channels, widens, pooled } => {
            let what = match (widens, channels) {
                (false, _) => "no weights",
                (true, Some([0, _])) => "zeros behind",
                (true, Some(_)) => "zeros around",
                (true, None) => "with zeros",
            };
            let pixels = if *pooled { ["the mean of", "neighbours,"] } else { ["every 2nd", "pixel,"] };
            (None, vec![pixels[0], pixels[1], what], *pooled)
        }
        OpenedShortcut::Other => (None, vec!["something", "of its own"], true),
    };
    let mut y = middle;
    if let Some(text) = boxed {
        let width = (width_of(&text, BOLD) + 14.0).clamp(84.0, 2.0 * (CARD - AROUND - 8.0));
        let left = AROUND - width / 2.0;
        card.round(if is_odd { "boxodd" } else { "box" }, (left, middle - 16.0), (width, 32.0), 4.0);
        card.text("b", Anchor::Middle, (AROUND, middle + 5.0), &fitted(&text, BOLD, width - 6.0));
        y = middle + 32.0;
    }
    for (line, word) in words.iter().enumerate() {
        let class = if is_odd { "odd s" } else { "soft s" };
        card.text(class, Anchor::Start, (AROUND + 8.0, y + 4.0 + 15.0 * line as f64), word);
    }
}

fn around(shortcut: &OpenedShortcut) -> &'static str {
    match shortcut {
        OpenedShortcut::Identity => "Identity shortcut",
        OpenedShortcut::Projection { .. } => "Projection shortcut",
        OpenedShortcut::Padded { widens: true, .. } => "Zero-padded identity",
        OpenedShortcut::Padded { .. } => "Subsampled identity",
        OpenedShortcut::Other => "A shortcut of its own",
    }
}

fn shrinks(module: &OpenedModule) -> bool {
    module.convolutions.iter().any(OpenedConv::is_strided)
}
