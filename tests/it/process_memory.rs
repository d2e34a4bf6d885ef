//! What a request takes of a process: a client lengthens lists with two bytes an entry, and none of them is kept.

use std::process::Stdio;

use crate::support::program::ServerProcess;

const CLASSIFY: &str = "/v1/models/resnet20-cifar10:classify";
const MIB: usize = 1 << 20;

/// The largest body that is allowed, made of `entry` again and again.
fn body(start: &str, entry: &str, end: &str) -> Vec<u8> {
    let length = 32 * MIB - start.len() - end.len();
    [start, &entry.repeat(length / entry.len()), end].concat().into_bytes()
}

#[tokio::test]
async fn a_list_of_millions_of_entries_takes_no_more_than_its_text() {
    let server = ServerProcess::start(&[], Stdio::null()).await;
    let before = server.peak_memory();
    for (body, status) in [
        (body(r#"{"instances":[""#, r#"",""#, r#""]}"#), 413),
        (body(r#"{"examples":[""#, r#"",""#, r#""]}"#), 413),
        (body(r#"{"instances":[""],"top_k":[0"#, ",0", "]}"), 400),
        (body(r#"{"instances":[""],"context":{"k":{"":0"#, r#","":0"#, "}}}"), 400),
    ] {
        let answer = server.http().await.post(CLASSIFY, "application/json", &body).await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
        let grown = server.peak_memory() - before;
        // The text, once as it comes and once more while it is put together.
        assert!(grown < 100 * MIB, "{} MiB more for {:?}", grown / MIB, String::from_utf8_lossy(&body[..40]));
    }
}
