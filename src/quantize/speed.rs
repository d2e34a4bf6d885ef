//! How fast the two networks are here, and what the processor is.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{Error, report::Speed};
use crate::{
    runtime::{Executor, OrtExecutor},
    tensor::{Batch, Logits},
};

/// Rounds of either network in turn, so that a change of the machine's pace hits both; the best round counts.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(400);

/// Measures both with the same batch.
///
/// # Errors
/// [`Error::Run`].
pub(super) fn measure(
    batch: &Batch,
    fp32: &mut OrtExecutor,
    int8: &mut OrtExecutor,
    threads: usize,
) -> Result<Speed, Error> {
    let mut logits = Logits::default();
    let mut best = [0.0f64; 2];
    for _ in 0..ROUNDS {
        for (best, executor) in best.iter_mut().zip([&mut *fp32, &mut *int8]) {
            executor.run(batch, &mut logits)?;
            let start = Instant::now();
            let mut images = 0;
            while start.elapsed() < ROUND {
                executor.run(batch, &mut logits)?;
                images += batch.len();
            }
            *best = best.max(images as f64 / start.elapsed().as_secs_f64());
        }
    }
    let round = |rate: f64| (rate * 10.0).round() / 10.0;
    Ok(Speed { provider: "cpu", threads, batch_size: batch.len(), fp32: round(best[0]), int8: round(best[1]) })
}

/// Whether engines multiply `u8` by `i8` in pairs that are summed in 16 bits, which cuts off what does not fit. That is
/// so on x86-64 without the VNNI instructions.
pub(super) fn pairs_may_overflow() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        !(std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The processor's name, and which 8-bit instructions it has.
pub(super) fn processor() -> String {
    let name = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    format!(
        "{}, {}",
        name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        if pairs_may_overflow() { "no VNNI" } else { "VNNI" }
    )
}
