//! What a model is tuned for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What tuning optimizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Goal {
    /// The most images a second when there is always work.
    #[default]
    Throughput,
    /// The shortest run of one image.
    Latency,
    /// The most images a second while 99 of 100 are answered within so many milliseconds. That includes waiting for the
    /// run before; it includes neither preprocessing nor the transfer of request and answer.
    P99(f64),
}

/// The text names no goal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no goal: expected throughput, latency or p99=MS with MS above 0, for instance p99=50")]
pub struct GoalError(String);

impl FromStr for Goal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Self, GoalError> {
        match text {
            "throughput" => Ok(Self::Throughput),
            "latency" => Ok(Self::Latency),
            _ => text
                .strip_prefix("p99=")
                .and_then(|ms| ms.parse().ok())
                .filter(|ms: &f64| ms.is_finite() && *ms > 0.0)
                .map(Self::P99)
                .ok_or_else(|| GoalError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Goal {
    type Error = GoalError;

    fn try_from(text: String) -> Result<Self, GoalError> {
        text.parse()
    }
}

impl From<Goal> for String {
    fn from(goal: Goal) -> Self {
        goal.to_string()
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput => f.write_str("throughput"),
            Self::Latency => f.write_str("latency"),
            Self::P99(ms) => write!(f, "p99={ms}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_written_as_they_are_read() {
        for text in ["throughput", "latency", "p99=50", "p99=2.5"] {
            assert_eq!(text.parse::<Goal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_goal_is_refused_with_what_is_one() {
        for text in ["", "fast", "p99", "p99=", "p99=0", "p99=-1", "p99=NaN", "p99=inf"] {
            let message = text.parse::<Goal>().unwrap_err().to_string();
            assert!(message.contains("throughput, latency or p99=MS"), "{message}");
        }
    }
}
