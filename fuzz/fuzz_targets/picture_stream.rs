//! What `classify --stdin` reads: records of keys and pictures, or Arrow's record batches.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use resnetd::bulk::{PictureStream, ShardColumns, StreamReading, Streamed};

/// The most rows of a batch, and what a picture may have.
const MOST: usize = 1 << 10;

fuzz_target!(init: resnetd_fuzz::guarded_panics_are_no_findings(&["arrow"]), |bytes: &[u8]| {
    // A key of its own for half of the runs.
    let key = bytes.last().is_some_and(|last| last % 2 == 0).then(|| "id".to_owned());
    let reading =
        StreamReading { columns: ShardColumns { picture: None, key }, limit: MOST as u64, most_rows: MOST };
    let (mut number, mut cuts) = (0, 0);
    let stream = PictureStream::open(bytes).expect("memory");
    stream.read(&reading, &mut |streamed| {
        if let Streamed::Picture(member) = streamed {
            assert_eq!((member.number, cuts), (number, 0), "in order, and nothing behind a cut");
            number += 1;
            match member.content {
                Ok(picture) => assert!(picture.len() <= MOST),
                Err(resnetd::bulk::MemberError::Cut(_)) => cuts += 1,
                Err(_) => {}
            }
        }
        ControlFlow::Continue(())
    });
});
