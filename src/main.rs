//! The one command. Each verb is a file of its own; this one sends them off and decides the exit status.
//!
//! The verbs `link` and `__trial` make namespaces, which a process may only do while it has one
//! thread: so nothing is started here, no runtime and no logger thread, before the verb is known.

#![warn(clippy::print_stdout)] // it panics where it cannot write: results go by `output`

mod attempts;
mod builtin;
mod cli;
mod compare;
mod doctor;
mod exit;
mod explain;
mod failed;
mod harness;
mod junit;
mod link;
mod list;
mod merge;
mod output;
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
use samepath_model::Workload;
use samepath_model::arm::Arm;
use samepath_model::record::MessageRecord;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are results; clap itself takes no notice where they cannot be written.
        Err(asked) if !asked.use_stderr() => return exit::report(Exit::Done.after(output::help(&asked))),
        Err(wrong) => wrong.exit(),
    };
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
        Verb::Client(args) => return samepath_client::main(*args, score),
        Verb::Attempt { backend } => link::attempt(backend),
        Verb::Trial { plan } => return samepath_netem::trial::main(&plan),
        Verb::Completions { shell } => {
            // The generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "samepath", &mut script);
            Exit::Done.after(output::print(String::from_utf8_lossy(&script)))
        }
    };
    exit::report(result)
}

/// What the user of a session's workload felt.
fn score(workload: &Workload, arm: Arm, seed: u64, messages: &[MessageRecord]) -> Vec<samepath_client::Figure> {
    let figures = samepath_results::session::score(workload, arm, seed, messages).into_iter();
    figures.map(|figure| (figure.name, figure.words, figure.value)).collect()
}
