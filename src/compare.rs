//! `samepath compare`: did anything change between two runs.

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::run;

/// Compares two runs cell by cell.
pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    let (before, after) = (run::open(&args.before)?, run::open(&args.after)?);
    let comparison = samepath_results::compare::compare(&before, &after)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        print!("{}", comparison.render());
    }
    Ok(Exit::Done)
}
