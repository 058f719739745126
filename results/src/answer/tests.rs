//! Sentences on made-up figures: what is said, and that it is never a wall.

use proptest::prelude::*;
use samepath_model::blocking::Blocking;
use samepath_model::record::{Outcome, Percentiles, TrialRecord};
use samepath_model::{Experiment, Trial, VoidKind, VoidReason};
use tempfile::tempdir;

use super::*;
use crate::cells::cells;
use crate::fixture;
use crate::part::parts;
use crate::store::Run;
use crate::words::share;

const MESSAGES: &str = r#"
schema = 1
name = "made-up"
repeat = 3
[[part]]
name = "messages"
arms = ["tcp", "tls", "quic", "quic/shared", "udp"]
workload = { kind = "messages", streams = 4, size = "1000B", spacing = "40ms", count = 25 }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "3%"] }
"#;

const BULK: &str = r#"
schema = 1
name = "made-up"
repeat = 3
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", duration = "3s" }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "3%"] }
"#;

const HANDSHAKE: &str = r#"
schema = 1
name = "made-up"
repeat = 3
[[part]]
name = "first-byte"
arms = ["tcp", "tls", "quic", "udp"]
workload = { kind = "bulk", bytes = "1000B" }
axes = { rtt = ["20ms", "200ms"] }
"#;

/// The figures of a trial.
#[derive(Debug, Clone, Copy)]
struct Made {
    p95: f64,
    /// Of a thousand intact messages; `None` where packets were not attributed.
    blocked: Option<u64>,
    /// Of a thousand messages.
    delivered: u64,
    mbit: f64,
    first_byte: f64,
    counts: bool,
}

const PLAIN: Made = Made { p95: 61.0, blocked: Some(0), delivered: 1000, mbit: 18.0, first_byte: 120.0, counts: true };

fn record(trial: &Trial, made: Made) -> TrialRecord {
    let mut record = fixture::record(trial, &fixture::play(trial, 1.0));
    if !made.counts {
        record.outcome = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "late")] };
    }
    let summary = record.summary.as_mut().expect("a summary");
    let percentiles = Percentiles { p50: made.p95 / 2.0, p95: made.p95, max: made.p95, ..Percentiles::default() };
    (summary.messages, summary.delivered) = (1000, made.delivered);
    summary.delay_ms = (made.delivered > 0).then_some(percentiles);
    summary.goodput_bits_per_second = Some(made.mbit * 1e6);
    summary.completion_ms = Some(made.p95);
    summary.first_byte_ms = Some(made.first_byte);
    let blocking = |intact_blocked| Blocking { intact: 1000, intact_blocked, ..Blocking::default() };
    summary.blocking = made.blocked.map(blocking);
    record
}

fn answered(experiment: &str, made: impl Fn(&Trial) -> Made) -> Vec<Answer> {
    let dir = tempdir().expect("a directory");
    let experiment = Experiment::parse(experiment).expect("an experiment");
    let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).expect("a run");
    for trial in experiment.trials() {
        run.append(&record(trial, made(trial))).expect("a line");
    }
    let cells = cells(&run);
    answers(&parts(&cells))
}

/// The sentences of the one part.
fn said(experiment: &str, made: impl Fn(&Trial) -> Made) -> String {
    let answers = answered(experiment, made);
    assert!(answers.len() <= 1);
    answers.first().map(|answer| answer.sentences.join("\n")).unwrap_or_default()
}

fn lossy(trial: &Trial) -> bool {
    trial.axes.get("loss").is_some_and(|loss| loss == "3%")
}

/// As measured once, in round figures: one ordered stream is held up, streams of their own are not.
fn usual(trial: &Trial) -> Made {
    let seed = trial.seed as f64;
    match (lossy(trial), trial.arm.to_string().as_str()) {
        (true, "tcp" | "tls") => Made { p95: 150.0 + seed, blocked: Some(140 + trial.seed), mbit: 1.3, ..PLAIN },
        (true, "quic/shared") => Made { p95: 148.0 + seed, blocked: Some(163), ..PLAIN },
        (true, "udp") => Made { delivered: 969, ..PLAIN },
        (true, _) => Made { p95: 96.0 + seed, mbit: 1.5 + 0.1 * seed, ..PLAIN },
        (false, _) => PLAIN,
    }
}

#[test]
fn one_sentence_on_blocking_one_on_lateness() {
    insta::assert_snapshot!(said(MESSAGES, usual), @"
    At 3 % loss, of the messages that lost nothing themselves one in seven had to wait for others on tcp and tls, none on quic, one in six on quic/shared.
    One message in twenty took longer than 152 ms on tcp and 98 ms on quic: less on quic in all 3 paired seeds.
    Of all messages 3.1 % never arrived on udp.
    ");
    let answers = answered(MESSAGES, usual);
    let block = |block: &Block| {
        format!("{}\n{}", block.name, block.rows.iter().map(|row| row.join(" | ")).collect::<Vec<_>>().join("\n"))
    };
    let rows: Vec<String> = answers[0].blocks.iter().map(block).collect();
    insta::assert_snapshot!(format!("{}\n{}", answers[0].head.join(" | "), rows.join("\n")), @"
    conditions | tcp | tls | quic | quic/shared | udp
    one message in twenty took longer than [ms] (delay p95)
    loss 0% | 61 | 61 | 61 | 61 | 61
    loss 3% | 152 | 152 | 98 | 150 | 61
    of the messages that lost nothing themselves, had to wait for others [%]
    loss 0% | 0 | 0 | 0 | 0 | 0
    loss 3% | 14.2 | 14.2 | 0 | 16.3 | 0
    never delivered [%]
    loss 0% | 0 | 0 | 0 | 0 | 0
    loss 3% | 0 | 0 | 0 | 0 | 3.1
    ");
}

#[test]
fn near_shares_are_told_together() {
    let near = |trial: &Trial| {
        let seed = trial.seed;
        match trial.arm.to_string().as_str() {
            "tcp" => Made { blocked: Some(110 + 10 * seed), ..PLAIN },
            "tls" => Made { blocked: Some(90 + 20 * (seed % 3)), ..PLAIN },
            // Overlaps neither: no seed of it comes near.
            "quic/shared" => Made { blocked: Some(155 + seed), ..PLAIN },
            _ => Made { blocked: Some(if seed == 3 { 30 } else { 0 }), ..PLAIN },
        }
    };
    insta::assert_snapshot!(said(MESSAGES, near).lines().next().unwrap_or_default(), @"At 3 % loss, of the messages that lost nothing themselves about one in eight had to wait for others on tcp and tls, almost none on quic, one in six on quic/shared.");
}

#[test]
fn where_quic_is_worse_it_is_said_as_plainly() {
    let worse = |trial: &Trial| match trial.arm.to_string().as_str() {
        "quic" => Made { p95: 200.0, blocked: Some(500), ..PLAIN },
        _ => PLAIN,
    };
    insta::assert_snapshot!(said(MESSAGES, worse), @"
    At 3 % loss, of the messages that lost nothing themselves none had to wait for others on tcp, tls and quic/shared, half on quic.
    One message in twenty took longer than 61 ms on tcp and 200 ms on quic: more on quic in all 3 paired seeds.
    ");
}

#[test]
fn where_nothing_waited_or_nothing_was_mapped() {
    insta::assert_snapshot!(said(MESSAGES, |_| PLAIN), @"
    At 3 % loss, none of the messages that lost nothing themselves had to wait for others, on any arm.
    One message in twenty took longer than 61 ms on tcp and on quic: within 2 % of each other in all 3 paired seeds.
    ");
    insta::assert_snapshot!(said(MESSAGES, |trial| Made { blocked: None, ..usual(trial) }), @"
    At 3 % loss, one message in twenty took longer than 152 ms on tcp and 98 ms on quic: less on quic in all 3 paired seeds.
    Of all messages 3.1 % never arrived on udp.
    ");
    // Fewer than can be told apart from none are not called none.
    insta::assert_snapshot!(said(MESSAGES, |trial| Made { blocked: Some(3), ..usual(trial) }), @"
    At 3 % loss, of the messages that lost nothing themselves almost none had to wait for others on tcp, tls, quic and quic/shared.
    One message in twenty took longer than 152 ms on tcp and 98 ms on quic: less on quic in all 3 paired seeds.
    Of all messages 3.1 % never arrived on udp.
    ");
    insta::assert_snapshot!(said(MESSAGES, |_| Made { delivered: 0, blocked: None, ..PLAIN }), @"No message was delivered.");
}

#[test]
fn few_seeds_and_seeds_that_disagree_claim_nothing() {
    let one = MESSAGES.replace("repeat = 3", "seeds = [7]");
    insta::assert_snapshot!(said(&one, usual), @"
    At 3 % loss, of the messages that lost nothing themselves about one in seven had to wait for others on tcp, tls and quic/shared, none on quic.
    One message in twenty took longer than 157 ms on tcp and 103 ms on quic: less on quic in the single seed.
    Of all messages 3.1 % never arrived on udp.
    ");
    let torn = |trial: &Trial| match trial.arm.to_string().as_str() {
        "quic" => Made { p95: [90.0, 150.0, 80.0][trial.seed as usize - 1], ..PLAIN },
        _ => Made { p95: 100.0, ..PLAIN },
    };
    insta::assert_snapshot!(said(MESSAGES, torn), @"
    At 3 % loss, none of the messages that lost nothing themselves had to wait for others, on any arm.
    One message in twenty took longer than 100 ms on tcp and 90 ms on quic: no difference is shown (on quic less in 2 of 3 paired seeds).
    ");
    // Ten seeds, nine of one mind: an interval that leaves out 1 carries a difference.
    let many = MESSAGES.replace("repeat = 3", "repeat = 10");
    let nine = |trial: &Trial| match (trial.arm.to_string().as_str(), trial.seed) {
        ("quic", 1) => Made { p95: 101.0, ..PLAIN },
        ("quic", seed) => Made { p95: 50.0 + seed as f64, ..PLAIN },
        _ => Made { p95: 100.0, ..PLAIN },
    };
    insta::assert_snapshot!(said(&many, nine), @"
    At 3 % loss, none of the messages that lost nothing themselves had to wait for others, on any arm.
    One message in twenty took longer than 100 ms on tcp and 56.5 ms on quic: on quic less in 9 of 10 paired seeds.
    ");
}

#[test]
fn a_single_arm_is_set_against_nothing() {
    let single = MESSAGES.replace(r#"["tcp", "tls", "quic", "quic/shared", "udp"]"#, r#"["quic/shared"]"#);
    insta::assert_snapshot!(said(&single, usual), @"
    At 3 % loss, of the messages that lost nothing themselves one in six had to wait for others on quic/shared.
    One message in twenty took longer than 150 ms on quic/shared.
    ");
    let udp = MESSAGES.replace(r#"["tcp", "tls", "quic", "quic/shared", "udp"]"#, r#"["udp"]"#);
    insta::assert_snapshot!(said(&udp, usual), @"
    At 3 % loss, of the messages that lost nothing themselves none had to wait for others on udp.
    One message in twenty took longer than 61 ms on udp.
    Of all messages 3.1 % never arrived on udp.
    ");
}

#[test]
fn void_trials_are_missed_by_name() {
    let void = |trial: &Trial| Made { counts: !(lossy(trial) && trial.arm.to_string() == "quic"), ..usual(trial) };
    insta::assert_snapshot!(said(MESSAGES, void), @"
    At 3 % loss, no trial of quic counts.
    At 0 % loss, none of the messages that lost nothing themselves had to wait for others, on any arm.
    One message in twenty took longer than 61 ms on tcp and on quic: within 2 % of each other in all 3 paired seeds.
    ");
    assert_eq!(said(MESSAGES, |_| Made { counts: false, ..PLAIN }), "");
}

#[test]
fn a_part_of_bulk_speaks_of_what_got_through() {
    insta::assert_snapshot!(said(BULK, usual), @"
    At 0 % loss, the goodput was 18 Mbit/s on tcp and on quic: within 2 % of each other in all 3 paired seeds.
    At 3 % loss, the goodput was 1.3 Mbit/s on tcp and 1.7 Mbit/s on quic: more on quic in all 3 paired seeds.
    ");
    insta::assert_snapshot!(said(&BULK.replace(r#"duration = "3s""#, r#"bytes = "4MB""#), usual), @"
    At 0 % loss, all was delivered after 61 ms on tcp and on quic: within 2 % of each other in all 3 paired seeds.
    At 3 % loss, all was delivered after 152 ms on tcp and 98 ms on quic: less on quic in all 3 paired seeds.
    ");
    let plain = BULK.replace("axes = { loss = [\"0%\", \"3%\"] }", "");
    insta::assert_snapshot!(said(&plain, |_| Made { mbit: 0.0, ..PLAIN }), @"The goodput was 0 Mbit/s on tcp and on quic: within 2 % of each other in all 3 paired seeds.");
    // An answer that any initial window holds is about its beginning.
    let first = |trial: &Trial| {
        let rtts = match trial.arm.to_string().as_str() {
            "tls" => 3.02,
            "udp" => 1.0,
            _ => 2.01,
        };
        Made { first_byte: rtts * trial.link.rtt().as_millis_f64(), ..PLAIN }
    };
    insta::assert_snapshot!(said(HANDSHAKE, first), @"With rtt 200ms, the first payload byte came after 2 round trips on tcp and quic, 3 on tls, 1 on udp.");
}

#[test]
fn of_many_conditions_the_table_shows_a_few() {
    let many = MESSAGES.replace(
        "{ loss = [\"0%\", \"3%\"] }",
        "{ loss = [\"0%\", \"1%\", \"3%\"], rtt = [\"10ms\", \"20ms\", \"40ms\", \"80ms\"] }",
    );
    let answers = answered(&many, |_| PLAIN);
    assert_eq!((answers[0].left_out, answers[0].blocks.len()), (6, 2));
    let conditions: Vec<&str> = answers[0].blocks[0].rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!((conditions[0], conditions[5]), ("loss 0%, rtt 10ms", "loss 3%, rtt 80ms"));
    assert!(answers[0].sentences[0].starts_with("With loss 3%, rtt 80ms, "), "{:?}", answers[0].sentences);
}

#[test]
fn the_caution_fits_the_seeds() {
    assert!(caution(0, 0).contains("no answer"));
    assert!(caution(1, 1).contains("one seed") && caution(3, 3).contains("too few to call"));
    assert!(!caution(30, 30).contains("too few") && caution(30, 4).ends_with("Some cells have only 4."));
    assert!(caution(3, 0).ends_with("Some cells have no trial that counts."));
}

/// The share that such words say.
fn meant(words: &str) -> f64 {
    let number = |word: &str| match word {
        "one" => 1.0,
        "two" => 2.0,
        "three" => 3.0,
        "four" => 4.0,
        "five" => 5.0,
        "six" => 6.0,
        "seven" => 7.0,
        "eight" => 8.0,
        "nine" => 9.0,
        "ten" => 10.0,
        "eleven" => 11.0,
        "twelve" => 12.0,
        digits => digits.parse::<f64>().unwrap_or_else(|_| panic!("{words}")),
    };
    match (words, words.split_once(" in "), words.strip_suffix(" %")) {
        ("half", ..) => 50.0,
        (_, Some((k, n)), _) => 100.0 * number(k) / number(n),
        (.., Some(percent)) => number(percent),
        _ => panic!("{words}"),
    }
}

#[test]
fn shares_are_said_in_words() {
    let words: Vec<String> =
        [0.0, 0.04, 1.0, 3.1, 14.2, 16.3, 25.0, 29.0, 33.0, 41.0, 50.0, 61.0, 70.0, 76.0, 90.0, 96.0, 100.0]
            .map(share)
            .into();
    insta::assert_snapshot!(words.join(", "), @"none, almost none, one in 100, one in 32, one in seven, one in six, one in four, 29 %, one in three, two in five, half, three in five, two in three, three in four, nine in ten, nearly all, all");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_words_of_a_share_are_near_it(percent in 1.0..95.0_f64) {
        let said = meant(&share(percent));
        prop_assert!((said / percent - 1.0).abs() <= 0.081, "{percent}: {}", share(percent));
    }

    /// Whatever was measured, an answer is a few short sentences with few figures, and none of them is broken.
    #[test]
    fn an_answer_is_never_a_wall(
        seeds in 1..7_usize,
        figures in prop::collection::vec((1e-3..1e9_f64, 0..=1000_u64, 0..=1000_u64, any::<bool>()), 70),
        attributed in any::<bool>(),
    ) {
        let experiment = MESSAGES.replace("repeat = 3", &format!("repeat = {seeds}"));
        let next = std::cell::Cell::new(0);
        let answers = answered(&experiment, |_| {
            let (value, blocked, delivered, counts) = figures[next.get()];
            next.set(next.get() + 1);
            Made { p95: value, blocked: attributed.then_some(blocked), delivered, mbit: value, first_byte: value, counts }
        });
        for answer in answers {
            prop_assert!((1..=4).contains(&answer.sentences.len()), "{:?}", answer.sentences);
            for sentence in &answer.sentences {
                let numbers = sentence.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).count();
                let starts = sentence.chars().next().is_some_and(char::is_uppercase);
                prop_assert!(starts && sentence.ends_with('.') && !sentence.contains("NaN") && !sentence.contains('–'));
                prop_assert!(numbers <= 16 && sentence.len() <= 260, "{sentence}");
            }
            let rows = answer.blocks.iter().flat_map(|block| &block.rows);
            prop_assert!(rows.clone().count() <= 3 * MOST_CONDITIONS);
            prop_assert!(rows.clone().all(|row| row.len() == answer.head.len()));
        }
    }
}
