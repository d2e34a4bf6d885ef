//! A store that speaks S3 on loopback: lists page by page, serves ranges under conditions, takes objects whole and in parts, and does what the test
//! says instead: other answers, broken bodies, other bytes, none at all.
//!
//! A thread a connection; they end with the process or when the store is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;

/// Who may ask.
pub(crate) const KEY_ID: &str = "AKIATESTKEYID";
pub(crate) const SECRET: &str = "the-secret-of-the-test";

/// The bucket that is there.
pub(crate) const BUCKET: &str = "bucket";

/// Objects of one page of a list, so that there are several.
const PAGE: usize = 3;

/// How a request is treated.
#[derive(Clone, Debug)]
pub(crate) enum Treat {
    Soundly,
    /// A status and S3's word for it.
    Says(u16, &'static str),
    /// The body ends after so many bytes, and so does the connection.
    BreaksOffAfter(usize),
    /// The head speaks of the object, and the body is another one of its size.
    OtherBytes,
    /// As one of a bucket with a key of its owner's: the entity tag is no MD5.
    EncryptedByService,
    /// The first bytes of the body are sent; the others once the gate is open.
    HoldsAfter(usize, Arc<Gate>),
}

/// What a slow answer waits for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        drop(self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The object's name; empty for a list.
    pub(crate) key: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) range: Option<String>,
}

type Rule = Box<dyn FnMut(&Seen) -> Treat + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Parts of objects that are put in parts, by the id.
    parts: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    seen: Vec<Seen>,
    rule: Option<Rule>,
}

pub(crate) struct FakeS3 {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_dead: Arc<AtomicBool>,
}

impl FakeS3 {
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::default())
    }

    fn at(address: SocketAddr, state: Arc<Mutex<State>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, is_dead) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (theirs, over) = (state.clone(), is_dead.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (state, over) = (theirs.clone(), over.clone());
                let Ok(stream) = stream else { continue };
                thread::spawn(move || serve(&stream, &state, &over));
            }
        });
        Self { address, state, is_dead }
    }

    /// Nobody listens any more, and connections are closed with their next request.
    pub(crate) fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which then lets the port go.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
    }

    /// The same store on the same port, after it was killed.
    pub(crate) fn revive(&self) -> Self {
        Self::at(self.address, self.state.clone())
    }

    /// What a client needs in its environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    pub(crate) fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().objects.insert(key.to_owned(), bytes.into());
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.state.lock().unwrap().objects.clone()
    }

    /// From now on requests are treated so.
    pub(crate) fn treat(&self, rule: impl FnMut(&Seen) -> Treat + Send + 'static) {
        self.state.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// What was asked since the last time.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.is_dead.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, is_dead: &AtomicBool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || is_dead.load(Ordering::SeqCst) {
            return;
        }
        let mut headers = BTreeMap::new();
        for header in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = header.split_once(": ") {
                headers.insert(name.to_lowercase(), value.to_owned());
            }
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let seen = Seen { range: headers.get("range").cloned(), ..seen(method, target) };
        let reply = state.lock().unwrap().reply(&seen, &headers, body);
        if !send(stream, method, &reply) {
            return;
        }
    }
}

fn seen(method: &str, target: &str) -> Seen {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut query: BTreeMap<_, _> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    query.insert("bucket".to_owned(), bucket.to_owned());
    Seen { method: method.to_owned(), key: decoded(key), query, range: None }
}

#[derive(Default)]
struct Reply {
    status: u16,
    head: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The body ends early.
    cut: Option<usize>,
    /// It comes to a halt on the way.
    halt: Option<(usize, Arc<Gate>)>,
}

impl Reply {
    fn error(status: u16, code: &str, seen: &Seen) -> Self {
        // As much of the request as real ones repeat.
        let text = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Key>{}</Key><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>\
             <StringToSign>{SECRET}</StringToSign></Error>",
            seen.key
        );
        Self { status, body: text.into_bytes(), ..Self::default() }
    }
}

impl State {
    fn reply(&mut self, seen: &Seen, headers: &BTreeMap<String, String>, body: Vec<u8>) -> Reply {
        self.seen.push(seen.clone());
        let treat = self.rule.as_mut().map_or(Treat::Soundly, |rule| rule(seen));
        if let Treat::Says(status, code) = treat {
            return Reply::error(status, code, seen);
        }
        let signed = headers.get("authorization").is_some_and(|it| it.contains(&format!("Credential={KEY_ID}/")));
        if !signed {
            return Reply::error(403, "InvalidAccessKeyId", seen);
        }
        if seen.query["bucket"] != BUCKET {
            return Reply::error(404, "NoSuchBucket", seen);
        }
        let mut reply = match (&*seen.method, &*seen.key) {
            ("GET", "") => self.list(&seen.query),
            ("GET" | "HEAD", key) => self.get(key, seen, headers),
            ("PUT" | "POST", key) => self.take(key, seen, headers, body),
            ("DELETE", key) => {
                self.objects.remove(key);
                Reply { status: 204, ..Reply::default() }
            }
            _ => Reply::error(405, "MethodNotAllowed", seen),
        };
        match treat {
            Treat::BreaksOffAfter(length) => reply.cut = Some(length),
            Treat::HoldsAfter(length, gate) => reply.halt = Some((length, gate)),
            Treat::OtherBytes => reply.body.iter_mut().for_each(|byte| *byte ^= 1),
            Treat::EncryptedByService => {
                reply.head.push(("x-amz-server-side-encryption", "aws:kms".to_owned()));
                reply.body.iter_mut().for_each(|byte| *byte ^= 1);
            }
            Treat::Soundly | Treat::Says(..) => {}
        }
        reply
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let prefix = query.get("prefix").map_or("", |prefix| prefix);
        let after = query.get("continuation-token").map_or("", |token| token);
        let found = self.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let page: Vec<_> = found.clone().take(PAGE).collect();
        let mut text = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
        for (key, bytes) in &page {
            let (tag, size) = (etag(bytes), bytes.len());
            text += &format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
            );
        }
        let is_cut = found.count() > page.len();
        text += &format!("<IsTruncated>{is_cut}</IsTruncated>");
        if let (true, Some((key, _))) = (is_cut, page.last()) {
            text += &format!("<NextContinuationToken>{key}</NextContinuationToken>");
        }
        Reply { status: 200, body: (text + "</ListBucketResult>").into_bytes(), ..Reply::default() }
    }

    fn get(&self, key: &str, seen: &Seen, headers: &BTreeMap<String, String>) -> Reply {
        let Some(bytes) = self.objects.get(key) else { return Reply::error(404, "NoSuchKey", seen) };
        let tag = etag(bytes);
        if headers.get("if-match").is_some_and(|wanted| *wanted != tag) {
            return Reply::error(412, "PreconditionFailed", seen);
        }
        let mut head = vec![("ETag", tag), ("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT".to_owned())];
        let range = seen.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((start, end)) = range else {
            return Reply { status: 200, head, body: bytes.clone(), ..Reply::default() };
        };
        let start: usize = start.parse().unwrap();
        let end = end.parse().map_or(bytes.len(), |end: usize| (end + 1).min(bytes.len()));
        head.push(("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len())));
        Reply { status: 206, head, body: bytes[start..end].to_vec(), ..Reply::default() }
    }

    /// Puts an object, or a part of one.
    fn take(&mut self, key: &str, seen: &Seen, headers: &BTreeMap<String, String>, body: Vec<u8>) -> Reply {
        let ok = |head, body: &str| Reply { status: 200, head, body: body.as_bytes().to_vec(), ..Reply::default() };
        let (id, query) = (format!("upload-of-{key}"), &seen.query);
        if query.contains_key("uploads") {
            self.parts.insert(id.clone(), BTreeMap::new());
            return ok(
                vec![],
                &format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
            );
        }
        if let Some(number) = query.get("partNumber") {
            let tag = etag(&body);
            self.parts.entry(id).or_default().insert(number.parse().unwrap(), body);
            return ok(vec![("ETag", tag)], "");
        }
        if query.contains_key("uploadId") {
            let whole: Vec<u8> = self.parts.remove(&id).unwrap_or_default().into_values().flatten().collect();
            self.objects.insert(key.to_owned(), whole);
            return ok(
                vec![],
                "<CompleteMultipartUploadResult><ETag>\"whole-1\"</ETag></CompleteMultipartUploadResult>",
            );
        }
        if headers.contains_key("if-none-match") && self.objects.contains_key(key) {
            return Reply::error(412, "PreconditionFailed", seen);
        }
        let tag = etag(&body);
        self.objects.insert(key.to_owned(), body);
        ok(vec![("ETag", tag)], "")
    }
}

fn etag(bytes: &[u8]) -> String {
    let digest: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}

/// Whether the connection goes on.
fn send(mut stream: &TcpStream, method: &str, reply: &Reply) -> bool {
    let mut head = format!("HTTP/1.1 {} Status\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.head {
        head += &format!("{name}: {value}\r\n");
    }
    // A client that has what it wants may hang up first.
    let sent = stream.write_all((head + "\r\n").as_bytes());
    let body = if method == "HEAD" {
        &[][..]
    } else {
        &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())]
    };
    let (first, rest) = body.split_at(reply.halt.as_ref().map_or(0, |(length, _)| *length).min(body.len()));
    let begun = sent.and_then(|()| stream.write_all(first));
    if let Some((_, gate)) = &reply.halt {
        gate.wait();
    }
    begun.and_then(|()| stream.write_all(rest)).is_ok() && reply.cut.is_none()
}
