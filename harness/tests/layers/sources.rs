//! What the sources of a crate name: every path, parsed, without unit tests.

use proc_macro2::{TokenStream, TokenTree};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use syn::{
    Attribute, File, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

/// A path as it is written (`crate`, `store`, `Store`), use trees taken apart.
pub type Named = Vec<String>;

/// One source file.
pub struct Source {
    /// Its path below src/.
    pub file: String,
    /// Its module's path below the crate: `vm`, `qmp`.
    pub module: Vec<String>,
    /// What it names.
    pub names: BTreeSet<Named>,
}

/// Every source of a crate but those of its unit tests.
pub fn all(src: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    walk(src, &mut files);
    files.sort();
    let sources = files.iter().map(|path| {
        let text = fs::read_to_string(path).expect("a source");
        let below = path.strip_prefix(src).expect("below src");
        let names = names(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Source {
            file: below.to_string_lossy().into_owned(),
            module: module(below),
            names,
        }
    });
    sources.filter(|source| !is_test(&source.file)).collect()
}

/// Modules that exist under `cfg(test)` alone, by their names.
fn is_test(file: &str) -> bool {
    ["tests.rs", "_tests.rs", "testing.rs", "fixture.rs"]
        .iter()
        .any(|end| file.ends_with(end))
        || file.contains("/tests/")
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// `vm/qmp.rs` and `vm/qmp/mod.rs` are both `vm`, `qmp`.
fn module(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let parts = stem.iter().map(|part| part.to_string_lossy().into_owned());
    parts
        .filter(|part| !["mod", "lib", "main"].contains(&part.as_str()))
        .collect()
}

/// All paths in a source's text.
pub fn names(text: &str) -> syn::Result<BTreeSet<Named>> {
    let mut collector = Collector::default();
    collector.visit_file(&syn::parse_file(text)?);
    Ok(collector.names)
}

#[derive(Default)]
struct Collector {
    names: BTreeSet<Named>,
}

impl<'a> Visit<'a> for Collector {
    fn visit_file(&mut self, file: &'a File) {
        if !file.attrs.iter().any(only_tests) {
            visit::visit_file(self, file);
        }
    }

    fn visit_item(&mut self, item: &'a syn::Item) {
        if !attributes(item).iter().any(only_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        unfold(&item.tree, &mut Vec::new(), &mut self.names);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        self.names.insert(parts.collect());
        visit::visit_path(self, path);
    }

    /// What stands in a macro's call is not parsed yet: `a::b::c` is looked for.
    fn visit_macro(&mut self, call: &'a Macro) {
        scan(call.tokens.clone(), &mut self.names);
        visit::visit_macro(self, call);
    }
}

fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`
fn only_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|word| word == "test")
}

fn unfold(tree: &UseTree, before: &mut Named, names: &mut BTreeSet<Named>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            unfold(&path.tree, before, names);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|t| unfold(t, before, names)),
        UseTree::Glob(_) => {
            names.insert(before.clone());
        }
        UseTree::Name(name) => leaf(&name.ident, before, names),
        UseTree::Rename(name) => leaf(&name.ident, before, names),
    }
}

fn leaf(name: &syn::Ident, before: &[String], names: &mut BTreeSet<Named>) {
    let mut whole = before.to_vec();
    // `use a::{self}` is `a`.
    if name != "self" || before.is_empty() {
        whole.push(name.to_string());
    }
    names.insert(whole);
}

fn scan(tokens: TokenStream, names: &mut BTreeSet<Named>) {
    let mut path: Named = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                if colons != 2 {
                    flush(&mut path, names);
                }
                path.push(word.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            other => {
                flush(&mut path, names);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    scan(group.stream(), names);
                }
            }
        }
    }
    flush(&mut path, names);
}

fn flush(path: &mut Named, names: &mut BTreeSet<Named>) {
    if !path.is_empty() {
        names.insert(std::mem::take(path));
    }
}
