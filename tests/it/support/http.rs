//! A small HTTP/1.1 client on a bare socket: it sends exactly what a test says, malformed or not, and keeps the connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rustls::ClientConfig;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::{PATIENCE, description::Description};

/// One connection.
pub(crate) struct HttpClient {
    stream: BufReader<Either<TcpStream, TlsStream<TcpStream>>>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the HTTP door is open");
        Self { stream: BufReader::new(Either::Left(stream)) }
    }

    /// The same from another address of this machine.
    pub(crate) async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let stream = socket.connect(address).await.expect("the HTTP door is open");
        Self { stream: BufReader::new(Either::Left(stream)) }
    }

    /// The same under TLS; the server is `localhost`.
    pub(crate) async fn connect_tls(address: SocketAddr, config: ClientConfig) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await.expect("the HTTP door is open");
        let name = "localhost".try_into().expect("a name");
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = timeout(PATIENCE, handshake).await.expect("a handshake in time")?;
        Ok(Self { stream: BufReader::new(Either::Right(stream)) })
    }

    /// What was agreed on under TLS, where it was.
    pub(crate) fn session(&self) -> Option<&rustls::ClientConnection> {
        match self.stream.get_ref() {
            Either::Left(_) => None,
            Either::Right(stream) => Some(stream.get_ref().1),
        }
    }

    /// `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    /// `POST path` with a body of `content_type`.
    pub(crate) async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.request("POST", path, &[("content-type", content_type)], body).await
    }

    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(method, path, headers, body).await;
        let answer = self.answer(method).await;
        // Whatever a test is about, its answer is as the description of the API says.
        if let Err(wrong) = Description::get().check(method, path, &answer) {
            panic!("{method} {path}: {wrong}");
        }
        answer
    }

    /// Sends a request with its content length and does not wait for the answer.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send_raw(&[head.as_bytes(), body].concat()).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("the server reads");
    }

    /// Closes the sending half, as `nc -N` does after a request.
    pub(crate) async fn close_sending(&mut self) {
        self.stream.get_mut().shutdown().await.expect("it is open");
    }

    /// Reads the next answer.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        timeout(PATIENCE, self.read_answer(method)).await.expect("an answer in time").expect("an answer")
    }

    /// Asks for `/readyz`: the status, or what became of the connection.
    pub(crate) async fn is_ready(&mut self) -> io::Result<u16> {
        self.stream.get_mut().write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        let mut line = String::new();
        timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("something in time")?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// How much has come that nobody read yet, up to a mebibyte.
    pub(crate) async fn unread_bytes(&mut self) -> usize {
        let mut room = vec![0; 1 << 20];
        let Either::Left(stream) = self.stream.get_ref() else { panic!("what has come under TLS is not to be seen") };
        let waiting = timeout(PATIENCE, stream.peek(&mut room)).await.expect("something in time");
        self.stream.buffer().len() + waiting.expect("an open connection")
    }

    /// Whether the server closed the connection without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = timeout(PATIENCE, self.stream.read(&mut byte)).await.expect("closed in time");
        matches!(read, Ok(0) | Err(_))
    }

    async fn read_answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let status_line = self.line().await?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method != "HEAD" {
            let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body).await?;
            if answer.header("transfer-encoding") == Some("chunked") {
                while let Some(chunk) = self.read_chunk().await? {
                    answer.body.extend_from_slice(&chunk);
                }
            }
        }
        Ok(answer)
    }

    /// The next piece of an answer that comes in pieces; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.read_chunk()).await.expect("a piece in time").expect("a whole piece")
    }

    async fn read_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let length = self.line().await?;
        let length = usize::from_str_radix(&length, 16).unwrap_or_else(|_| panic!("no length: {length:?}"));
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk).await?;
        self.line().await?;
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        Ok(line.trim_end().to_owned())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks the whole shape of a refusal, and gives its message.
    pub(crate) fn refusal(&self, status: u16, code: &str) -> String {
        let document = self.json();
        assert_eq!(self.status, status, "{document}");
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"), "{document}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        document["error"].as_str().expect("a message").to_owned()
    }
}
