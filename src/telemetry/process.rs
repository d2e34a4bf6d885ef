//! What every process tells Prometheus, under the names that all of them use: processor time, memory, files, threads. Looked up at each
//! scrape, in Linux's `/proc`; what the system does not say is left out.

use std::{fmt::Write as _, fs};

/// In which `/proc` counts processor time: `USER_HZ`, a part of Linux's interface, 100 a second on every architecture that we run on.
const TICKS_A_SECOND: f64 = 100.0;

/// The lines of a scrape.
pub(super) fn text() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let open_files = fs::read_dir("/proc/self/fd").map(|files| files.count()).ok();
    written(&Texts {
        stat: &read("/proc/self/stat"),
        status: &read("/proc/self/status"),
        limits: &read("/proc/self/limits"),
        system: &read("/proc/stat"),
        open_files,
    })
}

/// The texts of `/proc`.
struct Texts<'t> {
    stat: &'t str,
    status: &'t str,
    limits: &'t str,
    system: &'t str,
    open_files: Option<usize>,
}

fn written(texts: &Texts<'_>) -> String {
    // Behind the command, which may hold anything.
    let fields: Vec<_> = texts.stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let of_status = |name: &str| {
        let rest = texts.status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    let began = || {
        let booted = texts.system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
        Some(booted + ticks(19)? / TICKS_A_SECOND)
    };
    let limit = texts.limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = limit.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    let families = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time of the process, in user and in kernel mode.",
            ticks(11).zip(ticks(12)).map(|(user, kernel)| (user + kernel) / TICKS_A_SECOND),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory of the process that is in RAM.",
            of_status("VmRSS:").map(|kib| kib * 1024.0),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Addresses that the process has, most of them without memory.",
            of_status("VmSize:").map(|kib| kib * 1024.0),
        ),
        ("process_threads", "gauge", "Threads of the process.", of_status("Threads:")),
        (
            "process_open_fds",
            "gauge",
            "Files and connections that are open.",
            texts.open_files.map(|count| count as f64),
        ),
        ("process_max_fds", "gauge", "Files and connections that may be open.", limit),
        ("process_start_time_seconds", "gauge", "When the process began, since 1970.", began()),
    ];
    let mut text = String::with_capacity(1 << 10);
    for (name, kind, help, value) in families {
        if let Some(value) = value {
            // Writing to a string never fails.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_proc_are_told_under_the_usual_names() {
        // proc_pid_stat(5): utime and stime are fields 14 and 15, starttime is 22.
        let stat =
            "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 1200 1000000 500 18446744073709551615";
        let status = "Name:\tresnetd\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        let system = "cpu  1 2 3\nbtime 1700000000\n";
        let text = written(&Texts { stat, status, limits, system, open_files: Some(12) });
        for line in [
            "process_cpu_seconds_total 3",
            "process_resident_memory_bytes 1048576",
            "process_virtual_memory_bytes 2097152",
            "process_threads 9",
            "process_open_fds 12",
            "process_max_fds 1024",
            "process_start_time_seconds 1700000012",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_the_system_does_not_say_is_left_out() {
        let none = Texts { stat: "", status: "", limits: "Max open files unlimited", system: "", open_files: None };
        assert_eq!(written(&none), "");
    }
}
