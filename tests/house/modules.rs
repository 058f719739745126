//! The graph of a crate's modules: which of them names what another one defines.
//!
//! A module is a file. What a `use`, a path or a macro's tokens name counts for the module that defines it, however
//! it was re-exported on the way; a re-export that its own file does not use is no dependency. Code for tests is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A module's place in its crate: the names that lead to it from the root.
pub(crate) type Name = Vec<String>;

/// A module of a crate, as it is written.
pub(crate) struct Source {
    /// Its place in the crate.
    pub(crate) name: Name,
    /// Its file.
    pub(crate) file: PathBuf,
    /// What the file says.
    pub(crate) syntax: syn::File,
    /// Its child modules that have files of their own.
    children: Vec<String>,
}

/// The modules of the crate whose root file lies in this directory, those for tests left out.
pub(crate) fn sources(directory: &Path) -> Vec<Source> {
    let root = ["lib.rs", "main.rs"].map(|name| directory.join(name)).into_iter().find(|file| file.exists());
    let mut sources = Vec::new();
    read(root.expect("a crate has a root file"), directory, Vec::new(), &mut sources);
    sources
}

/// Reads a file and the files of its child modules.
fn read(file: PathBuf, directory: &Path, name: Name, sources: &mut Vec<Source>) {
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let child = |item: &syn::Item| match item {
        syn::Item::Mod(item) if item.content.is_none() && !is_for_tests(&item.attrs) => Some(item.ident.to_string()),
        _ => None,
    };
    let children: Vec<String> = syntax.items.iter().filter_map(child).collect();
    for child in &children {
        let below = directory.join(child);
        let places = [directory.join(format!("{child}.rs")), below.join("mod.rs")];
        let at = places.into_iter().find(|place| place.exists()).expect("a module has a file");
        read(at, &below, [name.clone(), vec![child.clone()]].concat(), sources);
    }
    sources.push(Source { name, file, syntax, children });
}

/// The circles among the modules of the crate whose root file lies in this directory, each in the order of names.
pub(crate) fn circles(directory: &Path) -> Vec<Vec<Name>> {
    let modules: BTreeMap<Name, Module> = sources(directory)
        .into_iter()
        .map(|source| {
            let mut reader = Reader {
                name: source.name.clone(),
                children: source.children,
                module: Module::default(),
                written: Vec::new(),
            };
            reader.visit_file(&source.syntax);
            (source.name, reader.finish())
        })
        .collect();
    let graph = modules.keys().map(|name| (name.clone(), dependencies(name, &modules))).collect();
    strongly_connected(&graph)
}

/// What a module names and defines.
#[derive(Debug, Default)]
struct Module {
    defined: HashSet<String>,
    /// Names that stand for other paths here, by `use` or as child modules.
    aliases: HashMap<String, Name>,
    /// Modules all of whose names stand here, too.
    globs: Vec<Name>,
    /// Every path that is used, absolute.
    paths: Vec<Name>,
}

/// Collects what a file names.
#[derive(Debug)]
struct Reader {
    name: Name,
    children: Vec<String>,
    module: Module,
    /// Paths as written.
    written: Vec<Name>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        if let Some(name) = defined(item) {
            self.module.defined.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        for (path, name) in leaves(&item.tree) {
            let Some(path) = self.absolute(&path) else { continue };
            match name {
                None => self.module.globs.push(path),
                Some(name) => {
                    if !is_public {
                        self.module.paths.push(path.clone());
                    }
                    self.module.aliases.insert(name, path);
                }
            }
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` names no item.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.written.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.read_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

impl Reader {
    /// Takes runs of names that `::` joins for paths.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path = Name::new();
        let mut joined = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if !joined && !path.is_empty() {
                        self.written.push(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    joined = false;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => joined = true,
                other => {
                    self.written.push(std::mem::take(&mut path));
                    joined = false;
                    if let TokenTree::Group(group) = other {
                        self.read_tokens(group.stream());
                    }
                }
            }
        }
        self.written.push(path);
    }

    fn absolute(&self, path: &[String]) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.name, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let above = &self.name[..self.name.len().checked_sub(ups)?];
                Some([above, &path[ups..]].concat())
            }
            _ if self.children.contains(first) => Some([&self.name, path].concat()),
            _ => Some([self.module.aliases.get(first)?, rest].concat()),
        }
    }

    fn finish(mut self) -> Module {
        let named: Vec<Name> = self.written.iter().filter_map(|path| self.absolute(path)).collect();
        self.module.paths.extend(named);
        for child in &self.children {
            self.module
                .aliases
                .entry(child.clone())
                .or_insert_with(|| [&self.name[..], std::slice::from_ref(child)].concat());
        }
        self.module
    }
}

/// The paths of a `use`, each with the name that it brings in; `None`: all of them.
pub(crate) fn leaves(tree: &syn::UseTree) -> Vec<(Name, Option<String>)> {
    match tree {
        syn::UseTree::Path(path) => {
            let below = leaves(&path.tree).into_iter();
            below.map(|(rest, name)| joined(path.ident.to_string(), rest, name)).collect()
        }
        syn::UseTree::Name(name) => vec![(vec![name.ident.to_string()], Some(name.ident.to_string()))],
        syn::UseTree::Rename(name) => vec![(vec![name.ident.to_string()], Some(name.rename.to_string()))],
        syn::UseTree::Glob(_) => vec![(Vec::new(), None)],
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// `first` before the rest of a path; `first::{self}` is `first` itself.
fn joined(first: String, rest: Name, name: Option<String>) -> (Name, Option<String>) {
    if rest == ["self"] {
        let name = name.map(|name| if name == "self" { first.clone() } else { name });
        return (vec![first], name);
    }
    ([vec![first], rest].concat(), name)
}

pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                list.tokens.clone().into_iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "test"))
            })
    })
}

fn defined(item: &syn::Item) -> Option<&syn::Ident> {
    Some(match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Mod(item) if item.content.is_some() => &item.ident,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    })
}

/// The modules that define what this one names, itself left out.
fn dependencies(name: &Name, modules: &BTreeMap<Name, Module>) -> BTreeSet<Name> {
    let module = &modules[name];
    let named = module.paths.iter().filter_map(|path| definer(path, modules, &mut HashSet::new()));
    named
        .chain(module.globs.iter().filter(|glob| modules.contains_key(*glob)).cloned())
        .filter(|other| other != name)
        .collect()
}

/// The module that defines the item which this path names; `None` where it names a module, which may as well be a
/// variable of that name.
fn definer(path: &[String], modules: &BTreeMap<Name, Module>, seen: &mut HashSet<Name>) -> Option<Name> {
    if !seen.insert(path.to_vec()) {
        return None;
    }
    let length = (0..=path.len()).rev().find(|&length| modules.contains_key(&path[..length]))?;
    let (module, rest) = path.split_at(length);
    let (item, said) = (rest.first()?, &modules[module]);
    if said.defined.contains(item) {
        return Some(module.to_vec());
    }
    if let Some(target) = said.aliases.get(item) {
        return definer(&[target, &rest[1..]].concat(), modules, seen);
    }
    let through = said.globs.iter().find_map(|glob| definer(&[glob, rest].concat(), modules, seen));
    Some(through.unwrap_or_else(|| module.to_vec()))
}

/// The sets of modules each of which is reached from all others of its set.
fn strongly_connected(graph: &BTreeMap<Name, BTreeSet<Name>>) -> Vec<Vec<Name>> {
    let reached: BTreeMap<&Name, BTreeSet<&Name>> = graph
        .keys()
        .map(|from| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
            while let Some(module) = left.pop() {
                left.extend(graph[module].iter().filter(|next| seen.insert(*next)));
            }
            (from, seen)
        })
        .collect();
    let mut circles = BTreeSet::new();
    for (from, seen) in &reached {
        let circle: Vec<Name> =
            seen.iter().filter(|to| reached[**to].contains(*from)).map(|to| (*to).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_through_re_exports() {
        let crate_of = |files: &[(&str, &str)]| {
            let directory = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let file = directory.path().join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            let names = |circle: Vec<Name>| circle.iter().map(|name| name.join("::")).collect::<Vec<_>>();
            circles(directory.path()).into_iter().map(names).collect::<Vec<_>>()
        };
        let leaf = ("a/leaf.rs", "pub struct Leaf;");
        let straight = [("lib.rs", "mod a; mod b;"), ("a.rs", "mod leaf; pub use leaf::Leaf;"), leaf];
        let b = ("b.rs", "use crate::a::Leaf; fn f() -> Leaf { todo!() }");
        assert!(crate_of(&[straight[0], straight[1], straight[2], b]).is_empty());
        // The parent's own item, used by its child.
        let up = ("a/leaf.rs", "pub struct Leaf(super::Parent);");
        let parent = ("a.rs", "mod leaf; pub use leaf::Leaf; pub struct Parent; fn f(_: Leaf) {}");
        assert_eq!(crate_of(&[straight[0], parent, up, b]), [["a", "a::leaf"]]);
        // In a macro's tokens; in tests it is none.
        let told = ("a/leaf.rs", "pub struct Leaf; fn f() { println!(\"{}\", crate::b::g(1)) }");
        let back = ("b.rs", "pub fn g(_: u8) -> u8 { crate::a::Leaf; 1 }");
        assert_eq!(crate_of(&[straight[0], straight[1], told, back]), [["a::leaf", "b"]]);
        let only_tests = ("a/leaf.rs", "pub struct Leaf; #[cfg(test)] mod tests { use crate::b::g; }");
        assert!(crate_of(&[straight[0], straight[1], only_tests, back]).is_empty());
    }
}
