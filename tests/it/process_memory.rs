//! What a request takes of a process, and that it gives it back.

use std::{io::Write as _, process::Stdio};

use flate2::{Compression, write::ZlibEncoder};

use crate::support::{
    images::png_chunk,
    program::{ServerProcess, glance},
};

const CLASSIFY: &str = "/v1/models/resnet20-cifar10:classify";
const MIB: usize = 1 << 20;

/// The largest body that is allowed, made of `entry` again and again.
fn body(start: &str, entry: &str, end: &str) -> Vec<u8> {
    let length = 32 * MIB - start.len() - end.len();
    [start, &entry.repeat(length / entry.len()), end].concat().into_bytes()
}

/// A black RGB picture as an interlaced PNG, which is kept whole while it is decoded.
fn interlaced(width: usize, height: usize) -> Vec<u8> {
    // The first column and row of each pass, and the steps to the next ones.
    let passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let bytes = passes.map(|(x, y, right, down)| {
        let (columns, rows) = ((width - x).div_ceil(right), (height - y).div_ceil(down));
        rows * (1 + 3 * columns)
    });
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&vec![0; bytes.iter().sum()]).unwrap();
    let sides = [width, height].map(|side| u32::try_from(side).unwrap().to_be_bytes()).concat();
    let header = [&sides[..], &[8, 2, 0, 0, 1]].concat();
    let chunks = [png_chunk(b"IHDR", &header), png_chunk(b"IDAT", &packed.finish().unwrap()), png_chunk(b"IEND", b"")];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
}

/// glibc left alone keeps 70 MB after these.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn what_large_pictures_took_goes_back_to_the_system() {
    let server = ServerProcess::start(&[], Stdio::null()).await;
    let before = server.memory();
    let pictures = [(1000, 1000), (2000, 1500), (1500, 1000), (2500, 2000), (800, 600)].map(|(w, h)| interlaced(w, h));
    let clients = (0..4).map(|first| {
        let (server, pictures) = (&server, &pictures);
        async move {
            let mut http = server.http().await;
            for number in first..first + 15 {
                let picture = &pictures[number % pictures.len()];
                assert_eq!(http.post(CLASSIFY, "image/png", picture).await.status, 200);
            }
        }
    });
    futures_util::future::join_all(clients).await;
    assert!(server.peak_memory() - before > 15 * MIB, "they take it");

    glance("it goes back", async || server.memory() < before + 32 * MIB).await;
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
