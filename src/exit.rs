//! Exit statuses, and the one place where errors become text.

use std::process::ExitCode;

use samepath_netem::tell;
use samepath_results::judge::{Judged, Verdict};

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
    /// Done, but some trials are void or failed, or an expectation is inconclusive.
    Partly,
    /// The status of a program that was run for the user.
    Status(u8),
    /// Interrupted by SIGINT or SIGTERM, after saying how to go on.
    Interrupted,
}

impl Exit {
    /// What the verdicts on a run's expectations come to.
    pub(crate) fn of_verdicts<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Exit {
        judged.into_iter().fold(Exit::Done, |exit, one| match one.verdict {
            Verdict::Pass => exit,
            Verdict::Fail => exit.and(Exit::Failed),
            Verdict::Inconclusive { .. } => exit.and(Exit::Partly),
        })
    }

    /// This status and another's together: failed if one is, else partly done if one is.
    pub(crate) fn and(self, other: Exit) -> Exit {
        match (self, other) {
            (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
            (Exit::Partly, _) | (_, Exit::Partly) => Exit::Partly,
            (exit, _) => exit,
        }
    }

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
