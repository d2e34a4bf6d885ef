//! How much memory this process may still take: what the host has, and what its control groups leave.
//!
//! [`free`] is pure; [`free_now`] brings it the texts of the system's files. Knows nothing of models.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MEMINFO: &str = "/proc/meminfo";
const OWN_GROUPS: &str = "/proc/self/cgroup";
const GROUPS: &str = "/sys/fs/cgroup";

/// What a control group's files say of its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    /// `memory.max` or `memory.limit_in_bytes`.
    limit: String,
    /// `memory.current` or `memory.usage_in_bytes`.
    used: String,
    /// `memory.stat`.
    stat: String,
}

/// Bytes that could be allocated in this moment without anybody being killed for it; `None` where the system does not say.
pub(super) fn free_now() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let meminfo = read(Path::new(MEMINFO)).unwrap_or_default();
    let own = read(Path::new(OWN_GROUPS)).unwrap_or_default();
    let groups: Vec<Group> = folders(&own)
        .into_iter()
        .filter_map(|(folder, [limit, used])| {
            Some(Group {
                limit: read(&folder.join(limit))?,
                used: read(&folder.join(used)).unwrap_or_default(),
                stat: read(&folder.join("memory.stat")).unwrap_or_default(),
            })
        })
        .collect();
    free(&meminfo, &groups)
}

/// Where the limits of the groups may be that a process is in: its own and all above, for each with the names of the files
/// with limit and use.
///
/// * `own`: the text of `/proc/self/cgroup`
fn folders(own: &str) -> Vec<(PathBuf, [&'static str; 2])> {
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => (PathBuf::from(GROUPS), ["memory.max", "memory.current"]),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (Path::new(GROUPS).join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes"])
            }
            _ => continue,
        };
        // Inside a container the path may be the host's, and what is mounted at the root is our own group: what is not there
        // is passed over.
        let path = root.join(path.trim_start_matches('/'));
        folders.extend(path.ancestors().take_while(|folder| folder.starts_with(&root)).map(|it| (it.into(), files)));
    }
    folders
}

/// The least of what the host has and what each group leaves.
///
/// * `meminfo`: the text of `/proc/meminfo`
fn free(meminfo: &str, groups: &[Group]) -> Option<u64> {
    let host = field(meminfo, "MemAvailable:").or_else(|| field(meminfo, "MemTotal:")).map(|kib| kib << 10);
    let left = groups.iter().filter_map(|group| {
        // `max` in the second version; a number beyond all memory in the first.
        let limit: u64 = group.limit.trim().parse().ok()?;
        let used: u64 = group.used.trim().parse().unwrap_or(0);
        // Files that were read stay in memory as long as nobody needs it.
        let cached = field(&group.stat, "total_inactive_file").or_else(|| field(&group.stat, "inactive_file"));
        Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
    });
    host.into_iter().chain(left).min()
}

/// The number behind `name` in a text of lines `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const HOST: &str = "MemTotal:       24576000 kB\nMemFree:         1000 kB\nMemAvailable:   20480 kB\n";

    fn group(limit: &str, used: u64, stat: &str) -> Group {
        Group { limit: format!("{limit}\n"), used: format!("{used}\n"), stat: stat.to_owned() }
    }

    #[test]
    fn the_smallest_of_host_and_groups_counts_and_caches_of_files_are_free() {
        let open = group("max", 5 * MIB, "");
        let first_version = group("9223372036854771712", 5 * MIB, "");
        let tight = group("16777216", 10 * MIB, "anon 1\ninactive_file 4194304\n");
        let nested = group("16777216", 10 * MIB, "inactive_file 1\ntotal_inactive_file 6291456\n");
        let full = group("1000", 5 * MIB, "");
        // The host's file, the groups, what is free.
        let cases = [
            (HOST, vec![], Some(20 * MIB)),
            ("MemTotal: 2048 kB\n", vec![], Some(2 * MIB)),
            (HOST, vec![open.clone(), first_version], Some(20 * MIB)),
            (HOST, vec![open, tight.clone()], Some(10 * MIB)),
            (HOST, vec![nested, tight], Some(10 * MIB)),
            (HOST, vec![full], Some(0)),
            ("", vec![], None),
            ("nonsense", vec![Group::default()], None),
        ];
        for (meminfo, groups, expected) in cases {
            assert_eq!(free(meminfo, &groups), expected, "{meminfo:?} {groups:?}");
        }
    }

    #[test]
    fn a_group_and_all_above_it_are_looked_at_in_both_versions() {
        let names = |own| folders(own).into_iter().map(|(folder, [limit, _])| folder.join(limit)).collect::<Vec<_>>();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            names("0::/kubepods/pod1\n"),
            paths(&[
                "/sys/fs/cgroup/kubepods/pod1/memory.max",
                "/sys/fs/cgroup/kubepods/memory.max",
                "/sys/fs/cgroup/memory.max"
            ])
        );
        assert_eq!(
            names("7:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n"),
            paths(&[
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory.max"
            ])
        );
        assert_eq!(names("no group\n"), paths(&[]));
    }

    #[test]
    fn this_machine_says_how_much_is_free() {
        assert!(free_now().is_some_and(|free| free > MIB));
    }
}
