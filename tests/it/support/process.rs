//! `resnetd serve` as a process of its own, for what only a process shows: bytes on the wire as users get them, signals, a closed log.
//!
//! Knows the command line and the log's `listening` and `ready` lines, nothing of the library.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

/// A server with the built-in model on two free ports. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    // Where it was started: an empty folder, so that it finds no models.
    _folder: TempDir,
}

impl Process {
    /// Starts the server with these settings in its environment, and waits until it is ready.
    pub(crate) fn start<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_resnetd"))
            .args(["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .envs(environment)
            .env("RESNETD__LOG__FORMAT", "json")
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let mut listening = None;
        let mut line = String::new();
        loop {
            line.clear();
            if log.read_line(&mut line).expect("text") == 0 {
                panic!("the server ended before it was ready: {:?}", child.wait());
            }
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            match event["message"].as_str() {
                Some("listening") => {
                    let address =
                        |door: &str| event[door].as_str().and_then(|address| address.parse::<SocketAddr>().ok());
                    listening = address("http").zip(address("grpc"));
                }
                Some("ready") => break,
                _ => {}
            }
        }
        // Nobody reads on, and a full pipe would hold the server up: the rest goes nowhere.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        let (http, grpc) = listening.expect("it said where it listens");
        Self { child, http, grpc, _folder: folder }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
