//! What an experiment expects: verdicts in table, report, JSON and JUnit XML, and the exit status.

use std::path::Path;

use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test, tolerant};

const TINY: &str = r#"
schema = 1
name = "tiny"
repeat = 2

[[part]]
name = "bulk"
arms = ["tcp"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "20ms", rate = "20Mbit" }
"#;

/// Holds in every trial, whatever this machine does.
const HOLDS: &str = "[[expect]]\nmetric = 'delivered-percent'\nleast = '100%'\neach = true\n";
/// A handshake in a twentieth of a round trip.
const FAILS: &str = "[[expect]]\nmetric = 'handshake'\narm = 'tcp'\nmost = '1ms'\neach = true\n";
/// Two seeds have no interval.
const IS_OPEN: &str = "[[expect]]\nmetric = 'goodput'\nleast = '1kbit'\n";

/// Runs the experiment with these expectations into a directory, and gives what was said.
fn expecting(dir: &Path, name: &str, expectations: &str, more: &[&str]) -> std::process::Output {
    let path = file(dir, &format!("{name}.toml"), &format!("{}{expectations}", tolerant(TINY)));
    let out = dir.join(name);
    run(&[&["run", &path, "--out", out.to_str().unwrap()], more].concat())
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn verdicts_are_told_everywhere_and_decide_the_status() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let junit = dir.path().join("verdicts.xml");
    let all = [HOLDS, FAILS, IS_OPEN].concat();
    let output = expecting(dir.path(), "all", &all, &["--json", "--junit", junit.to_str().unwrap()]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("expectation 3 will be inconclusive"), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let verdicts: Vec<_> =
        document["expectations"].as_array().unwrap().iter().map(|one| one["verdict"].clone()).collect();
    assert_eq!(verdicts, ["pass", "fail", "inconclusive"]);
    let open = &document["expectations"][2];
    assert_eq!((&open["reason"]["kind"], &open["reason"]["needed"]), (&"too-few-seeds".into(), &6.into()));
    assert_eq!((&open["part"], &open["arm"], &open["metric"]), (&"bulk".into(), &"tcp".into(), &"goodput".into()));

    let xml = text(&junit);
    assert!(xml.contains(r#"tests="3" skipped="1" errors="0" failures="1""#), "{xml}");
    assert!(xml.contains("<skipped message=\"inconclusive: too few seeds: 2"), "{xml}");

    let out = dir.path().join("all");
    let page = text(&out.join("report/index.html"));
    for line in
        ["<li class=\"pass\">", "<li class=\"fail\">", "<li class=\"inconclusive\">", "1 of 3 expectations hold"]
    {
        assert!(page.contains(line), "{line}");
    }

    // Again from the records, and by going on where nothing is left.
    std::fs::remove_file(&junit).unwrap();
    let again = run(&["report", out.to_str().unwrap(), "--junit", junit.to_str().unwrap()]);
    expect_status(&again, 1);
    assert_eq!(text(&junit), xml);
    let told = stdout(&again);
    for line in ["  pass          bulk tcp: delivered share at least 100%", "  FAIL  ", "  inconclusive  "] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let json = run(&["report", out.to_str().unwrap(), "--json"]);
    expect_status(&json, 1);
    let document: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(document[0]["expectations"][1]["verdict"], "fail");
    expect_status(&run(&["resume", out.to_str().unwrap()]), 1);
}

#[test]
fn an_inconclusive_expectation_is_no_failure_and_no_success() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    expect_status(&expecting(dir.path(), "open", &[HOLDS, IS_OPEN].concat(), &[]), 3);
    expect_status(&expecting(dir.path(), "held", HOLDS, &[]), 0);
    // Flags may leave a cell out, and what was expected of it is not known then.
    let beside = "[[expect]]\npart = 'bulk'\nmetric = 'handshake'\nmost = '1s'\neach = true\narm = 'tcp'\n";
    let output = expecting(dir.path(), "beside", beside, &["--arm", "quic"]);
    expect_status(&output, 3);
    assert!(stdout(&output).contains("flags left the cell out"), "{}", stdout(&output));
}

#[test]
fn impossible_expectations_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let first = tolerant(TINY).lines().count() + 1;
    for (name, expectation, line, said) in [
        ("metric", "[[expect]]\nmetric = 'latency'\nmost = '1ms'\n", 1, "there is no metric `latency`; choose from: "),
        ("unit", "[[expect]]\nmetric = 'handshake'\nmost = '10kB'\n", 2, "`10kB` is not a duration"),
        ("bare", "[[expect]]\nmetric = 'handshake'\nmost = 10\n", 2, "write 10ms"),
        ("arm", "[[expect]]\nmetric = 'handshake'\nmost = '1s'\narm = 'quic'\n", 3, "choose from: tcp"),
        ("part", "[[expect]]\npart = 'bilk'\nmetric = 'handshake'\nmost = '1s'\n", 1, "choose from: bulk"),
        ("axis", "[[expect]]\nmetric = 'handshake'\nmost = '1s'\nat = { loss = '1%' }\n", 3, "has no axis `loss`"),
        ("sure", "[[expect]]\nmetric = 'handshake'\nmost = '1s'\nconfidence = 95\n", 3, "write 0.95"),
    ] {
        let output = expecting(dir.path(), name, expectation, &[]);
        expect_status(&output, 2);
        let told = stderr(&output);
        let at = format!("{name}.toml: line {}: expectation 1: ", first + line);
        assert!(told.contains(&at) && told.contains(said), "{told}");
        assert!(!dir.path().join(name).exists(), "{name}");
    }
}

#[test]
fn verdicts_that_cannot_be_written_are_refused_first() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("there/is/no/such.xml");
    for (name, expectations, junit, said) in [
        ("nowhere", HOLDS, inside.to_str().unwrap(), "check the path"),
        ("directory", HOLDS, dir.path().to_str().unwrap(), "name a file"),
        ("nothing", "", dir.path().join("x.xml").to_str().unwrap(), "expects nothing"),
        ("stdout", HOLDS, "-", "no file is written to standard output"),
    ] {
        let output = expecting(dir.path(), name, expectations, &["--junit", junit]);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(said), "{name}: {}", stderr(&output));
        assert!(!dir.path().join(name).exists() && !dir.path().join("x.xml").exists(), "{name}");
    }
    // Nor does trying leave anything.
    let left = std::fs::read_dir(dir.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        !name.to_string_lossy().ends_with(".toml")
    });
    assert_eq!(left.count(), 0);
}
