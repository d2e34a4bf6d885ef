//! Sockets that are handed over (`LISTEN_FDS`), as systemd does it: they outlive the server, so nobody is refused while it is started again.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener},
    os::{
        fd::OwnedFd,
        unix::fs::MetadataExt as _,
        unix::net::{UnixListener as StdUnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::support::{
    http::HttpClient,
    images,
    program::{ended, resnetd, terminate},
};

/// For the end of one server and the start of the next, on a machine that has much else to do.
const A_RESTART: Duration = Duration::from_secs(90);

const OK: &str = "HTTP/1.1 200 OK";

/// Starts the server as systemd does: descriptors from 3 on, and the number of the process in its environment. It takes the sockets in the
/// place of its standard streams, since a child inherits no others, and its log goes to a file.
const HAND_OVER: &str =
    "exec 3<&0 4<&1 5<&2 </dev/null >/dev/null 2>>\"$LOG\"; export LISTEN_PID=$$; exec \"$0\" \"$@\"";

/// What stands for systemd: the sockets, and a folder for one server after the other.
struct Host {
    sockets: [OwnedFd; 3],
    names: &'static str,
    folder: TempDir,
}

impl Host {
    fn new(sockets: [OwnedFd; 3], names: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        Self { sockets, names, folder }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        // The settings of this machine are kept away as for every other process of the tests.
        let server = resnetd(&["serve"]);
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let [first, second, third] = self.sockets.each_ref().map(|socket| Stdio::from(socket.try_clone().unwrap()));
        command
            .args(["-c", HAND_OVER])
            .arg(server.get_program())
            .args(server.get_args())
            .env("LISTEN_FDS", self.names.split(':').count().to_string())
            .env("LISTEN_FDNAMES", self.names)
            .env("LOG", self.log_file())
            .env("RESNETD__MODELS__DIR", self.folder.path().join("models"))
            .env("RESNETD__RUNTIME__TUNE", "false")
            .env("RESNETD__RUNTIME__INSTANCES", "1")
            .env("RESNETD__SERVER__DRAIN_DELAY_MS", "0")
            // What is not handed over.
            .env("RESNETD__SERVER__HTTP", "127.0.0.1:0")
            .env("RESNETD__SERVER__GRPC", "127.0.0.1:0")
            .stdin(first)
            .stdout(second)
            .stderr(third);
        command
    }

    fn start(&self) -> Running {
        Running(self.command().spawn().unwrap())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What all of its servers have said.
    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

/// A server; killed when dropped.
struct Running(Child);

impl Running {
    /// Tells it to stop; whether it ended as it should.
    async fn stop(&mut self) -> bool {
        terminate(&self.0);
        ended(&mut self.0).await.success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tcp() -> (OwnedFd, SocketAddr) {
    let listener = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// One classification on a connection of its own: the status. It waits for the end of one server and the start of the next.
async fn classified(address: SocketAddr, png: &[u8]) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!(
            "POST /v1/models/resnet20-cifar10:classify HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: image/png\r\n\
             content-length: {}\r\n\r\n",
            png.len()
        );
        stream.write_all(&[head.as_bytes(), png].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    };
    timeout(A_RESTART, asked).await.expect("an answer in time").unwrap_or_else(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_again_under_requests_refuses_nobody() {
    let ((http, address), (grpc, grpc_address), (management, management_address)) = (tcp(), tcp(), tcp());
    let host = Host::new([grpc, management, http], "grpc:management:http");
    let mut server = host.start();
    // Before it listens at all: who comes waits.
    let png = images::png();
    assert_eq!(classified(address, &png).await, OK, "{}", host.log());

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (stop, answered) = (stop.clone(), answered.clone());
        let png = png.clone();
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(classified(address, &png).await, OK);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..2 {
        assert!(server.stop().await, "{}", host.log());
        server = host.start();
        assert_eq!(classified(address, &png).await, OK, "{}", host.log());
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 0);

    // Each socket is the door that its name says.
    let loaded = HttpClient::connect(management_address)
        .await
        .post("/v2/repository/models/fish/load", "application/json", b"")
        .await;
    assert!(loaded.refusal(404, "NOT_FOUND").contains("no folder `fish`"));
    let wrong =
        HttpClient::connect(address).await.post("/v2/repository/models/fish/load", "application/json", b"").await;
    assert!(wrong.refusal(404, "NOT_FOUND").contains("management address only"));
    assert!(server.stop().await);
    let log = host.log();
    let listening = format!(" http={address} grpc={grpc_address} management={management_address} ");
    let told = log.lines().filter(|line| line.replace('"', "").contains(&listening)).count();
    assert_eq!(told, 3, "{listening} in:\n{log}");
}

fn asked_over(path: &Path, what: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    write!(stream, "{what} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_this_machine_is_served_as_one_of_tcp_and_what_is_not_handed_over_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http");
    let unix: OwnedFd = StdUnixListener::bind(&path).unwrap().into();
    let host = Host::new([unix, tcp().0, tcp().0], "http");
    let mut server = host.start();
    let answer = spawn_blocking({
        let path = path.clone();
        move || asked_over(&path, "GET /readyz")
    });
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 200 "), "{}", host.log());
    let log = host.log();
    assert!(log.contains(&format!("http=unix:{}", path.display())) && log.contains("grpc=127.0.0.1:"), "{log}");
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_models_over_a_socket_of_this_machine_is_told_by_user_and_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("management");
    let unix: OwnedFd = StdUnixListener::bind(&path).unwrap().into();
    let host = Host::new([tcp().0, tcp().0, unix], "http:grpc:management");
    let mut server = host.start();
    let answer = spawn_blocking(move || asked_over(&path, "POST /v1/models/fish:load")).await.unwrap();
    // Nothing is there by that name, or it was not looked yet.
    assert!(answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(server.stop().await);
    let log = host.log();
    let user = fs::metadata("/proc/self").unwrap().uid();
    let who = format!("address=unix:uid={user},pid={}", std::process::id());
    let told =
        log.lines().filter(|line| line.contains("change=\"load\" model=\"fish\"") && line.contains(&who)).count();
    assert_eq!(told, 1, "{who} in:\n{log}");
}

async fn refused(host: &Host, change: impl FnOnce(&mut Command)) -> String {
    let mut command = host.command();
    change(&mut command);
    let child = command.spawn().unwrap();
    let Output { status, .. } = spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
    host.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_on_ends_the_start_and_says_what_to_write() {
    let (datagrams, file): (OwnedFd, OwnedFd) = (
        std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into(),
        fs::File::open("/dev/null").unwrap().into(),
    );
    let host = Host::new([datagrams, file, tcp().0], "http");
    let said = refused(&host, |_| ()).await;
    assert!(said.contains("the socket `http` (LISTEN_FDS, descriptor 3)") && said.contains("ListenStream="), "{said}");

    let said = refused(&host, |command| {
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "http:grpc");
    })
    .await;
    assert!(said.contains("ListenStream="), "the first one is judged first: {said}");
    let said = refused(&host, |command| {
        command.env("LISTEN_FDNAMES", "web");
    })
    .await;
    assert!(said.contains("\"web\"") && said.contains("FileDescriptorName="), "{said}");

    let (here, _there) = UnixStream::pair().unwrap();
    let host = Host::new([here.into(), tcp().0, tcp().0], "management");
    let said = refused(&host, |_| ()).await;
    assert!(said.contains("the socket `management`") && said.contains("Accept=no"), "{said}");
    let host = Host::new([fs::File::open("/dev/null").unwrap().into(), tcp().0, tcp().0], "grpc");
    let said = refused(&host, |_| ()).await;
    assert!(said.contains("is /dev/null, no socket"), "{said}");
}
