//! Answers from packets made up, and from runs that lack a file.

use std::fs;
use std::path::Path;

use samepath_model::experiment::Experiment;
use samepath_model::record::PlayReport;

use super::*;
use crate::blocking::tests::Made;
use crate::fixture;

const MS: i64 = 1_000_000;

/// What is said of the message at this place.
fn said(made: &Made, place: usize) -> Explanation {
    let record = fixture::record(&made.trial, &fixture::play(&made.trial, 1.0));
    told(&record, &made.analyse(), place)
}

#[test]
fn what_follows_in_the_same_record_was_not_overtaken() {
    let mut made = Made::new("tls");
    // One record of three messages in three packets, of which only the first message is told.
    for stream in 0..3u64 {
        made.lay_in(0, (stream * 100, stream * 100 + 100), (0, 300), stream as u16, Some(0));
        made.carry(stream as i64 * MS, &[(0, stream * 100, stream * 100 + 100)], None);
        made.message(stream as u16, 0, 0, Some(40 * MS));
    }
    let answer = said(&made, 0);
    assert_eq!(answer.verdict, Verdict::Blocked);
    assert!(answer.blockers.iter().all(|missing| missing.follows));
    let words = answer.render();
    assert!(!words.contains("overtaken"), "{words}");
    assert!(
        words.contains(
            "- 100 bytes of message 1:0, which follow in the same TLS record: packet 19 with them came at 1 ms and \
             arrived at 31.001 ms.\n"
        ),
        "{words}"
    );
    // One of them is lost.
    made.ledger[18].left = None;
    made.ledger[18].dropped = Some(DropCause::Loss);
    made.carry(20 * MS, &[(0, 100, 200)], None);
    made.messages[0].delivered = Some(60 * MS);
    let words = said(&made, 0).render();
    assert!(
        words.contains("which follow in the same TLS record: packet 19 came to the link at 1 ms and was"),
        "{words}"
    );
}

#[test]
fn only_what_came_to_the_link_earlier_was_overtaken() {
    let mut made = Made::new("tcp");
    made.lay(0, 0, 100, 0, Some(0));
    made.lay(0, 100, 200, 1, Some(0));
    let slow = made.carry(0, &[(0, 0, 100)], None);
    made.ledger[slow].left = Some(50 * MS);
    made.carry(MS, &[(0, 100, 200)], None);
    made.message(0, 0, 0, Some(60 * MS));
    made.message(1, 0, 0, Some(60 * MS));
    let answer = said(&made, 1);
    assert!(!answer.blockers[0].follows);
    assert!(answer.render().contains("packet 18 with them was overtaken: it came at 0 ms and arrived at 50 ms."));
    // What came later was not.
    made.ledger[slow].arrived = 2 * MS;
    let words = said(&made, 1).render();
    assert!(words.contains("packet 18 with them came at 2 ms and arrived at 50 ms."), "{words}");
}

#[test]
fn a_loss_repaired_in_time_is_told() {
    let mut made = Made::new("quic");
    made.lay(1, 0, 200, 0, Some(0));
    // The first half is lost, and sent again before the second is sent at all.
    made.carry(0, &[(1, 0, 100)], Some(DropCause::Loss));
    made.carry(10 * MS, &[(1, 0, 100)], None);
    made.carry(20 * MS, &[(1, 100, 200)], None);
    made.message(0, 0, 0, Some(60 * MS));
    let answer = said(&made, 0);
    assert_eq!((answer.verdict, answer.intact), (Verdict::RecoveredInTime, Some(false)));
    assert_eq!(answer.parts_ms.as_ref().unwrap()["own_loss"], 0.0);
    assert_eq!(serde_json::to_value(&answer).unwrap()["verdict"], "recovered-in-time");
    let words = answer.render();
    assert!(!words.contains("nothing of it was lost"), "{words}");
    for expected in [
        "Some of it was lost, but it did not wait for the further copies",
        "Lost of its own bytes:",
        "was dropped by random loss",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}

/// A run of one part with the workload, of which this trial is asked.
fn asked(
    dir: &Path,
    workload: &str,
    arm: &str,
    change: impl Fn(&mut PlayReport),
    remove: &str,
) -> Result<String, String> {
    let text = format!(
        "schema = 1\nname = \"one\"\nrepeat = 1\n[[part]]\nname = \"part\"\narms = [\"{arm}\"]\nworkload = {workload}\n\
         link = {{ rtt = \"60ms\", rate = \"20Mbit\" }}\nattribution = true\n"
    );
    let experiment = Experiment::parse(&text).unwrap();
    let mut run = Run::create(dir, &experiment, fixture::manifest(&experiment)).unwrap();
    let trial = run.planned()[0].clone();
    let mut play = fixture::play(&trial, 1.0);
    change(&mut play);
    fixture::add(&mut run, &trial, &play);
    if !remove.is_empty() {
        fs::remove_file(dir.join("trials").join(&trial.id.0).join(remove)).unwrap();
    }
    let question = Question { trial: Some(trial.id.clone()), message: None };
    let answer = explain(&run, &question).map_err(|error| {
        // As the command prints it: with every cause that it carries.
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            words += &format!(": {error}");
            cause = error.source();
        }
        words
    })?;
    Ok(answer.render())
}

const MESSAGES: &str = "{ kind = \"messages\", streams = 2, size = \"1000B\", spacing = \"40ms\", count = 5 }";

#[test]
fn a_missing_file_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let asked = |arm: &str, file: &str| {
        let place = dir.path().join(format!("{arm}-{file}"));
        asked(&place, MESSAGES, arm, |_| (), file)
    };
    for (arm, file) in
        [("tcp", "ledger.parquet"), ("tcp", "message-ranges.parquet"), ("quic", "packet-observations.parquet")]
    {
        let words = asked(arm, file).unwrap();
        let expected = format!("its `{file}` is missing, with which it was recorded; fetch the run again whole");
        assert!(words.contains(&expected), "{arm} {file}: {words}");
    }
    // TCP's offsets are in the ledger, so nothing is missing.
    assert!(!asked("tcp", "packet-observations.parquet").unwrap().contains("missing"));
    let error = asked("tcp", "messages.parquet").unwrap_err();
    assert_eq!(error.matches("is missing").count(), 1, "{error}");
    assert!(error.contains("messages.parquet`: it is missing; fetch the run again"), "{error}");
}

#[test]
fn what_has_no_end_is_not_called_undelivered() {
    let dir = tempfile::tempdir().unwrap();
    let workload = "{ kind = \"bulk\", streams = 1, duration = \"500ms\" }";
    let unfinished = |play: &mut PlayReport| play.messages.iter_mut().for_each(|message| message.delivered = None);
    let words = asked(&dir.path().join("run"), workload, "tcp", unfinished, "").unwrap();
    assert!(words.contains("without end, down, released at 0 ms"), "{words}");
    assert!(words.contains("It has no end") && !words.contains("never delivered"), "{words}");
}

#[test]
fn a_chain_is_told_with_its_critical_path() {
    let mut made = Made::new("quic");
    for (n, at) in [0, 100, 200].into_iter().enumerate() {
        let (stream, domain) = (n as u16, n as u64 * 4 + 1);
        made.lay(domain, 0, 100, stream, Some(0));
        made.carry(at * MS + 1_000, &[(domain, 0, 100)], None);
        let arrived = made.ledger.last().unwrap().left.unwrap();
        made.message(stream, 0, at * MS, Some(arrived + 5_000));
        made.messages.last_mut().unwrap().released_by =
            (n > 0).then(|| MessageId { direction: Direction::Down, stream: stream - 1, seq: 0 });
    }
    let answer = said(&made, 2);
    assert_eq!(answer.critical_path.len(), 3);
    assert_eq!(answer.critical_path_ms, answer.delivered_ms);
    let sum: f64 = answer.critical_path.iter().map(|step| step.waited_ms + step.delay_ms).sum();
    assert!((sum - answer.critical_path_ms.unwrap()).abs() < 1e-6, "{sum}");
    let words = answer.render();
    assert!(
        words.contains("Critical path: 3 messages from the release of down:0:0 to the delivery of down:2:0"),
        "{words}"
    );
    assert!(words.lines().last().is_some_and(|line| line.trim_start().starts_with("sum")), "{words}");
    // What the clock released has none.
    assert!(said(&made, 0).critical_path.is_empty());
}

#[test]
fn a_page_without_an_address_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let unresolved = |play: &mut PlayReport| {
        play.name_lookup = Some(NameLookup { took_ns: 10_000_000_000, tries: 2, answered: false });
        play.messages.iter_mut().for_each(|message| message.delivered = None);
        play.layout.clear();
    };
    let words = asked(&dir.path().join("run"), MESSAGES, "tcp", unresolved, "").unwrap();
    let expected = "It was never delivered: the name of its server was not resolved (queries without an \
                    answer: 2; given up after 10000 ms)";
    assert!(words.contains(expected), "{words}");
}
