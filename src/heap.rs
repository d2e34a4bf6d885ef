//! What the process gives back to the system: glibc's allocator in a server, which stays for months.
//!
//! Left alone, glibc learns from the first large blocks that are freed to keep such blocks, up to 32 MB each and 64 MB an
//! arena, of which every thread that decodes has one. After a few large pictures the server was 195 MB above its model
//! for ever; so it is 11 MB, at the same speed (`benches/hostile/allocator.py`; `tests/it/process_memory.rs` fails without).

/// Blocks from this size on are taken from the system one by one, and given back when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 256 << 10;

/// So much is kept at the end of an arena.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 1 << 20;

/// Fixes the thresholds, unless somebody has set one in the environment. To be called before there are other threads, so
/// that all of their blocks are taken alike.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back_early() {
    let settings = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"];
    if settings.into_iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    for (parameter, bytes) in [(libc::M_MMAP_THRESHOLD, MAPPED_BYTES), (libc::M_TRIM_THRESHOLD, KEPT_BYTES)] {
        // SAFETY: `mallopt` takes two numbers and changes a parameter of the allocator under the allocator's own lock; no
        // block that is in use is touched. It refuses what it does not know, and then nothing has changed.
        unsafe { libc::mallopt(parameter, bytes) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_early() {}

/// Gives free memory back that lies between blocks in use, which freeing alone never does. To be called where a model was
/// made or freed: its sessions leave holes in the arenas of many threads, and the next model is made by other threads in
/// other arenas. With CUDA, whose plans are small blocks by the hundred thousand, each reload of a ResNet-50 took 255 MB more
/// for ever (an H100, six sessions). It looks through the whole heap, so not on a thread that
/// a request waits for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: `malloc_trim` takes the number of bytes to keep at the end of an arena and gives unused pages back, each
    // arena under its own lock; no block that is in use is touched.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
