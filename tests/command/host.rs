//! Machines as people have them: a /proc whose settings cannot be written, as in most containers, and few open files.
//!
//! Both are arranged in a process of the test's own: the first in a user and mount namespace.

use std::process::{Command, Output};

use crate::support::{apart, can_emulate, expect_status, file, has, stderr, stdout, test};

/// Covers what a container covers, or skips the rest.
const READ_ONLY: &str = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys || exit 99";
const COVERED: &str = "mount -t tmpfs none /proc/sys || exit 99";
const ALL_READ_ONLY: &str = "mount -o remount,ro,bind /proc || exit 99";
/// What `unshare` is to make: a machine of the test's own, as far as mounts go.
const MOUNTS: [&str; 3] = ["--user", "--map-root-user", "--mount"];

/// The command after `arrange`, in mounts of its own. `inner` stands before the command. `None`, with the reason said,
/// where it cannot be arranged.
fn where_proc_is(test: &str, arrange: &str, inner: &[&str], args: &[&str]) -> Option<Output> {
    if !has("unshare", test) {
        return None;
    }
    let script = format!("{arrange}; exec \"$@\"");
    let mut command = apart(Command::new("unshare"));
    command.args(MOUNTS).args(["sh", "-c", &script, "sh"]).args(inner);
    let output = command.arg(env!("CARGO_BIN_EXE_samepath")).args(args).output().unwrap();
    let said = stderr(&output);
    if output.status.code() == Some(99) || said.starts_with("unshare:") {
        samepath_testing::skip(test, format_args!("{arrange}: not possible here: {said}"));
        return None;
    }
    Some(output)
}

/// In a user namespace of its own, in which the kernel locks what was covered before.
const LOCKED: [&str; 4] = ["unshare", MOUNTS[0], MOUNTS[1], MOUNTS[2]];

/// What was asked for and what is in force, of one setting of the one trial.
fn setting(output: &Output, name: &str) -> (String, String) {
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = document["trials"][0]["link"]["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["name"] == name).expect("it is recorded");
    let text = |key: &str| setting[key].as_str().unwrap().to_owned();
    (text("asked"), text("effective"))
}

const SLOW_START: &str = "net.ipv4.tcp_slow_start_after_idle";

#[test]
fn settings_are_in_force_where_proc_cannot_be_written() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (n, arrange) in [READ_ONLY, COVERED, ALL_READ_ONLY].into_iter().enumerate() {
        let out = dir.path().join(n.to_string());
        let args = ["run", "handshake", "--quick", "--arm", "tcp", "--set", "loss=0%", "--json", "--out"];
        let Some(output) = where_proc_is(test!(), arrange, &[], &[&args[..], &[out.to_str().unwrap()]].concat()) else {
            return;
        };
        assert!(matches!(output.status.code(), Some(0 | 3)), "{arrange}: {}", stderr(&output));
        assert_eq!(setting(&output, SLOW_START), ("0".into(), "0".into()), "{arrange}");
        assert!(!stderr(&output).contains("kernel settings"), "{arrange}: {}", stderr(&output));
        let Some(output) = where_proc_is(test!(), arrange, &[], &["doctor", "--json"]) else { return };
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = findings.iter().find(|finding| finding["name"] == "kernel-settings").expect("it is looked at");
        assert_eq!(found["status"], "ok", "{arrange}: {found}");
    }
}

#[test]
fn settings_that_cannot_be_had_are_never_silent() {
    if !can_emulate(test!()) {
        return;
    }
    let in_place = format!("{SLOW_START} is 1 in place of 0");
    let Some(output) = where_proc_is(test!(), READ_ONLY, &LOCKED, &["doctor", "--json"]) else { return };
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.iter().find(|finding| finding["name"] == "kernel-settings").expect("it is looked at");
    if found["status"] == "ok" {
        samepath_testing::skip!("this kernel lets them be set all the same");
        return;
    }
    expect_status(&output, 1);
    assert_eq!(found["status"], "lack", "{found}");
    assert!(found["found"].as_str().unwrap().contains(&in_place), "{found}");
    assert!(found["remedy"].as_str().unwrap().contains("systempaths=unconfined"), "{found}");

    let Some(output) = where_proc_is(test!(), READ_ONLY, &LOCKED, &["link", "--quiet", "--", "true"]) else { return };
    expect_status(&output, 0);
    assert!(stderr(&output).contains(&in_place), "{}", stderr(&output));

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let args = ["run", "handshake", "--quick", "--arm", "tcp", "--json", "--out", out.to_str().unwrap()];
    let Some(output) = where_proc_is(test!(), READ_ONLY, &LOCKED, &args) else { return };
    // Told before the first trial, and in its record.
    assert!(stderr(&output).starts_with("samepath: kernel settings"), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches(&in_place).count(), 1, "{}", stderr(&output));
    let (asked, effective) = setting(&output, SLOW_START);
    assert_eq!(asked, "0");
    assert!(effective.starts_with("1 (could not be set: Read-only file system"), "{effective}");
    expect_status(&output, 3);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["trials"][0]["outcome"], "void");
    let reasons = document["trials"][0]["reasons"].to_string();
    assert!(reasons.contains(&format!("setting {SLOW_START} is 1 (could not be set")), "{reasons}");
}

/// The command with so many open files permitted, as `ulimit` has it.
fn with_files(limit: &str, args: &[&str]) -> Output {
    let mut command = apart(Command::new("sh"));
    let script = format!("ulimit {limit} || exit 99; exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_samepath")]).args(args).output().unwrap()
}

const CONNECTIONS: &str = "schema = 1
name = 'connections'
question = 'Are so many connections made?'
[[part]]
name = 'm'
arms = ['tcp/per-stream']
workload = { kind = 'messages', direction = 'down', streams = 200, size = '1kB', spacing = '100ms', count = 2 }
link = { rtt = '10ms' }
";

#[test]
fn the_soft_limit_on_open_files_is_raised() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let experiment = file(dir.path(), "connections.toml", CONNECTIONS);
    let out = dir.path().join("run");
    let output = with_files("-Sn 64", &["run", &experiment, "--json", "--out", out.to_str().unwrap()]);
    // Void on a busy machine, and never failed.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["trials"][0]["summary"].is_object(), "{}", document["trials"][0]["outcome"]);
    // A program across a link has the limit that it would have without it.
    let output = with_files("-Sn 64", &["link", "--quiet", "--", "sh", "-c", "ulimit -Sn"]);
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "64\n");
}

#[test]
fn a_small_hard_limit_is_told_first() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = file(dir.path(), "connections.toml", CONNECTIONS);
    let out = dir.path().join("run");
    let output = with_files("-n 200", &["run", &experiment, "--out", out.to_str().unwrap()]);
    expect_status(&output, 77);
    assert!(stdout(&with_files("-n 200", &["doctor"])).contains("open-files               200 a process: an end"));
    let said = stderr(&output);
    assert!(said.contains("tcp/per-stream opens 200 connections") && said.contains("ulimit -Hn"), "{said}");
    assert!(!out.exists());
}

#[test]
fn a_limit_met_later_names_its_remedy() {
    let mut met = 0;
    // Wherever it is met: by the runtime, or by a socket.
    for limit in 6..20 {
        let output = with_files(&format!("-n {limit}"), &["client", "127.0.0.1:1", "--token", "t"]);
        let said = stderr(&output);
        expect_status(&output, 1);
        if said.contains("Too many open files") {
            assert!(said.contains("ulimit -Hn") && !said.contains("firewall"), "{limit}: {said}");
            met += 1;
        }
    }
    assert!((1..14).contains(&met), "{met}");
    let output = with_files("-n 9", &["server", "--token", "t"]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("ulimit -Hn"), "{}", stderr(&output));
}
