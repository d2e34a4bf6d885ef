//! What `/v1` and the probes answer, byte for byte, against a recording of an earlier release: a change is one on purpose or a fault.
//!
//! `tests/fixtures/http/record.py` made the recording and says what is masked. The server is a process of its own and its
//! client a bare socket, so that nothing between the wire and the user is left out.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::support::{PATIENCE, process::Process};

/// Asked after the answers: a connection that answers it is open.
const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: probe\r\nx-request-id: probe\r\n\r\n";

#[derive(Deserialize)]
struct Setup {
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    send: Vec<Piece>,
    answers: Vec<Answer>,
    /// `open` or `closed`.
    then: String,
}

/// What is sent, in the forms that `cases.py` explains.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    File {
        file: String,
        #[serde(default)]
        from: usize,
        to: Option<usize>,
        r#as: Option<String>,
    },
    Bytes {
        base64: String,
    },
    Repeated {
        text: String,
        times: usize,
    },
    Wait {
        #[serde(rename = "wait")]
        _wait: String,
    },
}

/// Masked: see `record.py`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Answer {
    status: String,
    headers: Vec<String>,
    /// None of an answer to HEAD.
    body: Option<String>,
}

#[test]
fn every_recorded_request_is_answered_as_it_was() {
    let text = fs::read_to_string(fixture("tests/fixtures/http/recorded.jsonl")).unwrap();
    let (setup, exchanges) = text.split_once('\n').unwrap();
    let setup: Setup = serde_json::from_str(setup).unwrap();
    let exchanges: Vec<Exchange> = exchanges.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(exchanges.len() >= 200, "{} requests are recorded", exchanges.len());
    let server = Process::start(setup.environment.iter().map(|(key, value)| (&**key, &**value)));

    let mut differences = String::new();
    for exchange in &exchanges {
        let outcome = replay(server.http, exchange);
        let (answers, then) = outcome.unwrap_or_else(|error| (Vec::new(), error.to_string()));
        let same = answers.len() == exchange.answers.len()
            && answers.iter().zip(&exchange.answers).all(|(now, then)| is_same(now, then));
        if !same || then != exchange.then {
            let Exchange { name, answers: recorded, then: recorded_then, .. } = exchange;
            differences += &format!(
                "\n{name}:\n  recorded: {recorded:#?}, then {recorded_then}\n  now:      {answers:#?}, then {then}\n"
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn fixture(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::File { file, from, to, r#as } => {
                let whole = fs::read(fixture(file)).unwrap();
                let part = &whole[*from..to.unwrap_or(whole.len())];
                if r#as.is_some() { BASE64_STANDARD.encode(part).into_bytes() } else { part.to_vec() }
            }
            Self::Bytes { base64 } => BASE64_STANDARD.decode(base64).unwrap(),
            Self::Repeated { text, times } => text.repeat(*times).into_bytes(),
            Self::Wait { .. } => Vec::new(),
        }
    }
}

/// Sends the pieces on a new connection and gives the masked answers, and whether the connection was open afterwards.
fn replay(address: SocketAddr, exchange: &Exchange) -> io::Result<(Vec<Answer>, String)> {
    let mut client = Client::connect(address)?;
    let mut answers = Vec::new();
    let to_head = |answers: &[Answer]| exchange.answers.get(answers.len()).is_some_and(|answer| answer.body.is_none());
    let mut sent = Vec::new();
    let mut waiting = Vec::new();
    for piece in exchange.send.iter().chain([&Piece::Wait { _wait: String::new() }]) {
        let bytes = piece.bytes();
        sent.extend_from_slice(&bytes);
        waiting.extend(bytes);
        if matches!(piece, Piece::Wait { .. }) {
            client.send(&waiting)?;
            waiting.clear();
            answers.extend(client.answer(to_head(&answers))?);
        }
    }
    if answers.last().is_some_and(|answer| answer.status.contains(" 100 ")) {
        answers.extend(client.answer(to_head(&answers))?);
    }
    let mut probed = false;
    let then = loop {
        if answers.last().is_none_or(says_it_closes) {
            assert!(client.is_at_end(), "{}: more came after `connection: close`", exchange.name);
            break "closed";
        }
        if !probed {
            client.send(PROBE)?;
            probed = true;
        }
        match client.answer(to_head(&answers))? {
            None => break "closed",
            Some(answer) if answer.headers.iter().any(|header| header == "x-request-id: probe") => break "open",
            Some(answer) => answers.push(answer),
        }
    };
    Ok((answers.into_iter().map(|answer| masked(answer, &sent)).collect(), then.to_owned()))
}

fn says_it_closes(answer: &Answer) -> bool {
    let kept = answer.headers.iter().find_map(|header| header.strip_prefix("connection: "));
    kept == Some("close") || (answer.status.starts_with("HTTP/1.0") && kept != Some("keep-alive"))
}

/// One connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends; a server that has closed is seen by reading.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.get_mut().write_all(bytes) {
            Err(error) if !is_closed(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The next answer; none where the server closed. Its length stays out of it, as the body says it; of a HEAD's it is part.
    fn answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        let status = match self.line() {
            Ok(line) if line.is_empty() => return Ok(None),
            Err(error) if is_closed(&error) => return Ok(None),
            line => line?,
        };
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            let mut line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length: ").filter(|_| !to_head) {
                length = text.parse().map_err(io::Error::other)?;
                "content-length: BODY".clone_into(&mut line);
            }
            headers.push(line);
        }
        headers.sort();
        let body = match to_head {
            true => None,
            false => {
                let mut body = vec![0; length];
                self.0.read_exact(&mut body)?;
                Some(String::from_utf8(body).map_err(io::Error::other)?)
            }
        };
        Ok(Some(Answer { status, headers, body }))
    }

    fn is_at_end(&mut self) -> bool {
        // An error means that it is gone already.
        self.0.get_mut().shutdown(Shutdown::Write).is_err() || matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Takes out what differs from run to run.
fn masked(mut answer: Answer, sent: &[u8]) -> Answer {
    let mut body = answer.body.take();
    for header in &mut answer.headers {
        let Some((name, value)) = header.split_once(": ") else { continue };
        *header = match name {
            "date" => "date: MASKED".to_owned(),
            "server-timing" => format!("{name}: {}", zeros_for_numbers(value)),
            "x-request-id" if !String::from_utf8_lossy(sent).contains(value) => {
                body = body.map(|body| body.replace(value, "MADE"));
                "x-request-id: MADE".to_owned()
            }
            _ => continue,
        };
    }
    answer.body = body.map(|body| {
        let body = emptied(&body, "\"timing_ms\":{", '}');
        let body = emptied(&body, "\"choice\":\"", '"');
        let several = body.matches("\"classes\":").count() > 1;
        if several { body.replace(&batch_size(&body), "\"batch_size\":0") } else { body }
    });
    answer
}

/// `text` with nothing between `start` and the next `end`.
fn emptied(text: &str, start: &str, end: char) -> String {
    let Some((before, after)) = text.split_once(start) else { return text.to_owned() };
    format!("{before}{start}{}", after.find(end).map_or(after, |at| &after[at..]))
}

/// `"batch_size":4` as it stands in the body.
fn batch_size(body: &str) -> String {
    let value = body.split_once("\"batch_size\":").map_or("", |(_, value)| value);
    let digits = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    format!("\"batch_size\":{}", &value[..digits])
}

/// `queue;dur=0.016, total;dur=1.159` → `queue;dur=0, total;dur=0`.
fn zeros_for_numbers(text: &str) -> String {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let phases: Vec<_> = text.split(", ").map(|phase| phase.trim_end_matches(is_number).to_owned() + "0").collect();
    phases.join(", ")
}

/// Whether two masked answers are the same, but for the rounding of numbers.
fn is_same(now: &Answer, recorded: &Answer) -> bool {
    let (now_text, now_numbers) = without_fractions(now.body.as_deref().unwrap_or_default());
    let (text, numbers) = without_fractions(recorded.body.as_deref().unwrap_or_default());
    now.status == recorded.status
        && now.headers == recorded.headers
        && now_text == text
        && now_numbers.iter().zip(&numbers).all(|(now, number)| (now - number).abs() < ROUNDING)
}

/// The recording has four digits; another processor adds in another order.
const ROUNDING: f64 = 1.1e-4;

/// Takes the numbers with a fraction or an exponent out of JSON; a place is left for each.
fn without_fractions(text: &str) -> (String, Vec<f64>) {
    let mut rest = String::new();
    let mut numbers = Vec::new();
    for part in text.split_inclusive([':', ',', '[']) {
        let end = part.find(|letter: char| !matches!(letter, '0'..='9' | '.' | 'e' | '-')).unwrap_or(part.len());
        match part[..end].parse() {
            Ok(number) if part[..end].contains(['.', 'e']) => {
                numbers.push(number);
                rest = rest + "#" + &part[end..];
            }
            _ => rest += part,
        }
    }
    (rest, numbers)
}
