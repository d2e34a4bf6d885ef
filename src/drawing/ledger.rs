//! What each part of the network weighs: a row a part, with bars of the share of all.

use super::{
    sheet::{Anchor, MARGIN, Sheet, WIDTH, fitted},
    weight::{short, size},
};
use crate::inspect::{Anatomy, Block, Difference, Inspection, PartWeight, ResNet, Stage, grouped};

/// Rows of stages.
const MOST_STAGES: usize = 12;
const ROW: f64 = 26.0;
/// Where the columns begin.
const OUTPUT: f64 = 132.0;
const LAYERS: f64 = 230.0;
const PARAMETERS: f64 = 520.0;
const MACS: f64 = 778.0;
/// Longest bar of a column.
const BAR: f64 = 120.0;

/// One row.
struct Row {
    class: String,
    name: String,
    output: String,
    layers: String,
    weight: PartWeight,
    differs: bool,
}

/// Draws the table below `top`; gives where it ends.
pub(super) fn draw(
    sheet: &mut Sheet,
    top: f64,
    inspection: &Inspection,
    resnet: &ResNet,
    anatomy: &Anatomy,
    differences: &[Difference],
) -> f64 {
    let differs = |what: &str| differences.iter().any(|difference| difference.what == what);
    let mut rows = vec![Row {
        class: "k0".to_owned(),
        name: "stem".to_owned(),
        output: size(anatomy.stem_sizes.last().copied().flatten()),
        layers: stem(resnet, anatomy),
        weight: anatomy.stem_weight,
        differs: differs("stem"),
    }];
    for (index, (stage, opened)) in resnet.stages.iter().zip(&anatomy.stages).enumerate().take(MOST_STAGES) {
        let name = format!("stage {}", index + 1);
        rows.push(Row {
            class: format!("k{}", index % 5 + 1),
            output: size(stage.size),
            layers: module(resnet, stage),
            weight: opened.weight,
            differs: differs(&name),
            name,
        });
    }
    let rest: Vec<PartWeight> = anatomy.stages.iter().skip(MOST_STAGES).map(|opened| opened.weight).collect();
    if !rest.is_empty() {
        let layers = format!("{} more stages", rest.len());
        let (name, output) = ("…".to_owned(), String::new());
        rows.push(Row { class: "kp".to_owned(), name, output, layers, weight: sum(&rest), differs: false });
    }
    rows.push(Row {
        class: "kh".to_owned(),
        name: "head".to_owned(),
        output: "1x1".to_owned(),
        layers: head(resnet, anatomy),
        weight: anatomy.head.weight,
        differs: differs("classes") || differs("output"),
    });

    sheet.text("h2", Anchor::Start, (MARGIN, top + 6.0), "What its parts weigh");
    let mut y = top + 34.0;
    for (x, name) in [(MARGIN, "part"), (OUTPUT, "output"), (LAYERS, "layers"), (PARAMETERS, "parameters")] {
        sheet.text("soft s", Anchor::Start, (x, y), name);
    }
    let at = inspection.input.as_ref().map(|input| format!(" at {}x{}", input.height, input.width));
    sheet.text("soft s", Anchor::Start, (MACS, y), &format!("multiply-accumulates{}", at.unwrap_or_default()));
    sheet.line("rule", (MARGIN, y + 9.0), (WIDTH - MARGIN, y + 9.0));
    let whole = PartWeight { parameters: inspection.parameters, macs: inspection.macs };
    for row in &rows {
        y += ROW;
        if row.differs {
            sheet.round("differs", (MARGIN - 8.0, y - 17.0), (WIDTH - 2.0 * MARGIN + 16.0, ROW - 2.0), 4.0);
        }
        sheet.rect(&row.class, (MARGIN, y - 9.0), (10.0, 10.0));
        sheet.text("b", Anchor::Start, (MARGIN + 18.0, y), &row.name);
        sheet.text("", Anchor::Start, (OUTPUT, y), &row.output);
        sheet.text("", Anchor::Start, (LAYERS, y), &fitted(&row.layers, 13.0, PARAMETERS - LAYERS - 10.0));
        bar(sheet, &row.class, (PARAMETERS, y), row.weight.parameters, whole.parameters);
        match row.weight.macs {
            Some(macs) => bar(sheet, &row.class, (MACS, y), macs, whole.macs.unwrap_or(macs)),
            None => sheet.text("soft", Anchor::Start, (MACS, y), "not known"),
        }
    }
    y += 10.0;
    sheet.line("rule", (MARGIN, y), (WIDTH - MARGIN, y));
    y += 19.0;
    sheet.text("b", Anchor::Start, (MARGIN + 18.0, y), "all");
    sheet.text("", Anchor::Start, (LAYERS, y), &format!("{} weighted layers on the longest way", resnet.depth));
    sheet.text("b", Anchor::Start, (PARAMETERS + BAR + 10.0, y), &grouped(whole.parameters));
    let macs = whole.macs.map_or_else(|| "not known".to_owned(), grouped);
    sheet.text("b", Anchor::Start, (MACS + BAR + 10.0, y), &macs);
    y + 40.0
}

fn bar(sheet: &mut Sheet, class: &str, (x, y): (f64, f64), part: u64, whole: u64) {
    let share = part as f64 / whole.max(1) as f64;
    sheet.round("track", (x, y - 9.0), (BAR, 9.0), 2.0);
    sheet.round(class, (x, y - 9.0), ((BAR * share.min(1.0)).max(1.0), 9.0), 2.0);
    let said = match share * 100.0 {
        little if part > 0 && little < 0.5 => format!("{} · < 1 %", short(part)),
        percent => format!("{} · {percent:.0} %", short(part)),
    };
    sheet.text("s", Anchor::Start, (x + BAR + 10.0, y), &said);
}

fn sum(weights: &[PartWeight]) -> PartWeight {
    let parameters = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(weight.parameters));
    let macs = weights.iter().try_fold(0, |sum: u64, weight| Some(sum.saturating_add(weight.macs?)));
    PartWeight { parameters, macs }
}

fn stem(resnet: &ResNet, anatomy: &Anatomy) -> String {
    let convs = anatomy.stem.iter().zip(&resnet.stem.convolutions);
    let said = convs.map(|(conv, shape)| format!("{shape}, {}", conv.outputs)).collect::<Vec<_>>().join(" · ");
    match &resnet.stem.pool {
        Some(pool) => format!("{said} · max-pool {}", pool.split(',').next().unwrap_or_default()),
        None => said,
    }
}

fn module(resnet: &ResNet, stage: &Stage) -> String {
    let (inner, outer) = (stage.inner_channels, stage.channels);
    match resnet.block {
        Block::Basic => format!("[3x3, {inner} · 3x3, {outer}] × {}", stage.modules),
        Block::Bottleneck => format!("[1x1, {inner} · 3x3, {inner} · 1x1, {outer}] × {}", stage.modules),
    }
}

fn head(resnet: &ResNet, anatomy: &Anatomy) -> String {
    let mut said = Vec::new();
    if anatomy.head.pooled {
        said.push("average pool".to_owned());
    }
    match (anatomy.head.linears, resnet.classes) {
        (0, _) => {}
        (1, Some(classes)) => said.push(format!("{classes}-d linear")),
        (several, _) => said.push(format!("{several} linear layers")),
    }
    if anatomy.head.softmax {
        said.push("softmax".to_owned());
    }
    said.join(" · ")
}
