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
    Buckets::of(text, family, model).quantiles()
}

/// A model's histogram as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// All series of `family` in `text`, which is in Prometheus' format, that a model has.
    pub fn of(text: &str, family: &str, model: &str) -> Self {
        Self(buckets(text, family, model))
    }

    /// What came since an earlier moment; all of it where that was of another histogram, as after a restart.
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |((bound, count), (known, before)): (&(f64, u64), &(f64, u64))| {
            let new = count.checked_sub(*before).filter(|_| bound == known)?;
            Some((*bound, new))
        };
        let less: Option<Vec<_>> = self.0.iter().zip(&earlier.0).map(less).collect();
        let same = self.0.len() == earlier.0.len();
        less.filter(|_| same).map_or_else(|| self.clone(), Self)
    }

    /// In two numbers.
    pub fn quantiles(&self) -> Quantiles {
        let count = self.0.last().map_or(0, |(_, count)| *count);
        Quantiles { count, p50: quantile(&self.0, 0.5), p99: quantile(&self.0, 0.99) }
    }
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
    fn what_came_since_is_a_histogram_of_its_own() {
        let (before, now) = (Buckets(vec![(0.1, 50), (0.2, 90)]), Buckets(vec![(0.1, 50), (0.2, 94)]));
        assert_eq!(now.since(&before), Buckets(vec![(0.1, 0), (0.2, 4)]));
        let p50 = now.since(&before).quantiles().p50.expect("values");
        assert!((p50 - 0.15).abs() < 1e-9, "{p50}");
        for other in [Buckets(vec![(0.1, 60), (0.2, 90)]), Buckets(vec![(0.3, 1), (0.4, 1)]), Buckets::default()] {
            assert_eq!(now.since(&other), now, "the server began anew");
        }
    }

    #[test]
    fn series_of_several_doors_are_added_up_and_other_models_are_not() {
        let request = of("resnetd_request_duration_seconds", "b");
        assert_eq!((request.count, request.p50), (2, Some(0.05)));
        assert_eq!(of("resnetd_request_duration_seconds", "a"), Quantiles::default());
    }
}
