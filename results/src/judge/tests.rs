//! The judge on made-up runs, on recorded trials and on simulated ones.

use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::{Experiment, VoidKind, VoidReason};
use tempfile::tempdir;

use super::*;
use crate::analysis::Analysis;
use crate::fixture;
use crate::stats::SplitMix64;
use crate::store::Run;

/// The small experiment with so many seeds and these expectations.
fn experiment(seeds: u32, expectations: &[&str]) -> Experiment {
    let expectations: String = expectations.iter().map(|text| format!("[[expect]]\n{text}\n")).collect();
    let text = fixture::EXPERIMENT.replace("repeat = 3", &format!("repeat = {seeds}"));
    Experiment::parse(&format!("{text}{expectations}")).unwrap_or_else(|error| panic!("{error}"))
}

/// What is made of the expectations in a run of them, after `change` to it.
fn judged(seeds: u32, expectations: &[&str], change: impl FnOnce(&mut Run)) -> Vec<Judged> {
    let dir = tempdir().unwrap();
    let mut run = fixture::lines(dir.path(), &experiment(seeds, expectations), 1.0);
    change(&mut run);
    Analysis::of(&run).judged().to_vec()
}

fn verdicts(seeds: u32, expectations: &[&str]) -> Vec<Verdict> {
    judged(seeds, expectations, |_| {}).into_iter().map(|one| one.verdict).collect()
}

const TCP: &str = "part = 'messages'\narm = 'tcp'\nat = { loss = '0%' }\n";

#[test]
fn six_seeds_are_judged_by_their_interval() {
    // Seeds 1 to 6: 30.3 to 31.8 ms.
    let bounds = ["most = '31.8ms'", "most = '30.2ms'", "near = '31ms'\nwithin = '1ms'", "least = '31.1ms'"];
    let expectations = bounds.map(|bound| format!("{TCP}metric = 'delay-p50'\n{bound}"));
    let found = verdicts(6, &expectations.each_ref().map(String::as_str));
    assert_eq!(found[..3], [Verdict::Pass, Verdict::Fail, Verdict::Pass]);
    assert!(matches!(found[3], Verdict::Inconclusive { reason: Reason::BoundInInterval { .. } }), "{found:?}");
    assert_eq!(verdicts(5, &[&expectations[0]]), [Verdict::inconclusive(Reason::TooFewSeeds { n: 5, needed: 6 })]);
    // A lower confidence takes fewer.
    assert_eq!(verdicts(5, &[&format!("{}\nconfidence = 0.9", expectations[0])]), [Verdict::Pass]);
}

#[test]
fn each_trial_needs_no_interval() {
    let [holds, does_not] =
        ["31ms", "30.5ms"].map(|most| format!("{TCP}metric = 'delay-p50'\nmost = '{most}'\neach = true"));
    assert_eq!(verdicts(3, &[&holds, &does_not]), [Verdict::Pass, Verdict::Fail]);
}

#[test]
fn cells_are_compared_seed_by_seed() {
    let expectations = [
        "part = 'bulk'\narm = 'quic'\nmetric = 'handshake'\nratio-to = { arm = 'tcp' }\nnear = 2\nwithin = 0.01",
        "part = 'bulk'\narm = 'quic'\nmetric = 'handshake'\ndifference-from = { arm = 'tcp' }\nmost = '60ms'",
        "part = 'messages'\narm = 'tcp'\nat = { loss = '1%' }\nmetric = 'delay-p95'\nratio-to = { at = { loss = '0%' } }\n\
         between = [2.9, 3.1]\neach = true",
    ];
    let found = judged(6, &expectations, |_| {});
    assert_eq!(found.iter().map(|one| one.verdict.name()).collect::<Vec<_>>(), ["pass", "fail", "pass"]);
    assert_eq!(found[1].words, "60.1 ms (95 % interval 60.1, n = 6 pairs)");
    let negative = "part = 'messages'\narm = 'tcp'\nmetric = 'delay-p95'\nat = { loss = '0%' }\n\
                    difference-from = { at = { loss = '1%' } }\nmost = '0ms'";
    assert_eq!(judged(6, &[negative], |_| {})[0].words, "−62.1 ms (95 % interval −63.6 to −60.6, n = 6 pairs)");
    assert_eq!(found[2].claim, "delay p95, ratio to messages loss 0% tcp, 2.9 to 3.1 in each pair");
}

#[test]
fn an_expectation_without_a_cell_holds_for_all() {
    let found = judged(6, &["part = 'messages'\nmetric = 'delivered-percent'\nleast = '90%'\neach = true"], |_| {});
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|one| one.verdict == Verdict::Pass && one.expectation == 1));
}

/// Voids the trials of tcp without loss that are of these seeds.
fn void(run: &mut Run, seeds: impl Fn(u64) -> bool) {
    let reasons = vec![VoidReason::new(VoidKind::LinkLate, "late")];
    for record in run.trials().to_vec() {
        if record.trial.id.0.starts_with("messages-0-")
            && record.trial.arm.to_string() == "tcp"
            && seeds(record.trial.seed)
        {
            run.append(&TrialRecord { outcome: Outcome::Void { reasons: reasons.clone() }, ..record }).unwrap();
        }
    }
}

#[test]
fn what_was_not_measured_is_inconclusive_with_its_reason() {
    let median = format!("{TCP}metric = 'delay-p50'\nmost = '1s'");
    let each = format!("{median}\neach = true");
    let reasons = |found: Vec<Judged>| {
        let reason = |one: Judged| match one.verdict {
            Verdict::Inconclusive { reason } => reason,
            other => panic!("{}: {other:?}", one.claim),
        };
        found.into_iter().map(reason).collect::<Vec<_>>()
    };
    let all = |run: &mut Run| void(run, |_| true);
    assert_eq!(reasons(judged(6, &[&median, &each], all)), [Reason::TrialsVoid { void: 6 }; 2]);
    let one = |run: &mut Run| void(run, |seed| seed == 1);
    assert_eq!(reasons(judged(6, &[&median, &each], one)), [Reason::TrialsVoid { void: 1 }; 2]);
    // Of seven, six are enough for the median.
    let found = judged(7, &[&median, &each], |run| void(run, |seed| seed == 1));
    assert_eq!(found[0].verdict, Verdict::Pass);
    assert_eq!(reasons(found[1..].to_vec()), [Reason::TrialsVoid { void: 1 }]);
    // Void trials are no excuse for one that does not hold.
    let strict = format!("{TCP}metric = 'delay-p50'\nmost = '30.5ms'\neach = true");
    assert_eq!(judged(6, &[&strict], |run| void(run, |seed| seed == 1))[0].verdict, Verdict::Fail);

    let udp = "part = 'messages'\narm = 'udp'\nat = { loss = '0%' }\nmetric = 'handshake'\nmost = '1s'";
    assert_eq!(reasons(judged(6, &[udp], |_| {})), [Reason::NotMeasured { missing: 6 }]);
    let ratio = "part = 'bulk'\narm = 'quic'\nmetric = 'retransmissions'\nratio-to = { arm = 'tcp' }\nmost = 1";
    assert_eq!(reasons(judged(6, &[ratio], |_| {})), [Reason::NoRatio]);
}

#[test]
fn an_incomplete_run_is_inconclusive() {
    let dir = tempdir().unwrap();
    let median = format!("{TCP}metric = 'delay-p50'\nmost = '1s'");
    let experiment = experiment(8, &[&median]);
    let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    for trial in experiment.trials().iter().filter(|trial| trial.seed <= 7) {
        run.append(&fixture::record(trial, &fixture::play(trial, 1.0))).unwrap();
    }
    let found = Analysis::of(&run).judged()[0].verdict;
    assert_eq!(found, Verdict::inconclusive(Reason::NotRun { pending: 1 }));
}

#[test]
fn a_cell_that_flags_left_out_is_not_run() {
    let dir = tempdir().unwrap();
    let mut spec = experiment(6, &[&format!("{TCP}metric = 'delay-p50'\nmost = '1s'")]).into_spec();
    spec.set_axis("loss", &["2%".into()]).unwrap();
    let run = fixture::lines(dir.path(), &spec.resolve().unwrap(), 1.0);
    // As it is read back, too.
    let read = Run::open(run.dir()).unwrap();
    let found = Analysis::of(&read).judged().to_vec();
    assert_eq!((found.len(), found[0].verdict), (1, Verdict::inconclusive(Reason::NotRun { pending: 0 })));
    assert_eq!(found[0].of, "messages loss 0% tcp");
}

#[test]
fn the_verdicts_as_text() {
    let dir = tempdir().unwrap();
    let expectations = [
        format!("{TCP}metric = 'delay-p50'\nmost = '32ms'"),
        "part = 'bulk'\narm = 'quic'\nmetric = 'handshake'\nmost = '100ms'\neach = true".to_owned(),
        format!("{TCP}metric = 'delay-p99'\nleast = '31ms'"),
    ];
    let run = fixture::lines(dir.path(), &experiment(6, &expectations.each_ref().map(String::as_str)), 1.0);
    insta::assert_snapshot!(crate::verdicts::render(&Analysis::of(&run)), @"
    Expectations
      pass          messages loss 0% tcp: delay p50 at most 32ms
                    found 31 ms (95 % interval 30.3–31.8, n = 6)
      FAIL          bulk quic: handshake at most 100ms in each trial
                    found 120 ms (n = 6)
      inconclusive  messages loss 0% tcp: delay p99 at least 31ms
                    found 31 ms (95 % interval 30.3–31.8, n = 6)
                    the interval contains the bound, and the seeds lie on both sides of it so evenly that more hardly settle it
    1 of 3 expectations hold, 1 does not, 1 is inconclusive.
    ");
}

/// Trials as they were recorded: arm, rate of the link in Mbit/s, seed, and what they came to.
struct Recorded {
    part: String,
    arm: String,
    goodput: f64,
    delay_p50: f64,
    delay_p99: f64,
}

/// `recorded`: the experiment, the command that made the trials of it, and the columns of
/// its `tables/trials.csv` that are used here.
fn recorded() -> Vec<Recorded> {
    let text = include_str!("recorded/trials.csv");
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|of| of == name).unwrap_or_else(|| panic!("no column {name}"));
    let [part, arm, outcome] = ["part", "arm", "outcome"].map(column);
    let figures = ["goodput_mbit_per_s", "delay_p50_ms", "delay_p99_ms"].map(column);
    let rows = reader.records().map(Result::unwrap).filter(|row| &row[outcome] == "done");
    rows.map(|row| {
        let [goodput, delay_p50, delay_p99] = figures.map(|column| row[column].parse().unwrap_or(f64::NAN));
        Recorded { part: row[part].to_owned(), arm: row[arm].to_owned(), goodput, delay_p50, delay_p99 }
    })
    .collect()
}

/// So many of the values, without order and none twice.
fn shuffled(values: &[f64], draws: &mut SplitMix64) -> Vec<f64> {
    let mut values = values.to_vec();
    for place in (1..values.len()).rev() {
        values.swap(place, (draws.next() % (place as u64 + 1)) as usize);
    }
    values
}

/// Whether the judge claims a difference between two samples of disjoint seeds, ten each.
fn differs(before: &[f64], after: &[f64]) -> bool {
    assert_eq!((before.len(), after.len()), (10, 10));
    Effect::of_ratio(before, after, 0.95).unwrap().excludes(1.0)
}

#[test]
fn an_arm_rarely_differs_from_itself() {
    let trials = recorded();
    let of = |part: &str, arm: &str, figure: fn(&Recorded) -> f64| -> Vec<f64> {
        trials.iter().filter(|trial| trial.part == part && trial.arm == arm).map(figure).collect()
    };
    let samples = ["tcp", "quic"].map(|arm| {
        [
            of("full-rate", arm, |trial| trial.goodput),
            of("lossy", arm, |trial| trial.delay_p50),
            of("lossy", arm, |trial| trial.delay_p99),
            of("lossy-bulk", arm, |trial| trial.goodput),
        ]
    });
    let samples = samples.concat();
    let mut draws = SplitMix64(1);
    let claims = (0..200).filter(|round| {
        let sample = shuffled(&samples[round % samples.len()], &mut draws);
        assert!(sample.len() >= 20, "{} trials", sample.len());
        differs(&sample[..10], &sample[10..20])
    });
    // At 5 % each, and the test is no larger than 4.3 %: more than 18 come once in a thousand times.
    let claims = claims.count();
    assert!(claims <= 18, "{claims} of 200");
}

#[test]
fn a_rate_lowered_by_a_tenth_is_found() {
    let trials = recorded();
    let of = |part: &str, arm: &str| -> Vec<f64> {
        trials.iter().filter(|trial| trial.part == part && trial.arm == arm).map(|trial| trial.goodput).collect()
    };
    let mut draws = SplitMix64(2);
    for arm in ["tcp", "quic"] {
        let (full, lowered) = (of("full-rate", arm), of("lowered-rate", arm));
        let found = (0..20).filter(|_| {
            let [full, lowered] = [&full, &lowered].map(|values| shuffled(values, &mut draws));
            differs(&full[..10], &lowered[..10])
        });
        let found = found.count();
        assert!(found >= 19, "{arm}: {found} of 20");
    }
}

/// A value of a skewed distribution, one in ten of them an outlier.
fn skewed(draws: &mut SplitMix64) -> f64 {
    let mut uniform = || (draws.next() >> 11) as f64 / (1u64 << 53) as f64;
    let (is_outlier, value) = (uniform() < 0.1, 10.0 - (1.0 - uniform()).ln());
    if is_outlier { value * 5.0 } else { value }
}

#[test]
fn simulated_arms_rarely_differ_from_themselves() {
    let mut draws = SplitMix64(3);
    let mut ten = || (0..10).map(|_| skewed(&mut draws)).collect::<Vec<f64>>();
    let apart = (0..200).filter(|_| differs(&ten(), &ten())).count();
    assert!(apart <= 18, "{apart} of 200, of other seeds");
    let pairs = (0..200).filter(|_| {
        let ratios: Vec<f64> = ten().iter().zip(ten()).map(|(a, b)| b / a).collect();
        Effect::of_median(&ratios, 0.95).unwrap().excludes(1.0)
    });
    let pairs = pairs.count();
    assert!(pairs <= 18, "{pairs} of 200, in pairs");
    // A rate that varies by 3 %, and one a tenth lower.
    let found = (0..20).filter(|_| {
        let mut rates = |rate: f64| {
            (0..10).map(|_| rate * (1.0 + 0.06 * (skewed(&mut draws).min(12.0) - 11.0))).collect::<Vec<f64>>()
        };
        differs(&rates(20.0), &rates(18.0))
    });
    assert!(found.count() >= 19);
}
