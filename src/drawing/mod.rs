//! A network drawn, as figures 3 and 5 of the paper draw it (arXiv:1512.03385): all of it as a chain, one module of each
//! kind opened, what each part weighs, and what is unusual in colour.
//!
//! An inspection ─▶ `chain`, `opened`, `ledger`, `notes` on a `sheet` ─▶ SVG, alone or in a page. Pure: no file, no clock.
//! Names, labels and what a graph calls its nodes are text that others wrote: all of it goes through `sheet`, which
//! escapes. Whatever a graph holds, a drawing is bounded: long lists are cut, with how many are missing.

mod chain;
mod drawn;
mod kinds;
mod ledger;
mod notes;
mod opened;
mod report;
mod sheet;
mod side_by_side;
mod unknown;
mod weight;

pub use drawn::Drawing;
pub use report::{comparison_page, page};
pub use side_by_side::comparison;
