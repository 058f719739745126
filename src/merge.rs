//! `samepath merge`: joins the shards of one experiment into one run.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use samepath_netem::tell;
use samepath_results::Run;

use crate::cli::MergeArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::Finish;
use crate::run::{self, Told};
use crate::shard::Shard;

/// Copies the trials of every shard into a new run, and draws its report.
pub(crate) fn merge(args: &MergeArgs) -> anyhow::Result<Exit> {
    let shards: Vec<Run> = args.runs.iter().map(|dir| run::open(dir)).collect::<anyhow::Result<_>>()?;
    let first = &shards[0];
    for other in &shards[1..] {
        if other.experiment() != first.experiment() {
            return Err(Mistake(format!(
                "{} and {} are of different experiments; only shards of one can be joined",
                first.dir().display(),
                other.dir().display()
            ))
            .into());
        }
    }
    let mut manifest = first.manifest().clone();
    Shard::forget(&mut manifest);
    let mut whole = Run::create(&args.out, &first.experiment_with_inputs()?, manifest)?;
    for shard in &shards {
        copy(shard, &mut whole).with_context(|| format!("cannot join {}", shard.dir().display()))?;
    }
    let left = whole.pending().len();
    if left > 0 {
        tell!("{left} trials of the experiment are in none of the shards");
    }
    run::conclude(&whole, Finish::Complete, &Told::default())
}

fn copy(shard: &Run, whole: &mut Run) -> anyhow::Result<()> {
    for record in shard.trials() {
        let id = &record.trial.id;
        if whole.trial(id).is_some() {
            bail!("trial {id} is in more than one shard; which of them counts is not for this command to say");
        }
    }
    // Those that others followed come before them, as they did.
    for record in shard.earlier_attempts().iter().chain(shard.trials()) {
        let from = shard.directory(record);
        if from.is_dir() {
            let writer = whole.begin_attempt(&record.trial.id, record.attempt)?;
            copy_files(&from, writer.dir())?;
            writer.finish()?;
        }
        whole.append(record)?;
    }
    Ok(())
}

/// Copies what is in a directory, the evidence of a failed trial in its own included.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if from.is_dir() {
            fs::create_dir_all(&to)?;
            copy_files(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}
