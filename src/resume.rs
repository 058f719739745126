//! `samepath resume`: goes on where a run stopped.

use std::collections::HashSet;

use samepath_netem::tell;

use crate::cli::ResumeArgs;
use crate::exit::Exit;
use crate::junit::JunitFile;
use crate::run::Told;
use crate::shard::Shard;
use crate::{attempts, harness, run};

/// Runs the trials that have no record yet, as the run's own experiment file says, and those again that the machine
/// voided and that have not had all their attempts.
pub(crate) fn resume(args: &ResumeArgs) -> anyhow::Result<Exit> {
    let opened = run::open(&args.run)?;
    let junit = JunitFile::asked_of(args.verdicts.junit.as_deref(), !opened.expectations().is_empty())?;
    let mut left: Vec<_> = opened.pending().into_iter().cloned().collect();
    if let Some(shard) = Shard::of_run(opened.manifest()) {
        let own: HashSet<_> = shard.take(opened.planned()).into_iter().map(|trial| trial.id).collect();
        left.retain(|trial| own.contains(&trial.id));
    }
    let left = harness::order(left);
    let due = attempts::due(&opened, args.harness.retries);
    let to_run: Vec<_> = left.iter().cloned().chain(due.into_iter().map(|attempt| attempt.trial)).collect();
    if to_run.is_empty() {
        tell!("the run is complete: {} trials", opened.trials().len());
    }
    harness::check(&args.harness, &to_run)?;
    opened.check_inputs(&to_run)?;
    let (whole, finish) = harness::carry_out(opened, left, &args.harness)?;
    run::conclude(&whole, finish, &Told { json: args.harness.json, junit, earlier: None })
}
