//! `samepath doctor`: what this machine can and cannot do.

use samepath_netem::probe::{self, Finding, Status};

use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::output::{self, OutputError};

/// Prints each finding with its remedy; fails where the main job cannot run.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let findings = probe::all();
    let written = if args.json { output::json(&findings) } else { findings.iter().try_for_each(show) };
    let exit = if findings.iter().any(|finding| finding.status == Status::Lack) { Exit::Failed } else { Exit::Done };
    exit.after(written)
}

fn show(finding: &Finding) -> Result<(), OutputError> {
    let mark = match finding.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Lack => "lack",
    };
    output::line(format_args!("{mark}  {:<24} {}", finding.name, finding.found))?;
    match &finding.remedy {
        Some(remedy) => output::line(format_args!("      {:<24} remedy: {remedy}", "")),
        None => Ok(()),
    }
}
