//! Progress on stderr: a bar where a person watches, a line a trial where a log does.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::void::in_words;
use samepath_model::{Trial, TrialId, Workload};
use samepath_netem::tell;

use crate::attempts::Attempt;

/// What a trial takes beside its schedule, until a trial has shown it: namespaces, probes, connecting, draining.
const AROUND: Duration = Duration::from_secs(1);

/// How far the run is.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether each trial gets a line of its own.
    lines: bool,
    total: u64,
    left: Arc<Mutex<(TimeLeft, Instant)>>,
}

/// How long the trials that are left will take: as planned, until those that ended show how plans turn out.
#[derive(Debug, Clone, Copy)]
struct TimeLeft {
    /// Planned time of the trials that have not ended.
    planned: Duration,
    /// Planned time of those that have, and how long they took.
    ended: (Duration, Duration),
    /// Trials at the same time.
    jobs: usize,
}

impl TimeLeft {
    fn new<'a>(trials: impl IntoIterator<Item = &'a Trial>, jobs: usize) -> TimeLeft {
        TimeLeft { planned: trials.into_iter().map(planned).sum(), ended: (Duration::ZERO, Duration::ZERO), jobs }
    }

    fn end(&mut self, trial: &Trial, took: Duration) {
        let planned = planned(trial);
        self.planned = self.planned.saturating_sub(planned);
        self.ended = (self.ended.0 + planned, self.ended.1 + took);
    }

    /// As of the last end of a trial.
    fn estimate(&self) -> Duration {
        let (planned, took) = self.ended;
        let scale = if planned.is_zero() { 1.0 } else { took.as_secs_f64() / planned.as_secs_f64() };
        self.planned.mul_f64(scale) / u32::try_from(self.jobs.max(1)).unwrap_or(u32::MAX)
    }
}

/// The trial, with the number of the attempt at it where it is not the first.
fn named(id: &TrialId, attempt: u32) -> String {
    if attempt == 1 { id.to_string() } else { format!("{id}, attempt {attempt}") }
}

/// How long a trial takes by its plan, to the end of the flow that ends last: its schedule, or its bytes at the link's
/// rate.
fn planned(trial: &Trial) -> Duration {
    let lasts = |workload: &Workload| {
        let at_rate = || {
            let rate = trial.link.direction(workload.direction()).mean_rate()?;
            Some(rate.time_for(workload.total_bytes()?.bytes()))
        };
        workload.nominal_duration().or_else(at_rate).unwrap_or_default()
    };
    let competing = trial.competing.iter().map(|flow| flow.start + lasts(&flow.workload));
    AROUND + competing.fold(lasts(&trial.workload), samepath_model::Duration::max).std()
}

impl Progress {
    /// Of these attempts, so many at a time. With `quiet`, nothing is shown.
    pub(crate) fn new(attempts: &[Attempt], jobs: usize, quiet: bool) -> Progress {
        let total = attempts.len() as u64;
        let watched = std::io::stderr().is_terminal();
        let bar = if watched && !quiet { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let left = TimeLeft::new(attempts.iter().map(|attempt| &attempt.trial), jobs);
        let left = Arc::new(Mutex::new((left, Instant::now())));
        let of_bar = Arc::clone(&left);
        let show = move |_: &ProgressState, out: &mut dyn Write| {
            let (left, since) = *of_bar.lock().expect("nothing panics while it holds the estimate");
            let left = left.estimate().saturating_sub(since.elapsed());
            // What cannot be written to the bar is not worth a word.
            let _ = write!(out, "{:#}", HumanDuration(Duration::from_secs(left.as_secs_f64().ceil() as u64)));
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} trials, about {left} left  {wide_msg}")
            .expect("the template is fixed and sound")
            .with_key("left", show);
        bar.set_style(style);
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
        Progress { bar, lines: !watched && !quiet, total, left }
    }

    /// An attempt has begun.
    pub(crate) fn begin(&self, attempt: &Attempt) {
        let Attempt { trial, number } = attempt;
        self.bar.set_message(format!("{} {}", trial.part, named(&trial.id, *number)));
    }

    /// An attempt has ended.
    pub(crate) fn end(&self, record: &TrialRecord) {
        if let Ok(mut left) = self.left.lock() {
            left.0.end(&record.trial, Duration::from_secs_f64(record.wall_ms.max(0.0) / 1000.0));
            left.1 = Instant::now();
        }
        self.bar.inc(1);
        let (id, at) = (named(&record.trial.id, record.attempt), self.bar.position());
        let trouble = match &record.outcome {
            Outcome::Done => Some(record.failures_in_words()).filter(|all| !all.is_empty()).map(|all| all.join("; ")),
            Outcome::Void { reasons } => Some(format!("void: {}", in_words(reasons))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_what_trials_take() {
        let experiment = samepath_model::Experiment::parse(
            "schema = 1\nname = 'p'\nrepeat = 4\n[[part]]\nname = 'p'\narms = ['tcp']\n\
             workload = { kind = 'bulk', duration = '3s' }\nlink = { rate = '8Mbit' }\n",
        );
        let trials = experiment.unwrap().trials().to_vec();
        let mut left = TimeLeft::new(&trials, 2);
        assert_eq!(left.estimate(), (AROUND + Duration::from_secs(3)) * 2);
        // The first takes twice as long as planned, and so will the others.
        left.end(&trials[0], (AROUND + Duration::from_secs(3)) * 2);
        assert_eq!(left.estimate(), (AROUND + Duration::from_secs(3)) * 3);
        for trial in &trials[1..] {
            left.end(trial, Duration::from_secs(4));
        }
        assert_eq!(left.estimate(), Duration::ZERO);

        let mut bytes = trials[0].clone();
        bytes.workload = match bytes.workload {
            samepath_model::Workload::Bulk(bulk) => samepath_model::Workload::Bulk(samepath_model::workload::Bulk {
                bytes: Some(samepath_model::ByteCount::new(2_000_000)),
                duration: None,
                ..bulk
            }),
            messages => messages,
        };
        assert_eq!(planned(&bytes), AROUND + Duration::from_secs(2));
    }
}
