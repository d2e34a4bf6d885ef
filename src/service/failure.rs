//! Why a version is not served, or not from the files that are there.

use std::{fmt, time::Instant};

/// What went wrong, and when it is tried again.
pub(super) struct LoadFailure {
    reason: Box<str>,
    next_try: Option<Instant>,
}

impl LoadFailure {
    pub(super) fn new(reason: &str, next_try: Option<Instant>) -> Self {
        Self { reason: reason.into(), next_try }
    }
}

/// With the seconds that are left until it is tried again: whoever reads it has no clock of ours.
impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.next_try {
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()).as_secs_f32().ceil();
                write!(f, "; it is tried again in {left} s, or when its files change")
            }
            None => Ok(()),
        }
    }
}
