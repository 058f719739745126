//! `samepath link`: any program at the client end of an emulated link.

use samepath_netem::shell::{self, LinkPlan};

use crate::cli::LinkArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::backend;

/// Runs the command across the link; its exit status is ours.
pub(crate) fn link(args: &LinkArgs) -> anyhow::Result<Exit> {
    let link = args.link.spec().resolve().map_err(|error| Mistake(error.to_string()))?;
    if !args.quiet {
        eprintln!("link: {link}");
    }
    let status = shell::run(LinkPlan {
        link,
        seed: args.seed,
        backend: backend(args.backend),
        server_command: args.server_command.clone(),
        command: args.command.clone(),
        ledger: None,
        quiet: args.quiet,
    })?;
    Ok(Exit::Status(u8::try_from(status).unwrap_or(1)))
}
