//! `samepath link`: any program at the client end of an emulated link.

use std::path::{Path, PathBuf};

use anyhow::Context;
use samepath_netem::ledger;
use samepath_netem::shell::{self, LinkPlan};
use samepath_netem::trial::Backend;

use crate::cli::LinkArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::backend;

/// Runs the command across the link; its exit status is ours.
pub(crate) fn link(args: &LinkArgs) -> anyhow::Result<Exit> {
    let link = args.link.spec().resolve().map_err(|error| Mistake(error.to_string()))?;
    let backend = backend(args.backend);
    if args.ledger.is_some() && backend == Backend::None {
        return Err(Mistake("a bare cable keeps no ledger; leave out `--backend none` or `--ledger`".into()).into());
    }
    let spool = args.ledger.as_deref().map(Spool::beside).transpose()?;
    if !args.quiet {
        eprintln!("link: {link}");
    }
    let status = shell::run(LinkPlan {
        link,
        seed: args.seed,
        backend,
        server_command: args.server_command.clone(),
        command: args.command.clone(),
        ledger: spool.as_ref().map(|spool| spool.path.clone()),
        quiet: args.quiet,
    })?;
    if let Some(spool) = spool {
        spool.keep()?;
    }
    Ok(Exit::Status(u8::try_from(status).unwrap_or(1)))
}

/// Where the ledger is kept while the link is up; made beforehand, so that a place that cannot be
/// written is known before the command has run.
struct Spool {
    /// Removed with this value.
    _dir: tempfile::TempDir,
    path: PathBuf,
    target: PathBuf,
}

impl Spool {
    fn beside(target: &Path) -> anyhow::Result<Spool> {
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = tempfile::Builder::new()
            .prefix(".samepath-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot write the ledger in {}", parent.display()))?;
        Ok(Spool { path: dir.path().join("ledger.spool"), _dir: dir, target: target.to_owned() })
    }

    /// Writes the Parquet file. Times count from the first packet.
    fn keep(self) -> anyhow::Result<()> {
        let first =
            ledger::read(&self.path, 0)?.map(|packet| packet.map(|packet| packet.arrived)).next().transpose()?;
        let epoch = first.map_or(0, i64::unsigned_abs);
        samepath_results::store::write_ledger(&self.target, "link", epoch, ledger::read(&self.path, epoch)?)
            .with_context(|| format!("cannot write the ledger {}", self.target.display()))
    }
}
