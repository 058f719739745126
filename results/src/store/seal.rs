//! Checksums: whether the records are still what was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use samepath_model::link::files::DIRECTORY;

use super::StoreError;
use super::files::checksum;
use super::names::{EXPERIMENT, TRIAL_LINES, TRIALS};
use super::trial::PARTIAL;

/// A file that is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its path in the run directory.
    pub path: String,
    /// What is the matter.
    pub kind: DifferenceKind,
}

/// How a file differs from what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Its content is another.
    Changed,
    /// It is gone.
    Missing,
    /// It was not there.
    Added,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DifferenceKind::Changed => "was changed",
            DifferenceKind::Missing => "is missing",
            DifferenceKind::Added => "was added",
        };
        write!(f, "`{}` {what} since the run was sealed", self.path)
    }
}

/// Checksum of every record file, by its path in the run directory. Report, charts and tables are
/// left out: they can be drawn again. So is what a killed run left half-written.
pub(super) fn checksums(dir: &Path) -> Result<BTreeMap<String, String>, StoreError> {
    let mut sums = BTreeMap::new();
    for name in [EXPERIMENT, TRIAL_LINES] {
        if dir.join(name).exists() {
            add(dir, name.to_owned(), &mut sums)?;
        }
    }
    for name in [DIRECTORY, TRIALS] {
        if dir.join(name).exists() {
            walk(dir, name, &mut sums)?;
        }
    }
    Ok(sums)
}

/// What differs between two sets of checksums, by path.
pub(super) fn differences(sealed: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<Difference> {
    let mut differences: Vec<_> = sealed
        .iter()
        .filter_map(|(path, sum)| {
            let kind = match found.get(path) {
                None => DifferenceKind::Missing,
                Some(other) if other != sum => DifferenceKind::Changed,
                Some(_) => return None,
            };
            Some(Difference { path: path.clone(), kind })
        })
        .collect();
    let added = found.keys().filter(|path| !sealed.contains_key(*path));
    differences.extend(added.map(|path| Difference { path: path.clone(), kind: DifferenceKind::Added }));
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences
}

fn walk(dir: &Path, under: &str, sums: &mut BTreeMap<String, String>) -> Result<(), StoreError> {
    let path = dir.join(under);
    let wrong = || StoreError::io("read", &path);
    for entry in fs::read_dir(&path).map_err(wrong())? {
        let entry = entry.map_err(wrong())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(wrong())?;
        if name.ends_with(PARTIAL) {
            continue;
        }
        let inner = format!("{under}/{name}");
        if kind.is_dir() {
            walk(dir, &inner, sums)?;
        } else if kind.is_file() {
            add(dir, inner, sums)?;
        }
    }
    Ok(())
}

fn add(dir: &Path, name: String, sums: &mut BTreeMap<String, String>) -> Result<(), StoreError> {
    let path = dir.join(&name);
    let sum = checksum(&path).map_err(StoreError::io("read", &path))?;
    sums.insert(name, sum);
    Ok(())
}
