//! The places that match on what an arm is made of, where its row could be asked.

use std::path::Path;

use syn::visit::{self, Visit};

use crate::modules::{attributes, is_for_tests, leaves, sources};

/// Columns of an arm's row that others than those who make connections have no business to match on.
const COLUMNS: [&str; 2] = ["Transport", "Mapping"];

/// Where a crate, whose root file lies in this directory, names a transport or a mapping in a pattern or in `matches!`,
/// or imports one, after which a pattern might: the file, and what it names. Code for tests is left out.
pub(crate) fn matched(directory: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for source in sources(directory) {
        let mut reader = Reader::default();
        reader.visit_file(&source.syntax);
        all.extend(reader.found.into_iter().map(|named| (source.file.display().to_string(), named)));
    }
    all
}

/// Collects what patterns name.
#[derive(Debug, Default)]
struct Reader {
    is_in_pattern: bool,
    found: Vec<String>,
}

impl Reader {
    fn note(&mut self, path: &[String], takes_all: bool) {
        let column = path.iter().position(|part| COLUMNS.contains(&part.as_str()));
        if column.is_some_and(|place| takes_all || place + 1 < path.len()) {
            self.found.push(path.join("::"));
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (path, name) in leaves(&item.tree) {
            self.note(&path, name.is_none());
        }
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        let was = std::mem::replace(&mut self.is_in_pattern, true);
        visit::visit_pat(self, pattern);
        self.is_in_pattern = was;
    }

    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        // A guard, which may well ask.
        let was = std::mem::replace(&mut self.is_in_pattern, false);
        visit::visit_expr(self, expression);
        self.is_in_pattern = was;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if self.is_in_pattern {
            let path: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&path, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let text: String = item.tokens.to_string().split_whitespace().collect();
        if item.path.is_ident("matches") && COLUMNS.iter().any(|column| text.contains(&format!("{column}::"))) {
            self.found.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_on_a_transport_is_found() {
        let found = |text: &str| {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("lib.rs"), text).unwrap();
            matched(directory.path()).into_iter().map(|(_, named)| named).collect::<Vec<_>>()
        };
        let all =
            "fn f(t: Transport) -> u8 { match t { arm::Transport::Tcp => 1, _ if t == Transport::Udp => 2, _ => 3 } }";
        assert_eq!(found(all), ["arm::Transport::Tcp"]);
        assert_eq!(found("fn f(m: Mapping) { if let (1, Mapping::Shared) = (1, m) {} }"), ["Mapping::Shared"]);
        assert_eq!(found("fn f(t: Transport) -> bool { matches!(t, Transport::Tls) }"), ["t,Transport::Tls"]);
        assert_eq!(
            found("use arm::Transport::{self, Quic}; use arm::Mapping::*;"),
            ["arm::Transport::Quic", "arm::Mapping"]
        );
        assert!(found("use arm::{Mapping, Transport}; const T: Transport = Transport::Tcp;").is_empty());
        assert!(found("#[cfg(test)] mod tests { fn f() { let Transport::Tcp = t else { return }; } }").is_empty());
    }
}
