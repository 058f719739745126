//! The parent's side of a trial: it starts the trial's process, waits for its end, and takes the evidence.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use samepath_model::record::{EndReport, LinkReport, PlayReport, RestartRecord};
use samepath_model::{Tolerance, Trial, VoidKind, VoidReason};

use super::error::TrialError;
use super::files::{Files, Order, Verdict, write_json};
use super::plan::TrialPlan;
use super::settings;
use crate::capture::CaptureReport;
use crate::endpoint::last_lines;
use crate::sys::{self, monotonic};

/// What a trial may take beyond its time limit, in all: the limits of its other steps.
const GRACE: Duration = Duration::from_secs(20);
/// How often a supervisor looks whether it is to stop.
const CANCEL_LATENCY: Duration = Duration::from_millis(50);

/// What came of a trial.
#[derive(Debug)]
pub struct Evidence {
    /// What the ends of the flow under test report.
    pub play: PlayReport,
    /// What those of the competing flows report, in the order of the trial.
    pub competing: Vec<PlayReport>,
    /// What the link reports.
    pub link: LinkReport,
    /// The spool of packets' fates, for [`crate::ledger::read`], where it was kept.
    pub ledger: Option<PathBuf>,
    /// What came of the capture, where there was one.
    pub capture: Option<CaptureReport>,
    /// Namespaces, link and server, until the client was started.
    pub set_up: Duration,
    /// From the client's end until everything was gone.
    pub tear_down: Duration,
    /// The restarts of servers, as they were carried out.
    pub restarts: Vec<RestartRecord>,
    /// Broken conditions. Not empty: the trial is void.
    pub void: Vec<VoidReason>,
}

/// Runs a trial in processes of its own, to its end or its limit, and takes the evidence. Raising
/// `cancel` ends it at once.
///
/// # Errors
/// Says at which step the trial failed, why, and what the endpoint said last.
pub fn supervise(plan: &TrialPlan, cancel: &AtomicBool) -> Result<Evidence, TrialError> {
    let files = Files(&plan.scratch);
    let started = monotonic();
    let set_up = |error: &dyn std::fmt::Display| TrialError::new("set-up", error);
    let order = Order { plan: plan.clone(), started };
    write_json(&files.order(), &order).map_err(|error| set_up(&error))?;
    run_to_end(plan, &files, cancel)?;
    let ended = monotonic();

    let verdict = fs::read(files.verdict()).map_err(|_| {
        let said = last_lines(&files.stderr("trial"));
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        TrialError::new("set-up", format!("the trial's process ended without a verdict: {said}"))
    })?;
    match serde_json::from_slice(&verdict).map_err(|error| TrialError::new("records", error))? {
        Verdict::Failed { step, error, remains } => Err(TrialError::Step { step, error, remains }),
        Verdict::Exhausted { reason, remains } => Err(TrialError::Exhausted { reason, remains }),
        Verdict::Done { link, mut void, capture, client_started, client_ended, restarts } => {
            let trial = &plan.trial;
            let reports = trial.flows().map(|flow| read_report(&files.report(flow))).collect::<Result<Vec<_>, _>>()?;
            let ends = ends_of(trial, &reports);
            if !trial.link.is_transparent() {
                void.extend(ends.iter().filter_map(|(name, end)| endpoint_verdict(name, end, &trial.tolerance)));
            }
            void.extend(settings::verdict(&ends, &link.settings, &trial.tolerance));
            let mut reports = reports.into_iter();
            let play = reports.next().expect("every trial has a flow under test");
            let ledger = Some(files.ledger()).filter(|file| plan.keep_ledger && file.exists());
            Ok(Evidence {
                play,
                competing: reports.collect(),
                link: *link,
                ledger,
                capture,
                set_up: Duration::from_nanos(client_started.saturating_sub(started)),
                tear_down: Duration::from_nanos(ended.saturating_sub(client_ended)),
                restarts,
                void,
            })
        }
    }
}

/// What a client that ended well has left.
fn read_report(file: &Path) -> Result<PlayReport, TrialError> {
    let fail = |problem: String| TrialError::new("records", problem);
    let report = fs::read(file).map_err(|error| fail(format!("the client ended well but left no report: {error}")))?;
    postcard::from_bytes(&report).map_err(|error| fail(format!("the client's report cannot be read: {error}")))
}

/// The ends of every flow, and what they are called.
fn ends_of<'a>(trial: &Trial, reports: &'a [PlayReport]) -> Vec<(String, &'a EndReport)> {
    let whose = |flow| trial.competing(flow).map_or_else(String::new, |flow| format!(" of {}", flow.name));
    let ends = trial.flows().zip(reports).flat_map(|(flow, report)| {
        let whose = whose(flow);
        [(format!("client{whose}"), &report.client), (format!("server{whose}"), &report.server)]
    });
    ends.collect()
}

/// Starts the trial's process and waits until it has ended, or ends it.
fn run_to_end(plan: &TrialPlan, files: &Files<'_>, cancel: &AtomicBool) -> Result<(), TrialError> {
    let fail = |error: io::Error| TrialError::new("set-up", format!("the trial's process: {error}"));
    let stderr = File::create(files.stderr("trial")).map_err(fail)?;
    let mut command = Command::new(&plan.program);
    command.arg("__trial").arg(files.order()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    lead_a_session_before_exec(&mut command);
    die_before_exec(&mut command);
    let mut child = command
        .spawn()
        .map_err(|error| TrialError::new("set-up", format!("cannot start `{}`: {error}", plan.program.display())))?;
    let ended = sys::pidfd(child.id()).map_err(fail)?;
    let deadline = Instant::now() + plan.trial.time_limit.std() + GRACE;
    loop {
        let look_again = (Instant::now() + CANCEL_LATENCY).min(deadline);
        let is_over = sys::wait_readable(&[ended.as_fd()], look_again).map_err(fail)?[0];
        if is_over {
            child.wait().map_err(fail)?;
            return Ok(());
        }
        let cancelled = cancel.load(Ordering::Relaxed);
        if cancelled || Instant::now() >= deadline {
            // The kernel ends everything below it.
            let _ = child.kill();
            let _ = child.wait();
            if cancelled {
                return Err(TrialError::Cancelled);
            }
            return Err(TrialError::new(
                "client",
                format!("the trial hung: it was ended {GRACE:?} after its time limit of {}", plan.trial.time_limit),
            ));
        }
    }
}

/// Gives a command's process a session of its own: the terminal's Ctrl-C is for the run, which decides, and what
/// precedence the trial gets, its session alone gets.
#[allow(unsafe_code)] // what runs between fork and exec
fn lead_a_session_before_exec(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?));
    }
}

/// Makes a command's process die with the thread that started it.
#[allow(unsafe_code)] // what runs between fork and exec
fn die_before_exec(command: &mut Command) {
    let parent = std::process::id() as i32;
    // SAFETY: only async-signal-safe calls.
    unsafe {
        command.pre_exec(move || sys::die_with_parent(parent));
    }
}

/// What an endpoint's own account says against the trial.
fn endpoint_verdict(name: &str, end: &EndReport, tolerance: &Tolerance) -> Option<VoidReason> {
    if let Some(syncs) = end.book_sync.as_ref().filter(|syncs| syncs.p99_ns > tolerance.book_sync.as_nanos()) {
        let (took, bound) = (syncs.p99_ns as f64 / 1e6, tolerance.book_sync.as_nanos() as f64 / 1e6);
        let words = format!(
            "the disk was slow: 1 % of the syncs of the {name}'s book took longer than {took:.0} ms (bound {bound:.0} ms)"
        );
        return Some(VoidReason::new(VoidKind::BookSync, words));
    }
    let share = (end.cpu_user_ns + end.cpu_system_ns) as f64 / end.wall_ns.max(1) as f64;
    if end.wall_ns > 0 && share > tolerance.endpoint_cpu.fraction() {
        let (share, bound) = (share * 100.0, tolerance.endpoint_cpu.fraction() * 100.0);
        let words = format!("the {name} was on the CPU for {share:.0} % of the time (bound {bound:.0} %)");
        return Some(VoidReason::new(VoidKind::EndCpu, words));
    }
    // Of fewer than a hundred ticks the 99th percentile is the latest one alone, which proves nothing.
    let late = end
        .wake_lateness
        .as_ref()
        .filter(|late| late.count >= 100 && late.p99_ns > tolerance.wake_lateness.as_nanos())?;
    let (late, bound) = (late.p99_ns as f64 / 1e6, tolerance.wake_lateness.as_nanos() as f64 / 1e6);
    let words = format!(
        "the {name} was kept from running: 1 % of its ticks were late by more than {late:.3} ms (bound {bound:.3} ms)"
    );
    Some(VoidReason::new(VoidKind::EndLate, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_short_of_cpu_voids_the_trial() {
        let end = |cpu| EndReport { cpu_user_ns: cpu, cpu_system_ns: 0, wall_ns: 1_000, ..EndReport::default() };
        assert_eq!(endpoint_verdict("client", &end(800), &Tolerance::default()), None);
        let reason = endpoint_verdict("client", &end(900), &Tolerance::default()).expect("90 % is above the bound");
        assert_eq!(reason.kind, VoidKind::EndCpu);
        assert!(reason.words.contains("client") && reason.words.contains("90 %"), "{reason}");
        assert_eq!(
            endpoint_verdict("client", &EndReport::default(), &Tolerance::default()),
            None,
            "an end that reports nothing proves nothing"
        );
    }

    #[test]
    fn a_late_endpoint_voids_the_trial() {
        let end = |p99_ns| EndReport {
            wake_lateness: Some(samepath_model::record::Lateness { count: 300, p99_ns, ..Default::default() }),
            ..EndReport::default()
        };
        assert_eq!(endpoint_verdict("server", &end(1_900_000), &Tolerance::default()), None);
        let reason =
            endpoint_verdict("server", &end(2_500_000), &Tolerance::default()).expect("2.5 ms is above the bound");
        assert_eq!(reason.kind, VoidKind::EndLate);
        assert!(reason.words.contains("server") && reason.words.contains("2.500 ms"), "{reason}");
    }

    #[test]
    fn a_slow_disk_voids_the_trial() {
        let end = |p99_ns| EndReport {
            book_sync: Some(samepath_model::record::Lateness { count: 9, p99_ns, ..Default::default() }),
            ..EndReport::default()
        };
        assert_eq!(endpoint_verdict("server", &end(90_000_000), &Tolerance::default()), None);
        let reason =
            endpoint_verdict("server", &end(400_000_000), &Tolerance::default()).expect("it is above the bound");
        assert_eq!(reason.kind, VoidKind::BookSync);
        assert!(reason.words.contains("the server's book took longer than 400 ms (bound 100 ms)"), "{reason}");
    }
}
