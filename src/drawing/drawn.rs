//! One network, drawn.

use std::sync::Arc;

use super::{
    chain, ledger, notes, opened,
    sheet::{Anchor, MARGIN, Sheet, WIDTH, fitted, fitted_end, width_of},
    unknown,
    weight::short,
};
use crate::inspect::{Difference, Inspection, rows};

/// A drawing in words, in characters.
const LONGEST_DESCRIPTION: usize = 4_000;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// What it is called: a model and its version, or a file.
    pub title: &'a str,
    /// What was found in the graph.
    pub inspection: &'a Inspection,
    /// What becomes of a picture before the network, one step a line; nothing where that is not known.
    pub preparation: &'a [String],
    /// The names of the classes; nothing where they are not known.
    pub labels: &'a [Arc<str>],
}

impl Drawing<'_> {
    /// The drawing as a file of SVG.
    pub fn svg(&self) -> String {
        let (sheet, height) = self.sheet(&[]);
        sheet.svg(&self.heading(), &self.description(), (WIDTH, height))
    }

    /// Everything, and how high it is.
    ///
    /// * `differences`: to another graph; the parts that they are about are marked
    pub(super) fn sheet(&self, differences: &[Difference]) -> (Sheet, f64) {
        let mut sheet = Sheet::default();
        let mut y = self.head(&mut sheet);
        match (&self.inspection.resnet, &self.inspection.anatomy) {
            (Some(resnet), Some(anatomy)) => {
                y = chain::draw(&mut sheet, y, self.inspection, resnet, anatomy);
                y = opened::draw(&mut sheet, y, resnet, anatomy);
                y = ledger::draw(&mut sheet, y, self.inspection, resnet, anatomy, differences);
            }
            _ => y = unknown::draw(&mut sheet, y, self.inspection),
        }
        y = notes::draw(&mut sheet, y, self.inspection, self.preparation, self.labels);
        (sheet, y)
    }

    fn head(&self, sheet: &mut Sheet) -> f64 {
        let inspection = self.inspection;
        let room = WIDTH - 2.0 * MARGIN;
        sheet.text("h1", Anchor::Start, (MARGIN, 44.0), &fitted(inspection.architecture(), 26.0, room));
        let mut said = vec![format!("{} parameters", short(inspection.parameters))];
        if let Some(macs) = inspection.macs {
            let size = inspection.input.as_ref().map(|input| format!(" at {}x{}", input.height, input.width));
            said.push(format!("{} multiply-accumulates{}", short(macs), size.unwrap_or_default()));
        }
        said.push(inspection.precision.clone());
        said.push(format!("batch norm {}", inspection.batch_norm));
        let said = said.join(" · ");
        let left = (room - width_of(&said, 13.0) - 30.0).max(200.0);
        sheet.text("soft", Anchor::Start, (MARGIN, 66.0), &fitted_end(self.title, 13.0, left));
        sheet.text("soft", Anchor::End, (WIDTH - MARGIN, 66.0), &said);
        sheet.line("rule", (MARGIN, 80.0), (WIDTH - MARGIN, 80.0));
        92.0
    }

    /// One line about it.
    pub(super) fn heading(&self) -> String {
        format!("{}: {}", self.inspection.architecture(), self.title)
    }

    /// The same in words, for those who cannot see it; as much of it as somebody listens to.
    pub(super) fn description(&self) -> String {
        let said = rows(self.inspection).into_iter().filter(|row| !matches!(row.label, "operators" | "metadata"));
        let said = said.map(|row| format!("{}: {}.", row.label, row.values.join("; "))).collect::<Vec<_>>().join(" ");
        match said.char_indices().nth(LONGEST_DESCRIPTION) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        }
    }
}
