//! Whether a version may go on getting requests: held against the default version, and turned back for good where it breaks a rule.
//! Pure: the time is given.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use super::window::{Counts, Window};
use crate::{model::GuardSection, telemetry::GuardRule};

/// Times are compared after every answer at first, then so rarely that it is done about so often within a window.
const LOOKS_AT_TIMES: u64 = 64;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Outcome {
    /// An answer, or a refusal that is the client's own fault; how long an answer took that says something of the version.
    Answered(Option<Duration>),
    /// A fault of the server.
    Fault,
    /// It was run beside the default version; whether both say the same class.
    Compared { agrees: bool },
}

/// The rule that a version has broken, with the figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::service) enum Broken {
    ErrorRate { faults: u64, answers: u64, stable: f64 },
    LatencyRatio { own: Duration, stable: Duration },
    Agreement { agreed: u64, compared: u64 },
}

impl Broken {
    pub(in crate::service) fn rule(&self) -> GuardRule {
        match self {
            Self::ErrorRate { .. } => GuardRule::ErrorRate,
            Self::LatencyRatio { .. } => GuardRule::LatencyRatio,
            Self::Agreement { .. } => GuardRule::Agreement,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        match self {
            Self::ErrorRate { faults, answers, stable } => write!(
                f,
                "{faults} of {answers} requests failed ({:.2} %, and {:.2} % of the default version's)",
                percent(*faults, *answers),
                100.0 * stable
            ),
            Self::LatencyRatio { own, stable } => {
                let [own_ms, stable_ms] = [own, stable].map(|time| time.as_secs_f64() * 1e3);
                let ratio = own_ms / stable_ms;
                write!(
                    f,
                    "its median latency is {own_ms:.2} ms, {ratio:.2} times the default version's {stable_ms:.2} ms"
                )
            }
            Self::Agreement { agreed, compared } => write!(
                f,
                "{agreed} of {compared} mirrored images got the default version's class ({:.2} %)",
                percent(*agreed, *compared)
            ),
        }
    }
}

/// What the version that others are compared with did.
pub(in crate::service) type Stable = Arc<Mutex<Window>>;

/// The guard of one version, as it is served now.
#[derive(Debug)]
pub(in crate::service) struct Guard {
    rules: GuardSection,
    stable: Stable,
    own: Mutex<Window>,
    broken: OnceLock<Broken>,
}

pub(in crate::service) fn stable(rules: &GuardSection) -> Stable {
    Arc::new(Mutex::new(Window::new(rules.window())))
}

/// Counts what the default version did.
pub(in crate::service) fn note_stable(stable: &Stable, at: Duration, outcome: Outcome) {
    note(&mut lock(stable), at, outcome);
}

impl Guard {
    pub(in crate::service) fn new(rules: &GuardSection, stable: &Stable) -> Self {
        let own = Mutex::new(Window::new(rules.window()));
        Self { rules: rules.clone(), stable: stable.clone(), own, broken: OnceLock::new() }
    }

    /// The rule that was broken. From then on nothing more counts.
    pub(in crate::service) fn broken(&self) -> Option<&Broken> {
        self.broken.get()
    }

    /// Counts what came of a request of this version; where that breaks a rule, which one: told once.
    pub(in crate::service) fn note(&self, at: Duration, outcome: Outcome) -> Option<Broken> {
        if self.broken().is_some() {
            return None;
        }
        let mut own = lock(&self.own);
        note(&mut own, at, outcome);
        let broken = self.judge(&own, at)?;
        drop(own);
        self.broken.set(broken).is_ok().then_some(broken)
    }

    fn judge(&self, own: &Window, at: Duration) -> Option<Broken> {
        let least = self.rules.min_requests;
        let Counts { answers, faults, compared, agreed } = own.counts(at);
        let rate = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        if self.rules.max_error_rate.is_some_and(|most| answers >= least && rate(faults, answers) > most) {
            let other = lock(&self.stable).counts(at);
            let stable = rate(other.faults, other.answers);
            // What fails elsewhere as often is not this version's fault.
            if rate(faults, answers) > stable {
                return Some(Broken::ErrorRate { faults, answers, stable });
            }
        }
        if self.rules.min_agreement.is_some_and(|least_rate| compared >= least && rate(agreed, compared) < least_rate) {
            return Some(Broken::Agreement { agreed, compared });
        }
        let most = self.rules.max_latency_ratio?;
        if answers < least || answers % (1 + answers / LOOKS_AT_TIMES) != 0 {
            return None;
        }
        let (own, enough) = own.median(at)?;
        let (stable, enough_stable) = lock(&self.stable).median(at)?;
        let is_slow = enough >= least && enough_stable >= least && own.as_secs_f64() > most * stable.as_secs_f64();
        is_slow.then_some(Broken::LatencyRatio { own, stable })
    }
}

fn note(window: &mut Window, at: Duration, outcome: Outcome) {
    let (count, time): (fn(&mut Counts), _) = match outcome {
        Outcome::Answered(time) => (|counts| counts.answers += 1, time),
        Outcome::Fault => (|counts| (counts.answers, counts.faults) = (counts.answers + 1, counts.faults + 1), None),
        Outcome::Compared { agrees: false } => (|counts| counts.compared += 1, None),
        Outcome::Compared { agrees: true } => {
            (|counts| (counts.compared, counts.agreed) = (counts.compared + 1, counts.agreed + 1), None)
        }
    };
    window.note(at, count, time);
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard of this one rule, which judges from 10 requests on, and a clock that goes on by 0.1 s with each.
    struct Trial {
        guard: Guard,
        stable: Stable,
        at: Duration,
    }

    impl Trial {
        fn of(rule: impl FnOnce(&mut GuardSection)) -> Self {
            let mut rules = GuardSection { min_requests: 10, ..GuardSection::default() };
            rule(&mut rules);
            let stable = stable(&rules);
            Self { guard: Guard::new(&rules, &stable), stable, at: Duration::ZERO }
        }

        fn own(&mut self, times: usize, outcome: Outcome) -> Option<Broken> {
            (0..times).find_map(|_| {
                self.at += Duration::from_millis(100);
                self.guard.note(self.at, outcome)
            })
        }

        fn stable(&mut self, times: usize, outcome: Outcome) {
            for _ in 0..times {
                self.at += Duration::from_millis(100);
                note_stable(&self.stable, self.at, outcome);
            }
        }
    }

    const FINE: Outcome = Outcome::Answered(None);

    fn took(millis: u64) -> Outcome {
        Outcome::Answered(Some(Duration::from_millis(millis)))
    }

    #[test]
    fn faults_turn_a_version_back_once_there_were_enough_requests() {
        let mut trial = Trial::of(|rules| rules.max_error_rate = Some(0.25));
        assert_eq!(trial.own(9, Outcome::Fault), None, "too few to judge by");
        let broken = trial.own(1, FINE).expect("nine of ten failed");
        assert_eq!(broken, Broken::ErrorRate { faults: 9, answers: 10, stable: 0.0 });
        assert_eq!(broken.to_string(), "9 of 10 requests failed (90.00 %, and 0.00 % of the default version's)");
        assert_eq!((trial.own(50, Outcome::Fault), trial.guard.broken()), (None, Some(&broken)), "told once");
    }

    #[test]
    fn as_many_faults_as_are_allowed_do_no_harm() {
        let mut trial = Trial::of(|rules| rules.max_error_rate = Some(0.25));
        for _ in 0..100 {
            assert_eq!((trial.own(3, FINE), trial.own(1, Outcome::Fault)), (None, None));
        }
        assert!(trial.own(2, Outcome::Fault).is_some(), "more than every fourth of the last 600");
    }

    #[test]
    fn faults_that_the_default_version_has_as_well_are_not_this_ones() {
        let mut trial = Trial::of(|rules| rules.max_error_rate = Some(0.1));
        trial.stable(100, Outcome::Fault);
        assert_eq!(trial.own(100, Outcome::Fault), None);
        // They are forgotten a minute later.
        trial.at += Duration::from_secs(70);
        assert!(trial.own(10, Outcome::Fault).is_some());
    }

    #[test]
    fn faults_of_long_ago_are_forgotten() {
        let mut trial = Trial::of(|rules| rules.max_error_rate = Some(0.3));
        for _ in 0..20 {
            assert_eq!(trial.own(9, Outcome::Fault), None);
            trial.at += Duration::from_secs(70);
        }
        assert_eq!(trial.own(100, FINE), None);
    }

    #[test]
    fn a_version_that_takes_too_long_is_turned_back_by_the_middle_of_its_times() {
        let mut trial = Trial::of(|rules| rules.max_latency_ratio = Some(2.0));
        assert_eq!(trial.own(20, took(50)), None, "there is nothing to compare it with");
        trial.stable(20, took(10));
        let broken = trial.own(1, took(50)).expect("five times as long");
        assert_eq!(broken.rule(), GuardRule::LatencyRatio);
        let (text, figures) = (broken.to_string(), ["its median latency is 5", "times the default version's"]);
        assert!(figures.iter().all(|figure| text.contains(figure)), "{text}");

        let mut trial = Trial::of(|rules| rules.max_latency_ratio = Some(2.0));
        trial.stable(20, took(10));
        assert_eq!(
            (trial.own(20, took(19)), trial.own(9, took(1_000))),
            (None, None),
            "a few that are slow are no rule"
        );
    }

    #[test]
    fn a_version_that_says_something_else_too_often_is_turned_back() {
        let mut trial = Trial::of(|rules| rules.min_agreement = Some(0.9));
        let (same, other) = (Outcome::Compared { agrees: true }, Outcome::Compared { agrees: false });
        assert_eq!((trial.own(99, same), trial.own(11, other)), (None, None));
        let broken = trial.own(1, other).expect("99 of 111");
        assert_eq!(broken, Broken::Agreement { agreed: 99, compared: 111 });
        assert_eq!(broken.to_string(), "99 of 111 mirrored images got the default version's class (89.19 %)");
    }
}
