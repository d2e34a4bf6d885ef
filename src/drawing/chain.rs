//! The whole network as a chain, as in figure 3 of the paper: a bar for each weighted layer, as high as its image is large
//! and as thick as it has channels, and an arc over each module.

use super::{
    sheet::{Anchor, MARGIN, Sheet, WIDTH},
    weight::size,
};
use crate::inspect::{Anatomy, Inspection, OpenedModule, OpenedShortcut, ResNet, StemKind};

/// Where the chain runs.
const MIDDLE: f64 = 92.0;
/// Bars of the largest and the smallest image.
const HIGHEST: f64 = 132.0;
const LOWEST: f64 = 30.0;
/// Between two bars of a module.
const GAP: f64 = 2.5;
/// Between two modules.
const STEP: f64 = 9.0;
/// A stage has room for its words.
const NARROWEST: f64 = 92.0;
/// Of one stage so many modules are drawn, of a network so many stages.
const MOST_MODULES: usize = 8;
const MOST_STAGES: usize = 6;
/// The room of modules that are not drawn.
const DOTS: f64 = 34.0;

/// A stretch of the chain, drawn from its own left.
struct Piece {
    sheet: Sheet,
    width: f64,
    /// Below it, from its middle: `stage 1`, and what else there is to say.
    words: Vec<String>,
    /// Whether the words tell of something unusual.
    odd: bool,
}

/// From an image's size to the height of a bar.
struct Scale {
    largest: f64,
    smallest: f64,
}

impl Scale {
    fn height(&self, size: Option<[usize; 2]>) -> f64 {
        let Some(side) = size.map(|[height, width]| (height.max(width).max(1) as f64).log2()) else { return LOWEST };
        let share = (side - self.smallest) / (self.largest - self.smallest).max(0.01);
        LOWEST + share.clamp(0.0, 1.0) * (HIGHEST - LOWEST)
    }
}

/// Draws the chain below `top`; gives where it ends.
pub(super) fn draw(sheet: &mut Sheet, top: f64, inspection: &Inspection, resnet: &ResNet, anatomy: &Anatomy) -> f64 {
    let image = inspection.input.as_ref().map(|input| [input.height, input.width]);
    let log = |size: [usize; 2]| (size[0].max(size[1]).max(1) as f64).log2();
    let smallest = resnet.stages.iter().filter_map(|stage| stage.size).map(log).fold(f64::MAX, f64::min);
    let scale = Scale { largest: image.map_or(8.0, log), smallest: smallest.min(7.0) };

    let mut pieces = vec![input(inspection, &scale), stem(resnet, anatomy, &scale)];
    // The size before a stage is what its first module's bars begin with.
    let mut before = anatomy.stem_sizes.last().copied().flatten();
    if resnet.stem.pool.is_some() {
        before = before.map(|size| size.map(|side| side.div_ceil(2)));
    }
    for index in 0..resnet.stages.len().min(MOST_STAGES) {
        pieces.push(stage(index, before, resnet, anatomy, &scale));
        before = resnet.stages[index].size;
    }
    if resnet.stages.len() > MOST_STAGES {
        let mut dots = Sheet::default();
        dots.text("soft", Anchor::Middle, (DOTS / 2.0, MIDDLE + 4.0), "…");
        let words = vec![format!("{} more", resnet.stages.len() - MOST_STAGES)];
        pieces.push(Piece { sheet: dots, width: DOTS, words, odd: false });
    }
    pieces.push(head(resnet, anatomy, inspection));

    let room = WIDTH - 2.0 * MARGIN;
    let natural: f64 = pieces.iter().map(|piece| piece.width).sum();
    let gaps = (pieces.len() - 1).max(1) as f64;
    let gap = ((room - natural) / gaps).clamp(10.0, 46.0);
    let whole = natural + gap * gaps;
    // A chain that is too long for the sheet is made smaller as a whole.
    let smaller = (room / whole).min(1.0);
    let mut chain = Sheet::default();
    chain.line("way", (0.0, MIDDLE), (whole, MIDDLE));
    let mut x = 0.0;
    for piece in &pieces {
        chain.place(&piece.sheet, (x, 0.0));
        let middle = x + piece.width / 2.0;
        for (line, word) in piece.words.iter().enumerate() {
            let class = match (line, piece.odd && line + 1 == piece.words.len()) {
                (0, false) => "b s",
                (_, true) => "odd xs",
                _ => "soft xs",
            };
            let y = MIDDLE + HIGHEST / 2.0 + 24.0 + 15.0 * line as f64;
            chain.text(class, Anchor::Middle, (middle, y), word);
        }
        x += piece.width + gap;
    }
    sheet.scaled(&chain, (MARGIN + (room - whole * smaller) / 2.0, top), smaller);
    top + (MIDDLE + HIGHEST / 2.0) * smaller + 108.0
}

/// A bar from its left, as thick as it has channels; gives its thickness.
fn bar(sheet: &mut Sheet, class: &str, x: f64, height: f64, channels: usize) -> f64 {
    let thick = (2.0 + 1.05 * (channels.max(1) as f64 / 4.0).log2()).clamp(3.5, 11.0);
    sheet.round(class, (x, MIDDLE - height / 2.0), (thick, height), 1.5);
    thick
}

fn input(inspection: &Inspection, scale: &Scale) -> Piece {
    let mut sheet = Sheet::default();
    let image = inspection.input.as_ref();
    let side = image.map(|input| [input.height, input.width]);
    let height = scale.height(side);
    let width = 46.0;
    sheet.round("image", (0.0, MIDDLE - height / 2.0), (width, height), 3.0);
    // A sun and two hills: it is a picture.
    let low = MIDDLE + height / 2.0;
    sheet.circle("kp", (width - 13.0, MIDDLE - height / 2.0 + 14.0), 5.0);
    sheet.path("kp", &format!("M3 {:.1}l14 -24l11 15l6 -8l9 17z", low - 4.0));
    let channels = image.map_or(3, |input| input.channels);
    let words = vec!["image".to_owned(), size(side), format!("{channels} channels")];
    let room = 66.0;
    Piece { sheet: centred(&sheet, width, room), width: room, words, odd: false }
}

fn stem(resnet: &ResNet, anatomy: &Anatomy, scale: &Scale) -> Piece {
    let mut sheet = Sheet::default();
    let mut x = 4.0;
    let mut words = vec!["stem".to_owned()];
    for (conv, size) in anatomy.stem.iter().zip(&anatomy.stem_sizes).take(MOST_MODULES) {
        x += bar(&mut sheet, "k0", x, scale.height(*size), conv.outputs) + GAP;
    }
    words.push(resnet.stem.convolutions.iter().take(3).cloned().collect::<Vec<_>>().join(", "));
    let last = anatomy.stem_sizes.last().copied().flatten();
    let halved = last.map(|size| size.map(|side| side.div_ceil(2)));
    let misses_pool = resnet.stem.pool.is_none() && resnet.stem.kind == StemKind::Other;
    match &resnet.stem.pool {
        Some(pool) => {
            let height = scale.height(halved);
            sheet.round("kp", (x + 3.0, MIDDLE - height / 2.0), (4.0, height), 1.5);
            x += 10.0;
            words.push(format!("max-pool {}", pool.split(',').next().unwrap_or_default()));
        }
        None if misses_pool => {
            let height = scale.height(halved);
            sheet.round("none", (x + 3.0, MIDDLE - height / 2.0), (5.0, height), 1.5);
            x += 11.0;
            words.push("no max-pool".to_owned());
        }
        None => words.push(format!("{} channels", resnet.stem.channels)),
    }
    let odd = resnet.stem.kind == StemKind::Other;
    let width = (x + 4.0).max(92.0);
    Piece { sheet: centred(&sheet, x + 4.0, width), width, words, odd }
}

fn centred(sheet: &Sheet, natural: f64, width: f64) -> Sheet {
    let mut outer = Sheet::default();
    outer.place(sheet, ((width - natural) / 2.0, 0.0));
    outer
}

fn stage(index: usize, before: Option<[usize; 2]>, resnet: &ResNet, anatomy: &Anatomy, scale: &Scale) -> Piece {
    let stage = &resnet.stages[index];
    let mut sheet = Sheet::default();
    let class = format!("k{}", index % 5 + 1);
    let forms = anatomy.stages.get(index).map_or(&[][..], |opened| &opened.modules);
    let modules: Vec<&OpenedModule> =
        forms.iter().flat_map(|module| std::iter::repeat_n(module, module.count.min(MOST_MODULES))).collect();
    let left_out = stage.modules.saturating_sub(modules.len().min(MOST_MODULES));
    let (mut x, mut size_now) = (STEP / 2.0, before);
    for module in modules.into_iter().take(MOST_MODULES) {
        let from = x;
        let mut highest: f64 = 0.0;
        sheet.begin(&module_in_words(module));
        for conv in &module.convolutions {
            if conv.is_strided() {
                size_now = stage.size;
            }
            let height = scale.height(size_now.or(stage.size));
            highest = highest.max(height);
            x += bar(&mut sheet, &class, x, height, conv.outputs) + GAP;
        }
        if !module.extras.is_empty() {
            sheet.round("odd", (x, MIDDLE - 7.0), (3.5, 14.0), 1.5);
            x += 3.5 + GAP;
        }
        arc(&mut sheet, module, (from - STEP / 2.0, x - GAP + STEP / 2.0), MIDDLE - highest / 2.0);
        sheet.end();
        x += STEP - GAP;
    }
    if left_out > 0 {
        sheet.text("soft s", Anchor::Middle, (x + DOTS / 2.0, MIDDLE - 8.0), &format!("… +{left_out}"));
        x += DOTS;
    }
    let natural = x - STEP / 2.0;
    let width = natural.max(NARROWEST);
    let doubles = index == 0 || resnet.stages[index - 1].channels.checked_mul(2) == Some(stage.channels);
    let channels = format!("{} channels{}", stage.channels, if doubles { "" } else { ", not twice as many" });
    let counted = if stage.modules == 1 { "1 module".to_owned() } else { format!("{} modules", stage.modules) };
    let words = vec![format!("stage {}", index + 1), counted, size(stage.size), channels];
    Piece { sheet: centred(&sheet, natural, width), width, words, odd: !doubles }
}

/// Over a module: whole where nothing happens on the shortcut, dashed where it changes the shape, as in the paper.
fn arc(sheet: &mut Sheet, module: &OpenedModule, (from, to): (f64, f64), top: f64) {
    let class = if module.shortcut == OpenedShortcut::Identity { "skip" } else { "skip turn" };
    let (high, third) = (top - 17.0, (to - from) / 4.0);
    let path = format!(
        "M{from:.1} {MIDDLE}V{:.1}C{from:.1} {high:.1} {:.1} {high:.1} {:.1} {high:.1}S{to:.1} {high:.1} {to:.1} {:.1}V{MIDDLE}",
        top - 2.0,
        from + third / 2.0,
        (from + to) / 2.0,
        top - 2.0
    );
    sheet.path(class, &path);
}

fn module_in_words(module: &OpenedModule) -> String {
    let convs = module.convolutions.iter().map(|conv| {
        let stride = if conv.is_strided() { format!("/{}", conv.stride[0]) } else { String::new() };
        format!("{}x{}{stride} to {}", conv.kernel[0], conv.kernel[1], conv.outputs)
    });
    convs.collect::<Vec<_>>().join(", ")
}

fn head(resnet: &ResNet, anatomy: &Anatomy, inspection: &Inspection) -> Piece {
    let mut sheet = Sheet::default();
    let mut x = 6.0;
    let mut names = Vec::new();
    if anatomy.head.pooled {
        sheet.round("kp", (x, MIDDLE - 15.0), (4.0, 30.0), 1.5);
        x += 10.0;
        names.push("average pool");
    } else {
        sheet.round("none", (x, MIDDLE - 15.0), (5.0, 30.0), 1.5);
        x += 11.0;
        names.push("no pool");
    }
    for _ in 0..anatomy.head.linears.min(3) {
        sheet.round("kh", (x, MIDDLE - 36.0), (6.0, 72.0), 1.5);
        x += 11.0;
    }
    if anatomy.head.linears > 0 {
        names.push("linear");
    }
    if inspection.softmax {
        sheet.round("kp", (x, MIDDLE - 36.0), (4.0, 72.0), 1.5);
        x += 10.0;
        names.push("softmax");
    }
    let classes = match resnet.classes {
        Some(classes) => format!("{classes} classes"),
        None => "features".to_owned(),
    };
    let mut words = vec![classes];
    words.extend(names.iter().map(|name| (*name).to_owned()));
    let odd = !anatomy.head.pooled || resnet.classes.is_none() || anatomy.head.linears > 1;
    let width = (x + 2.0_f64).max(124.0);
    Piece { sheet: centred(&sheet, x, width), width, words, odd }
}
