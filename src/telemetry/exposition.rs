//! The two forms of a scrape, made of what the library writes. Pure.
//!
//! The library writes OpenMetrics, but our counters (`Count`) are written as text format 0.0.4 has them, which most read. So 0.0.4 is that
//! text without exemplars, which it has not, and OpenMetrics is that text with its names of counters and its end.

/// What stands before an exemplar of ours. No label's value can hold it: a quote in one is escaped.
const EXEMPLAR: &str = " # {trace_id=\"";

/// As text format 0.0.4.
pub(super) fn plain(text: String) -> String {
    if !text.contains(EXEMPLAR) {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        plain.push_str(line.rfind(EXEMPLAR).map_or(line, |start| &line[..start]));
        plain.push('\n');
    }
    plain
}

/// As OpenMetrics 1.0.0, where a counter's description has its name without `_total`.
pub(super) fn open_metrics(text: &str) -> String {
    let mut open = String::with_capacity(text.len() + 8);
    for line in text.lines() {
        match described(line).and_then(|(name, rest)| Some((name.strip_suffix("_total")?, rest))) {
            Some((name, rest)) => {
                let end = line.len() - rest.len() - "_total".len();
                open.push_str(&line[..end]);
                debug_assert!(line[..end].ends_with(name));
                open.push_str(rest);
            }
            None => open.push_str(line),
        }
        open.push('\n');
    }
    open.push_str("# EOF\n");
    open
}

/// The name in a line of description, and what follows it.
fn described(line: &str) -> Option<(&str, &str)> {
    let text = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "))?;
    let end = text.find(' ').unwrap_or(text.len());
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP resnetd_requests_total Requests, all_total of them.
# TYPE resnetd_requests_total counter
resnetd_requests_total{model=\"a # {trace_id=\\\"b\"} 7
# HELP resnetd_queue_seconds Wait.
# TYPE resnetd_queue_seconds histogram
resnetd_queue_seconds_bucket{le=\"0.1\",model=\"a\"} 3 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.05 1700000000.5
resnetd_queue_seconds_bucket{le=\"+Inf\",model=\"a\"} 3
";

    #[test]
    fn the_older_form_has_no_exemplars_and_is_otherwise_the_same() {
        let plain = plain(TEXT.to_owned());
        let lines: Vec<_> = plain.lines().collect();
        assert_eq!(lines[5], "resnetd_queue_seconds_bucket{le=\"0.1\",model=\"a\"} 3");
        let others = [0, 1, 2, 3, 4, 6];
        let before: Vec<_> = TEXT.lines().collect();
        assert!(others.into_iter().all(|at| lines[at] == before[at]), "{plain}");
    }

    #[test]
    fn open_metrics_names_counters_without_their_suffix_and_has_an_end() {
        let open = open_metrics(TEXT);
        let lines: Vec<_> = open.lines().collect();
        assert_eq!(lines[0], "# HELP resnetd_requests Requests, all_total of them.");
        assert_eq!(lines[1], "# TYPE resnetd_requests counter");
        let before: Vec<_> = TEXT.lines().collect();
        assert_eq!(lines[2..7], before[2..7], "samples keep their names, and exemplars stay");
        assert_eq!(lines[7..], ["# EOF"]);
    }
}
