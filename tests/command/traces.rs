//! Rate traces and tables of delays: read in the forms that there are, kept once a run, and had again by their
//! checksum.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test};

/// A long trace in one column, so that a copy of it in any record would show.
fn long_trace() -> String {
    (1..=30_000).map(|line| format!("{}\n", line / 2 + 1)).collect()
}

fn experiment(dir: &Path, trace: &str) -> String {
    let table = file(dir, "long.dist", &"-8192 0 8192\n".repeat(5_000));
    let text = format!(
        "schema = 1\nname = 'traced'\nrepeat = 2\n[[part]]\nname = 'bulk'\narms = ['tcp', 'quic']\n\
         workload = {{ kind = 'bulk', bytes = '20kB' }}\nlink = {{ rtt = '4ms', rate-trace = '{trace}', \
         jitter = '1ms', distribution = 'table {table}' }}\n"
    );
    file(dir, "traced.toml", &text)
}

/// The files of a run's inputs.
fn inputs(run: &Path) -> Vec<PathBuf> {
    fs::read_dir(run.join("inputs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_form_of_a_trace_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, word, named) in [
        ("lte.down", "1\n1\n3\n10\n", "", "rate of lte.down (mahimahi; 4.8 Mbit/s in the mean; again every 0.01s)"),
        ("cooked.log", "0.0 5.5\n1.0 0\n2.0 2.75\n", "", "(s and Mbit/s; 2.8 Mbit/s in the mean; again every 3s)"),
        (
            "a.csv",
            "ts_ms,dl_kbps\r\n0,5500\r\n500,0\r\n",
            "",
            "(ms and kbit/s; 2.8 Mbit/s in the mean; again every 1s)",
        ),
        (
            "b.csv",
            "x,rate,time\n9,1,0\n9,2,1\n",
            "columns time:s rate:MB ",
            "(s of column 3 and MB/s of column 2; 12.0",
        ),
    ] {
        let path = file(dir.path(), name, text);
        let said = run(&["run", "window-cut", "--rate-trace", &format!("{word}{path}"), "--dry-run"]);
        expect_status(&said, 0);
        assert!(stdout(&said).contains(named), "{name}: {}", stdout(&said));
    }
}

#[test]
fn a_mistake_in_a_trace_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("0 1\n1 -2\n", &["line 2", "write 0 where nothing passes"][..]),
        ("0 1\n2 1\n1 1\n", &["line 3", "order of time"]),
        ("time,rate\n0,1\n1,2\n", &["columns time:s rate:Mbit", "columns time:s rate:kbit"]),
        ("", &["empty"]),
    ] {
        let path = file(dir.path(), "wrong.csv", text);
        let of_flag = run(&["run", "window-cut", "--down-rate-trace", &path, "--dry-run"]);
        let of_link = run(&["link", "--down-rate-trace", &path, "--", "true"]);
        let of_axis = run(&["run", "window-cut", "--set", &format!("rate-trace={path}"), "--dry-run"]);
        let of_file = run(&["run", &experiment(dir.path(), &path), "--dry-run"]);
        for (output, place) in [
            (of_flag, "--down-rate-trace: "),
            (of_link, "--down-rate-trace: "),
            (of_axis, "--set rate-trace="),
            (of_file, "traced.toml: line 8: part `bulk`"),
        ] {
            expect_status(&output, 2);
            let said = stderr(&output);
            assert!(said.contains(place) && said.contains("wrong.csv"), "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
    let utf16 = dir.path().join("utf16.csv");
    fs::write(&utf16, b"\xff\xfe0\0 \x001\0").unwrap();
    let said = run(&["link", "--rate-trace", utf16.to_str().unwrap(), "--", "true"]);
    expect_status(&said, 2);
    assert!(stderr(&said).contains("byte-order mark of UTF-16"), "{}", stderr(&said));
    let none = run(&["link", "--rate-trace", "there/is/none", "--", "true"]);
    expect_status(&none, 2);
    assert!(stderr(&none).contains("--rate-trace") && stderr(&none).contains("there/is/none"), "{}", stderr(&none));
}

#[test]
fn a_trace_is_kept_once_a_run() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let at = |name: &str| place(name).to_str().unwrap().to_owned();
    let trace = file(dir.path(), "long.down", &long_trace());
    let experiment = experiment(dir.path(), &trace);
    let done = |output: &std::process::Output| {
        // Trials on a busy machine may be void: that is no matter of this test.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(output));
    };
    done(&run(&["run", &experiment, "--out", &at("first"), "--retries", "0"]));

    // One copy, under its checksum, and nowhere else anything of its size; likewise of the table.
    let mut kept = inputs(&place("first"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    kept.sort_by_key(|path| fs::read_to_string(path).unwrap() != long_trace());
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), long_trace());
    let lines = fs::read_to_string(place("first/trials.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 4);
    let checksum = kept[0].file_name().unwrap().to_str().unwrap();
    for line in lines.lines() {
        assert!(line.len() < 60_000 && line.contains(checksum), "{} bytes", line.len());
    }
    let resolved = fs::read_to_string(place("first/experiment.toml")).unwrap();
    assert!(resolved.len() < 10_000 && resolved.contains(checksum), "{resolved}");

    // The original may go: resume, replay, a run of what was recorded, shards and their merging have the copy.
    fs::remove_file(&trace).unwrap();
    fs::remove_file(place("long.dist")).unwrap();
    expect_status(&run(&["report", "--verify", &at("first")]), 0);
    let shorter: String = lines.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(place("first/trials.jsonl"), shorter).unwrap();
    done(&run(&["resume", &at("first"), "--retries", "0"]));
    assert_eq!(fs::read_to_string(place("first/trials.jsonl")).unwrap().lines().count(), 4);
    done(&run(&["replay", &at("first"), "--out", &at("again"), "--retries", "0"]));
    assert_eq!(inputs(&place("again")).len(), 2);
    for shard in ["1/2", "2/2"] {
        let out = at(&format!("shard-{}", &shard[..1]));
        done(&run(&["run", &at("first/experiment.toml"), "--shard", shard, "--out", &out, "--retries", "0"]));
    }
    done(&run(&["merge", &at("merged"), &at("shard-1"), &at("shard-2")]));
    assert_eq!(fs::read_to_string(place("merged/trials.jsonl")).unwrap().lines().count(), 4);
    let merged = inputs(&place("merged"));
    assert!(merged.iter().any(|path| fs::read_to_string(path).unwrap() == long_trace()));

    // Damaged or missing it is told, with the remedy, before anything is run.
    let shorter: String = lines.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(place("first/trials.jsonl"), shorter).unwrap();
    fs::write(&kept[0], "1\n2\n").unwrap();
    let damaged = run(&["resume", &at("first")]);
    expect_status(&damaged, 1);
    assert!(stderr(&damaged).contains(checksum) && stderr(&damaged).contains("fetch the run again"), "{damaged:?}");
    let verified = run(&["report", "--verify", &at("first")]);
    assert!(stderr(&verified).contains(&format!("inputs/{checksum}")), "{}", stderr(&verified));
    fs::remove_file(&kept[0]).unwrap();
    for command in [&["resume", &at("first")][..], &["replay", &at("first"), "--out", &at("no")]] {
        let missing = run(command);
        expect_status(&missing, 1);
        assert!(stderr(&missing).contains("it is missing"), "{}", stderr(&missing));
    }
    let missing = run(&["run", &at("first/experiment.toml"), "--out", &at("no")]);
    expect_status(&missing, 2);
    assert!(stderr(&missing).contains("name the file itself"), "{}", stderr(&missing));
    assert!(!place("no").exists());
}
