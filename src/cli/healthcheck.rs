//! `resnetd healthcheck`: a container's health check that needs no shell and no curl.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{ConfigArgs, interrupt::end, output::complain};
use crate::config::{Flags, parse_address};

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
}

pub(super) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    // Looking a name up, here or for the configuration, has no limit of its own.
    thread::spawn(|| {
        thread::sleep(PATIENCE + Duration::from_millis(100));
        complain("error: no answer in time, not even where the server is; give its address as a number");
        end(1);
    });
    let http = args.http.as_deref().map(parse_address).transpose().map_err(anyhow::Error::msg).context("--http")?;
    let mut address = args.config.load(Flags { http, serving: true, ..Flags::default() })?.server.http;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let line = ask(address, PATIENCE).with_context(|| format!("no answer from the server at http://{address}"))?;
    if line.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("the server at http://{address} is not ready: {line}")
}

/// The first line of the answer.
fn ask(address: SocketAddr, patience: Duration) -> io::Result<String> {
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while answer.len() < LONGEST_LINE && !answer.contains(&b'\n') {
        // What is left, and not the same for each piece: somebody may send a byte now and then.
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
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
        let error = ask(address, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_first_line_is_the_answer_in_one_piece_or_in_two() {
        for pieces in [&["HTTP/1.1 200 OK\r\n\r\n"][..], &["HTTP/1.1 2", "00 OK\r\n"]] {
            let (address, _over) = server(pieces, Duration::from_millis(1));
            assert_eq!(ask(address, Duration::from_secs(20)).unwrap(), "HTTP/1.1 200 OK");
        }
    }
}
