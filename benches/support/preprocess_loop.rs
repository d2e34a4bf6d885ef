//! Preprocesses and normalizes one image as often as it is told: the other half of `preprocess_vs_pillow.py`.
//!
//! Reads a count a line from stdin, does the work that often, and answers with the nanoseconds it took.

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use resnetd::preprocess::{DecodeLimits, Decoding, Spec, preprocess};
use resnetd::tensor::{ColorOrder, Layout, Normalizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: preprocess_loop IMAGE [fast]")?;
    let bytes = std::fs::read(path)?;
    let is_fast = std::env::args().nth(2).is_some_and(|way| way == "fast");
    let decode = if is_fast { Decoding::Fast } else { Decoding::Exact };
    let (spec, limits) = (Spec { decode, ..Spec::default() }, DecodeLimits::default());
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let normalizer = Normalizer::new(1.0 / 255.0, mean, std, ColorOrder::Rgb, Layout::Nchw);
    let mut tensor = vec![0f32; 3 * 224 * 224];
    for line in stdin().lock().lines() {
        let count: u32 = line?.trim().parse()?;
        let start = Instant::now();
        for _ in 0..count {
            normalizer.write(&preprocess(&bytes, &spec, &limits)?, &mut tensor);
        }
        let elapsed = start.elapsed();
        let sum: f64 = tensor.iter().map(|&value| f64::from(value)).sum();
        writeln!(stdout(), "{} {sum}", elapsed.as_nanos())?;
        stdout().flush()?;
    }
    Ok(())
}
