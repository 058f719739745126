//! Bad input: each a clear message with the remedy, the right exit status, and nothing half-written.

use samepath_model::record::{RECORD_SCHEMA, Summary};
use samepath_results::{Manifest, Run};

use crate::support::{can_emulate, expect_status, file, has, run, samepath, stderr, test};

#[test]
fn a_quantity_without_unit_is_refused() {
    for (args, remedy) in [
        (&["run", "--rtt", "60"][..], "60ms"),
        (&["run", "--rate", "10M"], "10Mbit"),
        (&["run", "--loss", "0.01"], "0.01%"),
        (&["link", "--queue", "100", "--", "true"], "100p"),
        (&["client", "localhost", "--bytes", "10M"], "10MiB"),
    ] {
        let output = run(args);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(remedy), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn units_are_refused_alike_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    for (condition, value, said) in [
        (
            "rate",
            "10Mbps",
            "`10Mbps` is not a bit rate: `Mbps` is bits a second to most and bytes a second in tc(8): write 10Mbit (bits), or 80Mbit if you mean bytes",
        ),
        (
            "rate",
            "10MB/s",
            "`10MB/s` is not a bit rate: rates are in bits, and `MB/s` is bytes a second: write 80Mbit, or 10Mbit if you mean bits",
        ),
        ("loss", "10", "`10` is not a probability: the unit is missing: write 10%"),
        (
            "rtt",
            "20",
            "`20` is not a duration: the unit is missing: write 20ms or 20s (or 20us, as tc(8) reads a bare number)",
        ),
        ("queue", "64K", "`64K` is not a byte count: write 64kB (powers of 1000) or 64KiB (powers of 1024)"),
    ] {
        let workload = "workload = { kind = 'bulk', bytes = '1MB' }";
        let text = |link: &str, axes: &str| {
            format!(
                "schema = 1\nname = 'x'\n[[part]]\nname = 'a'\narms = ['tcp']\n{workload}\nlink = {{ {link} }}\n{axes}"
            )
        };
        let quoted = file(dir.path(), "quoted.toml", &text(&format!("{condition} = '{value}'"), ""));
        let sound = file(dir.path(), "sound.toml", &text("rate = '1Mbit'", ""));
        let axis = file(
            dir.path(),
            "axis.toml",
            &text("rate = '1Mbit'", &format!("axes = {{ {condition} = ['{value}'] }}\n")),
        );
        let mut all = vec![
            (run(&["run", &sound, &format!("--{condition}"), value]), format!("--{condition}")),
            (run(&["run", &sound, "--set", &format!("{condition}={value}")]), format!("--set {condition}={value}")),
            (run(&["run", &quoted]), "line 7".to_owned()),
            (run(&["run", &axis]), "axis.toml: line 8".to_owned()),
        ];
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            // Without quotation marks, too.
            let bare = file(dir.path(), "bare.toml", &text(&format!("{condition} = {value}"), ""));
            all.push((run(&["run", &bare]), "line 7".to_owned()));
        }
        for (output, place) in all {
            expect_status(&output, 2);
            let told = stderr(&output);
            assert!(told.contains(said) && told.contains(&place), "{condition} {value}: {told}");
        }
    }
}

#[test]
fn an_unknown_experiment_names_the_known_ones() {
    let output = run(&["run", "head-of-lime"]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("head-of-line"), "{}", stderr(&output));
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        dir.path(),
        "x.toml",
        "schema = 1\nname = 'x'\n[[part]]\nname = 'a'\narms = ['tcp', 'sctp']\nworkload = { kind = 'bulk', bytes = '1MB' }\n",
    );
    let output = run(&["run", &path]);
    expect_status(&output, 2);
    let said = stderr(&output);
    assert!(said.contains("x.toml") && said.contains("line 5") && said.contains("sctp"), "{said}");

    let output = run(&["run", dir.path().join("none.toml").to_str().unwrap()]);
    expect_status(&output, 2);
    let said = stderr(&output);
    assert!(said.contains("none.toml") && said.contains("list --show") && said.contains("head-of-line"), "{said}");

    let sense = file(
        dir.path(),
        "sense.toml",
        "schema = 1\nname = 's'\n[[part]]\nname = 'a'\narms = ['tcp']\n\nworkload = { kind = 'bulk', duration = '0s' }\n",
    );
    let output = run(&["run", &sense, "--dry-run"]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("sense.toml: line 7: part `a`"), "{}", stderr(&output));

    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    expect_status(&run(&["run", binary.to_str().unwrap()]), 2);
}

#[test]
fn impossible_conditions_are_refused_by_name() {
    for (args, word) in [
        (&["link", "--queue", "10p", "--", "true"][..], "without a rate"),
        (&["link", "--rtt", "10ms", "--jitter", "6ms", "--", "true"], "before it was sent"),
        (&["link", "--reorder", "1%", "--", "true"], "needs a delay"),
        (&["link", "--distribution", "normal", "--", "true"], "without jitter"),
        (&["link", "--ecn", "--", "true"], "without loss"),
        (&["link", "--generator", "netem", "--loss-key", "index", "--", "true"], "`loss-key` does not go with"),
        (&["run", "--dry-run", "--generator", "netem", "--loss-key", "time", "--queue", "1bdp"], "does not go with"),
        (&["run", "--profile", "moon"], "moon"),
        (&["run", "--set", "colour=red"], "colour"),
        (&["run", "--set", "streams=0"], "streams"),
        (&["run", "--mtu", "100"], "too small"),
        // Each by the flag that made it.
        (&["run", "--mtu", "100"], "--mtu: part"),
        (&["run", "--set", "streams=0"], "--set streams=0: part"),
        (&["run", "--set", "colour=red"], "--set colour=red: no part"),
        (&["run", "--rate", "5Mbit", "--up-jitter", "1s"], "--up-jitter"),
        (&["run", "--arm", "tcp,tcp"], "--arm: part"),
        (&["run", "--set", "loss=1%,1.0%"], "--set loss=1%,1.0%: part `messages`: the values `1%` and `1.0%`"),
        (&["link", "--filter", "sctp", "--loss", "1%", "--", "true"], "`sctp` is no word of a filter; there are: tcp"),
        (&["link", "--filter", "udp port", "--loss", "1%", "--", "true"], "`port` needs a value"),
        (&["link", "--filter", "udp", "--", "true"], "`filter` without conditions"),
        (&["link", "--down-filter", "udp", "--up-loss", "1%", "--", "true"], "`filter` without conditions (down)"),
        (&["link", "--rtt", "9ms", "--keep-order", "--", "true"], "`keep-order` without jitter"),
        (&["link", "--blackhole", "1500B", "--", "true"], "swallows nothing where the largest packet has 1500 bytes"),
        (&["link", "--blackhole", "60B", "--", "true"], "write the largest packet that passes"),
        (&["link", "--rebind", "2s: host", "--", "true"], "is not a rebinding: write WHEN: port"),
        (&["link", "--rebind", "2: port", "--", "true"], "2s"),
        (&["link", "--outage", "1s..2s every 1s", "--", "true"], "more than it lasts"),
        (&["link", "--outage", "1s..2s every 5", "--", "true"], "5ms or 5s"),
        (&["link", "--change", "2s every 10us: delay 9ms", "--", "true"], "`every 10us` is too often"),
        (&["link", "--change", "2s: rate 0", "--", "true"], "add `rate`, or say `outage`"),
        (&["link", "--drop", "up data every 0", "--", "true"], "`data every N`"),
        (&["run", "--filter", "udp and", "--dry-run"], "a word is missing"),
        (&["run", "--set", "filter=sctp"], "--set filter=sctp: part"),
        // A minus is no flag.
        (&["link", "--loss", "-1%", "--", "true"], "must not be negative"),
        (&["link", "--rtt", "-5ms", "--", "true"], "must not be negative"),
        (&["run", "--outage", "-1s..2s"], "must not be negative"),
    ] {
        let output = run(args);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(word), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn ledger_and_capture_in_one_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let there = file(dir.path(), "there", "what was here before");
    std::fs::hard_link(&there, at("another-name")).unwrap();
    std::os::unix::fs::symlink("absent", at("leads-there")).unwrap();
    std::fs::create_dir(at("inside")).unwrap();
    for (ledger, capture) in [
        (at("absent"), at("absent")),
        (at("absent"), at("inside/../absent")),
        (at("absent"), at("leads-there")),
        (there.clone(), at("another-name")),
    ] {
        let output = run(&["link", "--ledger", &ledger, "--capture", &capture, "--", "true"]);
        expect_status(&output, 2);
        assert!(stderr(&output).contains("are one file"), "{ledger} {capture}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "what was here before");
    assert!(!std::fs::exists(at("absent")).unwrap());
}

#[test]
fn a_directory_that_is_no_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "notes.txt", "not a run");
    for verb in ["report", "resume", "replay"] {
        let output = run(&[verb, dir.path().to_str().unwrap()]);
        expect_status(&output, 1);
        assert!(stderr(&output).contains(dir.path().to_str().unwrap()), "{}", stderr(&output));
    }
    let output = run(&["report", "/nowhere/at/all"]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("/nowhere/at/all"));
    // Nothing was added to what is not ours.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_holds_something_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "thesis.tex", "years of work");
    let output = run(&["run", "--quick", "--out", dir.path().to_str().unwrap()]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("empty"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_unwritable_place_is_named() {
    let output = run(&["run", "--quick", "--out", "/proc/samepath-run"]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("/proc/samepath-run"), "{}", stderr(&output));
}

#[test]
fn a_full_disk_keeps_what_is_done() {
    // A file system of 128 KiB, in a mount namespace of its own.
    if !can_emulate(test!()) || !has("unshare", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().to_str().unwrap().to_owned();
    let script = format!(
        "mount -t tmpfs -o size=128k tmpfs {mount} && exec {} run --quick --arm tcp --json --out {mount}/run",
        env!("CARGO_BIN_EXE_samepath")
    );
    let output = crate::support::apart(std::process::Command::new("unshare"))
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    if stderr(&output).contains("unshare") || stderr(&output).contains("mount:") {
        samepath_testing::skip!("cannot make a mount namespace: {}", stderr(&output));
        return;
    }
    expect_status(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("No space left") || said.contains("full"), "{said}");
    assert!(said.contains("samepath resume"), "{said}");
}

#[test]
fn help_offers_nothing_that_is_always_refused() {
    let offered = |verb: &[&str]| {
        let output = samepath().args(["link"]).args(verb).arg("--help").output().unwrap();
        expect_status(&output, 0);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("--loss <LOSS>"), "{help}");
        ["--mtu", "--generator", "--loss-key"].map(|flag| help.contains(&format!("{flag} ")))
    };
    assert_eq!(offered(&["set"]), [false; 3]);
    assert_eq!(offered(&[]), [true; 3]);
}

#[test]
fn results_are_printed_without_a_report() {
    // A run that is complete, in whose report's place something else lies.
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("run");
    let experiment = "schema = 1\nname = 'x'\nrepeat = 1\n[[part]]\nname = 'bulk'\narms = ['tcp']\n\
                      workload = { kind = 'bulk', bytes = '1kB' }\n";
    let experiment = samepath_model::Experiment::parse(experiment).unwrap();
    let manifest = Manifest::capture(&[], &experiment, None, std::time::SystemTime::UNIX_EPOCH);
    let mut complete = Run::create(&place, &experiment, manifest).unwrap();
    let record = serde_json::json!({
        "schema": RECORD_SCHEMA, "trial": experiment.trials()[0], "attempt": 1, "outcome": "done",
        "started_unix_s": 0.0, "wall_ms": 0.0, "summary": Summary { messages: 1, delivered: 1, ..Summary::default() },
    });
    let mut files = complete.begin_trial(&experiment.trials()[0].id).unwrap();
    files.write_messages([]).unwrap();
    files.write_series([]).unwrap();
    files.finish().unwrap();
    complete.append(&serde_json::from_value(record).unwrap()).unwrap();
    drop(complete);
    file(&place, "report", "a report of my own");
    let output = run(&["resume", place.to_str().unwrap()]);
    expect_status(&output, 1);
    let (said, shown) = (stderr(&output), crate::support::stdout(&output));
    assert!(shown.contains("Medians over n seeds") && !shown.contains("report:"), "{shown}");
    assert!(said.contains("draw it with: samepath report") && said.contains("is not a directory"), "{said}");
}

#[test]
fn help_and_version_work_everywhere() {
    expect_status(&run(&["--help"]), 0);
    expect_status(&run(&["--version"]), 0);
    for verb in [
        "run", "resume", "replay", "report", "compare", "merge", "validate", "list", "link", "doctor", "server",
        "client",
    ] {
        let output = samepath().args([verb, "--help"]).output().unwrap();
        expect_status(&output, 0);
    }
}
