//! The routines of this processor, looked up once: the crate asks the environment each time, which takes a microsecond.

use std::sync::LazyLock;

use libjpeg_turbo_rs::simd::{self, SimdRoutines};

static ROUTINES: LazyLock<SimdRoutines> = LazyLock::new(simd::detect);

pub(super) fn routines() -> &'static SimdRoutines {
    &ROUTINES
}
