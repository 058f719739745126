//! The one command. Each verb is a file of its own; this one sends them off and decides the exit status.
//!
//! The verbs `link` and `__trial` make namespaces, which a process may only do while it has one
//! thread: so nothing is started here, no runtime and no logger thread, before the verb is known.

mod builtin;
mod cli;
mod compare;
mod doctor;
mod exit;
mod explain;
mod failed;
mod harness;
mod link;
mod list;
mod merge;
mod progress;
mod replay;
mod report;
mod resume;
mod run;
mod shard;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Verb};
use exit::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Resume(args) => resume::resume(&args),
        Verb::Replay(args) => replay::replay(&args),
        Verb::Report(args) => report::report(&args),
        Verb::Compare(args) => compare::compare(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Merge(args) => merge::merge(&args),
        Verb::Validate(args) => validate::validate(&args),
        Verb::List(args) => list::list(&args),
        Verb::Link(args) => link::link(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Server(args) => return samepath_server::main(args),
        Verb::Client(args) => return samepath_client::main(*args),
        Verb::Netem => samepath_netem::backend::kernel::supported()
            .map(|()| Exit::Done)
            .map_err(|error| exit::Unsupported(error.to_string()).into()),
        Verb::Trial { plan } => return samepath_netem::trial::main(&plan),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "samepath", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    };
    exit::report(result)
}
