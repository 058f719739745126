//! `samepath report`: draws again, from the records alone.

use anyhow::Context;
use samepath_netem::tell;
use samepath_results::{Analysis, Run, report, table, verdicts};

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::junit::{JunitFile, Suite};
use crate::{output, run};

/// Draws the report of each run and prints its table, its verdicts and its path.
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let junit = junit(args)?;
    let (mut exit, mut written) = (Exit::Done, Ok(()));
    let (mut documents, mut suites) = (Vec::new(), Vec::new());
    for dir in &args.runs {
        let opened = run::open(dir)?;
        if args.verify {
            for difference in opened.verify()? {
                tell!("{}: {difference}", dir.display());
                exit = Exit::Failed;
            }
        }
        let analysis = Analysis::of(&opened);
        exit = exit.and(Exit::of_verdicts(analysis.judged()));
        // What was measured is printed though the report cannot be drawn.
        if !args.json {
            let text = format!("{}{}", table::render(&analysis), verdicts::render(&analysis));
            written = written.and_then(|()| output::print(text));
        }
        let page = report::draw(&analysis).with_context(|| format!("cannot draw {}", dir.display()))?;
        if args.json {
            documents.push(serde_json::json!({
                "run": opened.dir(), "report": page, "expectations": analysis.judged(), "uses": analysis.uses(),
            }));
        } else {
            written = written.and_then(|()| output::line(format_args!("report: {}", page.display())));
        }
        suites.push(Suite::of(&name(&opened, args), analysis.judged()));
    }
    if args.json {
        written = output::json(&documents);
    }
    if let Some(junit) = junit {
        junit.write(&suites, "run this command again")?;
    }
    // Every run is drawn and verified, whether anybody reads of it or not.
    exit.after(written)
}

/// The file that is to have the verdicts, if one was asked for.
fn junit(args: &ReportArgs) -> anyhow::Result<Option<JunitFile>> {
    let Some(path) = &args.verdicts.junit else { return Ok(None) };
    let mut expects = false;
    for dir in &args.runs {
        expects |= !run::open(dir)?.expectations().is_empty();
    }
    JunitFile::asked_of(Some(path), expects)
}

/// What tells a run's verdicts from those of the others.
fn name(run: &Run, args: &ReportArgs) -> String {
    let name = &run.experiment().spec().name;
    match (args.runs.len(), run.dir().file_name()) {
        (2.., Some(dir)) => format!("{name} ({})", dir.to_string_lossy()),
        _ => name.clone(),
    }
}
