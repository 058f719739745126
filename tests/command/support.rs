//! What the tests share: the command, and the reasons to skip.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use samepath_model::record::TrialRecord;
use samepath_results::Run;

pub(crate) use samepath_testing::{skip, test};

/// The built command, without what the environment of the tests might add.
pub(crate) fn samepath() -> Command {
    apart(Command::new(env!("CARGO_BIN_EXE_samepath")))
}

/// A command without what the environment of the tests might add: a cluster's job is not to run only its
/// own part of them.
pub(crate) fn apart(mut command: Command) -> Command {
    let of_a_cluster = |name: &str| name == "JOB_COMPLETION_INDEX" || name.starts_with("SLURM_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_a_cluster)) {
        command.env_remove(name);
    }
    command.env_remove("SAMEPATH_TOKEN").stdin(Stdio::null());
    command
}

/// Runs it with these arguments.
pub(crate) fn run(args: &[&str]) -> Output {
    samepath().args(args).output().expect("the built command can be started")
}

/// What it said to people.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it said to programs.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts an exit status, showing all that was said where it is another.
#[track_caller]
pub(crate) fn expect_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "stdout:\n{}\nstderr:\n{}", stdout(output), stderr(output));
}

/// Whether this machine can make the lab's namespaces; says that a test is skipped where not.
pub(crate) fn can_emulate(test: &str) -> bool {
    static CAN: OnceLock<Result<(), String>> = OnceLock::new();
    let can = CAN.get_or_init(|| {
        let output = run(&["link", "--quiet", "--", "true"]);
        if output.status.success() { Ok(()) } else { Err(stderr(&output)) }
    });
    if let Err(reason) = can {
        skip(test, format_args!("this machine cannot make an emulated link: {reason}"));
    }
    can.is_ok()
}

/// Whether this backend can carry a link here; says that the test is skipped where not.
pub(crate) fn carries(backend: &str, test: &str) -> bool {
    let tried = run(&["link", "--quiet", "--backend", backend, "--", "true"]);
    if !tried.status.success() {
        skip(test, format_args!("{backend}: {}", stderr(&tried).trim()));
    }
    tried.status.success()
}

/// Whether a program is on this machine; says that a test is skipped where not.
pub(crate) fn has(program: &str, test: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        skip(test, format_args!("{program} is not on this machine"));
    }
    found
}

/// Processes whose command line holds this text, this test's own excepted.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter(|entry| entry.file_name().to_string_lossy() != std::process::id().to_string())
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Waits until the condition holds, at most ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed().as_secs() < 10, "not within ten seconds: {what}");
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Bounds of a trial that counts however busy the machine is.
pub(crate) const WIDE: &str = "[tolerance]\nlateness = \"10s\"\nwake-lateness = \"10s\"\nbook-sync = \"10s\"\ndelay = \"10s\"\n\
                               delay-p99 = \"10s\"\nrate = \"100%\"\nlink-cpu = \"100%\"\n\
                               endpoint-cpu = \"100%\"\nsteal = \"100%\"\n";

/// An experiment whose trials count however busy the machine is: for tests of what is recorded, and not of how exact
/// this machine is. So a trial of theirs that is void all the same is a fault.
pub(crate) fn tolerant(experiment: &str) -> String {
    experiment.replacen("[[part]]", &format!("{WIDE}[[part]]"), 1)
}

/// Writes a file into a directory and gives its path.
pub(crate) fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a test's own directory can be written");
    path.to_str().expect("a test's own path is text").to_owned()
}

/// Runs an experiment of one part, with one seed, and gives its trials, all of which count.
pub(crate) fn trials(dir: &Path, name: &str, part: &str) -> Run {
    let text =
        format!("schema = 1\nname = \"{name}\"\nquestion = \"?\"\nrepeat = 1\n[[part]]\nname = \"trial\"\n{part}");
    let (path, out) = (file(dir, &format!("{name}.toml"), &tolerant(&text)), dir.join(name));
    expect_status(&run(&["run", &path, "--out", out.to_str().unwrap()]), 0);
    Run::open(&out).unwrap()
}

/// A figure of the trial's workload.
#[track_caller]
pub(crate) fn figure(record: &TrialRecord, name: &str) -> f64 {
    let score = &record.summary.as_ref().unwrap().score;
    *score.get(name).unwrap_or_else(|| panic!("{} has no {name}: {score:?}", record.trial.id))
}

/// What the machine may have added to a round trip, in milliseconds: by their own records, the link was late with each
/// packet, and each end with what it does.
pub(crate) fn late(record: &TrialRecord) -> f64 {
    let ends = [&record.client, &record.server].into_iter().flatten().filter_map(|end| end.wake_lateness.as_ref());
    let ends: u64 = ends.map(|late| late.p99_ns).sum();
    let link = record.link.as_ref().map_or(0, |link| 2 * link.lateness.p99_ns);
    (ends + link) as f64 / 1e6
}
