//! Exit statuses, and the one place where errors become text.

use std::process::ExitCode;

use samepath_netem::tell;

use crate::output::OutputError;

/// What errors begin with on stderr.
pub(crate) const SAID_BY: &str = "samepath: ";
/// The status of what this machine cannot do.
pub(crate) const UNSUPPORTED: u8 = 77;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// It failed, and what failed has been said.
    Failed,
    /// Done, but some trials are void or failed.
    Partly,
    /// The status of a program that was run for the user.
    Status(u8),
    /// Interrupted by SIGINT or SIGTERM, after saying how to go on.
    Interrupted,
}

impl Exit {
    /// This status, now that the results are written. A reader that has gone takes nothing from it: what
    /// the command found is as true as before.
    ///
    /// # Errors
    /// Where the results could not be written for any other reason.
    pub(crate) fn after(self, written: Result<(), OutputError>) -> anyhow::Result<Exit> {
        match written {
            Ok(()) | Err(OutputError::ReaderGone) => Ok(self),
            Err(error) => Err(error.into()),
        }
    }
}

/// A mistake in the command line or in a file: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Mistake(pub(crate) String);

/// Something that this machine cannot do: exit status [`UNSUPPORTED`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsupported(pub(crate) String);

/// Prints an error, if there is one, and gives the status.
pub(crate) fn report(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::Partly) => ExitCode::from(3),
        Ok(Exit::Status(status)) => ExitCode::from(status),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        // Whoever reads the results has seen enough, before the command had more to say: nothing is wrong.
        Err(error) if matches!(error.downcast_ref(), Some(OutputError::ReaderGone)) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("{SAID_BY}{error:#}");
            if error.is::<Mistake>() {
                ExitCode::from(2)
            } else if error.is::<Unsupported>() {
                ExitCode::from(UNSUPPORTED)
            } else {
                ExitCode::from(1)
            }
        }
    }
}
