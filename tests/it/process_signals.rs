//! How a process ends when it is told to, at whatever moment: in order, and never by a crash. Each test runs the program itself.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use resnetd::onnx::{
    self, AttributeProto, AttributeType, DataType, GraphBuilder, ModelProto, TensorProto, TensorShapeProto,
    type_proto::Value, value_info,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};

use crate::support::{
    images,
    program::{ServerProcess, catches_signals, ended, resnetd, send},
};

/// How many servers load side by side.
const SIDE_BY_SIDE: usize = 4;

/// The time between two of the moments at which a signal comes; together they are longer than a load.
const STEP: Duration = Duration::from_millis(25);

/// A repository with copies of the built-in model, which are measured one after the other.
fn repository(copies: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/resnet20-cifar10");
    for copy in 0..copies {
        let place = folder.path().join(format!("copy-{copy}"));
        fs::create_dir_all(place.join("1")).unwrap();
        for file in ["model.toml", "labels.txt", "1/model.onnx"] {
            fs::copy(model.join(file), place.join(file)).unwrap();
        }
    }
    folder
}

/// A command that measures, and keeps what it finds in `folder`.
fn measuring(arguments: &[&str], folder: &Path) -> Command {
    let mut command = resnetd(arguments);
    command
        .env("RESNETD__MODELS__DIR", folder)
        .env("RESNETD__RUNTIME__TUNE_CACHE", folder.join("cache"))
        .env("RESNETD__RUNTIME__TUNE_TIME_LIMIT_MS", "1000")
        .env("RESNETD__SERVER__DRAIN_DELAY_MS", "0")
        .current_dir(folder)
        .stdout(Stdio::null());
    command
}

/// Kills what a failed test leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `command`, sends `signal` so long after it catches signals (or after its start, if it never does), and waits for its
/// end; with what it said.
async fn interrupted(mut command: Command, signal: i32, catches: bool, after: Duration) -> (ExitStatus, String) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // Whoever runs the tests in the background may have SIGINT ignored, and the child would inherit that.
    let told = || {
        // SAFETY: `signal` may be called between fork and exec; it takes two numbers and changes what belongs to the child.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: `told` allocates nothing and takes no lock.
    unsafe { command.pre_exec(told) };
    let mut child = Running(command.stderr(File::create(&log).unwrap()).spawn().unwrap());
    if catches {
        catches_signals(&child.0).await;
    }
    let early = timeout(after, ended(&mut child.0)).await;
    let status = match early {
        Ok(status) => status,
        Err(_) => {
            send(&child.0, signal);
            ended(&mut child.0).await
        }
    };
    (status, fs::read_to_string(&log).unwrap())
}

#[tokio::test]
async fn a_signal_at_any_moment_of_loading_ends_the_server_in_order() {
    let repository = repository(3);
    let moments = stream::iter(0..50_u32).map(async |moment| {
        let cache = tempfile::tempdir().unwrap();
        let mut command = measuring(&["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], repository.path());
        command.env("RESNETD__RUNTIME__TUNE_CACHE", cache.path());
        let signal = if moment % 5 == 0 { libc::SIGINT } else { libc::SIGTERM };
        let (status, log) = interrupted(command, signal, true, STEP * moment).await;
        assert_eq!((status.code(), status.signal()), (Some(0), None), "signal {signal} at moment {moment}:\n{log}");
        assert!(log.trim_end().ends_with("stopped"), "the log is written to its end:\n{log}");
        log.contains("leaving without waiting")
    });
    let in_the_middle = moments.buffered(SIDE_BY_SIDE).filter(|middle| std::future::ready(*middle)).count().await;
    assert!(in_the_middle >= 5, "only {in_the_middle} of 50 came while a model was loaded");
}

#[tokio::test]
async fn a_start_that_fails_ends_in_order_and_says_why() {
    let repository = repository(2);
    for copy in ["copy-0", "copy-1"] {
        fs::write(repository.path().join(copy).join("labels.txt"), "one\n").unwrap();
    }
    for _ in 0..5 {
        let command = measuring(&["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], repository.path());
        let (status, log) = interrupted(command, libc::SIGTERM, true, crate::support::PATIENCE).await;
        assert_eq!((status.code(), status.signal()), (Some(1), None), "{log}");
        assert!(log.trim_end().ends_with("error: no model could be loaded; the log says why for each"), "{log}");
        assert!(log.contains("10 classes and 1 labels"), "{log}");
    }
}

/// A classifier that takes for ever: its loop has no end.
fn endless() -> ModelProto {
    let scalar = |name: &str, data_type: DataType| {
        let mut value = value_info(name, data_type, &[]);
        if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.shape = Some(TensorShapeProto::default());
        }
        value
    };
    let row = |name: &str| value_info(name, DataType::Float, &[3]);
    let mut body = GraphBuilder::new("body");
    body.input(scalar("round", DataType::Int64));
    let (go_on, value) = (body.input(scalar("go-on", DataType::Bool)), body.input(row("value")));
    let still = body.node("Identity", "still", &[&go_on], Vec::new());
    body.output(&still, scalar("next-go-on", DataType::Bool));
    let same = body.node("Identity", "same", &[&value], Vec::new());
    body.output(&same, row("next-value"));
    let body = AttributeProto {
        name: "body".to_owned(),
        r#type: AttributeType::Graph.into(),
        g: body.finish(8, 17, &[]).graph,
        ..AttributeProto::default()
    };
    let mut graph = GraphBuilder::new("endless");
    let x = graph.input(value_info("x", DataType::Float, &[3, 8, 8]));
    let x = graph.global_average_pool("pool", &x);
    let x = graph.flatten("flatten", &x);
    let yes = graph.initializer(TensorProto {
        name: "yes".to_owned(),
        data_type: DataType::Bool.into(),
        raw_data: vec![1].into(),
        ..TensorProto::default()
    });
    let y = graph.node("Loop", "loop", &["", &yes, &x], vec![body]);
    graph.output(&y, value_info("y", DataType::Float, &[3]));
    graph.finish(8, 17, &[])
}

#[tokio::test]
async fn a_model_whose_first_run_never_ends_is_named_and_left_behind_and_the_others_are_served() {
    let repository = repository(1);
    let folder = repository.path().join("endless");
    fs::create_dir_all(folder.join("1")).unwrap();
    onnx::write(&endless(), &folder.join("1/model.onnx")).unwrap();
    let settings = [
        ("RESNETD__MODELS__DIR", repository.path().to_str().unwrap()),
        ("RESNETD__MODELS__LOAD_TIMEOUT_MS", "3000"),
        ("RESNETD__RUNTIME__INTRA_THREADS", "1"),
    ];

    let server = ServerProcess::start(&settings, Stdio::null()).await;

    let mut http = server.http().await;
    let served = http.post("/v1/models/copy-0:classify", "image/jpeg", &images::cifar("ship")).await;
    assert_eq!(served.status, 200);
    let answer = http.post("/v1/models/endless:classify", "image/jpeg", &images::cifar("ship")).await;
    let body = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 404, "{body}");
    assert!(body.contains("warming up for") && body.contains("load_timeout_ms"), "{body}");
    drop(http);
    assert_eq!(server.stop().await.code(), Some(0), "it leaves although a thread is in the engine");
}

#[tokio::test]
async fn commands_with_an_engine_end_by_the_signal_or_with_its_code() {
    let repository = repository(1);
    let photos = repository.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("0.jpg"), images::cifar("ship")).unwrap();
    for number in 1..64 {
        fs::hard_link(photos.join("0.jpg"), photos.join(format!("{number}.jpg"))).unwrap();
    }
    let commands: [&[&str]; 4] = [
        &["classify", "photos"],
        &["classify", "photos", "--output", "out.csv"],
        &["tune", "copy-0"],
        &["quantize", "copy-0", "--calibration", "photos"],
    ];
    let runs = commands.into_iter().flat_map(|arguments| (0..8_u32).map(move |moment| (arguments, moment)));
    stream::iter(runs)
        .for_each_concurrent(SIDE_BY_SIDE, async |(arguments, moment)| {
            let signal = if moment % 2 == 0 { libc::SIGINT } else { libc::SIGTERM };
            let command = measuring(arguments, repository.path());
            let (status, said) = interrupted(command, signal, false, 2 * STEP * moment).await;
            let as_told = status.signal() == Some(signal) || status.code() == Some(128 + signal);
            // It may be done by then: nothing is left to interrupt.
            assert!(as_told || status.success(), "{arguments:?}, signal {signal} at {moment}: {status:?}\n{said}");
        })
        .await;
}

#[tokio::test]
async fn a_server_whose_terminal_is_closed_goes_on() {
    let server = ServerProcess::start(&[], Stdio::null()).await;
    for _ in 0..3 {
        server.send(libc::SIGHUP);
        assert_eq!(server.http().await.get("/readyz").await.status, 200);
    }
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Stopped, a process accepts nothing: all of a burst waits in the system's queue, and nobody has to try again.
#[tokio::test]
async fn a_burst_of_connections_waits_until_it_is_accepted() {
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse::<usize>().unwrap();
    let server = ServerProcess::start(&[], Stdio::null()).await;
    server.send(libc::SIGSTOP);
    let mut burst = Vec::new();
    for _ in 0..allowed.min(600) {
        let connected = timeout(Duration::from_secs(20), TcpStream::connect(server.http_address)).await;
        burst.push(connected.expect("it is queued").expect("it is not refused"));
    }
    server.send(libc::SIGCONT);
    assert_eq!(server.http().await.get("/livez").await.status, 200);
}
