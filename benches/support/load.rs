//! The load generator: `connections` clients that each send a request, wait for the answer, and send the next.
//!
//! It shares the machine with the server, so what it burns is missing there: requests are whole buffers made
//! beforehand, an answer is read by its `Content-Length`, and everything runs on one thread. Knows HTTP/1.1 and sockets;
//! must not know what is measured.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// This part of a load's time fills the connections.
pub(crate) const LEAD: u32 = 4;

/// What to send where.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Whole requests, head and body; each connection goes round them, starting at its own place.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) connections: usize,
    /// When to stop sending.
    pub(crate) until: Until,
}

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this time. The rate is that of the answers that come in the last three quarters of it: the first quarter fills the connections, and after
    /// the end the sessions run empty one after the other.
    Elapsed(Duration),
    /// After so many requests of each connection.
    Requests(usize),
}

impl Until {
    /// What of the time counts for no rate.
    fn lead(self) -> Duration {
        match self {
            Self::Elapsed(time) => time / LEAD,
            Self::Requests(_) => Duration::ZERO,
        }
    }

    fn counts(self, at: Duration) -> bool {
        match self {
            Self::Elapsed(time) => (self.lead()..=time).contains(&at),
            Self::Requests(_) => true,
        }
    }
}

/// What came back.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The time that the rate is of.
    window: Duration,
    /// The answers with status 200 that came in it.
    in_window: usize,
    /// One for each answer with status 200, ascending.
    pub(crate) latencies: Vec<Duration>,
    /// How many answers of each other status.
    pub(crate) refused: BTreeMap<u16, usize>,
    /// The sum of the answers' `batch_size`.
    pub(crate) batch_sizes: usize,
}

impl Outcome {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.in_window as f64 / self.window.as_secs_f64()
    }

    /// The latency that a `share` of the answers stays under, in milliseconds.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let rank = (last as f64 * share).round() as usize;
        self.latencies.get(rank).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    /// The mean size of the batches that the answers came from, weighted by images.
    pub(crate) fn mean_batch(&self) -> f64 {
        self.batch_sizes as f64 / self.latencies.len().max(1) as f64
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.in_window += other.in_window;
        self.batch_sizes += other.batch_sizes;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
    }
}

/// A POST of `body`.
pub(crate) fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends `load` and waits for the last answer.
///
/// # Errors
/// If a connection fails, or an answer is no HTTP with a `Content-Length`.
pub(crate) fn run(load: Load) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let load = Rc::new(load);
    LocalSet::new().block_on(&runtime, async {
        let started = Instant::now();
        let clients: Vec<_> =
            (0..load.connections).map(|place| tokio::task::spawn_local(client(load.clone(), place, started))).collect();
        let mut outcome = Outcome::default();
        for client in clients {
            outcome.add(client.await.map_err(io::Error::other)??);
        }
        outcome.window = match load.until {
            Until::Elapsed(time) => time - load.until.lead(),
            Until::Requests(_) => started.elapsed(),
        };
        outcome.latencies.sort_unstable();
        Ok(outcome)
    })
}

/// Sends one request and gives the answer's status and body.
///
/// # Errors
/// As [`run`].
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(address).await?;
        let answer = connection.ask(request).await?;
        Ok((answer.status, connection.buffer[answer.body].to_vec()))
    })
}

/// Sends every one of `requests` once, over `connections`, and gives the answers' status and body in their order.
///
/// # Errors
/// As [`run`].
#[allow(dead_code, reason = "only the arithmetic benchmark counts right answers")]
pub(crate) fn ask_all(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
) -> io::Result<Vec<(u16, Vec<u8>)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let ask_some = async |place: usize| {
        let mut connection = Connection::open(address).await?;
        let mut answers = Vec::new();
        for (index, request) in requests.iter().enumerate().skip(place).step_by(connections) {
            let answer = connection.ask(request).await?;
            answers.push((index, (answer.status, connection.buffer[answer.body].to_vec())));
            if answer.closing {
                connection = Connection::open(address).await?;
            }
        }
        io::Result::Ok(answers)
    };
    let all = runtime.block_on(try_join_all((0..connections).map(ask_some)))?;
    let mut answers: Vec<_> = all.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

async fn client(load: Rc<Load>, place: usize, started: Instant) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut connection = Connection::open(load.address).await?;
    for (sent, request) in load.requests.iter().cycle().skip(place % load.requests.len()).enumerate() {
        let over = match load.until {
            Until::Elapsed(time) => started.elapsed() >= time,
            Until::Requests(count) => sent == count,
        };
        if over {
            break;
        }
        let asked = Instant::now();
        let answer = connection.ask(request).await?;
        let latency = asked.elapsed();
        if answer.status == 200 {
            outcome.latencies.push(latency);
            outcome.in_window += usize::from(load.until.counts(started.elapsed()));
            outcome.batch_sizes += batch_size(&connection.buffer[answer.body]).unwrap_or(0);
        } else {
            *outcome.refused.entry(answer.status).or_default() += 1;
        }
        if answer.closing {
            connection = Connection::open(load.address).await?;
        }
    }
    Ok(outcome)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    /// Where the body lies in the connection's buffer.
    body: std::ops::Range<usize>,
    /// The server wants no further request on this connection.
    closing: bool,
}

impl Connection {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.receive().await?;
            if let Some(end) = position(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer has no status or no Content-Length");
        let text = str::from_utf8(&self.buffer[..head]).map_err(|_| malformed())?;
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        let length: usize =
            header(text, "content-length").and_then(|length| length.parse().ok()).ok_or_else(malformed)?;
        let closing = header(text, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        while self.buffer.len() < head + length {
            self.receive().await?;
        }
        Ok(Answer { status, body: head..head + length, closing })
    }

    async fn receive(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The number after `"batch_size":`, which stands at the end of an answer.
fn batch_size(body: &[u8]) -> Option<usize> {
    const KEY: &[u8] = b"\"batch_size\":";
    let start = body.windows(KEY.len()).rposition(|window| window == KEY)? + KEY.len();
    let digits = body[start..].iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}
