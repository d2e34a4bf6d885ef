//! The table of models: what stands in which column, and which columns have room. Pure.

use super::watched::{ModelNumbersView, ModelView};

/// Between two columns.
const GAP: usize = 2;
/// A name is cut beyond it where there is no room.
const LONGEST_NAME: usize = 28;

/// And not beyond it.
const SHORTEST_NAME: usize = 8;
/// Columns of this rank and below stay longer than a whole name.
const NEEDED: usize = 1;

/// One column.
pub struct ModelColumn {
    /// Above it.
    pub title: &'static str,
    /// The lower, the longer it stays where there is little room.
    rank: usize,
    /// Whether it is a number, which stands at the right.
    pub is_number: bool,
    cell: fn(&ModelView) -> String,
}

impl ModelColumn {
    /// Whether it tells something of a version that does not answer.
    fn is_known_always(&self) -> bool {
        matches!(self.title, "MODEL" | "VER")
    }
}

/// All columns, in their order.
const COLUMNS: [ModelColumn; 13] = [
    text("MODEL", 0, |model| model.name.clone()),
    number("VER", 2, |model| model.version.to_string()),
    text("LABELS", 12, |model| model.labels.clone()),
    number("LOAD", 1, |model| of(model, |it| format!("{:.2}", it.load))),
    number("REQ/S", 3, |model| of(model, |it| rate(it.requests_a_second))),
    number("IMG/S", 5, |model| of(model, |it| rate(it.images_a_second))),
    number("P50 MS", 6, |model| of(model, |it| ms(it.phases[0].p50))),
    number("P99 MS", 4, |model| of(model, |it| ms(it.phases[0].p99))),
    number("WAITING", 8, |model| of(model, |it| it.waiting.to_string())),
    number("IN WORK", 11, |model| of(model, |it| format!("{}/{}", it.in_work[0], it.in_work[1]))),
    number("BATCH", 9, |model| of(model, |it| it.batch.map_or_else(dash, |images| format!("{images:.1}")))),
    number("REFUSED", 7, |model| of(model, |it| it.refused.to_string())),
    text("ENGINE", 10, |model| of(model, |it| it.engine.clone())),
];

const fn text(title: &'static str, rank: usize, cell: fn(&ModelView) -> String) -> ModelColumn {
    ModelColumn { title, rank, is_number: false, cell }
}

const fn number(title: &'static str, rank: usize, cell: fn(&ModelView) -> String) -> ModelColumn {
    ModelColumn { title, rank, is_number: true, cell }
}

fn of(model: &ModelView, cell: impl Fn(&ModelNumbersView) -> String) -> String {
    model.numbers.as_ref().map_or_else(dash, cell)
}

fn dash() -> String {
    "-".to_owned()
}

fn rate(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Seconds as milliseconds, with the digits that matter.
pub(super) fn ms(seconds: Option<f64>) -> String {
    match seconds.map(|seconds| seconds * 1e3) {
        None => dash(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}"),
        Some(ms) if ms < 100.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

/// A table's head and its rows, one for each model, every cell as wide as its column.
pub struct ModelTable {
    /// The columns that have room.
    pub columns: Vec<&'static ModelColumn>,
    /// How wide each is.
    pub widths: Vec<usize>,
    /// As wide as their columns; of what does not answer only the first ones.
    pub rows: Vec<Vec<String>>,
}

impl ModelTable {
    /// * `room`: characters of a line; as many as it needs where there is none
    pub fn of(models: &[&ModelView], room: Option<usize>) -> Self {
        let columns: Vec<&'static ModelColumn> = COLUMNS.iter().collect();
        let width = |column: &ModelColumn| {
            let cells = models.iter().map(|model| (column.cell)(model).chars().count()).max().unwrap_or(0);
            let most = if room.is_some() && column.rank == 0 { LONGEST_NAME } else { usize::MAX };
            cells.max(column.title.len()).min(most)
        };
        let mut kept: Vec<(&'static ModelColumn, usize)> =
            columns.into_iter().map(|column| (column, width(column))).collect();
        let empty = |column: &ModelColumn| column.title == "LABELS" && models.iter().all(|it| it.labels.is_empty());
        kept.retain(|(column, _)| !empty(column));
        let whole = |kept: &[(&ModelColumn, usize)]| {
            kept.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
        };
        while let Some(room) = room.filter(|room| whole(&kept) > *room) {
            let last = (0..kept.len()).max_by_key(|&at| kept[at].0.rank).filter(|&at| kept[at].0.rank > NEEDED);
            let count = kept.len();
            match (last, kept.first_mut()) {
                (Some(last), _) => drop(kept.remove(last)),
                // What is needed most is there beside a name that is cut.
                (None, Some((_, name))) if *name > SHORTEST_NAME => *name -= 1,
                (None, _) if count > 1 => drop(kept.pop()),
                // Or the name alone, as much of it as there is room for.
                (None, Some((_, name))) => *name = room,
                (None, None) => break,
            }
        }
        let row = |model: &&ModelView| {
            // What does not answer has its name and version, and its state in place of numbers.
            let shown = kept.iter().filter(|(column, _)| model.numbers.is_some() || column.is_known_always());
            shown.map(|(column, width)| padded(&(column.cell)(model), *width, column.is_number)).collect()
        };
        let rows = models.iter().map(row).collect();
        let (columns, widths) = kept.iter().copied().unzip();
        Self { columns, widths, rows }
    }

    /// The titles.
    pub fn head(&self) -> String {
        let titles = self.columns.iter().zip(&self.widths);
        joined(titles.map(|(column, width)| padded(column.title, *width, column.is_number)))
    }
}

/// Cells side by side.
pub(super) fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
}

/// A text in just so many characters.
fn padded(text: &str, width: usize, to_the_right: bool) -> String {
    let count = text.chars().count();
    let cut: String = match count > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…'; 1]).take(width).collect(),
        false => text.to_owned(),
    };
    let rest = " ".repeat(width.saturating_sub(cut.chars().count()));
    if to_the_right { rest + &cut } else { cut + &rest }
}
