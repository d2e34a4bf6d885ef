//! The scripts that people and CI run: what they must not do, and what they must say.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every shell script, and what contains shell.
fn scripts() -> Vec<PathBuf> {
    let mut scripts: Vec<_> = fs::read_dir(root().join(".ci")).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.extend(
        [
            "Makefile",
            "Dockerfile",
            "deploy/check.sh",
            "release/pin.sh",
            "release/reproducible.sh",
            "tests/fleet/run.sh",
        ]
        .map(|name| root().join(name)),
    );
    let interop = root().join("tests/interop");
    scripts.push(interop.join("run.sh"));
    scripts.push(root().join("tests/page/run.sh"));
    let parts = fs::read_dir(interop).unwrap().map(|entry| entry.unwrap().path().join("run.sh"));
    scripts.extend(parts.filter(|script| script.is_file()));
    scripts
}

/// Commands that stop reading when they have seen enough. Under `pipefail` whoever still writes then fails the pipe.
fn leaves_early(command: &str) -> bool {
    let mut words = command.split_whitespace();
    match words.next() {
        Some("head") => true,
        Some("grep" | "egrep" | "fgrep") => words.any(|word| {
            matches!(word, "--quiet" | "--silent" | "--files-with-matches")
                || word.starts_with("--max-count")
                || word.starts_with('-') && !word.starts_with("--") && word.contains(['q', 'm', 'l'])
        }),
        Some("awk") => command.contains("exit"),
        Some("sed") => words.any(|word| word.trim_matches(['\'', '"']).ends_with('q')),
        _ => false,
    }
}

#[test]
fn no_script_pipes_into_a_reader_that_leaves_early() {
    for early in ["head -1", "grep --quiet x", "grep -q x", "grep -m1 x", "awk '{ print; exit }'", "sed 1q"] {
        assert!(leaves_early(early), "{early}");
    }
    for whole in ["tail -1", "grep x", "awk '{ print $2 }'", "sed s/a/b/", "tee log"] {
        assert!(!leaves_early(whole), "{whole}");
    }
    for script in scripts() {
        let text = fs::read_to_string(&script).unwrap().replace("\\\n", " ").replace("|\n", "|");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let readers = line.replace("||", "\u{1}").split('|').skip(1).map(str::to_owned).collect::<Vec<_>>();
            let early = readers.iter().find(|command| leaves_early(command));
            assert_eq!(early, None, "in {}: {line}", script.display());
        }
    }
}

/// Names, versions and how many hashes each has.
fn pins(folder: &Path) -> Vec<(String, usize)> {
    let text = fs::read_to_string(folder.join("requirements.txt"))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut pins = Vec::<(String, usize)>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(hash) = line.trim().strip_prefix("--hash=sha256:") {
            assert_eq!(hash.trim_end_matches(" \\").len(), 64, "{line}");
            pins.last_mut().unwrap().1 += 1;
        } else {
            let pin = line.split([' ', ';']).next().unwrap().to_ascii_lowercase();
            pins.push((pin, 0));
        }
    }
    pins
}

#[test]
fn what_ci_fetches_is_pinned_by_hash_and_asked_for_so() {
    let pin = fs::read_to_string(root().join("release/pin.sh")).unwrap();
    let folders = pin.lines().find_map(|line| line.strip_prefix("for folder in ")?.strip_suffix("; do")).unwrap();
    for folder in folders.split(' ').map(|folder| root().join(folder)) {
        let pins = pins(&folder);
        assert!(pins.iter().all(|(pin, hashes)| pin.contains("==") && *hashes > 0), "{}: {pins:?}", folder.display());
        let wanted = fs::read_to_string(folder.join("requirements.in")).unwrap();
        for wanted in wanted.lines().filter(|line| !line.starts_with('#')) {
            let wanted = wanted.to_ascii_lowercase();
            let is_there = |(pin, _): &(String, usize)| *pin == wanted || pin.starts_with(&format!("{wanted}=="));
            assert!(pins.iter().any(is_there), "{wanted} of {}: run release/pin.sh", folder.display());
        }
    }
    for script in
        [".ci/run", "deploy/check.sh", "tests/page/run.sh", "tests/fleet/run.sh", "tests/interop/openapi/run.sh"]
    {
        let text = fs::read_to_string(root().join(script)).unwrap().replace("\\\n", " ");
        let installs: Vec<_> = text.lines().filter(|line| line.contains("pip") && line.contains(" install ")).collect();
        assert!(!installs.is_empty(), "{script}");
        for line in installs {
            assert!(line.contains("--require-hashes"), "{script}: {line}");
        }
    }
}

/// Runs `.ci/run` of a copy of the scripts with stand-ins for the tools.
fn ci(make: &str, environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (ci, tools) = (folder.path().join(".ci"), folder.path().join("tools"));
    fs::create_dir(&ci).unwrap();
    fs::create_dir(&tools).unwrap();
    fs::copy(root().join(".ci/run"), ci.join("run")).unwrap();
    let tool = |path: PathBuf, text: &str| {
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    tool(tools.join("make"), make);
    tool(tools.join("cargo"), "exit 1");
    tool(tools.join("python3"), "exit 1");
    tool(tools.join("git"), "exit 0");
    tool(tools.join("shellcheck"), "exit 0");
    tool(tools.join("buf"), "exit 0");
    tool(tools.join("c++"), "exit 0");
    tool(ci.join("container-engine"), "echo 'no engine, for want of root' >&2; exit 1");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .arg(ci.join("run"))
        .env("PATH", path)
        .env_remove("INTEROP")
        .env_remove("SKIP_CONTAINER")
        .env_remove("CXX")
        .env("CHROMIUM", "");
    command.envs(environment.iter().copied()).output().unwrap()
}

/// What is said after everything was done.
fn ending(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let ending = text.rsplit("\n== ").next().unwrap_or_default();
    ending.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn ci_ends_with_what_it_skipped_and_why() {
    let make = "case \"$*\" in *' test') echo 'SKIPPED the_plugin_answers: no OpenVINO plugin' >&2;; esac";
    let output = ci(make, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        ending(&output),
        [
            "skipped: tests: the_plugin_answers: no OpenVINO plugin",
            "skipped: API description: schemathesis is not installed and could not be had",
            "skipped: page: chromium is not installed and could not be had",
            "skipped: against the real libraries: INTEROP is not set (it installs PyTorch and others: 6 GB)",
            "skipped: licences and sources of the dependencies: cargo-deny is not installed and could not be built",
            "skipped: container: no engine, for want of root",
        ]
    );
}

#[test]
fn ci_fails_where_its_tests_fail_and_says_where() {
    let output = ci("case \"$*\" in *' test') exit 3;; esac", &[("SKIP_CONTAINER", "1")]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("== FAILED at: tests"), "{output:?}");
    assert_eq!(ending(&output), ["nothing was skipped"]);
}

#[test]
fn an_image_is_not_built_where_its_disk_is_too_full_and_it_is_said() {
    let tools = tempfile::tempdir().unwrap();
    let tool = |name: &str, text: &str| {
        let path = tools.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    tool("docker", "echo /var/lib/engine");
    tool("df", "[ \"$3\" = /var/lib/engine ] && printf 'Avail\\n   11\\n'");
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let room = |gib: &str| {
        let script = root().join(".ci/container-room");
        Command::new("bash").arg(script).arg(gib).env("PATH", &path).output().unwrap()
    };
    assert!(room("11").status.success());
    let refused = room("12");
    assert_eq!(refused.status.code(), Some(1));
    let expected = "building the image takes 12 GiB of disk, and /var/lib/engine has 11 left\n";
    assert_eq!(String::from_utf8_lossy(&refused.stderr), expected);
}
