//! `samepath-client`: the same as `samepath client`.

use std::process::ExitCode;

use clap::Parser;

/// Runs a workload against a Samepath server.
#[derive(Parser)]
#[command(name = "samepath-client", version)]
struct Cli {
    #[command(flatten)]
    args: samepath_client::ClientArgs,
}

fn main() -> ExitCode {
    samepath_client::main(Cli::parse().args)
}
