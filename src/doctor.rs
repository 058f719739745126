//! `samepath doctor`: what this machine can and cannot do.

use samepath_netem::probe::{self, Status};

use crate::cli::DoctorArgs;
use crate::exit::Exit;

/// Prints each finding with its remedy; fails where the main job cannot run.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let findings = probe::all();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            let mark = match finding.status {
                Status::Ok => "ok  ",
                Status::Warn => "warn",
                Status::Lack => "lack",
            };
            println!("{mark}  {:<24} {}", finding.name, finding.found);
            if let Some(remedy) = &finding.remedy {
                println!("      {:<24} remedy: {remedy}", "");
            }
        }
    }
    Ok(if findings.iter().any(|finding| finding.status == Status::Lack) { Exit::Failed } else { Exit::Done })
}
