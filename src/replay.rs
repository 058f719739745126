//! `samepath replay`: a run once more as it was recorded, and whether anything changed.

use std::collections::HashSet;

use samepath_netem::backend::Backend;
use samepath_results::{Run, manifest::Manifest};

use crate::cli::{HarnessArgs, ReplayArgs};
use crate::exit::{Exit, Mistake};
use crate::run::Told;
use crate::{harness, run};

/// Runs the trials that a run recorded, into a run of their own, and compares the two.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let recorded = run::open(&args.run)?;
    if recorded.trials().is_empty() {
        let dir = args.run.display();
        return Err(
            Mistake(format!("{dir} has no trials to run again; go on with it by: samepath resume {dir}")).into()
        );
    }
    let harness = HarnessArgs { backend: backend(recorded.manifest(), args.harness.backend), ..args.harness.clone() };
    let ended: HashSet<_> = recorded.trials().iter().map(|record| &record.trial.id).collect();
    let trials = recorded.planned().iter().filter(|trial| ended.contains(&trial.id)).cloned().collect();
    let trials = harness::order(trials);
    harness::check(&harness, &trials)?;
    let experiment = recorded.experiment_with_inputs()?;
    drop(recorded); // Its records are read again, once there is something to compare them with.
    let dir = args.out.clone().unwrap_or_else(|| run::default_directory(&experiment));
    let again = Run::create(&dir, &experiment, harness::manifest(&experiment, &harness))?;
    let (again, finish) = harness::carry_out(again, trials, &harness)?;
    let earlier = run::open(&args.run)?;
    run::conclude(&again, finish, &Told { json: harness.json, junit: None, earlier: Some(&earlier) })
}

/// What carried the packets then, unless something else is asked for now.
fn backend(manifest: &Manifest, asked: Backend) -> Backend {
    let then = manifest.backend.as_deref().and_then(|name| name.parse().ok());
    if asked == Backend::Auto { then.unwrap_or_default() } else { asked }
}
