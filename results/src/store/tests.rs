use std::fs;
use std::io::Write as _;

use samepath_model::record::{Outcome, PacketRecord, TrialRecord};
use samepath_model::{VoidKind, VoidReason};
use tempfile::tempdir;

use super::*;
use crate::fixture;

fn message(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempdir().unwrap();
    let (path, experiment) = (dir.path().join("deep/run"), fixture::experiment());
    let written = fixture::run(&path, &experiment, 1.0);
    let read = Run::open(&path).unwrap();
    assert_eq!(read.experiment(), &experiment);
    assert_eq!(read.manifest(), written.manifest());
    assert_eq!(read.trials(), written.trials());
    assert_eq!(read.trials().len(), 24);
    assert!(read.pending().is_empty());
    for record in read.trials() {
        let (id, play) = (&record.trial.id, fixture::play(&record.trial, 1.0));
        assert_eq!(read.messages(id).unwrap(), play.messages);
        assert_eq!(read.series(id).unwrap(), play.series);
        let ledger: Vec<_> = read.ledger(id).unwrap().unwrap().map(Result::unwrap).collect();
        assert_eq!(ledger, fixture::packets(100).collect::<Vec<_>>());
        let attributed = |n| record.trial.attribution.then_some(n);
        assert_eq!(read.layout(id).unwrap(), attributed(50).map(|n| fixture::layout(n).collect()));
        assert_eq!(read.observations(id).unwrap(), attributed(80).map(|n| fixture::observations(n).collect()));
        assert_eq!(Some(crate::recompute::recompute(&read, record).unwrap()), record.summary);
    }
    // Nothing but what the format names.
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [EXPERIMENT, MANIFEST, TRIALS, TRIAL_LINES]);
    assert_eq!(fs::read_dir(path.join(TRIALS)).unwrap().count(), 24);
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "dear").unwrap();
    let experiment = fixture::experiment();
    let error = message(Run::create(dir.path(), &experiment, fixture::manifest(&experiment)));
    assert!(error.contains("not empty") && error.contains("resume"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_run_says_so() {
    let dir = tempdir().unwrap();
    let error = message(Run::open(&dir.path().join("nowhere")));
    assert!(error.contains("there is no run"), "{error}");
    let error = message(Run::open(dir.path()));
    assert!(error.contains("not a run directory") && error.contains(MANIFEST), "{error}");
    fs::write(dir.path().join(MANIFEST), r#"{"name": "a web page"}"#).unwrap();
    assert!(message(Run::open(dir.path())).contains("not a run directory"));
    fs::write(dir.path().join(MANIFEST), "{").unwrap();
    assert!(message(Run::open(dir.path())).contains("fetch the run again"));
    fs::write(dir.path().join(MANIFEST), r#"{"schema": 99}"#).unwrap();
    let error = message(Run::open(dir.path()));
    assert!(error.contains("version 99") && error.contains("newer samepath"), "{error}");
    fs::write(dir.path().join(MANIFEST), r#"{"schema": 2}"#).unwrap();
    let error = message(Run::open(dir.path()));
    assert!(error.contains("version 2, but") && error.contains("the samepath that wrote it"), "{error}");
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(message(Run::open(&dir.path().join("file"))).contains("not a run directory"));
}

#[test]
fn a_line_cut_short_is_passed_over_and_replaced() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    let run = fixture::lines(dir.path(), &experiment, 1.0);
    let lines = dir.path().join(TRIAL_LINES);
    let whole = fs::read(&lines).unwrap();
    let last = run.trials().last().unwrap().clone();
    drop(run);
    let before_last = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    for cut in [before_last, before_last + 1, before_last + 100, whole.len() - 1] {
        fs::write(&lines, &whole[..cut]).unwrap();
        let mut run = Run::open(dir.path()).unwrap();
        assert_eq!(run.trials().len(), 23);
        assert_eq!(run.pending().iter().map(|t| &t.id).collect::<Vec<_>>(), [&last.trial.id]);
        run.append(&last).unwrap();
        assert_eq!(fs::read(&lines).unwrap(), whole);
        assert!(run.pending().is_empty());
    }
}

#[test]
fn a_damaged_line_is_named() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    drop(fixture::lines(dir.path(), &experiment, 1.0));
    let lines = dir.path().join(TRIAL_LINES);
    let text = fs::read_to_string(&lines).unwrap();
    let damaged = |from: &str, to: &str| {
        let changed: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(i, l)| if i == 4 { l.replacen(from, to, 1) } else { l.to_owned() })
            .collect();
        fs::write(&lines, changed.join("\n") + "\n").unwrap();
        message(Run::open(dir.path()))
    };
    let error = damaged("{", "[");
    assert!(error.contains("line 5") && error.contains("remove the line"), "{error}");
    let error = damaged(&format!("\"schema\":{RECORD_SCHEMA}"), "\"schema\":7");
    assert!(error.contains("version 7"), "{error}");
    let error = damaged("\"received_bytes\"", "\"bytes_received\"");
    assert!(error.contains("line 5") && error.contains("bytes_received"), "{error}");
    let error = damaged("\"id\":\"messages", "\"id\":\"../../messages");
    assert!(error.contains("line 5") && error.contains("not of the experiment"), "{error}");
}

#[test]
fn a_damaged_column_file_is_an_error() {
    let dir = tempdir().unwrap();
    let run = fixture::run(dir.path(), &fixture::experiment(), 1.0);
    let id = run.trials()[0].trial.id.clone();
    let path = dir.path().join(TRIALS).join(&id.0).join("ledger.parquet");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(message(run.ledger(&id).map(|_| ())).contains("ledger.parquet"));
    // A file of another kind in its place.
    fs::copy(path.with_file_name("series.parquet"), path.with_file_name("messages.parquet")).unwrap();
    assert!(message(run.messages(&id)).contains("it holds `series`"));
    fs::remove_file(&path).unwrap();
    assert!(run.ledger(&id).unwrap().is_none());
    assert!(message(run.messages(&TrialId("../x".into()))).contains("no trial `../x`"));
    assert!(message(run.begin_trial(&TrialId("../x".into())).map(|_| ())).contains("no trial `../x`"));
}

#[test]
fn a_trial_not_finished_leaves_nothing() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    let run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    let id = &run.planned()[0].id;
    let trials = dir.path().join(TRIALS);
    let left = || fs::read_dir(&trials).unwrap().count();
    // What a killed run left is removed.
    let partial = trials.join(format!("{id}.partial"));
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("messages.parquet"), "cut").unwrap();
    let mut writer = run.begin_trial(id).unwrap();
    assert!(writer.scratch().is_dir());
    assert!(!partial.join("messages.parquet").exists());
    let broken = fixture::packets(10).map(|p| if p.number < 5 { Ok(p) } else { Err("the spool ends here") });
    let error = message(writer.write_ledger(broken));
    assert!(error.contains("the spool ends here") && error.contains(&id.0), "{error}");
    drop(writer);
    assert_eq!(left(), 0);
    run.begin_trial(id).unwrap().discard().unwrap();
    assert_eq!(left(), 0);
    // A trial without a line is run again, and takes its earlier place.
    for _ in 0..2 {
        let mut writer = run.begin_trial(id).unwrap();
        fs::write(writer.scratch().join("spool"), "spool").unwrap();
        writer.write_messages([]).unwrap();
        writer.finish().unwrap();
        assert_eq!(left(), 1);
        assert!(run.messages(id).unwrap().is_empty());
        assert_eq!(fs::read_dir(trials.join(&id.0)).unwrap().count(), 1);
    }
}

#[test]
fn one_process_writes_at_a_time() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    let run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    let id = run.planned()[0].id.clone();
    let writer = run.begin_trial(&id).unwrap();
    let second = Run::open(dir.path()).unwrap();
    let error = message(second.begin_trial(&id).map(|_| ()));
    assert!(error.contains("another samepath"), "{error}");
    drop(writer);
    drop(run);
    second.begin_trial(&id).unwrap();
}

#[test]
fn lines_that_came_after_the_reading_are_not_overwritten() {
    let dir = tempdir().unwrap();
    let (path, experiment) = (dir.path().join("run"), fixture::experiment());
    let records = fixture::run(&path, &experiment, 1.0).trials().to_vec();
    let mut late = Run::open(&path).unwrap();
    let mut other = Run::open(&path).unwrap();
    other.append(&records[0]).unwrap();
    drop(other);
    let before = fs::read(path.join(TRIAL_LINES)).unwrap();
    assert!(message(late.append(&records[1])).contains("since it was read"));
    assert_eq!(fs::read(path.join(TRIAL_LINES)).unwrap(), before);
}

#[test]
fn a_trial_run_again_counts_once() {
    let dir = tempdir().unwrap();
    let mut run = fixture::lines(dir.path(), &fixture::experiment(), 1.0);
    let void = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "late by 3 ms")] };
    let again = TrialRecord { outcome: void, ..run.trials()[2].clone() };
    run.append(&again).unwrap();
    for run in [&run, &Run::open(dir.path()).unwrap()] {
        assert_eq!(run.trials().len(), 24);
        assert_eq!(run.trials()[2], again);
        assert_eq!(run.trial(&again.trial.id), Some(&again));
    }
}

#[test]
fn an_attempt_that_another_followed_is_kept_beside_it() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    let trial = run.planned()[0].clone();
    let late = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "late by 3 ms")] };
    let done = fixture::record(&trial, &fixture::play(&trial, 1.0));
    let record = |attempt| TrialRecord {
        attempt,
        outcome: if attempt < 3 { late.clone() } else { Outcome::Done },
        ..done.clone()
    };
    let write = |run: &Run, attempt: u32| {
        let writer = run.begin_attempt(&trial.id, attempt).unwrap();
        fs::write(writer.dir().join("number"), attempt.to_string()).unwrap();
        writer.finish().unwrap();
    };
    for attempt in 1..=3 {
        write(&run, attempt);
        // A run that is killed before the line is written makes this attempt once more, and loses none.
        write(&run, attempt);
        run.append(&record(attempt)).unwrap();
    }
    for run in [&run, &Run::open(dir.path()).unwrap()] {
        assert_eq!(run.trials(), [record(3)]);
        assert_eq!(run.earlier_attempts(), [record(1), record(2)]);
        for attempt in 1..=3 {
            let kept = fs::read_to_string(run.directory(&record(attempt)).join("number")).unwrap();
            assert_eq!(kept, attempt.to_string());
        }
        assert_eq!(run.pending().len(), run.planned().len() - 1);
    }
    // All of them are under the seal.
    run.seal().unwrap();
    assert_eq!(run.checksums().unwrap().keys().filter(|path| path.ends_with("number")).count(), 3);
}

#[test]
fn a_seal_shows_what_was_changed() {
    let dir = tempdir().unwrap();
    let mut run = fixture::run(dir.path(), &fixture::experiment(), 1.0);
    assert!(message(run.verify()).contains("no checksums"));
    run.seal().unwrap();
    assert_eq!(run.verify().unwrap(), []);
    assert_eq!(Run::open(dir.path()).unwrap().manifest().checksums.len(), 2 + 24 * 3 + 18 * 2);
    // A report may be drawn again at any time.
    fs::create_dir(dir.path().join("report")).unwrap();
    fs::write(dir.path().join("report/index.html"), "").unwrap();
    assert_eq!(run.verify().unwrap(), []);

    let trial = dir.path().join(TRIALS).join(&run.trials()[0].trial.id.0);
    fs::OpenOptions::new().append(true).open(trial.join("series.parquet")).unwrap().write_all(b"x").unwrap();
    fs::remove_file(trial.join("messages.parquet")).unwrap();
    fs::write(trial.join("notes"), "").unwrap();
    let seen: Vec<_> = run.verify().unwrap().into_iter().map(|d| (d.kind, d.path)).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    for (kind, name) in [
        (DifferenceKind::Changed, "series.parquet"),
        (DifferenceKind::Missing, "messages.parquet"),
        (DifferenceKind::Added, "notes"),
    ] {
        assert!(seen.iter().any(|(k, path)| *k == kind && path.ends_with(name)), "{seen:?}");
    }
    // What is measured later breaks the seal, and says so.
    let record = run.trials()[0].clone();
    run.append(&record).unwrap();
    assert!(message(run.verify()).contains("no checksums"));
}

/// A million packets pass through row groups of bounded size.
#[test]
fn a_long_ledger_is_read_in_parts() {
    let dir = tempdir().unwrap();
    let experiment = fixture::experiment();
    let run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    let id = &run.planned()[0].id;
    let n = 3 * crate::columns::ROW_GROUP as u64 + 17;
    let mut writer = run.begin_trial(id).unwrap();
    writer.write_ledger(fixture::packets(n).map(Ok::<_, String>)).unwrap();
    writer.finish().unwrap();
    let ledger = run.ledger(id).unwrap().unwrap();
    assert_eq!(ledger.packets(), n);
    assert!(ledger.map(Result::unwrap).eq(fixture::packets(n)));
}

#[cfg(target_os = "linux")]
mod full_disk {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use samepath_testing::test;

    use super::*;

    /// Runs `test` in a mount namespace of its own thread, on a file system of so many bytes.
    fn on_a_disk_of(name: &str, bytes: usize, test: impl FnOnce(&Path) + Send) {
        let place = tempdir().unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
                    samepath_testing::skip(
                        name,
                        format_args!("no mount namespace of its own ({error}); run it as root"),
                    );
                    return;
                }
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
                let options = format!("size={bytes}");
                mount(Some("tmpfs"), place.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
                test(place.path());
            });
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }

    fn entries(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn full_disk_is_named_and_nothing_partial_stays() {
        on_a_disk_of(test!(), 96 * 1024, |disk| {
            let experiment = fixture::experiment();
            let dir = disk.join("run");
            let mut run = Run::create(&dir, &experiment, fixture::manifest(&experiment)).unwrap();
            let trial = run.planned()[0].clone();
            let mut writer = run.begin_trial(&trial.id).unwrap();
            // Queueing times that no encoding makes small.
            let noise =
                |p: PacketRecord| PacketRecord { queued: p.number.pow(3).wrapping_mul(0x9e37_79b9_7f4a_7c15), ..p };
            let noisy = fixture::packets(100_000).map(|packet| Ok::<_, String>(noise(packet)));
            let error = message(writer.write_ledger(noisy));
            assert!(error.contains("ledger.parquet") && error.contains("free some space"), "{error}");
            drop(writer);
            assert!(entries(&dir.join(TRIALS)).is_empty());

            // Lines, until there is no room: the file ends with a whole one.
            let record = fixture::record(&trial, &fixture::play(&trial, 1.0));
            let error = loop {
                if let Err(error) = run.append(&record) {
                    break error.to_string();
                }
            };
            assert!(error.contains(TRIAL_LINES) && error.contains("free some space"), "{error}");
            assert_eq!(fs::read(dir.join(TRIAL_LINES)).unwrap().last(), Some(&b'\n'));
            assert_eq!(Run::open(&dir).unwrap().trials(), [record]);

            // No room for a run at all.
            fs::write(disk.join("filler"), vec![0; 1 << 20]).unwrap_err();
            let error = message(Run::create(&disk.join("other"), &experiment, fixture::manifest(&experiment)));
            assert!(error.contains("free some space"), "{error}");
            assert!(!disk.join("other").exists());
            assert!(!entries(&dir).iter().any(|name| name.contains(".partial")), "{:?}", entries(&dir));
            Run::open(&dir).unwrap();
        });
    }

    #[test]
    fn a_read_only_disk_is_named() {
        on_a_disk_of(test!(), 1 << 20, |disk| {
            let experiment = fixture::experiment();
            let mut run = fixture::run(&disk.join("run"), &experiment, 1.0);
            run = {
                let dir = run.dir().to_owned();
                drop(run);
                Run::open(&dir).unwrap()
            };
            let none = None::<&str>;
            mount(none, disk, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
            let error = message(Run::create(&disk.join("new"), &experiment, fixture::manifest(&experiment)));
            assert!(error.contains("can be written"), "{error}");
            let record = run.trials()[0].clone();
            let error = message(run.append(&record));
            assert!(error.contains("can be written"), "{error}");
            // What is there can still be read.
            assert_eq!(run.messages(&record.trial.id).unwrap().len(), 100);
        });
    }
}

#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_not_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let dir = tempdir().unwrap();
    let write = |path: &Path| {
        write_ledger(path, "link", 0, &[], fixture::packets(10).map(Ok::<_, std::convert::Infallible>)).unwrap()
    };
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    fs::write(&target, "before").unwrap();
    symlink("target", &link).unwrap();
    write(&link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Ledger::open(&target).unwrap().count(), 10);

    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|made| made.success()) {
        samepath_testing::skip_part!("pipe", "there is no `mkfifo` here");
        return;
    }
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    write(&pipe);
    assert_eq!(reader.join().unwrap(), fs::read(&target).unwrap());
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}
