//! Charts and page, drawn from made-up records: whole, legible, self-contained, and honest where
//! there is nothing to show.

mod carried;
mod chart;
mod page;
mod svg;
mod synthetic;

use std::sync::OnceLock;

use samepath_results::Run;
use tempfile::TempDir;

/// The lab's own experiment, made up once for all tests that only read it.
fn whole() -> &'static Run {
    static RUN: OnceLock<(TempDir, Run)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let run = synthetic::run(&dir.path().join("run"), synthetic::HEAD_OF_LINE, synthetic::all_done);
        (dir, run)
    });
    run
}
