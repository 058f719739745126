//! Verdicts as JUnit XML, which continuous integration reads.
//!
//! A failed expectation is a failure, an inconclusive one is skipped with its reason: never passed.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use samepath_results::judge::{Judged, Verdict};
use samepath_results::store;

use crate::exit::Mistake;

/// The file that is to have the verdicts.
pub(crate) struct JunitFile(PathBuf);

impl JunitFile {
    /// The file at this path, if one is asked for.
    ///
    /// # Errors
    /// Where it could not be written, before anything is run.
    pub(crate) fn asked(path: Option<&Path>) -> anyhow::Result<Option<JunitFile>> {
        let Some(path) = path else { return Ok(None) };
        store::check_named(path).map_err(|error| Mistake(format!("--junit: {error}")))?;
        Ok(Some(JunitFile(path.to_owned())))
    }

    /// The same for a run that has to expect something: a file of no verdicts would pass everywhere.
    ///
    /// # Errors
    /// As there, and where nothing is expected.
    pub(crate) fn asked_of(path: Option<&Path>, expects: bool) -> anyhow::Result<Option<JunitFile>> {
        if path.is_some() && !expects {
            let mistake = "--junit: the experiment expects nothing, so the file would have no verdict; add an [[expect]] \
                           to it (docs/experiments.md), or leave --junit out";
            return Err(Mistake(mistake.into()).into());
        }
        JunitFile::asked(path)
    }

    /// Writes the verdicts, whole or not at all; `again` is the command by which they can be written later.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, suites: &[Suite], again: &str) -> anyhow::Result<()> {
        let xml = xml(suites).context("the verdicts have no form in XML")?;
        store::write_named(&self.0, xml.as_bytes())
            .with_context(|| format!("the verdicts are not written; when the cause is mended: {again}"))
    }
}

/// Verdicts that belong together.
pub(crate) struct Suite {
    /// Of a run or of a check, its name.
    pub(crate) name: String,
    /// The verdicts.
    pub(crate) cases: Vec<Case>,
}

/// A verdict with its words.
pub(crate) struct Case {
    /// What groups it with others of its suite.
    pub(crate) class: String,
    /// What was expected.
    pub(crate) name: String,
    /// What was found.
    pub(crate) found: String,
    /// What is made of it.
    pub(crate) verdict: Verdict,
}

impl Suite {
    /// Of a run's expectations.
    pub(crate) fn of(name: &str, judged: &[Judged]) -> Suite {
        let case = |one: &Judged| Case {
            class: one.cell.as_ref().map_or_else(|| name.to_owned(), |cell| format!("{name}.{}", cell.part)),
            name: format!("{}: {}", one.of, one.claim),
            found: format!("found {}", one.words),
            verdict: one.verdict,
        };
        Suite { name: name.to_owned(), cases: judged.iter().map(case).collect() }
    }
}

fn xml(suites: &[Suite]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("samepath");
    report.add_test_suites(suites.iter().map(|suite| {
        let mut told = TestSuite::new(suite.name.as_str());
        told.add_test_cases(suite.cases.iter().map(case));
        told
    }));
    report.to_string()
}

fn case(case: &Case) -> TestCase {
    let status = match case.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(case.found.as_str()).set_type("expectation");
            status
        }
        Verdict::Inconclusive { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("inconclusive: {reason} ({})", case.found));
            status
        }
    };
    let mut told = TestCase::new(case.name.as_str(), status);
    told.set_classname(case.class.as_str());
    if case.verdict == Verdict::Pass {
        told.set_system_out(case.found.as_str());
    }
    told
}

#[cfg(test)]
mod tests {
    use samepath_results::judge::Reason;

    use super::*;

    #[test]
    fn an_inconclusive_verdict_is_skipped_and_never_passed() {
        let case = |name: &str, verdict| Case {
            class: "x.messages".into(),
            name: name.into(),
            found: "found 3 < 4 & \"more\"".into(),
            verdict,
        };
        let open = Verdict::inconclusive(Reason::TooFewSeeds { n: 3, needed: 6 });
        let cases = vec![case("one", Verdict::Pass), case("two", Verdict::Fail), case("three", open)];
        let xml = xml(&[Suite { name: "x".into(), cases }]).unwrap();
        assert!(xml.contains(r#"tests="3" skipped="1" errors="0" failures="1""#), "{xml}");
        assert!(xml.contains("<skipped message=\"inconclusive: too few seeds: 3, and it takes 6"), "{xml}");
        assert!(xml.contains("found 3 &lt; 4 &amp; &quot;more&quot;"), "{xml}");
    }
}
