//! The screen: servers and their models, below them the model that is chosen. Any size of terminal gets as much as fits.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    cells::{ModelTable, ms},
    watched::{ModelNumbersView, ModelView, ServerView, WatchedServer, phase_names},
};

/// A screen with less has the table only.
const HEIGHT_WITH_DETAILS: u16 = 20;
/// The bars of batches.
const LONGEST_BAR: usize = 30;
/// Batch sizes that are shown.
const MOST_SIZES: usize = 6;

/// What is watched, and what of it is looked at.
#[derive(Debug)]
pub struct TopScreen {
    /// In the order in which they were named.
    pub servers: Vec<WatchedServer>,
    /// Between two looks.
    pub interval: Duration,
    chosen: usize,
}

/// What somebody wants who pressed a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKey {
    /// The model above.
    Up,
    /// The model below.
    Down,
    /// Away.
    Quit,
}

impl TopScreen {
    /// Nobody answered yet.
    pub fn new(urls: &[String], interval: Duration) -> Self {
        Self { servers: urls.iter().map(|url| WatchedServer::new(url)).collect(), interval, chosen: 0 }
    }

    /// What is to be shown of all servers.
    pub fn views(&self, now: Duration) -> Vec<ServerView> {
        self.servers.iter().map(|server| server.view(now)).collect()
    }

    /// Chooses another model; whether the screen stays.
    pub fn press(&mut self, key: TopKey, now: Duration) -> bool {
        let models: usize = self.views(now).iter().map(|server| server.models.len()).sum();
        let last = models.saturating_sub(1);
        match key {
            TopKey::Up => self.chosen = self.chosen.min(last).saturating_sub(1),
            TopKey::Down => self.chosen = (self.chosen + 1).min(last),
            TopKey::Quit => return false,
        }
        true
    }

    /// Draws everything.
    ///
    /// * `now`: since the watch began
    pub fn draw(&self, frame: &mut Frame<'_>, now: Duration) {
        let area = frame.area();
        let views = self.views(now);
        let models: Vec<&ModelView> = views.iter().flat_map(|server| &server.models).collect();
        let chosen = self.chosen.min(models.len().saturating_sub(1));
        let (table, at) = self.table(&views, chosen, usize::from(area.width));
        let details = match models.get(chosen).and_then(|model| Some((model, model.numbers.as_ref()?))) {
            Some((model, numbers)) if area.height >= HEIGHT_WITH_DETAILS => details(model, numbers),
            _ => Vec::new(),
        };
        let below = u16::try_from(details.len()).unwrap_or(u16::MAX).min(area.height / 2);
        let above = area.height - below;
        // The chosen model stays in sight.
        let hidden = (at + 1).saturating_sub(usize::from(above));
        let shown: Vec<Line<'_>> = table.into_iter().skip(hidden).collect();
        frame.render_widget(Paragraph::new(shown), Rect { height: above, ..area });
        frame.render_widget(Paragraph::new(details), Rect { y: area.y + above, height: below, ..area });
    }

    /// All lines of the table, and in which one the chosen model stands.
    fn table(&self, views: &[ServerView], chosen: usize, width: usize) -> (Vec<Line<'static>>, usize) {
        let servers = match views.len() {
            1 => String::new(),
            count => format!("{count} servers, "),
        };
        let title =
            format!("resnetd top  {servers}every {} s, q quits, up and down choose", self.interval.as_secs_f64());
        let mut lines = vec![Line::styled(title, Style::new().add_modifier(Modifier::DIM))];
        let (mut model_index, mut at) = (0, 0);
        for server in views {
            let style = if server.is_well { Style::new() } else { Style::new().fg(Color::Red) };
            lines.push(Line::from(vec![
                Span::styled(server.url.clone(), style.add_modifier(Modifier::BOLD)),
                Span::styled(format!("  {}", server.words), style),
            ]));
            let models: Vec<&ModelView> = server.models.iter().collect();
            if models.is_empty() {
                continue;
            }
            let table = ModelTable::of(&models, Some(width));
            lines.push(Line::styled(table.head(), Style::new().add_modifier(Modifier::DIM)));
            for (model, row) in models.into_iter().zip(&table.rows) {
                if model_index == chosen {
                    at = lines.len();
                }
                lines.push(row_line(model, &table, row, model_index == chosen));
                model_index += 1;
            }
        }
        (lines, at)
    }
}

fn row_line(model: &ModelView, table: &ModelTable, row: &[String], is_chosen: bool) -> Line<'static> {
    let base = match (is_chosen, &model.numbers) {
        (true, _) => Style::new().add_modifier(Modifier::REVERSED),
        (false, None) => Style::new().add_modifier(Modifier::DIM),
        (false, Some(_)) => Style::new(),
    };
    let mut spans = Vec::new();
    for (column, cell) in table.columns.iter().zip(row) {
        let numbers = model.numbers.as_ref();
        let style = match (column.title, numbers) {
            ("LOAD", Some(numbers)) => base.fg(load_colour(numbers.load)),
            ("REFUSED", Some(numbers)) if numbers.refused > 0 => base.fg(Color::Red),
            _ => base,
        };
        if !spans.is_empty() {
            spans.push(Span::styled("  ", base));
        }
        spans.push(Span::styled(cell.clone(), style));
    }
    if !model.state.is_empty() {
        spans.push(Span::styled(format!("  {}", model.state), base.fg(Color::Yellow)));
    }
    Line::from(spans)
}

fn load_colour(load: f64) -> Color {
    match load {
        high if high >= 0.9 => Color::Red,
        some if some >= 0.6 => Color::Yellow,
        _ => Color::Green,
    }
}

fn details(model: &ModelView, numbers: &ModelNumbersView) -> Vec<Line<'static>> {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![
        Line::default(),
        Line::from(vec![
            Span::styled(format!("{} version {}", model.name, model.version), bold),
            Span::raw(format!("  {}  {}", numbers.engine, numbers.choice)),
        ]),
        Line::styled("of the last ten seconds", dim),
    ];
    let longest = numbers.phases.iter().filter_map(|times| times.p99).fold(0.0, f64::max);
    for (name, times) in phase_names().into_iter().zip(&numbers.phases) {
        let bar = |seconds: Option<f64>| {
            let share = if longest > 0.0 { seconds.unwrap_or_default() / longest } else { 0.0 };
            (share * LONGEST_BAR as f64).round() as usize
        };
        let (median, rare) = (bar(times.p50), bar(times.p99));
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<11}"), dim),
            Span::raw(format!("p50 {:>7} ms  p99 {:>7} ms  ", ms(times.p50), ms(times.p99))),
            Span::styled("█".repeat(median), Style::new().fg(Color::Cyan)),
            Span::styled("░".repeat(rare.saturating_sub(median)), Style::new().fg(Color::Cyan)),
        ]));
    }
    let runs: u64 = numbers.batches.iter().map(|(_, runs)| runs).sum();
    let most = numbers.batches.iter().map(|(_, runs)| *runs).max().unwrap_or(1).max(1);
    for (images, count) in numbers.batches.iter().take(MOST_SIZES) {
        let length = (*count as f64 / most as f64 * LONGEST_BAR as f64).ceil() as usize;
        let share = *count as f64 / runs.max(1) as f64 * 100.0;
        lines.push(Line::from(vec![
            Span::styled(format!("{:<11}", format!("batch of {images}")), dim),
            Span::styled("█".repeat(length), Style::new().fg(Color::Magenta)),
            Span::raw(format!(" {share:.0} %")),
        ]));
    }
    if !numbers.refusals.is_empty() {
        let reasons = numbers.refusals.iter().map(|(reason, count)| format!("{reason} {count}"));
        let said = format!("{:<11}{}", "refused", reasons.collect::<Vec<_>>().join(", "));
        lines.push(Line::styled(said, Style::new().fg(Color::Red)));
    }
    lines
}
