//! What can be wrong with a run directory, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use samepath_model::experiment::ExperimentError;
use samepath_model::record::RECORD_SCHEMA;

use crate::columns::ColumnError;

/// A run directory that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A new run would go where something is.
    #[error("`{}` is not empty; choose another directory, or go on with what is there: samepath resume {}", .0.display(), .0.display())]
    Occupied(PathBuf),
    /// There is nothing.
    #[error("there is no run at `{}`; give the directory that `samepath run` named", .0.display())]
    Missing(PathBuf),
    /// Something else lies there.
    #[error("`{}` is not a run directory: {problem}; give the directory that `samepath run` named", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What shows it.
        problem: String,
    },
    /// Another version of the program wrote it, in another format.
    #[error("`{}` is of format version {found}, but this program reads version {RECORD_SCHEMA}; {}", path.display(), reader(*found))]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
    },
    /// A file is damaged.
    #[error("`{}`{}: {problem}; {remedy}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1, in a file that has lines.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The experiment cannot be run, so it is not the experiment of a run.
    #[error("`{}`: {cause}", path.display())]
    Experiment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ExperimentError,
    },
    /// A trial that the experiment does not have, or whose name cannot be a directory's.
    #[error("the experiment in `{}` has no trial `{id}`; write only trials of its own matrix", dir.display())]
    UnknownTrial {
        /// The run.
        dir: PathBuf,
        /// The name.
        id: String,
    },
    /// Another process writes to the run.
    #[error("another samepath is writing to `{}`; wait for its end, or stop it", .0.display())]
    Busy(PathBuf),
    /// Another process has written to the run since it was opened.
    #[error("another samepath has written to `{}` since it was read; go on with what is there now: samepath resume {}", .0.display(), .0.display())]
    Changed(PathBuf),
    /// The run has no checksums yet.
    #[error("`{}` has no checksums, as it was not run to its end; go on with: samepath resume {}", .0.display(), .0.display())]
    Unsealed(PathBuf),
    /// Whoever handed over the records could not go on.
    #[error("trial `{id}`: its records broke off: {problem}")]
    Source {
        /// The trial.
        id: String,
        /// What the source said.
        problem: String,
    },
    /// The file system said no.
    #[error("cannot {action} `{}`: {cause}; {}", path.display(), remedy(cause))]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl StoreError {
    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |cause| StoreError::Io { action, path: path.to_owned(), cause }
    }

    /// A Parquet file that could not be read or written.
    pub(crate) fn columns(action: &'static str, path: &Path) -> impl Fn(ColumnError) -> StoreError {
        move |error| {
            let problem = match error {
                ColumnError::Version(found) => return StoreError::Version { path: path.to_owned(), found },
                ColumnError::Parquet(parquet::errors::ParquetError::External(inner)) => {
                    match inner.downcast::<io::Error>() {
                        Ok(cause) => return StoreError::Io { action, path: path.to_owned(), cause: *cause },
                        Err(other) => other.to_string(),
                    }
                }
                other => other.to_string(),
            };
            StoreError::Corrupt { path: path.to_owned(), line: None, problem, remedy: ANEW }
        }
    }

    /// A record file that every trial has is not there.
    pub(crate) fn gone(path: PathBuf) -> StoreError {
        StoreError::Corrupt { path, line: None, problem: "it is missing".into(), remedy: ANEW }
    }
}

/// What helps where a trial's records are damaged.
pub(super) const ANEW: &str =
    "fetch the run again, use the samepath that wrote it, or run the trial anew in another directory";

/// Which program reads a format that this one does not.
const fn reader(version: u32) -> &'static str {
    if version > RECORD_SCHEMA {
        "use a newer samepath"
    } else {
        "use the samepath that wrote it, or run its experiment again: samepath run RUN/experiment.toml"
    }
}

/// What helps against an error of the file system.
fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull => "free some space or choose a directory on another disk; nothing half-written was left",
        Kind::QuotaExceeded => {
            "free some of your quota or choose a directory on another disk; nothing half-written was left"
        }
        Kind::ReadOnlyFilesystem => "choose a directory on a disk that can be written",
        Kind::PermissionDenied => "choose a directory that you may write, or change its owner or mode",
        Kind::NotFound => "check the path",
        Kind::IsADirectory => "name a file, not a directory",
        Kind::NotADirectory => "a part of the path is a file; choose another directory",
        _ => "check the disk, or choose another directory",
    }
}
