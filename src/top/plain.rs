//! The same as lines of text, for `--once`, pipes and files.

use super::{
    cells::{ModelTable, joined, ms},
    watched::{ModelNumbersView, ModelView, ServerView, phase_names},
};

/// Every server with its models, and what else is known of each.
pub fn lines(servers: &[ServerView]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        if index > 0 {
            lines.push(String::new());
        }
        lines.push(format!("{}  {}", server.url, server.words));
        let models: Vec<&ModelView> = server.models.iter().collect();
        if models.is_empty() {
            continue;
        }
        let table = ModelTable::of(&models, None);
        lines.push(table.head().trim_end().to_owned());
        for (model, row) in models.iter().zip(&table.rows) {
            let row = joined(row.iter().cloned());
            let state = if model.state.is_empty() { String::new() } else { format!("  {}", model.state) };
            lines.push(format!("{row}{state}").trim_end().to_owned());
            if let Some(numbers) = &model.numbers {
                lines.extend(details(numbers).into_iter().map(|detail| format!("  {detail}")));
            }
        }
    }
    lines
}

/// What has no column.
pub(super) fn details(numbers: &ModelNumbersView) -> Vec<String> {
    let phases = phase_names().into_iter().zip(&numbers.phases).skip(1);
    let phases = phases.map(|(name, times)| format!("{name} {} / {}", ms(times.p50), ms(times.p99)));
    let mut details = vec![format!("p50 / p99 ms: {}", phases.collect::<Vec<_>>().join(", "))];
    let runs: u64 = numbers.batches.iter().map(|(_, runs)| runs).sum();
    if runs > 0 {
        let sizes = numbers.batches.iter().map(|(images, runs)| format!("{images}: {runs}"));
        details.push(format!("runs by their images: {}", sizes.collect::<Vec<_>>().join(", ")));
    }
    if !numbers.refusals.is_empty() {
        let reasons = numbers.refusals.iter().map(|(reason, count)| format!("{reason} {count}"));
        details.push(format!("refused images: {}", reasons.collect::<Vec<_>>().join(", ")));
    }
    if numbers.misses > 0 {
        details.push(format!("taken and not answered in time: {}", numbers.misses));
    }
    details.push(numbers.choice.clone());
    details
}
