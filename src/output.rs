//! Standard output: results, and nothing else, by one way.
//!
//! `print!` panics where it cannot write. Here a failure is an error of a type of its own, so that a
//! reader that has gone is told apart from a connection that broke anywhere else in the program.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Results that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Whoever reads them has closed the pipe, as `head` does when it has seen enough.
    #[error("nobody reads standard output any more")]
    ReaderGone,
    /// Anything else, as a disk that is full.
    #[error("cannot write to standard output: {0}; the results there are not whole")]
    Failed(io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> OutputError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
            _ => OutputError::Failed(error),
        }
    }
}

/// Writes the text as it is.
///
/// # Errors
/// Where not all of it could be written.
pub(crate) fn print(text: impl Display) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes the text and ends the line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn line(text: impl Display) -> Result<(), OutputError> {
    print(format_args!("{text}\n"))
}

/// Writes what was asked of the command line's own reader: help, or the version; in colour on a terminal.
///
/// # Errors
/// As [`print()`].
pub(crate) fn help(asked: &clap::Error) -> Result<(), OutputError> {
    asked.print()?;
    Ok(io::stdout().flush()?)
}

/// Writes a document for programs.
///
/// # Errors
/// As [`print()`].
pub(crate) fn json(document: &impl Serialize) -> Result<(), OutputError> {
    let text = serde_json::to_string_pretty(document).map_err(|error| OutputError::Failed(error.into()))?;
    line(text)
}
