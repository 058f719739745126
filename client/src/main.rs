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
    // What a user felt is the command's to tell.
    samepath_client::main(Cli::parse().args, |_, _, _, _| Vec::new())
}
