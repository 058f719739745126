//! Exit statuses, and the one place where errors become text.

use std::fmt;
use std::process::ExitCode;

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
    /// Interrupted by a signal of this number, after saying how to go on.
    Interrupted,
}

/// A mistake in the command line or in a file: exit status 2.
#[derive(Debug)]
pub(crate) struct Mistake(pub(crate) String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// Something that this machine cannot do: exit status 77.
#[derive(Debug)]
pub(crate) struct Unsupported(pub(crate) String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Prints an error, if there is one, and gives the status.
pub(crate) fn report(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::Partly) => ExitCode::from(3),
        Ok(Exit::Status(status)) => ExitCode::from(status),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        // Whoever reads the results has closed the pipe, as `head` does: nothing is wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samepath: {error:#}");
            if error.is::<Mistake>() {
                ExitCode::from(2)
            } else if error.is::<Unsupported>() {
                ExitCode::from(77)
            } else {
                ExitCode::from(1)
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
