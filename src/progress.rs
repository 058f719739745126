//! Progress on stderr: a bar where a person watches, a line a trial where a log does.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use samepath_model::record::{Outcome, TrialRecord};
use samepath_netem::tell;

/// How far the run is.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether each trial gets a line of its own.
    lines: bool,
    total: u64,
}

impl Progress {
    /// Of so many trials. With `quiet`, nothing is shown.
    pub(crate) fn new(total: usize, quiet: bool) -> Progress {
        let watched = std::io::stderr().is_terminal();
        let bar = if watched && !quiet { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} trials, {eta} left  {wide_msg}")
            .expect("the template is fixed and sound");
        bar.set_style(style);
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
        Progress { bar, lines: !watched && !quiet, total: total as u64 }
    }

    /// A trial has begun.
    pub(crate) fn begin(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A trial has ended.
    pub(crate) fn end(&self, record: &TrialRecord) {
        self.bar.inc(1);
        let (id, at) = (&record.trial.id, self.bar.position());
        let trouble = match &record.outcome {
            Outcome::Done => None,
            Outcome::Void { reasons } => Some(format!("void: {}", reasons.join("; "))),
            Outcome::Failed { step, error } => {
                let evidence = record.evidence.as_ref().map(|dir| format!("; evidence in {dir}")).unwrap_or_default();
                Some(format!("failed ({step}): {error}{evidence}"))
            }
        };
        match trouble {
            Some(trouble) if self.lines => tell!("[{at}/{}] {id}: {trouble}", self.total),
            Some(trouble) => self.bar.println(format!("{id}: {trouble}")),
            None if self.lines => tell!("[{at}/{}] {id}: {:.1} s", self.total, record.wall_ms / 1000.0),
            None => {}
        }
    }

    /// The run is over, or interrupted.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
