//! `samepath resume`: goes on where a run stopped.

use std::collections::HashSet;

use samepath_netem::tell;

use crate::cli::ResumeArgs;
use crate::exit::Exit;
use crate::shard::Shard;
use crate::{harness, run};

/// Runs the trials that have no record yet, as the run's own experiment file says.
pub(crate) fn resume(args: &ResumeArgs) -> anyhow::Result<Exit> {
    let opened = run::open(&args.run)?;
    let mut left: Vec<_> = opened.pending().into_iter().cloned().collect();
    if let Some(shard) = Shard::of_run(opened.manifest()) {
        let own: HashSet<_> = shard.take(opened.planned()).into_iter().map(|trial| trial.id).collect();
        left.retain(|trial| own.contains(&trial.id));
    }
    let left = harness::order(left);
    if left.is_empty() {
        tell!("the run is complete: {} trials", opened.trials().len());
    }
    harness::check(&args.harness, &left)?;
    let (whole, finish) = harness::carry_out(opened, left, &args.harness)?;
    run::conclude(&whole, finish, args.harness.json, None)
}
