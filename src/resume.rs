//! `samepath resume`: goes on where a run stopped.

use crate::cli::ResumeArgs;
use crate::exit::Exit;
use crate::{harness, run};

/// Runs the trials that have no record yet, as the run's own experiment file says.
pub(crate) fn resume(args: &ResumeArgs) -> anyhow::Result<Exit> {
    let opened = run::open(&args.run)?;
    let left = harness::order(opened.pending().into_iter().cloned().collect());
    if left.is_empty() {
        eprintln!("the run is complete: {} trials", opened.trials().len());
    }
    harness::check_backend(harness::backend(args.harness.backend), left.iter().map(|trial| &trial.link))?;
    let (whole, finish) = harness::carry_out(opened, left, &args.harness)?;
    run::conclude(&whole, finish, args.harness.json, None)
}
