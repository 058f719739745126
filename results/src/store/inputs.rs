//! The files that an experiment's conditions name, once in a run directory: `inputs/<SHA-256>`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use samepath_model::experiment::{Experiment, Trial};
use samepath_model::link::files::DIRECTORY;
use samepath_model::link::{Checksum, Inputs};

use super::StoreError;
use super::files::{checksum, write_atomically};

/// What helps where one is missing or damaged.
const REMEDY: &str = "fetch the run again, or put the file there whose SHA-256 is its name (sha256sum tells it)";

/// Where a run keeps them.
pub(super) fn directory(dir: &Path) -> PathBuf {
    dir.join(DIRECTORY)
}

/// The checksums of those that these trials need.
fn needed<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> BTreeSet<Checksum> {
    trials.into_iter().flat_map(|trial| trial.link.inputs()).collect()
}

/// Writes those of the experiment that its trials need.
pub(super) fn write(dir: &Path, experiment: &Experiment) -> Result<(), StoreError> {
    let needed = needed(experiment.trials());
    let under = directory(dir);
    if !needed.is_empty() {
        fs::create_dir_all(&under).map_err(StoreError::io("create", &under))?;
    }
    for checksum in needed {
        let path = under.join(checksum.hex());
        let bytes = experiment.spec().inputs.get(&checksum).ok_or_else(|| broken(&path, "it has not been read"))?;
        write_atomically(&path, bytes)?;
    }
    Ok(())
}

/// Makes sure that those are there, and whole, which these trials need.
pub(super) fn check<'a>(dir: &Path, trials: impl IntoIterator<Item = &'a Trial>) -> Result<(), StoreError> {
    needed(trials).into_iter().try_for_each(|wanted| {
        let path = directory(dir).join(wanted.hex());
        match checksum(&path) {
            Ok(found) if found == wanted.hex() => Ok(()),
            Ok(_) => Err(broken(&path, "it is not the file that its name says")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(broken(&path, "it is missing")),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    })
}

/// Reads those that these trials need.
pub(super) fn read<'a>(dir: &Path, trials: impl IntoIterator<Item = &'a Trial>) -> Result<Inputs, StoreError> {
    let needed = needed(trials);
    let mut inputs = Inputs::default();
    for checksum in needed {
        let path = directory(dir).join(checksum.hex());
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => broken(&path, "it is missing"),
            _ => StoreError::io("read", &path)(error),
        })?;
        if inputs.insert(bytes) != checksum {
            return Err(broken(&path, "it is not the file that its name says"));
        }
    }
    Ok(inputs)
}

fn broken(path: &Path, problem: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), line: None, problem: problem.to_owned(), remedy: REMEDY }
}
