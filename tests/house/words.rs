//! Words that the sources must not have, as the field has others: the list is `words.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Most words of a name, those of tests among them.
const MOST_WORDS: usize = 9;

/// A forbidden word, and what to say instead.
struct Word {
    word: &'static str,
    instead: &'static str,
    /// Whether it is forbidden in comments and texts, too, and not only in names.
    is_anywhere: bool,
}

/// Every use of a forbidden word in the sources below these directories, and every name that is a sentence: file, line
/// or name, and the remedy.
pub(crate) fn forbidden(root: &Path, directories: &[&str]) -> Vec<String> {
    let (words, mut found) = (list(), Vec::new());
    let mut files = Vec::new();
    directories.iter().for_each(|directory| sources(&root.join(directory), &mut files));
    assert!(files.len() > 100, "only {} files: the list is not whole", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let at = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        for (number, line) in (1..).zip(text.lines()) {
            let said = |word: &Word| in_words(line, |c| c.is_alphanumeric() || c == '_').any(|said| word.is(&said));
            found.extend(
                words
                    .iter()
                    .filter(|word| word.is_anywhere && said(word))
                    .map(|word| format!("{at}:{number}: `{}`; say {}", word.word, word.instead)),
            );
        }
        let mut names = Names(vec![at.clone()]);
        names.visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("{at}: {error}")));
        for name in names.0 {
            let length = in_words(&spaced(&name), char::is_alphanumeric).count();
            if length > MOST_WORDS {
                found.push(format!("{at}: the name `{name}` has {length} words; at most {MOST_WORDS} say it"));
            }
            let said = |word: &Word| in_words(&spaced(&name), char::is_alphanumeric).any(|said| word.is(&said));
            found.extend(
                words
                    .iter()
                    .filter(|word| said(word))
                    .map(|word| format!("{at}: the name `{name}` has `{}`; say {}", word.word, word.instead)),
            );
        }
    }
    found
}

impl Word {
    /// Whether this is the word, in the singular or the plural.
    fn is(&self, said: &str) -> bool {
        said == self.word || said.strip_suffix('s') == Some(self.word)
    }
}

fn list() -> Vec<Word> {
    let lines = include_str!("words.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (scope, rest) = line.split_once(' ').expect("a scope and a word");
            let (word, instead) = rest.trim_start().split_once(' ').expect("a word and what to say instead");
            Word { word, instead: instead.trim_start(), is_anywhere: scope == "anywhere" }
        })
        .collect()
}

/// The words of a text in lower case.
fn in_words(text: &str, belongs: impl Fn(char) -> bool) -> impl Iterator<Item = String> {
    text.split(move |c| !belongs(c)).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The name with its words apart: `StreamRows`, `stream_rows` and `STREAM_ROWS` are each two.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && text.ends_with(char::is_lowercase) {
            text.push(' ');
        }
        text.push(if c == '_' { ' ' } else { c });
    }
    text
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// The names that a file gives: its own, and those of its items, methods, fields and variants.
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let name = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Mod(item) => &item.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            _ => return visit::visit_item(self, item),
        };
        self.0.push(name.to_string());
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.0.push(item.sig.ident.to_string());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.0.push(item.sig.ident.to_string());
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.0.extend(field.ident.as_ref().map(ToString::to_string));
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.0.push(variant.ident.to_string());
        visit::visit_variant(self, variant);
    }
}
