//! `samepath-server`: the same as `samepath server`.

use std::process::ExitCode;

use clap::Parser;

/// Answers Samepath clients.
#[derive(Parser)]
#[command(name = "samepath-server", version)]
struct Cli {
    #[command(flatten)]
    args: samepath_server::ServerArgs,
}

fn main() -> ExitCode {
    samepath_server::main(Cli::parse().args)
}
