//! Quantiles of a histogram, from the buckets that Prometheus is given, as its `histogram_quantile` has them. Pure.

/// A histogram in two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// How many values it has.
    pub count: u64,
    /// Half of them are no larger; `None` of no values. Beyond the last bound it is that bound.
    pub p50: Option<f64>,
    /// The same of 99 in 100.
    pub p99: Option<f64>,
}

/// The quantiles of all series of `family` in `text` that a model has.
pub(super) fn quantiles(text: &str, family: &str, model: &str) -> Quantiles {
    let buckets = buckets(text, family, model);
    let count = buckets.last().map_or(0, |(_, count)| *count);
    Quantiles { count, p50: quantile(&buckets, 0.5), p99: quantile(&buckets, 0.99) }
}

/// Upper bounds and how many values are no larger, the series of several labels added up.
fn buckets(text: &str, family: &str, model: &str) -> Vec<(f64, u64)> {
    let escaped = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let is_of = format!("model=\"{escaped}\"");
    let mut sums: Vec<(f64, u64)> = Vec::new();
    let lines = text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix("_bucket{"));
    for (labels, count) in lines.filter_map(|line| line.rsplit_once("} ")) {
        let bound = labels.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"'));
        let Some(bound) = bound.and_then(|(bound, _)| bound.parse::<f64>().ok()) else { continue };
        let Some(count) = count.trim().parse::<u64>().ok().filter(|_| labels.contains(&is_of)) else { continue };
        match sums.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => sums.push((bound, count)),
        }
    }
    sums.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    sums
}

fn quantile(buckets: &[(f64, u64)], part: f64) -> Option<f64> {
    let rank = buckets.last().filter(|(_, count)| *count > 0).map(|(_, count)| *count as f64 * part)?;
    let place = buckets.partition_point(|(_, count)| (*count as f64) < rank);
    let below = place.checked_sub(1).and_then(|below| buckets.get(below)).copied();
    let (low, before) = below.unwrap_or((0.0, 0));
    match buckets.get(place) {
        Some((high, count)) if high.is_finite() => {
            Some(low + (high - low) * (rank - before as f64) / (count - before).max(1) as f64)
        }
        _ => Some(low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE resnetd_queue_duration_seconds histogram
resnetd_queue_duration_seconds_sum{model="a"} 0.5
resnetd_queue_duration_seconds_bucket{le="0.1",model="a"} 50
resnetd_queue_duration_seconds_bucket{le="0.2",model="a"} 90
resnetd_queue_duration_seconds_bucket{le="+Inf",model="a"} 100
resnetd_queue_duration_seconds_bucket{le="0.1",model="b"} 7
resnetd_request_duration_seconds_bucket{le="0.1",model="b",protocol="http"} 1
resnetd_request_duration_seconds_bucket{le="+Inf",model="b",protocol="http"} 1
resnetd_request_duration_seconds_bucket{le="0.1",model="b",protocol="grpc"} 1
resnetd_request_duration_seconds_bucket{le="+Inf",model="b",protocol="grpc"} 1
"#;

    fn of(family: &str, model: &str) -> Quantiles {
        quantiles(TEXT, family, model)
    }

    #[test]
    fn a_quantile_lies_in_its_bucket_in_proportion() {
        let queue = of("resnetd_queue_duration_seconds", "a");
        assert_eq!((queue.count, queue.p50), (100, Some(0.1)));
        assert_eq!(queue.p99, Some(0.2), "beyond the last bound nobody knows");
        assert_eq!(quantile(&[(0.1, 50), (0.2, 90)], 0.8), Some(0.1 + 0.1 * 22.0 / 40.0));
    }

    #[test]
    fn series_of_several_doors_are_added_up_and_other_models_are_not() {
        let request = of("resnetd_request_duration_seconds", "b");
        assert_eq!((request.count, request.p50), (2, Some(0.05)));
        assert_eq!(of("resnetd_request_duration_seconds", "a"), Quantiles::default());
    }
}
