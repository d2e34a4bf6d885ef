//! What came of one request. Knows the numbers of HTTP and gRPC, no socket.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplyStatus {
    /// HTTP's.
    Http(u16),
    /// gRPC's.
    Grpc(i32),
}

/// What an answer means for who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has what was asked for.
    Answered,
    /// The server did not take the request: it is full, or not ready.
    Refused,
    /// The server took it, and its own deadline passed.
    Expired,
    /// The request is wrong, or the server failed.
    Failed,
}

impl ReplyStatus {
    /// What it means.
    pub fn fate(self) -> Fate {
        match self {
            Self::Http(200) | Self::Grpc(0) => Fate::Answered,
            Self::Http(429 | 503) | Self::Grpc(8 | 14) => Fate::Refused,
            Self::Http(504) | Self::Grpc(4) => Fate::Expired,
            _ => Fate::Failed,
        }
    }
}

impl fmt::Display for ReplyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(f, "{status}"),
            Self::Grpc(code) => f.write_str(match code {
                0 => "OK",
                1 => "CANCELLED",
                3 => "INVALID_ARGUMENT",
                4 => "DEADLINE_EXCEEDED",
                5 => "NOT_FOUND",
                7 => "PERMISSION_DENIED",
                8 => "RESOURCE_EXHAUSTED",
                12 => "UNIMPLEMENTED",
                13 => "INTERNAL",
                14 => "UNAVAILABLE",
                16 => "UNAUTHENTICATED",
                other => return write!(f, "gRPC status {other}"),
            }),
        }
    }
}

/// Where the server says that the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerPhases {
    /// Decoding, resizing and cropping.
    pub preprocess: f64,
    /// Waiting for a session.
    pub queue: f64,
    /// The network's run.
    pub inference: f64,
    /// From the arrival of the request to its answer.
    pub total: f64,
}

impl ServerPhases {
    /// From the header `Server-Timing`; what it does not name is 0.
    pub fn from_header(value: &str) -> Option<Self> {
        let mut phases = Self::default();
        let mut any = false;
        for metric in value.split(',') {
            let mut parts = metric.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(ms) = parts.find_map(|part| part.strip_prefix("dur=")?.parse::<f64>().ok()) else { continue };
            let place = match name {
                "preprocess" => &mut phases.preprocess,
                "queue" => &mut phases.queue,
                "inference" => &mut phases.inference,
                "total" => &mut phases.total,
                _ => continue,
            };
            *place = ms;
            any = true;
        }
        any.then_some(phases)
    }
}

/// An answer, whatever it says.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerReply {
    /// Its status.
    pub status: ReplyStatus,
    /// Bytes of the request's body.
    pub sent_bytes: usize,
    /// Bytes of the answer's body.
    pub received_bytes: usize,
    /// Where the time went, if it says so.
    pub phases: Option<ServerPhases>,
    /// How many images ran together, if it says so.
    pub batch_size: Option<u32>,
    /// What the server said, where the status is no success.
    pub words: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Broken(String),
    /// None came in the time that the generator waits.
    #[error("no answer in {} s", .0.as_secs_f64())]
    GaveUp(Duration),
    /// So many requests were out that this one was not sent.
    #[error("not sent: too many were unanswered")]
    NotSent,
}

/// One request from beginning to end.
#[derive(Clone, Debug)]
pub struct LoadSample {
    /// When it was due. In a closed loop that is when it was sent.
    pub intended: Instant,
    /// When the generator began to send it.
    pub sent: Instant,
    /// When the answer was there.
    pub ended: Instant,
    /// What it was.
    pub reply: Result<ServerReply, NoReply>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_deadlines_and_failures_are_told_apart() {
        use Fate as F;
        for (status, fate) in [(200, F::Answered), (429, F::Refused), (503, F::Refused), (504, F::Expired)] {
            assert_eq!(ReplyStatus::Http(status).fate(), fate, "{status}");
        }
        for (code, fate) in [(0, F::Answered), (8, F::Refused), (14, F::Refused), (4, F::Expired), (3, F::Failed)] {
            assert_eq!(ReplyStatus::Grpc(code).fate(), fate, "{code}");
        }
        for status in [201, 302, 400, 404, 413, 500] {
            assert_eq!(ReplyStatus::Http(status).fate(), F::Failed, "{status}");
        }
    }

    #[test]
    fn phases_are_read_from_the_header_whatever_stands_beside_them() {
        let told =
            ServerPhases::from_header("preprocess;dur=2.900, queue;dur=0.400, inference;dur=49.1, total;dur=52.6");
        let phases = ServerPhases { preprocess: 2.9, queue: 0.4, inference: 49.1, total: 52.6 };
        assert_eq!(told, Some(phases));
        let told = ServerPhases::from_header("cdn;desc=\"hit\", queue; desc=x ;dur=1, total;dur=nonsense");
        assert_eq!(told, Some(ServerPhases { queue: 1.0, ..ServerPhases::default() }));
        assert_eq!(ServerPhases::from_header("cdn;dur=4"), None);
    }
}
