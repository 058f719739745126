//! The verdicts on a run's expectations as plain text, for the terminal.

use std::fmt::Write as _;

use crate::analysis::Analysis;
use crate::judge::{Judged, Verdict};

/// Each expectation with what was found, and how many hold; nothing where the experiment has none.
pub fn render(analysis: &Analysis<'_>) -> String {
    let judged = analysis.judged();
    if judged.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nExpectations\n");
    for one in judged {
        let _ = writeln!(text, "  {:<14}{}: {}", mark(one.verdict), one.of, one.claim);
        let _ = writeln!(text, "  {:<14}found {}", "", one.words);
        if let Verdict::Inconclusive { reason } = one.verdict {
            let _ = writeln!(text, "  {:<14}{reason}", "");
        }
    }
    text + &tally(judged) + "\n"
}

/// The verdict as it catches the eye.
fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "FAIL",
        verdict => verdict.name(),
    }
}

/// How many expectations hold, in a sentence.
pub(crate) fn tally(judged: &[Judged]) -> String {
    let count = |is: fn(Verdict) -> bool| judged.iter().filter(|one| is(one.verdict)).count();
    let (pass, fail) = (count(|v| v == Verdict::Pass), count(|v| v == Verdict::Fail));
    let open = count(Verdict::is_inconclusive);
    let mut text = format!("{pass} of {} expectations hold", judged.len());
    if fail > 0 {
        let _ = write!(text, ", {fail} {} not", if fail == 1 { "does" } else { "do" });
    }
    if open > 0 {
        let _ = write!(text, ", {open} {} inconclusive", if open == 1 { "is" } else { "are" });
    }
    text + "."
}
