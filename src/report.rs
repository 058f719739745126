//! `samepath report`: draws again, from the records alone.

use anyhow::Context;
use samepath_netem::tell;
use samepath_results::{Analysis, report, table};

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::{output, run};

/// Draws the report of each run and prints its table and path.
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let (mut sound, mut written) = (true, Ok(()));
    for dir in &args.runs {
        let opened = run::open(dir)?;
        if args.verify {
            for difference in opened.verify()? {
                tell!("{}: {difference}", dir.display());
                sound = false;
            }
        }
        // What was measured is printed though the report cannot be drawn.
        let analysis = Analysis::of(&opened);
        written = written.and_then(|()| output::print(table::render(&analysis)));
        let page = report::draw(&analysis).with_context(|| format!("cannot draw {}", dir.display()))?;
        written = written.and_then(|()| output::line(format_args!("report: {}", page.display())));
    }
    // Every run is drawn and verified, whether anybody reads of it or not.
    if sound { Exit::Done } else { Exit::Failed }.after(written)
}
