//! Two graphs side by side: what differs. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    report::Inspection,
    words::{FactRow, rows},
};

/// One thing that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is about, as the table of one graph has it; a stage with its number.
    pub what: String,
    /// Of the first graph; nothing where it has no such thing.
    pub a: String,
    /// Of the second one.
    pub b: String,
}

/// What differs, in the order of the table. What two files are called is no difference.
pub fn differences(a: &Inspection, b: &Inspection) -> Vec<Difference> {
    let (mut of_a, mut of_b) = (rows(a), rows(b));
    for (rows, inspection) in [(&mut of_a, a), (&mut of_b, b)] {
        // Of a ResNet the table has none: there they would say again what stands above them.
        rows.retain(|row| row.label != "operators");
        let counts = inspection.operators.iter().map(|(op, count)| format!("{op} {count}"));
        rows.push(FactRow { label: "operators", values: counts.collect() });
    }
    let mut found = Vec::new();
    let labels: Vec<_> = of_a.iter().chain(of_b.iter().filter(|row| find(&of_a, row.label).is_empty())).collect();
    for FactRow { label, .. } in labels {
        let (a, b) = (find(&of_a, label), find(&of_b, label));
        if a == b {
            continue;
        }
        if *label == "stages" {
            let at = |values: &[String], index: usize| values.get(index).cloned().unwrap_or_default();
            for index in 0..a.len().max(b.len()) {
                push(&mut found, format!("stage {}", index + 1), at(a, index), at(b, index));
            }
        } else {
            push(&mut found, (*label).to_owned(), beyond(a, b), beyond(b, a));
        }
    }
    found
}

/// What is said of something; nothing where nothing is.
fn find<'r>(rows: &'r [FactRow], label: &str) -> &'r [String] {
    rows.iter().find(|row| row.label == label).map_or(&[], |row| &row.values)
}

/// What one says and the other does not.
fn beyond(these: &[String], those: &[String]) -> String {
    let known: BTreeSet<_> = those.iter().collect();
    these.iter().filter(|value| !known.contains(value)).cloned().collect::<Vec<_>>().join("; ")
}

fn push(found: &mut Vec<Difference>, what: String, a: String, b: String) {
    if a != b {
        found.push(Difference { what, a, b });
    }
}
