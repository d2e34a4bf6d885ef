//! Who needs whom: from paths to the files that define what they name, and the circles among those files.
//!
//! `use super::Error`, where `mod.rs` only passes on what `error.rs` defines, is an arrow to `error.rs`. Methods are looked
//! for where their type is defined, although an `impl` may stand elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Modules, Segments};

/// No name is passed on so often.
const MOST_PASSES: usize = 16;

/// For each file the files that it needs, and the names that it needs of them.
pub(crate) type Arrows = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Where a path leads.
#[derive(Debug, PartialEq)]
enum End<'a> {
    /// A name, defined in this file.
    File(&'a str),
    /// A module: only what is named in it matters.
    Module,
    /// Another crate, a local name, a primitive.
    Outside,
    /// Into the crate, and there is no such name.
    Nothing,
}

/// The arrows between files.
///
/// # Panics
/// If a path that begins in the crate leads nowhere: this reader has to be mended then.
pub(crate) fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    for (at, module) in modules {
        for path in &module.mentions {
            // Alone it is a method's own value, and no path, though the module may be called as a function beside it is.
            if path[..] == ["self"] {
                continue;
            }
            let Some(absolute) = absolute(modules, at, path, MOST_PASSES) else { continue };
            match end(modules, &absolute, MOST_PASSES) {
                End::File(file) if file != module.file => {
                    let needs = arrows.entry(module.file.clone()).or_default();
                    needs.entry(file.to_owned()).or_default().insert(absolute.join("::"));
                }
                End::File(_) | End::Module | End::Outside => {}
                End::Nothing => {
                    panic!("{}: there is no {} (written {})", module.file, absolute.join("::"), path.join("::"))
                }
            }
        }
    }
    arrows
}

/// The path from the crate's root on; `None` where it leads out of the crate.
fn absolute(modules: &Modules, at: &[String], path: &[String], passes: usize) -> Option<Segments> {
    let (first, rest) = path.split_first()?;
    let join = |start: &[String], rest: &[String]| Some([start, rest].concat());
    match first.as_str() {
        "crate" => return join(&[], rest),
        // The binary's name for the library.
        "resnetd" if at == ["main"] => return join(&[], rest),
        "self" => return join(at, rest),
        "super" => {
            let (_, above) = at.split_last()?;
            let rest = if rest.first().is_some_and(|next| next == "super") {
                rest.to_vec()
            } else {
                [&["self".to_owned()], rest].concat()
            };
            return absolute(modules, above, &rest, passes);
        }
        _ => {}
    }
    let module = &modules[at];
    let child = [at, std::slice::from_ref(first)].concat();
    // A name can be a module's and a function's; it is the module's where something follows.
    if (module.defines.contains(first) && rest.is_empty()) || modules.contains_key(&child) {
        return join(at, path);
    }
    if let Some(used) = module.uses.get(first) {
        // `use bytes::Bytes` in a module that is itself called so leads out.
        let passes = passes.checked_sub(1)?;
        let inside =
            used.first().is_some_and(|start| start != first || matches!(start.as_str(), "crate" | "super" | "self"));
        return if inside { join(&absolute(modules, at, used, passes)?, rest) } else { None };
    }
    if module.defines.contains(first) {
        return join(at, path);
    }
    module.globs.iter().find_map(|glob| {
        let opened = absolute(modules, at, glob, passes.checked_sub(1)?)?;
        let inside = join(&opened, path)?;
        matches!(end(modules, &inside, passes - 1), End::File(_) | End::Module).then_some(inside)
    })
}

fn end<'a>(modules: &'a Modules, path: &[String], passes: usize) -> End<'a> {
    let Some(passes) = passes.checked_sub(1) else { return End::Nothing };
    // The deepest module on the way.
    let depth = (0..=path.len()).rev().find(|&depth| modules.contains_key(&path[..depth])).unwrap_or_default();
    let Some(module) = modules.get(&path[..depth]) else { return End::Nothing };
    if let Some((last, above)) = path.split_last()
        && depth == path.len()
    {
        // A function may be called as the module beside it is.
        return match modules.get(above) {
            Some(above) if above.defines.contains(last) => End::File(&above.file),
            Some(above) if above.uses.get(last).is_some_and(|used| used.len() > 1) => {
                through(modules, &path[..path.len() - 1], &above.uses[last], &[], passes)
            }
            _ => End::Module,
        };
    }
    let (Some(name), rest) = (path.get(depth), path.get(depth + 1..).unwrap_or_default()) else { return End::Module };
    if module.defines.contains(name) {
        return End::File(&module.file);
    }
    if let Some(used) = module.uses.get(name) {
        return through(modules, &path[..depth], used, rest, passes);
    }
    let opened =
        module.globs.iter().find_map(|glob| match through(modules, &path[..depth], glob, &path[depth..], passes) {
            End::Nothing | End::Outside => None,
            found => Some(found),
        });
    match opened {
        Some(found) => found,
        None if module.opaque => End::File(&module.file),
        None => End::Nothing,
    }
}

/// Follows what a module passes on.
fn through<'a>(modules: &'a Modules, at: &[String], used: &[String], rest: &[String], passes: usize) -> End<'a> {
    match absolute(modules, at, used, passes) {
        Some(start) => end(modules, &[&start[..], rest].concat(), passes),
        None => End::Outside,
    }
}

/// The circles: files that all reach one another, each sorted.
pub(crate) fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|file| (file, reachable(arrows, file))).collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in &reach {
        if reached.contains(file) {
            let back = |other: &&&String| reach.get(*other).is_some_and(|reached| reached.contains(file));
            circles.insert(reached.iter().filter(back).map(|file| (*file).clone()).collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

fn reachable<'a>(arrows: &'a Arrows, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = arrows.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(arrows.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

/// A circle in words: each arrow with the names that tie it.
pub(crate) fn described(arrows: &Arrows, circle: &[String]) -> String {
    let mut text = String::new();
    for file in circle {
        for (needed, names) in arrows[file].iter().filter(|(needed, _)| circle.contains(needed)) {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            text.push_str(&format!("  {file} -> {needed}: {names}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;

    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        circles(&arrows(&source::parse(files.iter().copied())))
    }

    #[test]
    fn files_that_use_each_other_are_a_circle_and_what_ties_them_is_told() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; fn f() { super::c::c() }"),
            ("c.rs", "pub fn c() { let _: Option<crate::a::A> = None; }"),
        ];
        let arrows = arrows(&source::parse(files.into_iter()));
        assert_eq!(circles(&arrows), [["a.rs", "b.rs", "c.rs"]]);
        assert_eq!(
            described(&arrows, &circles(&arrows)[0]),
            "  a.rs -> b.rs: b::B\n  b.rs -> c.rs: c::c\n  c.rs -> a.rs: a::A\n"
        );
    }

    #[test]
    fn what_a_module_only_passes_on_is_needed_from_where_it_is_defined() {
        let parent = ("a/mod.rs", "mod error; mod work; pub use error::*; pub use work::work as run;");
        let error = ("a/error.rs", "pub struct Error;");
        let work = ("a/work.rs", "use super::Error; pub fn work() -> Error { Error }");
        assert!(circles_of(&[("lib.rs", "mod a; mod b;"), parent, error, work]).is_empty());

        let caller = ("b.rs", "use crate::a; fn f() { a::run(); }");
        let arrows = arrows(&source::parse([("lib.rs", "mod a; mod b;"), parent, error, work, caller].into_iter()));
        assert_eq!(arrows["b.rs"].keys().collect::<Vec<_>>(), ["a/work.rs"]);
    }

    #[test]
    fn a_module_that_defines_what_its_parts_need_and_calls_them_is_a_circle() {
        let parent = ("a/mod.rs", "mod part; pub struct Error; pub fn f() { part::f() }");
        let part = ("a/part.rs", "pub fn f() { let _ = super::Error; }");
        assert_eq!(circles_of(&[("lib.rs", "mod a;"), parent, part]), [["a/mod.rs", "a/part.rs"]]);
    }

    #[test]
    fn a_method_in_a_module_that_has_a_functions_name_needs_no_function() {
        let parent = ("a/mod.rs", "mod f; pub fn f() { f::B.read() }");
        let part = ("a/f.rs", "pub struct B; impl B { pub fn read(self) { drop(self) } }");
        assert!(circles_of(&[("lib.rs", "mod a;"), parent, part]).is_empty());
    }

    #[test]
    fn a_use_in_a_macro_counts_and_one_in_a_test_a_comment_or_a_string_does_not() {
        let a = ("a.rs", "pub fn a() { println!(\"{}\", crate::b::b()) }");
        let b = |text| [("lib.rs", "mod a; mod b;"), a, ("b.rs", text)];
        assert_eq!(circles_of(&b("pub fn b() -> u8 { crate::a::a(); 1 }")).len(), 1);
        assert!(circles_of(&b("// crate::a::a()\npub fn b() -> &'static str { \"crate::a::a()\" }")).is_empty());
        assert!(circles_of(&b("pub fn b() {} #[cfg(test)] mod tests { use crate::a::a; }")).is_empty());
    }

    #[test]
    fn other_crates_and_local_names_are_no_arrows_even_where_they_are_called_as_a_module() {
        let a = ("a/mod.rs", "mod ort; use bytes::Bytes; pub fn f(b: Bytes) { let ort = b; drop(ort); }");
        let ort = ("a/ort.rs", "use ort::Session; pub struct Own(Session);");
        assert!(arrows(&source::parse([("lib.rs", "mod a;"), a, ort].into_iter())).is_empty());
    }

    #[test]
    #[should_panic(expected = "there is no b::gone")]
    fn a_path_that_leads_nowhere_is_not_passed_over() {
        circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::gone;"), ("b.rs", "")]);
    }
}
