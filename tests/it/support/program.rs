//! `resnetd` as a process: the program that people run, with a log, signals and an exit code of its own.
//!
//! A server on port 0 tells its ports in its log only, and here the log may be what cannot be read: they are looked up among
//! the sockets that the system says the process listens on.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use super::{PATIENCE, http::HttpClient};

/// How often another process is looked at: it cannot tell us itself, and turning in circles would take the core it needs.
const GLANCE: Duration = Duration::from_millis(10);

/// `resnetd` with `arguments`, in an environment that no setting of this machine reaches.
pub(crate) fn resnetd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnetd"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let is_platforms = name == "PORT" || name.starts_with("AIP_") || name.starts_with("SAGEMAKER_");
        if name.starts_with("RESNETD_") || name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES" || is_platforms {
            command.env_remove(&*name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A running `resnetd serve` with the built-in model; killed when dropped.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) http_address: SocketAddr,
    _folder: TempDir,
}

impl ServerProcess {
    /// Starts it and waits until it is ready. It drains at once when it is told to stop.
    ///
    /// * `settings`: environment variables, `RESNETD__SECTION__KEY`
    pub(crate) async fn start(settings: &[(&str, &str)], stderr: impl Into<Stdio>) -> Self {
        Self::start_with(&["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], settings, stderr).await
    }

    /// The same, where the settings say where HTTP listens: on a port of every address, for instance.
    pub(crate) async fn start_without_address(settings: &[(&str, &str)], stderr: impl Into<Stdio>) -> Self {
        Self::start_with(&["serve", "--grpc", "127.0.0.1:0"], settings, stderr).await
    }

    async fn start_with(arguments: &[&str], settings: &[(&str, &str)], stderr: impl Into<Stdio>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = resnetd(arguments);
        command
            .env("RESNETD__MODELS__DIR", folder.path())
            .env("RESNETD__RUNTIME__TUNE", "false")
            .env("RESNETD__RUNTIME__WEIGHTS_CACHE_MAX_BYTES", "0")
            .env("RESNETD__RUNTIME__INSTANCES", "1")
            .env("RESNETD__SERVER__DRAIN_DELAY_MS", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(stderr);
        let child = command.spawn().expect("the program starts");
        // What was given for stderr must not be held open by us.
        drop(command);
        let mut server = Self { child, http_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), _folder: folder };
        server.http_address = server.find_http().await;
        glance("it is ready", async || server.http().await.get("/readyz").await.status == 200).await;
        server
    }

    /// A new HTTP connection.
    pub(crate) async fn http(&self) -> HttpClient {
        HttpClient::connect(self.http_address).await
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let body = self.http().await.get("/metrics").await.body;
        let text = String::from_utf8(body).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no {name} in:\n{text}")).parse().expect("a number")
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.memory_as("VmHWM:")
    }

    /// The memory that it has, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory_as("VmRSS:")
    }

    fn memory_as(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let bytes = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        bytes.and_then(|kilobytes| kilobytes.parse::<usize>().ok()).expect("the system says") * 1024
    }

    /// Sends a signal.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&self, signal: libc::c_int) {
        send(&self.child, signal);
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        terminate(&self.child);
        ended(&mut self.child).await
    }

    /// The door that talks HTTP/1; the other listener is gRPC's.
    async fn find_http(&mut self) -> SocketAddr {
        let process = self.child.id();
        let child = &mut self.child;
        glance("it listens on two ports", async || {
            assert_eq!(child.try_wait().expect("it is our child"), None, "it ended at once");
            listening(process).len() == 2
        })
        .await;
        for port in listening(process) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if talks_http1(address).await {
                return address;
            }
        }
        panic!("neither port talks HTTP/1");
    }
}

/// Whether what listens there answers a request of HTTP/1 as such.
async fn talks_http1(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        let mut start = [0; 8];
        stream.read_exact(&mut start).await?;
        std::io::Result::Ok(&start == b"HTTP/1.1")
    };
    timeout(PATIENCE, ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    send(child, libc::SIGTERM);
}

/// Sends a signal.
pub(crate) fn send(child: &Child, signal: libc::c_int) {
    let process = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: `kill` takes two numbers and touches no memory of ours; the process is our child and not yet waited for, so
    // that its number belongs to nobody else.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

/// Waits until a process would not be ended by SIGTERM at once.
pub(crate) async fn catches_signals(child: &Child) {
    const SIGTERM: u64 = 1 << (libc::SIGTERM - 1);
    let status = format!("/proc/{}/status", child.id());
    glance("it catches signals", async || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & SIGTERM != 0)
    })
    .await;
}

/// Waits for the end of a process.
pub(crate) async fn ended(child: &mut Child) -> ExitStatus {
    let mut glances = interval(GLANCE);
    let wait = async {
        loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                return status;
            }
            glances.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it ends in time")
}

/// Waits until `condition` holds. Longer than for what happens within a program: what is loaded beside traffic stands behind all other work
/// of a busy machine.
pub(crate) async fn glance(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut glances = interval(GLANCE);
    let wait = async {
        while !condition().await {
            glances.tick().await;
        }
    };
    if timeout(6 * PATIENCE, wait).await.is_err() {
        panic!("never happened: {what}");
    }
}

/// The TCP ports that a process listens on, in the order in which it opened them.
fn listening(process: u32) -> Vec<u16> {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let sockets = descriptors.filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    let mut ports: Vec<_> = sockets
        .filter_map(|inode| {
            let row = rows.iter().find(|row| row.get(9) == Some(&inode.as_str()) && row.get(3) == Some(&LISTEN))?;
            u16::from_str_radix(row[1].rsplit(':').next()?, 16).ok()
        })
        .collect();
    ports.dedup();
    ports
}
