//! `resnetd healthcheck`: a container's health check that needs no shell and no curl.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use rustls::{ClientConnection, Stream};

use super::{ConfigArgs, auth::ApiKeyArgs, interrupt::end, output::complain, tls::ClientTlsArgs};
use crate::config::{Config, Flags, parse_address};

/// A server that needs longer for its answer is not healthy. All in all, and less than the three seconds after which the
/// container's own check would end without a word.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// The first line of an answer is shorter.
const LONGEST_LINE: usize = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the server's HTTP door is, if not where the configuration says
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    key: ApiKeyArgs,
}

pub(super) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    // Looking a name up, here or for the configuration, has no limit of its own.
    thread::spawn(|| {
        thread::sleep(PATIENCE + Duration::from_millis(100));
        complain("error: no answer in time, not even where the server is; give its address as a number");
        end(1);
    });
    let place = Place::named(args)?;
    let line = place.ask(args).with_context(|| format!("no answer from the server at {place}"))?;
    if line.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("the server at {place} is not ready: {line}")
}

/// Where the server is, and whether it speaks TLS.
struct Place {
    address: SocketAddr,
    /// As it was written, where it is a name.
    host: Option<String>,
    has_tls: bool,
}

impl Place {
    fn named(args: &HealthcheckArgs) -> anyhow::Result<Self> {
        let named = args.http.as_deref();
        let (scheme, named) = match named.map(|named| named.trim_end_matches('/').split_once("://")) {
            Some(Some((scheme, rest))) => (Some(scheme), Some(rest)),
            _ => (None, named),
        };
        let http = named.map(parse_address).transpose().map_err(anyhow::Error::msg).context("--http")?;
        let Config { server, tls, .. } = args.config.load(Flags { http, serving: true, ..Flags::default() })?;
        let has_tls = match scheme {
            Some("https") => true,
            Some("http") => false,
            Some(other) => bail!("--http begins with {other}://: write http:// or https://"),
            None => tls.is_on() || args.tls.is_used(),
        };
        let mut address = server.http;
        if address.ip().is_unspecified() {
            let loopback =
                if address.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        let host = named.and_then(|named| named.rsplit_once(':')).map(|(host, _)| host.to_owned());
        Ok(Self { address, host: host.filter(|host| !host.starts_with('[')), has_tls })
    }

    /// The first line of the answer.
    fn ask(&self, args: &HealthcheckArgs) -> anyhow::Result<String> {
        let key = args.key.authorization()?;
        let key = key.as_ref().and_then(|key| key.to_str().ok());
        let mut stream = Dated::connect(self.address, PATIENCE)?;
        if !self.has_tls {
            return Ok(ask(&mut stream, self.address, key)?);
        }
        let name = self.host.clone().unwrap_or_else(|| self.address.ip().to_string()).try_into()?;
        let mut session = ClientConnection::new(args.tls.read()?.config_for_a_probe()?.into(), name)?;
        Ok(ask(&mut Stream::new(&mut session, &mut stream), self.address, key)?)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.has_tls { "https" } else { "http" }, self.address)
    }
}

/// A connection that ends at its time, however often somebody sends a byte.
struct Dated {
    stream: TcpStream,
    deadline: Instant,
}

impl Dated {
    fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + patience;
        Ok(Self { stream: TcpStream::connect_timeout(&address, patience)?, deadline })
    }
}

impl Read for Dated {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // What is left, and not the same for each piece.
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(into).map_err(in_time)
    }
}

impl Write for Dated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn in_time(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// The first line of the answer.
///
/// * `key`: what to send as `authorization`, for a server whose readiness is not public
fn ask(stream: &mut (impl Read + Write), address: SocketAddr, key: Option<&str>) -> io::Result<String> {
    let key = key.map(|key| format!("Authorization: {key}\r\n")).unwrap_or_default();
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n{key}Connection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while answer.len() < LONGEST_LINE && !answer.contains(&b'\n') {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or("it said nothing").to_owned())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc};

    use super::*;

    /// Answers one connection with `pieces`, `gap` between them, and goes on with the last until `over`.
    fn server(pieces: &'static [&'static str], gap: Duration) -> (SocketAddr, mpsc::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (over, wait) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let last = pieces.last().copied();
            for piece in pieces.iter().copied().chain(std::iter::from_fn(|| last)) {
                if stream.write_all(piece.as_bytes()).is_err() || wait.recv_timeout(gap) != Err(TIMEOUT) {
                    return;
                }
            }
        });
        (address, over)
    }

    const TIMEOUT: mpsc::RecvTimeoutError = mpsc::RecvTimeoutError::Timeout;

    #[test]
    fn an_answer_that_comes_byte_by_byte_is_not_waited_for_for_ever() {
        let (address, _over) = server(&["H"], Duration::from_millis(20));
        let begun = Instant::now();
        let error = ask(&mut Dated::connect(address, Duration::from_millis(200)).unwrap(), address, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_first_line_is_the_answer_in_one_piece_or_in_two() {
        for pieces in [&["HTTP/1.1 200 OK\r\n\r\n"][..], &["HTTP/1.1 2", "00 OK\r\n"]] {
            let (address, _over) = server(pieces, Duration::from_millis(1));
            let mut stream = Dated::connect(address, Duration::from_secs(20)).unwrap();
            assert_eq!(ask(&mut stream, address, None).unwrap(), "HTTP/1.1 200 OK");
        }
    }
}
