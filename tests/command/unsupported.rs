//! A machine that does not permit what a link needs: told at once, with the remedy, by a status of its own.
//!
//! The limits are set inside a user namespace of the test's own, which is its own machine as far as they go.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{apart, expect_status, has, stderr, stdout, test};

/// The command where so many namespaces of a kind are permitted; `None`, with the reason said, where that cannot be
/// arranged. `before` stands before the command.
fn where_none_may_be(test: &str, setting: &str, before: &[&str], args: &[&str]) -> Option<Output> {
    if !has("unshare", test) || !before.iter().take(1).all(|program| has(program, test)) {
        return None;
    }
    let script = format!("echo 0 > /proc/sys/user/{setting} || exit 99; exec \"$@\"");
    let mut command = apart(Command::new("unshare"));
    command.args(["--user", "--map-root-user", "sh", "-c", &script, "sh"]);
    let output = command.args(before).arg(env!("CARGO_BIN_EXE_samepath")).args(args).output().unwrap();
    let said = stderr(&output);
    if output.status.code() == Some(99) || said.starts_with("unshare:") || said.starts_with("setpriv:") {
        samepath_testing::skip(test, format_args!("cannot set a limit in a user namespace: {said}"));
        return None;
    }
    Some(output)
}

/// Says that it cannot, why, and what to do: each once.
#[track_caller]
fn refuses(output: &Output, kind: &str, setting: &str) {
    expect_status(output, 77);
    assert_eq!(stdout(output), "");
    let said = stderr(output);
    let said = said.lines().filter(|line| !line.starts_with("link: ")).collect::<Vec<_>>().join("\n");
    assert!(said.starts_with(&format!("samepath: cannot make a {kind} namespace: No space left on device")), "{said}");
    assert_eq!(said.matches(&format!("sysctl user.{setting}=1000")).count(), 1, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn without_network_namespaces_nothing_is_begun() {
    const SETTING: &str = "max_net_namespaces";
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let path = place.to_str().unwrap();
    for args in [
        &["link", "--", "true"][..],
        &["link", "--rtt", "20ms", "--loss", "1%", "--backend", "packet", "--", "true"],
        &["link", "--backend", "netem", "--", "true"],
        &["run", "--quick", "--out", path],
        &["run", "--quick", "--json", "--out", path],
        &["validate", "--keep", path],
    ] {
        let Some(output) = where_none_may_be(test!(), SETTING, &[], args) else { return };
        refuses(&output, "network", SETTING);
        assert!(!Path::new(path).exists(), "{args:?} has left a run behind");
    }
    // What needs no link is as everywhere.
    let output =
        where_none_may_be(test!(), SETTING, &[], &["run", "--dry-run"]).expect("it was permitted a moment ago");
    expect_status(&output, 0);
}

#[test]
fn without_user_namespaces_an_ordinary_user_is_told_so() {
    const SETTING: &str = "max_user_namespaces";
    // Without capabilities the root of a namespace is a user like any other.
    let plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    for args in [&["link", "--", "true"][..], &["run", "--quick", "--out", "/nonexistent/run"], &["validate", "T1"]] {
        let Some(output) = where_none_may_be(test!(), SETTING, &plain, args) else { return };
        refuses(&output, "user", SETTING);
    }
}

#[test]
fn the_doctor_tells_a_remedy_once() {
    for setting in ["max_net_namespaces", "max_pid_namespaces"] {
        let Some(output) = where_none_may_be(test!(), setting, &[], &["doctor", "--json"]) else { return };
        expect_status(&output, 1);
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let finding = findings.iter().find(|finding| finding["name"] == "namespaces").expect("it is looked at");
        assert_eq!(finding["status"], "lack");
        let (found, remedy) = (finding["found"].as_str().unwrap(), finding["remedy"].as_str().unwrap());
        assert!(found.contains("namespace: No space left") && !found.contains("sysctl"), "{found}");
        assert!(remedy.contains(&format!("sysctl user.{setting}=1000")), "{remedy}");
    }
}
