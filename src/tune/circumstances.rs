//! When something was measured, and what else the machine did meanwhile: for people who wonder at a number later.

use std::{
    fmt, fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// When a measurement was taken and beside what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// When it was over, in seconds since 1970 (UTC).
    pub unix_seconds: u64,
    /// The share of all cores that other processes took meanwhile, 0 to 1; `None` where the system does not say. In a
    /// container it is the host's, where other containers count as well.
    pub others_share: Option<f64>,
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (Date::of(self.unix_seconds / 86_400), self.unix_seconds % 86_400);
        let (hour, minute) = (time / 3600, time / 60 % 60);
        let Date { year, month, day } = date;
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")?;
        match self.others_share {
            Some(share) => write!(f, ", while other processes took {:.0} % of the processor", share * 100.0),
            None => Ok(()),
        }
    }
}

/// Looks at the machine from its start on.
#[derive(Debug)]
pub struct CircumstancesWatch {
    begun: Instant,
    before: Option<Ticks>,
}

impl CircumstancesWatch {
    /// Begins.
    pub fn start() -> Self {
        Self { begun: Instant::now(), before: Ticks::now() }
    }

    /// What was the case since then.
    pub fn end(self) -> Circumstances {
        let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let others_share = self.before.zip(Ticks::now()).and_then(|(before, now)| now.others_since(before));
        // The system counts in hundredths of a second.
        let long_enough = self.begun.elapsed() >= Duration::from_millis(100);
        Circumstances { unix_seconds, others_share: others_share.filter(|_| long_enough) }
    }
}

/// The processor's time since the machine started, in the system's ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    all: u64,
    busy: u64,
    ours: u64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        Self::of(&machine, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// From the texts of `/proc/stat` and `/proc/self/stat`.
    fn of(machine: &str, process: &str) -> Option<Self> {
        let line = machine.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; what guests take is in `user` already.
        let columns: Vec<u64> = line.split_whitespace().map_while(|ticks| ticks.parse().ok()).take(8).collect();
        let all = columns.iter().sum();
        let idle = columns.get(3)? + columns.get(4)?;
        // Behind the name, which may hold anything: the state is column 3, utime 14, stime 15.
        let mut own = process.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ours = own.next()?.parse::<u64>().ok()? + own.next()?.parse::<u64>().ok()?;
        Some(Self { all, busy: all - idle, ours })
    }

    fn others_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = self.busy.checked_sub(before.busy)?;
        let ours = self.ours.checked_sub(before.ours)?;
        Some((busy.saturating_sub(ours) as f64 / all as f64).clamp(0.0, 1.0))
    }
}

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl Date {
    /// * `days`: since 1970-01-01
    fn of(days: u64) -> Self {
        // Years that begin in March, so that the leap day is the last; 400 of them have 146,097 days.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self { year: era * 400 + year_of_era + u64::from(month <= 2), month, day }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_others_is_what_was_busy_and_not_ours() {
        let at = |user: u64, idle: u64, ours: u64| {
            let machine = format!("cpu  {user} 0 100 {idle} 50 0 0 0 7 0\ncpu0 1 1 1\n");
            Ticks::of(&machine, &format!("42 (a ) b) R 1 42 42 0 -1 4194304 1 0 0 0 {ours} 10 0 0 20 0")).unwrap()
        };
        // 1,000 ticks passed: 600 busy, of which we took 150.
        let share = at(1600, 2400, 250).others_since(at(1000, 2000, 100)).unwrap();
        assert!((share - 0.45).abs() < 1e-9, "{share}");
        assert_eq!(at(1, 1, 1).others_since(at(1, 1, 1)), None, "no time has passed");
        assert_eq!(Ticks::of("", ""), None);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        assert!(Ticks::now().is_some());
    }

    #[test]
    fn a_moment_reads_as_a_date() {
        let shown = |unix_seconds, others_share| Circumstances { unix_seconds, others_share }.to_string();
        assert_eq!(shown(0, None), "1970-01-01 00:00 UTC");
        assert_eq!(shown(951_827_696, None), "2000-02-29 12:34 UTC");
        assert_eq!(
            shown(1_764_092_340, Some(0.456)),
            "2025-11-25 17:39 UTC, while other processes took 46 % of the processor"
        );
        assert_eq!(Date::of(11_016), Date { year: 2000, month: 2, day: 29 });
        assert_eq!(Date::of(47_540), Date { year: 2100, month: 2, day: 28 });
        assert_eq!(Date::of(47_541), Date { year: 2100, month: 3, day: 1 });
    }
}
