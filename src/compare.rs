//! `samepath compare`: did anything change between two runs.

use samepath_results::{Analysis, compare};

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::{output, run};

/// Compares two runs cell by cell.
pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    let (before, after) = (run::open(&args.before)?, run::open(&args.after)?);
    let comparison = compare::compare(&Analysis::of(&before), &Analysis::of(&after));
    Exit::Done.after(if args.json { output::json(&comparison) } else { output::print(comparison.render()) })
}
