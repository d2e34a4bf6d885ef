//! An axis of a chart: from where to where, by steps or by powers, and which marks it has.

/// The marks that fit beside a chart.
const MARKS: f64 = 5.0;

/// An axis. What lies outside of it is drawn at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartAxis {
    /// What is on it, with its unit.
    pub label: String,
    /// Its marks and their text.
    pub marks: Vec<(f64, String)>,
    from: f64,
    to: f64,
    by_powers: bool,
}

impl ChartAxis {
    /// From 0 to at least `most`, with round marks.
    pub fn linear(label: &str, most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_step(most / MARKS);
        let steps = (most / step - 1e-9).ceil();
        let marks = (0..=steps as usize).map(|mark| mark as f64 * step).map(|at| (at, number(at))).collect();
        Self { label: label.to_owned(), marks, from: 0.0, to: steps * step, by_powers: false }
    }

    /// From 0 to `most` itself, with round marks.
    pub fn exact(label: &str, most: f64) -> Self {
        let mut axis = Self::linear(label, most);
        if most.is_finite() && most > 0.0 {
            axis.to = most;
            axis.marks.retain(|(mark, _)| *mark <= most * 1.000_001);
        }
        axis
    }

    /// By powers of ten, from at most `least` to at least `most`, both above 0.
    pub fn powers(label: &str, least: f64, most: f64) -> Self {
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let most = if usable(most) { most } else { 1.0 };
        let least = if usable(least) { least.min(most) } else { most };
        let steps = |decade: f64| [1.0, 2.0, 5.0].map(|step| step * 10f64.powf(decade));
        let (first, last) = (least.log10().floor(), most.log10().ceil());
        let all: Vec<f64> = (first as i32..=last as i32).flat_map(|decade| steps(f64::from(decade))).collect();
        // Rounding of a power must not cost the mark that a value lies on.
        let from = all.iter().copied().rfind(|mark| *mark <= least * 1.000_001).unwrap_or(least);
        let to = all.iter().copied().find(|mark| *mark >= most * 0.999_999 && *mark > from).unwrap_or(most * 2.0);
        let mut marks: Vec<f64> = all.into_iter().filter(|mark| (from..=to).contains(mark)).collect();
        // Over many decades only the powers themselves have room.
        if marks.len() > 10 {
            marks.retain(|mark| (mark.log10() - mark.log10().round()).abs() < 1e-6);
        }
        let marks = marks.into_iter().map(|mark| (mark, number(mark))).collect();
        Self { label: label.to_owned(), marks, from, to, by_powers: true }
    }

    /// Shares of all, the nearer to one the wider: 0, 90 %, 99 %, 99.9 % are equally far from each other.
    ///
    /// * `rarest`: one in so many is the end
    pub fn shares(label: &str, rarest: f64) -> Self {
        let rarest = rarest.clamp(10.0, 1e9);
        let marks = [(1.0, "0"), (2.0, "50 %"), (10.0, "90 %"), (100.0, "99 %"), (1e3, "99.9 %"), (1e4, "99.99 %")];
        let marks = marks.into_iter().filter(|(mark, _)| *mark <= rarest * 1.01);
        let marks = marks.map(|(mark, text)| (mark, text.to_owned())).collect();
        Self { label: label.to_owned(), marks, from: 1.0, to: rarest, by_powers: true }
    }

    /// Where a value lies, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.by_powers { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let (from, to) = (scale(self.from), scale(self.to));
        if to > from { ((scale(value) - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= least * 0.999_999);
    step.unwrap_or(10.0) * power
}

/// A number as short as it can be.
fn number(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 10_000.0 => return format!("{}k", number(value / 1000.0)),
        small if small > 0.0 && small < 0.001 => return format!("{value:e}"),
        small if small < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &ChartAxis) -> Vec<&str> {
        axis.marks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_reach_the_last_value() {
        assert_eq!(texts(&ChartAxis::linear("", 47.0)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(texts(&ChartAxis::linear("", 0.9)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(texts(&ChartAxis::linear("", 50_000.0)), ["0", "10k", "20k", "30k", "40k", "50k"]);
        assert_eq!(texts(&ChartAxis::exact("", 4.1)), ["0", "1", "2", "3", "4"]);
        assert_eq!(ChartAxis::exact("", 4.1).place(4.1), 1.0);
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ChartAxis::linear("", none).place(1.0), 1.0, "{none}");
        }
    }

    #[test]
    fn powers_have_marks_around_both_ends() {
        assert_eq!(texts(&ChartAxis::powers("", 0.9, 42.0)), ["0.5", "1", "2", "5", "10", "20", "50"]);
        assert_eq!(
            texts(&ChartAxis::powers("", 1.0, 1000.0)),
            ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1000"]
        );
        assert_eq!(texts(&ChartAxis::powers("", 0.1, 99_000.0)), ["0.1", "1", "10", "100", "1000", "10k", "100k"]);
        assert_eq!(texts(&ChartAxis::powers("", 5.0, 5.0)), ["5", "10"]);
        let axis = ChartAxis::powers("", 1.0, 100.0);
        assert_eq!((axis.place(0.1), axis.place(10.0), axis.place(1e6)), (0.0, 0.5, 1.0));
        assert_eq!(texts(&ChartAxis::powers("", 0.0, f64::NAN)), ["1", "2"]);
    }

    #[test]
    fn shares_are_equally_far_from_each_other() {
        let axis = ChartAxis::shares("", 1000.0);
        assert_eq!(texts(&axis), ["0", "50 %", "90 %", "99 %", "99.9 %"]);
        assert!((axis.place(10.0) - 1.0 / 3.0).abs() < 1e-12 && (axis.place(100.0) - 2.0 / 3.0).abs() < 1e-12);
    }
}
