//! The walls of the house: rules about the source that a person would have to remember.
//!
//! Files need one another in one direction only, rooms use what ARCHITECTURE.md's table allows, files stay short, and a
//! word means one thing. Each test says which file breaks its rule and how; `source` and `arrows` read the crate.

#![allow(clippy::unwrap_used, reason = "unwrapping fails with place and value")]

mod arrows;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use source::Modules;

/// Rooms that still have circles inside. It is a list of debts: a room that has paid has to leave it.
const KNOWN_CIRCLES: [&str; 0] = [];

/// Names that several public types have, and how many.
const SHARED_NAMES: [(&str, usize); 5] = [
    // The paper's words for a network's parts: of one to build in `resnet`, of one that was found in `inspect`. Neither
    // room knows the other.
    ("Block", 2),
    ("Module", 2),
    ("Shortcut", 2),
    ("Stem", 2),
    ("StrideIn", 2),
];

const LONGEST_FILE: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn crate_source() -> Modules {
    source::read(&root().join("src"))
}

/// The first part of a path: `http` of `http/json.rs`, `config` of `config.rs`.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn no_file_needs_a_file_that_needs_it() {
    let arrows = arrows::arrows(&crate_source());
    let circles = arrows::circles(&arrows);
    let debtor =
        |circle: &Vec<String>| KNOWN_CIRCLES.into_iter().find(|known| circle.iter().all(|file| room(file) == *known));
    let new: Vec<_> = circles.iter().filter(|circle| debtor(circle).is_none()).collect();
    let told: String = new.iter().map(|circle| arrows::described(&arrows, circle) + "\n").collect();
    assert!(new.is_empty(), "these files need each other; define what ties them in a file below both:\n{told}");
    let owed: BTreeSet<_> = circles.iter().filter_map(debtor).collect();
    let paid: Vec<_> = KNOWN_CIRCLES.into_iter().filter(|known| !owed.contains(known)).collect();
    assert!(paid.is_empty(), "{paid:?} has no circle any more: take it off KNOWN_CIRCLES");
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let table = table();
    let mut broken = Vec::new();
    for (file, needs) in arrows::arrows(&crate_source()) {
        let Some(allowed) = table.get(room(&file)) else { continue };
        for name in needs.values().flatten() {
            let used = name.split("::").next().unwrap();
            if used != room(&file) && !allowed.contains(used) {
                broken.push(format!("{file} uses {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "ARCHITECTURE.md's table of rooms does not allow it:\n{}", broken.join("\n"));
}

#[test]
fn every_room_has_its_row_in_the_table() {
    let rows: BTreeSet<String> = table().into_keys().collect();
    let rooms: BTreeSet<String> = source::files(&root().join("src"))
        .iter()
        .map(|file| room(file).to_owned())
        .filter(|room| room != "lib" && room != "main")
        .collect();
    let missing: Vec<_> = rooms.difference(&rows).collect();
    let empty: Vec<_> = rows.difference(&rooms).collect();
    assert!(missing.is_empty() && empty.is_empty(), "rooms without a row: {missing:?}; rows without a room: {empty:?}");
}

/// What each room may use, from the table under "The rooms": the names between backticks of its first and last column.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("The rooms\n")).unwrap();
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut table = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [rooms, _, may_use] = cells[..] else { panic!("a row has three columns: {row}") };
        for room in quoted(rooms) {
            assert!(table.insert(room, quoted(may_use)).is_none(), "a second row for the same room: {row}");
        }
    }
    for (room, uses) in &table {
        let unknown: Vec<_> = uses.iter().filter(|used| !table.contains_key(*used)).collect();
        assert!(unknown.is_empty(), "{room} may use {unknown:?}, and there are no such rooms");
    }
    table
}

#[test]
fn no_file_is_longer_than_one_subject_needs() {
    for folder in ["src", "tests", "benches"] {
        for file in source::files(&root().join(folder)) {
            let lines = fs::read_to_string(root().join(folder).join(&file)).unwrap().lines().count();
            assert!(lines <= LONGEST_FILE, "{folder}/{file} has {lines} lines, more than {LONGEST_FILE}: divide it");
        }
    }
}

#[test]
fn a_public_type_is_the_only_one_of_its_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in crate_source().into_values() {
        for name in module.public_types {
            places.entry(name).or_default().push(module.file.clone());
        }
    }
    let shared: BTreeMap<_, _> = SHARED_NAMES.into();
    let several: Vec<String> = places
        .iter()
        .filter(|(name, files)| files.len() > shared.get(name.as_str()).copied().unwrap_or(1))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(several.is_empty(), "one word, one meaning; these name several things:\n{}", several.join("\n"));
    for (name, count) in shared {
        assert_eq!(places.get(name).map(Vec::len), Some(count), "{name} is shared no more: take it off SHARED_NAMES");
    }
}

/// A route that axum alone knows would be in no description of the API.
#[test]
fn only_the_table_of_routes_registers_any() {
    let folder = root().join("src/server/http");
    for file in source::files(&folder) {
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        let registers = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("routing::"));
        assert!(!registers || file == "route.rs", "src/server/http/{file} registers routes: use `route::Routes`");
    }
}
