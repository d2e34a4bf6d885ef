//! The crate's source as modules: what each defines, brings in, and mentions. Without what only tests compile.
//!
//! Read with `syn`, so that a comment or a string is never taken for a use. Knows Rust; nothing of this crate's rooms.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// Segments of a path, as they are written or from the crate's root on.
pub(crate) type Segments = Vec<String>;

/// A module: a file, or written out inside of one.
#[derive(Default)]
pub(crate) struct Module {
    /// From `src/`, with slashes.
    pub(crate) file: String,
    pub(crate) defines: BTreeSet<String>,
    /// Types and traits that other modules can see.
    pub(crate) public_types: Vec<String>,
    /// What `use` brings in, by the name that it has here.
    pub(crate) uses: BTreeMap<String, Segments>,
    /// What `use …::*` opens.
    pub(crate) globs: Vec<Segments>,
    /// Every path in its code, as written. A `pub use` only passes on, and is none.
    pub(crate) mentions: BTreeSet<Segments>,
    /// It holds a macro that may define anything: generated code.
    pub(crate) opaque: bool,
}

/// All modules, by their path from the crate's root.
pub(crate) type Modules = BTreeMap<Segments, Module>;

/// Reads every file under `src`.
pub(crate) fn read(src: &Path) -> Modules {
    let files: Vec<(String, String)> =
        files(src).into_iter().map(|name| (name.clone(), fs::read_to_string(src.join(&name)).unwrap())).collect();
    parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

/// The Rust files under `folder`, relative to it, with slashes.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                names.push(path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    names.sort();
    names
}

/// Parses files, given by name and text.
pub(crate) fn parse<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Modules {
    let mut reader = Reader::default();
    for (name, text) in files {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        reader.at = module_of(name);
        reader.file = name.to_owned();
        reader.module();
        reader.visit_file(&syntax);
    }
    let Reader { mut modules, tests, .. } = reader;
    modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    modules
}

/// `a/mod.rs` and `a.rs` are the module `a`, `lib.rs` is the root.
fn module_of(file: &str) -> Segments {
    let mut path: Segments = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

#[derive(Default)]
struct Reader {
    modules: Modules,
    /// Modules that only tests compile.
    tests: Vec<Segments>,
    at: Segments,
    file: String,
}

impl Reader {
    fn module(&mut self) -> &mut Module {
        let module = self.modules.entry(self.at.clone()).or_default();
        module.file.clone_from(&self.file);
        module
    }

    fn mention(&mut self, path: Segments) {
        self.module().mentions.insert(path);
    }

    /// The paths among a macro's tokens: what stands between its brackets is no syntax that is known here.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons): (Segments, usize) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => self.tokens_end(std::mem::replace(&mut path, vec![name.to_string()])),
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.tokens_end(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.tokens_end(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.tokens_end(path);
    }

    fn tokens_end(&mut self, path: Segments) {
        if path.len() > 1 {
            self.mention(path);
        }
    }

    fn define(&mut self, item: &Item) {
        let (name, visibility) = match item {
            Item::Struct(item) => (&item.ident, Some(&item.vis)),
            Item::Enum(item) => (&item.ident, Some(&item.vis)),
            Item::Union(item) => (&item.ident, Some(&item.vis)),
            Item::Trait(item) => (&item.ident, Some(&item.vis)),
            Item::Type(item) => (&item.ident, Some(&item.vis)),
            Item::Fn(item) => (&item.sig.ident, None),
            Item::Const(item) => (&item.ident, None),
            Item::Static(item) => (&item.ident, None),
            Item::Macro(item) => match &item.ident {
                Some(name) => (name, None),
                None => {
                    self.module().opaque = true;
                    return;
                }
            },
            _ => return,
        };
        let name = name.to_string();
        if visibility.is_some_and(|visibility| !matches!(visibility, Visibility::Inherited)) {
            self.module().public_types.push(name.clone());
        }
        self.module().defines.insert(name);
    }

    fn bring_in(&mut self, tree: &UseTree, mut path: Segments, passes_on: bool) {
        let name = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.bring_in(&inner.tree, path, passes_on);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.bring_in(tree, path.clone(), passes_on));
            }
            UseTree::Glob(_) => return self.module().globs.push(path),
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(name) => (&name.ident, &name.rename),
        };
        let (there, here) = (name.0.to_string(), name.1.to_string());
        let is_self = there == "self";
        if !is_self {
            path.push(there);
        }
        let here = if is_self && here == "self" { path.last().cloned().unwrap_or_default() } else { here };
        if !passes_on {
            self.mention(path.clone());
        }
        if here != "_" {
            self.module().uses.insert(here, path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_for_tests) {
            if let Item::Mod(module) = item {
                let mut path = self.at.clone();
                path.push(module.ident.to_string());
                self.tests.push(path);
            }
            return;
        }
        self.define(item);
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !item.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if let Some((_, items)) = &module.content {
            self.at.push(module.ident.to_string());
            self.module();
            items.iter().for_each(|item| self.visit_item(item));
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.bring_in(&item.tree, Vec::new(), !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, made: &'ast Macro) {
        self.tokens(made.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in path)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(syn::ItemConst { attrs, .. })
        | Item::Enum(syn::ItemEnum { attrs, .. })
        | Item::Fn(syn::ItemFn { attrs, .. })
        | Item::Impl(syn::ItemImpl { attrs, .. })
        | Item::Macro(syn::ItemMacro { attrs, .. })
        | Item::Mod(syn::ItemMod { attrs, .. })
        | Item::Static(syn::ItemStatic { attrs, .. })
        | Item::Struct(syn::ItemStruct { attrs, .. })
        | Item::Trait(syn::ItemTrait { attrs, .. })
        | Item::Type(syn::ItemType { attrs, .. })
        | Item::Union(syn::ItemUnion { attrs, .. })
        | Item::Use(syn::ItemUse { attrs, .. }) => attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`, alone or among other conditions that must hold.
fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all") && condition.contains("test"))
}
