//! Tests on the real machine: namespaces, devices, both backends, the harness, and that nothing is
//! left behind. What this machine cannot run says `skipped` and why.
//!
//! The stand-in (`tests/support/standin.rs`) plays the command and its two ends.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use samepath_model::link::{Direction, Link, LinkSpec};
use samepath_model::record::DropCause;
use samepath_model::workload::{Bulk, Messages};
use samepath_model::{Arm, Mode, Tolerance, Transport, Trial, TrialId, Tuning, VoidKind, Workload};
use samepath_netem::probe::{Finding, Status};
use samepath_netem::trial::{Backend, Evidence, TrialError, TrialPlan, supervise};
use samepath_netem::{ledger, monotonic};
use samepath_testing::{skip, test};

#[path = "machine/namespaces.rs"]
mod namespaces;

/// An ordinary user, for the tests without root.
const NOBODY: u32 = 65534;
/// Longer than anything takes on a machine that is not broken.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Debug)]
enum As {
    Self_,
    Nobody,
}

fn standin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_standin"))
}

/// A scratch directory that everybody may use, with the stand-in in it: an ordinary user may not
/// be let into the build directory.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Scratch {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let program = dir.path().join("standin");
        if fs::hard_link(standin(), &program).is_err() {
            samepath_testing::copy_program(standin(), &program);
        }
        Scratch(dir)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn program(&self) -> PathBuf {
        self.path().join("standin")
    }
    fn command(&self, user: As) -> Command {
        let mut command = Command::new(self.program());
        if user == As::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What can be tried here: (backend, user). Says that the test is skipped where nothing can.
fn cases(test: &str) -> Vec<(&'static str, As)> {
    static CASES: OnceLock<Vec<(&'static str, As)>> = OnceLock::new();
    let cases = CASES.get_or_init(try_cases).clone();
    if cases.is_empty() {
        skip(test, "no backend carries a link here");
    }
    cases
}

fn try_cases() -> Vec<(&'static str, As)> {
    let users: &[As] = if is_root() { &[As::Self_, As::Nobody] } else { &[As::Self_] };
    let mut cases = Vec::new();
    for &user in users {
        let scratch = Scratch::new();
        for backend in ["tun", "packet", "netem", "none"] {
            let tried =
                scratch.command(user).args(["link", backend, "--", "true"]).output().expect("it can be started");
            if tried.status.success() {
                cases.push((backend, user));
            } else {
                assert!(!must_work(backend, user), "{backend} as {user:?} fails where it can be had: {}", told(&tried));
                let part = format!("{backend} as {user:?}");
                samepath_testing::skip_part!(part, "{}", String::from_utf8_lossy(&tried.stderr).trim());
            }
        }
    }
    cases
}

/// Whether others can do here what a backend needs, so that its failure is no reason to skip it.
fn must_work(backend: &str, user: As) -> bool {
    let can = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", script]);
        if user == As::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    match backend {
        "none" | "packet" => can("ip link add a type veth peer name b"),
        "tun" => can("exec 3<>/dev/net/tun && ip tuntap add a mode tun"),
        _ => false, // no tool says whether a kernel has netem with a seed
    }
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn tcp_echo_crosses_every_backend_over_ipv4_and_ipv6() {
    for (backend, user) in cases(test!()) {
        let scratch = Scratch::new();
        let echo = format!("exec {} echo", scratch.program().display());
        let script = format!("{} greet $SAMEPATH_SERVER $SAMEPATH_SERVER6", scratch.program().display());
        let output = scratch
            .command(user)
            .args(["link", backend, "--rtt", "4ms", "--server", &echo, "--", "sh", "-c", &script])
            .output()
            .expect("it can be started");
        assert!(output.status.success(), "{backend} as {user:?}: {}", told(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.matches("echoed 200000 bytes").count(), 2, "{backend} as {user:?}: {said}");
    }
}

/// Whether there is `ping`; says that the test is skipped where not.
fn has_ping(test: &str) -> bool {
    let has = Command::new("ping").arg("-V").output().is_ok();
    if !has {
        skip(test, "there is no `ping` here");
    }
    has
}

#[test]
fn the_first_packet_over_ipv6_arrives() {
    if !has_ping(test!()) {
        return;
    }
    for (backend, user) in cases(test!()) {
        // Beside each other and again: what must have happened before the command runs takes longer on a busy machine.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    let scratch = Scratch::new();
                    let output = scratch
                        .command(user)
                        .args(["link", backend, "--", "sh", "-c", "ping -n -c 1 -W 1 $SAMEPATH_SERVER6"])
                        .output()
                        .expect("it can be started");
                    assert!(output.status.success(), "{backend} as {user:?}: {}", told(&output));
                });
            }
        });
    }
}

#[test]
fn ping_crosses_and_takes_the_round_trip_time() {
    if !has_ping(test!()) {
        return;
    }
    for (backend, user) in cases(test!()) {
        let scratch = Scratch::new();
        let script = "ping -n -c 3 -i 0.05 $SAMEPATH_SERVER && ping -n -c 1 $SAMEPATH_SERVER6";
        let output = scratch
            .command(user)
            .args(["link", backend, "--rtt", "20ms", "--", "sh", "-c", script])
            .output()
            .expect("it can be started");
        assert!(output.status.success(), "{backend} as {user:?}: {}", told(&output));
        if backend != "none" {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            for time in text.split("time=").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
                let ms: f64 = time.parse().expect("ping prints milliseconds");
                assert!(ms >= 20.0, "a packet came before its time: {ms} ms");
            }
        }
    }
}

#[test]
fn the_ledger_agrees_with_what_the_endpoints_saw() {
    const COUNT: usize = 1000;
    for (backend, user) in cases(test!()).into_iter().filter(|(backend, _)| *backend != "none") {
        let scratch = Scratch::new();
        let (program, seen) = (scratch.program(), scratch.path().join("seen"));
        let sink = format!("exec {} sink {} 1400", program.display(), seen.display());
        let script = format!(
            "{} spray $SAMEPATH_SERVER {COUNT}; while ! [ -s {} ]; do sleep 0.01; done",
            program.display(),
            seen.display()
        );
        let spool = scratch.path().join("spool");
        let output = scratch
            .command(user)
            .args(["link", backend, "--loss", "10%", "--key", "index", "--server", &sink])
            .args(["--ledger", spool.to_str().expect("plain"), "--", "timeout", "30", "sh", "-c", &script])
            .output()
            .expect("it can be started");
        assert!(output.status.success(), "{backend} as {user:?}: {}", told(&output));

        let records: Vec<_> = ledger::read(&spool, 0).expect("a ledger").map(|r| r.expect("a whole line")).collect();
        let ours = |size: u32| (100..1100).contains(&(size as usize - 28));
        let sent: Vec<_> =
            records.iter().filter(|r| r.direction == Direction::Up && r.protocol == 17 && ours(r.size)).collect();
        assert_eq!(sent.len(), COUNT, "the ledger holds every packet once");
        let delivered: BTreeSet<usize> =
            sent.iter().filter(|r| r.left.is_some()).map(|r| r.size as usize - 28).collect();
        let text = fs::read_to_string(&seen).expect("the sink wrote it");
        let received: BTreeSet<usize> = text.lines().map(|line| line.parse().expect("a size")).collect();
        assert_eq!(received, delivered, "{backend} as {user:?}: the endpoint got exactly what the ledger says");
        let lost = sent.iter().filter(|r| r.dropped == Some(DropCause::Loss)).count();
        assert_eq!(lost + delivered.len(), COUNT, "every other packet was lost by the rule");
        // 10 % of 1000: far outside the 99.99 % binomial interval this would be no loss rule at all.
        assert!((60..=145).contains(&lost), "{lost} of {COUNT} lost at 10 %");
    }
}

#[test]
fn the_commands_exit_status_is_ours() {
    let Some(&(backend, user)) = cases(test!()).first() else { return };
    let scratch = Scratch::new();
    let status = |words: &[&str]| {
        let output =
            scratch.command(user).args(["link", backend, "--"]).args(words).output().expect("it can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(status(&["sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]).0, Some(128 + 9));
    let (code, said) = status(&["no-such-command-anywhere"]);
    assert_eq!(code, Some(127));
    assert!(said.contains("no-such-command-anywhere") && said.contains("PATH"), "{said}");
}

#[test]
fn the_doctor_agrees_with_what_runs_here() {
    let runs: Vec<_> = cases(test!());
    let users: &[As] = if is_root() { &[As::Self_, As::Nobody] } else { &[As::Self_] };
    for &user in users {
        let scratch = Scratch::new();
        let output = scratch.command(user).arg("doctor").output().expect("it can be started");
        assert!(output.status.success(), "{}", told(&output));
        let findings: Vec<Finding> = serde_json::from_slice(&output.stdout).expect("findings");
        let status = |name: &str| findings.iter().find(|f| f.name == name).map(|f| f.status);
        let carries = |backend: &str| runs.contains(&(backend, user));
        assert_eq!(status("namespaces") == Some(Status::Ok), carries("none"), "{findings:?}");
        if carries("none") {
            assert_eq!(status("backend-tun") == Some(Status::Ok), carries("tun"), "{findings:?}");
            assert_eq!(status("exact-mode").is_some(), carries("tun"), "{findings:?}");
            assert_eq!(status("backend-packet") == Some(Status::Ok), carries("packet"), "{findings:?}");
        }
        for finding in &findings {
            assert_eq!(finding.remedy.is_none(), finding.status == Status::Ok, "a lack has its remedy: {finding:?}");
        }
    }
}

#[test]
fn a_request_to_end_reaches_the_command() {
    let Some(&(backend, user)) = cases(test!()).first() else { return };
    let scratch = Scratch::new();
    let begun = scratch.path().join("begun");
    let script = format!("trap 'exit 3' TERM; : > {}; while :; do sleep 0.05; done", begun.display());
    let mut child =
        scratch.command(user).args(["link", backend, "--", "sh", "-c", &script]).spawn().expect("it starts");
    eventually("the command has begun", || begun.exists());
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}

#[test]
fn one_seed_drops_the_same_packets_by_index() {
    const COUNT: usize = 300;
    let Some(&(backend, user)) = cases(test!()).iter().find(|(backend, _)| *backend != "none") else {
        skip(test!(), "no backend that drops packets carries a link here");
        return;
    };
    let lost = || {
        let scratch = Scratch::new();
        let (program, seen, spool) = (scratch.program(), scratch.path().join("seen"), scratch.path().join("spool"));
        let sink = format!("exec {} sink {} 1400", program.display(), seen.display());
        let script = format!("{} spray $SAMEPATH_SERVER {COUNT}", program.display());
        let output = scratch
            .command(user)
            .args(["link", backend, "--loss", "10%", "--key", "index", "--server", &sink])
            .args(["--ledger", spool.to_str().expect("plain"), "--", "sh", "-c", &script])
            .output()
            .expect("it can be started");
        assert!(output.status.success(), "{}", told(&output));
        let records = ledger::read(&spool, 0).expect("a ledger").map(|record| record.expect("a whole line"));
        let up = records.filter(|r| r.direction == Direction::Up && r.dropped == Some(DropCause::Loss));
        up.map(|r| r.number).collect::<BTreeSet<_>>()
    };
    let (first, second) = (lost(), lost());
    assert!(!first.is_empty(), "10 % of 400 packets");
    assert_eq!(first, second);
}

#[test]
fn fast_and_exact_mode_drop_the_same_packets() {
    // The smallest receive buffer that kernels grant has room for all of it.
    const BURSTS: usize = 15;
    let Some(&(backend, user)) = cases(test!()).iter().find(|(backend, _)| *backend == "tun") else {
        skip(test!(), "fast mode needs TUN devices");
        return;
    };
    let dropped = |mode: &str, key: &str, loss: &str| {
        let scratch = Scratch::new();
        let (program, seen, spool) = (scratch.program(), scratch.path().join("seen"), scratch.path().join("spool"));
        let sink = format!("exec {} sink {} 1400", program.display(), seen.display());
        let script = format!("{} burst $SAMEPATH_SERVER {BURSTS}", program.display());
        let output = scratch
            .command(user)
            .args(["link", backend, "--mode", mode, "--loss", loss, "--key", key, "--rtt", "2ms", "--server", &sink])
            .args(["--ledger", spool.to_str().expect("plain"), "--", "sh", "-c", &script])
            .output()
            .expect("it can be started");
        assert!(output.status.success(), "{}", told(&output));
        let carried = String::from_utf8_lossy(&output.stderr).contains("embedded-tun, fast");
        assert_eq!(carried, mode == "fast", "{}", told(&output));
        let records: Vec<_> = ledger::read(&spool, 0)
            .expect("a ledger")
            .map(|record| record.expect("a whole line"))
            .filter(|record| record.direction == Direction::Up && record.payload == 200)
            .collect();
        assert_eq!(records.len(), 20 * BURSTS, "each datagram has its line");
        assert!(records.iter().all(|record| record.size == 228));
        // What the ledger says to have left, the program at the other end got.
        let left = records.iter().filter(|record| record.left.is_some()).count();
        assert_eq!(fs::read_to_string(&seen).expect("what was seen").lines().count(), left, "{mode}");
        let lost = records.iter().filter(|record| record.dropped == Some(DropCause::Loss));
        lost.map(|record| record.number).collect::<BTreeSet<_>>()
    };
    for loss in ["10%", "burst 10% 3"] {
        let (exact, fast) = (dropped("exact", "index", loss), dropped("fast", "index", loss));
        assert!(!exact.is_empty(), "10 % of 300 packets");
        assert_eq!(exact, fast, "{loss}");
    }
}

#[test]
fn in_exact_mode_a_host_gets_every_packet_alone() {
    // At 10 Gbit/s the packets of a burst are due within 4 µs, each at a time of its own.
    for (what, rate) in [("without a rate", None), ("behind a fast bottleneck", Some("10Gbit"))] {
        for (backend, user) in cases(test!()).into_iter().filter(|(backend, _)| *backend == "tun") {
            every_packet_comes_alone(test!(), backend, user, what, rate);
        }
    }
}

fn every_packet_comes_alone(test: &str, backend: &str, user: As, what: &str, rate: Option<&str>) {
    const BURSTS: usize = 30;
    const DELAY: i64 = 1_000_000;
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (program, seen, devices, spool) = (scratch.program(), path("seen"), path("devices"), path("spool"));
    let program = program.display();
    let sink = format!("{program} sink {seen} 1400; cat /proc/net/dev > {devices}.part; mv {devices}.part {devices}");
    let script = format!("{program} burst $SAMEPATH_SERVER {BURSTS}; while ! [ -s {devices} ]; do sleep 0.01; done");
    let output = scratch
        .command(user)
        .args(["link", backend, "--mode", "exact", "--rtt", "2ms", "--server", &sink, "--ledger", &spool])
        .args(rate.iter().flat_map(|rate| ["--rate", rate]))
        .args(["--", "timeout", "30", "sh", "-c", &script])
        .output()
        .expect("it can be started");
    assert!(output.status.success(), "{}", told(&output));
    let records: Vec<_> = ledger::read(Path::new(&spool), 0)
        .expect("a ledger")
        .map(|record| record.expect("a whole line"))
        .filter(|record| record.direction == Direction::Up)
        .collect();
    for record in &records {
        let due = record.arrived + record.queued as i64 + DELAY;
        assert!(record.left.is_none_or(|left| left >= due), "{what}: a packet left too early: {record:?}");
    }
    let lefts: Vec<_> = records.iter().filter_map(|record| record.left).collect();
    assert!(lefts.is_sorted(), "{what}: packets leave in the order in which they came");
    let devices = fs::read_to_string(&devices).expect("the devices were read");
    let Some(counts) = devices.lines().find_map(|line| line.trim().strip_prefix("link0in:")) else {
        let part = format!("{what} as {user:?}");
        samepath_testing::skip_part(test, part, "this kernel cannot redirect what it has cut");
        return;
    };
    // One column of bytes, then one of packets. More than the end may come after the count was read.
    let came: usize = counts.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let up = lefts.len();
    assert!((20 * BURSTS..=up).contains(&came), "{what}: {came} of {up} packets came alone, as {user:?}");
    assert_eq!(fs::read_to_string(&seen).expect("what was seen").lines().count(), 20 * BURSTS);
}

/// The processes whose command line holds `marker`.
fn marked(marker: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is there");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(marker))
        })
        .collect()
}

/// The network namespaces that any process lives in.
fn network_namespaces() -> BTreeSet<PathBuf> {
    let processes = fs::read_dir("/proc").expect("/proc is there");
    processes.filter_map(|entry| fs::read_link(entry.ok()?.path().join("ns/net")).ok()).collect()
}

/// Waits for what must come; says what was awaited where it does not.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "this never came: {what}");
        // Not what makes it come, only how often it is looked for.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a link whose command leaves a daemon behind; both carry `marker` in their command line.
fn start_marked(scratch: &Scratch, user: As, backend: &str, marker: &str) -> Child {
    let script = format!("setsid sleep {marker} & sleep {marker}");
    let server = format!("setsid sleep {marker}");
    let child = scratch
        .command(user)
        .args(["link", backend, "--server", &server, "--", "sh", "-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let sleeping = format!("sleep {marker}");
    // The two shells hold the words too; the three that sleep are what counts.
    eventually("the command, its daemon and the server command run", || {
        marked(&sleeping)
            .iter()
            .filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "sleep"))
            .count()
            == 3
    });
    child
}

#[test]
fn nothing_is_left_of_a_killed_link() {
    for (number, (backend, user)) in cases(test!()).into_iter().enumerate() {
        // At once: what takes time is waiting for a server that never listens.
        std::thread::scope(|scope| {
            for (victim_number, victim) in ["outer", "first", "command"].into_iter().enumerate() {
                // A number of our own in the command lines; sleep takes it for seconds.
                let marker = format!("31538{number}{victim_number}{}", std::process::id());
                scope.spawn(move || kill_one_of_a_link(backend, user, victim, &marker));
            }
        });
    }
}

/// Starts a link, kills one of its processes, and waits until nothing of the link is there.
fn kill_one_of_a_link(backend: &str, user: As, victim: &str, marker: &str) {
    let scratch = Scratch::new();
    let mut child = start_marked(&scratch, user, backend, marker);
    let sleeper = *marked(&format!("sleep {marker}")).last().expect("something runs");
    let namespace = fs::read_link(format!("/proc/{sleeper}/ns/net"));
    let outer = child.id();
    let first = children_of(outer)[0];
    let pid = match victim {
        "outer" => outer,
        "first" => first,
        _ => *children_of(first).last().expect("the command"),
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).expect("it runs");
    child.wait().expect("it ends");
    eventually("no process of the link is left", || marked(marker).is_empty());
    if let Ok(namespace) = namespace {
        eventually("the namespace is nobody's", || !network_namespaces().contains(&namespace));
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
    text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// A trial for the stand-in, whose part says how it behaves.
fn plan(scratch: &Scratch, part: &str, link: Link, limit: Duration) -> TrialPlan {
    let trial = Trial {
        id: TrialId(part.to_owned()),
        part: part.to_owned(),
        axes: Default::default(),
        arm: Arm::default_of(Transport::Tcp),
        seed: 1,
        workload: Workload::Messages(Messages { count: Some(1), ..Messages::default() }),
        competing: Vec::new(),
        restarts: Vec::new(),
        link,
        tuning: Tuning::default(),
        mode: Mode::Auto,
        tolerance: Tolerance::default(),
        time_limit: limit.into(),
        attribution: false,
    };
    TrialPlan {
        trial,
        program: scratch.program(),
        scratch: scratch.path().to_owned(),
        inputs: scratch.path().to_owned(),
        books: scratch.path().to_owned(),
        backend: Backend::Auto,
        keep_ledger: true,
        capture: None,
    }
}

fn conduct(scratch: &Scratch, part: &str, limit: Duration) -> Result<Evidence, TrialError> {
    let link = LinkSpec { rtt: Some("20ms".parse().expect("a time")), ..LinkSpec::default() };
    supervise(&plan(scratch, part, link.resolve().expect("a link"), limit), &AtomicBool::new(false))
}

/// Whether trials can be run here; says that the test is skipped where not.
fn trials_run_here(test: &str) -> bool {
    !cases(test).is_empty()
}

#[test]
fn a_trial_brings_evidence() {
    if !trials_run_here(test!()) {
        return;
    }
    let scratch = Scratch::new();
    let before = monotonic();
    let evidence = conduct(&scratch, "good", PATIENCE).expect("a good trial");
    assert!((before..monotonic()).contains(&evidence.play.epoch_ns), "one clock for all");
    // Connecting and one answer across the link: two round trips. Beside it they would take none.
    assert!(evidence.play.handshake_ns.expect("it was measured") >= 40_000_000);
    println!("set-up {:?}, tear-down {:?}", evidence.set_up, evidence.tear_down);
    println!("backend {}, lateness {:?}", evidence.link.backend, evidence.link.lateness);
    let records: Vec<_> = ledger::read(&evidence.ledger.expect("it was kept"), evidence.play.epoch_ns)
        .expect("a ledger")
        .map(|record| record.expect("a whole line"))
        .collect();
    let offered = evidence.link.up.packets + evidence.link.down.packets;
    assert_eq!(records.len() as u64, offered, "a line for each packet");
    assert!(records.iter().any(|record| record.tcp_seq.is_some() && record.payload == 3));
    assert!(records.iter().all(|record| record.size <= 1500 && record.protocol == 6), "nothing else crosses the link");
    let sack = evidence.link.settings.iter().find(|s| s.name == "net.ipv4.tcp_sack").expect("it is recorded");
    assert_eq!((sack.asked.as_deref(), sack.effective.as_str()), (Some("1"), "1"));
    assert!(evidence.link.settings.iter().any(|s| s.name == "net.ipv4.tcp_congestion_control" && s.asked.is_none()));
}

#[test]
fn probes_measure_the_link_and_leave_no_trace() {
    if !trials_run_here(test!()) {
        return;
    }
    let spec = LinkSpec {
        rtt: Some("20ms".parse().expect("a time")),
        rate: Some("20Mbit".parse().expect("a rate")),
        // The very first packet, which a probe would be if it counted.
        down: samepath_model::link::ConditionsSpec {
            drop: vec!["packet 1".parse().expect("a rule")],
            ..Default::default()
        },
        ..LinkSpec::default()
    };
    let scratch = Scratch::new();
    let plan = plan(&scratch, "good", spec.resolve().expect("a link"), PATIENCE);
    let evidence = supervise(&plan, &AtomicBool::new(false)).expect("a good trial");
    for (when, calibration) in [("before", &evidence.link.before), ("after", &evidence.link.after)] {
        let calibration = calibration.as_ref().expect("an emulated link is calibrated");
        println!("{when}: {calibration:?}");
        for probes in [&calibration.up, &calibration.down] {
            assert!(probes.sent > 20 && probes.lost == 0, "nothing is lost outside the rules: {probes:?}");
            // 32 bytes at 20 Mbit/s are 12.8 µs. Nothing comes earlier than expected; how much later is
            // for the verdict.
            assert_eq!(probes.delay_asked_ns, 10_012_800);
            assert!(probes.delay_p50_ns.expect("a delay") >= 10_000_000, "{probes:?}");
            assert_eq!(probes.rate_asked, Some(20_000_000));
            assert!(probes.rate.is_some());
        }
    }
    let records: Vec<_> = ledger::read(&evidence.ledger.expect("it was kept"), 0)
        .expect("a ledger")
        .map(|record| record.expect("a whole line"))
        .collect();
    let offered = evidence.link.up.packets + evidence.link.down.packets;
    assert_eq!(records.len() as u64, offered, "a line for each packet, and none for a probe");
    assert!(records.iter().all(|record| record.protocol == 6), "the stand-in speaks TCP alone");
    let first = records.iter().find(|r| r.direction == Direction::Down && r.number == 0).expect("a packet came back");
    assert_eq!((first.dropped, first.tcp_flags), (Some(DropCause::Script), 0x12), "the SYN+ACK");
}

#[test]
fn probes_leave_the_kernels_sequence_as_it_is() {
    if !cases(test!()).iter().any(|(backend, user)| *backend == "netem" && *user == As::Self_) {
        skip(test!(), "the kernel has no netem; `tests/qemu/run` brings one");
        return;
    }
    // Half of the packets, so that a probe which took a draw would show.
    let conditions = "rtt = '20ms'\nrate = '20Mbit'\ngenerator = 'netem'\nloss = '50%'\n[down]\nloss = '0%'";
    let spec: LinkSpec = toml::from_str(conditions).expect("conditions");
    let link = spec.resolve().expect("a link");
    let foretold = samepath_netem::link::netem_generator::fates(&link.up, 1, 1000);
    let scratch = Scratch::new();
    let mut plan = TrialPlan { backend: Backend::Netem, ..plan(&scratch, "good", link, PATIENCE) };
    // What has no warm-up meets the draws from its first packet.
    plan.trial.workload = Workload::Bulk(Bulk::default());
    let evidence = supervise(&plan, &AtomicBool::new(false)).expect("a good trial");
    println!("{:?}\n{:?}\n{:?}", evidence.link.before, evidence.link.after, evidence.void);
    for calibration in [&evidence.link.before, &evidence.link.after] {
        let calibration = calibration.as_ref().expect("the router makes way for probes");
        for probes in [&calibration.up, &calibration.down] {
            assert!(probes.sent > 20 && probes.lost == 0, "{probes:?}");
            assert!(probes.delay_p50_ns.expect("a delay") >= 10_000_000, "{probes:?}");
            assert!(probes.rate.is_some());
        }
    }
    let records = ledger::read(&evidence.ledger.expect("it was kept"), 0).expect("a ledger");
    let records: Vec<_> = records.map(|record| record.expect("a whole line")).collect();
    let offered = evidence.link.up.packets + evidence.link.down.packets;
    assert_eq!(records.len() as u64, offered, "a line for each packet, and none for a probe");
    let up: Vec<_> = records.iter().filter(|record| record.direction == Direction::Up).collect();
    assert!(up.iter().all(|record| record.protocol == 6), "the stand-in speaks TCP alone");
    for record in &up {
        let lost = record.dropped == Some(DropCause::Loss);
        // What was under way when the trial ended has no fate.
        if record.dropped != Some(DropCause::LinkDown) {
            assert_eq!(lost, foretold[record.number as usize].lost, "{record:?}");
        }
    }
    assert!(evidence.void.iter().all(|reason| reason.kind != VoidKind::Contradiction), "{:?}", evidence.void);
}

#[test]
fn a_trial_that_hangs_is_ended_at_its_limit() {
    if !trials_run_here(test!()) {
        return;
    }
    let error = conduct(&Scratch::new(), "hangs", Duration::from_millis(300)).expect_err("it hangs");
    assert_eq!(error.step(), "client");
    assert!(error.to_string().contains("300ms"), "{error}");
}

#[test]
fn a_dying_endpoint_is_told_with_its_stderr() {
    if !trials_run_here(test!()) {
        return;
    }
    let error = conduct(&Scratch::new(), "fails", PATIENCE).expect_err("it fails");
    assert_eq!(error.step(), "client");
    assert!(error.to_string().contains("found something wrong"), "{error}");
    let error = conduct(&Scratch::new(), "server-dies", PATIENCE).expect_err("its server dies");
    assert_eq!(error.step(), "server");
    assert!(error.to_string().contains("told to die"), "{error}");
}

#[test]
fn a_program_that_is_none_is_told() {
    let scratch = Scratch::new();
    let mut plan = plan(&scratch, "good", Link::transparent(), PATIENCE);
    plan.program = scratch.path().join("nothing-here");
    let error = supervise(&plan, &AtomicBool::new(false)).expect_err("there is no program");
    assert_eq!(error.step(), "set-up");
    assert!(error.to_string().contains("nothing-here"), "{error}");
}

#[test]
fn nothing_is_left_of_a_trial_and_its_daemons() {
    if !trials_run_here(test!()) {
        return;
    }
    let scratch = Scratch::new();
    conduct(&scratch, "leaves-daemon", PATIENCE).expect("a good trial");
    assert!(marked("sleep 31536042").is_empty(), "the daemon went with the trial");
    assert!(marked(&scratch.path().display().to_string()).is_empty(), "nothing of the trial runs");
}

#[test]
fn a_cancelled_trial_ends_at_once_and_leaves_nothing() {
    if !trials_run_here(test!()) {
        return;
    }
    let scratch = Scratch::new();
    let cancel = AtomicBool::new(false);
    let plan = plan(&scratch, "hangs", Link::transparent(), PATIENCE);
    let mine = scratch.path().display().to_string();
    std::thread::scope(|scope| {
        let trial = scope.spawn(|| supervise(&plan, &cancel));
        eventually("the client runs", || {
            marked(&mine).iter().any(|pid| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains("\0client\0"))
            })
        });
        cancel.store(true, Ordering::Relaxed);
        assert!(matches!(trial.join().expect("no panic"), Err(TrialError::Cancelled)));
    });
    eventually("no process of the trial is left", || marked(&mine).is_empty());
}

#[test]
fn the_kill_of_a_run_ends_its_trial() {
    if !trials_run_here(test!()) {
        return;
    }
    // The stand-in's own verb `__trial` is what a run starts; killed, it takes all below it along.
    let scratch = Scratch::new();
    let plan = plan(&scratch, "hangs", Link::transparent(), PATIENCE);
    let order = scratch.path().join("order.json");
    fs::write(&order, serde_json::json!({ "plan": plan, "started": monotonic() }).to_string()).expect("scratch");
    let mut child = scratch.command(As::Self_).arg("__trial").arg(&order).spawn().expect("it can be started");
    let mine = scratch.path().display().to_string();
    eventually("the client runs", || marked(&mine).len() >= 4);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    eventually("no process of the trial is left", || marked(&mine).is_empty());
}
