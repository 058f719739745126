//! The table of uses on made-up runs.

use samepath_model::record::TrialRecord;
use samepath_model::{Experiment, Trial};
use tempfile::tempdir;

use super::*;
use crate::analysis::Analysis;
use crate::fixture;
use crate::store::Run;

const USES: &str = r#"
schema = 1
name = "made-up"
repeat = 6
[[part]]
name = "queries"
use = "DNS"
arms = ["tcp", "udp"]
workload = { kind = "query", per-second = 10, count = 60 }
axes = { profile = ["home-dsl", "geostationary-satellite"] }
[[part]]
name = "logins"
use = "login"
arms = ["tcp", "tls"]
workload = { kind = "rpc", outstanding = 1, count = 1, calls = 3, cold = true, timeout = "20s" }
repeat = 12
axes = { profile = ["home-dsl"] }
[[part]]
name = "queries-beside"
use = "DNS"
arms = ["tcp", "udp"]
workload = { kind = "query", per-second = 10, count = 60 }
axes = { profile = ["4g"] }
competing-flow = [{ name = "download", arm = "tcp", workload = { kind = "bulk", duration = "5s" } }]
[[need]]
use = "DNS"
metric = "latency-p99"
most = "250ms"
limit = "700ms"
source = "somebody"
[[need]]
use = "login"
metric = "latency-p50"
most = "2s"
percentile = 75
source = "somebody else"
[[rule]]
use = "DNS"
says = "DNS needs UDP"
arms = ["udp"]
"#;

/// The uses of a run in which each trial came to this, in milliseconds.
fn uses(experiment: &str, of: impl Fn(&Trial) -> f64) -> Uses {
    let dir = tempdir().unwrap();
    let experiment = Experiment::parse(experiment).unwrap_or_else(|error| panic!("{error}"));
    let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
    for trial in experiment.trials() {
        let mut record: TrialRecord = fixture::record(trial, &fixture::play(trial, 1.0));
        let summary = record.summary.as_mut().unwrap();
        for name in ["latency_p50_ms", "latency_p99_ms"] {
            summary.score.insert(name.into(), of(trial));
        }
        run.append(&record).unwrap();
    }
    Analysis::of(&run).uses().cloned().unwrap()
}

fn cell<'u>(uses: &'u Uses, conditions: &str, of: &str, arm: &str) -> &'u UseCell {
    let block = uses.blocks.iter().find(|block| block.conditions == conditions).unwrap();
    let row = block.rows.iter().find(|row| row.of == of).unwrap();
    row.cells.iter().find(|cell| cell.arm.to_string() == arm).unwrap()
}

fn usual(trial: &Trial) -> f64 {
    let rtt = trial.link.rtt().as_millis_f64();
    match trial.arm.to_string().as_str() {
        _ if trial.part == "logins" => 5.0 * rtt + trial.seed as f64,
        "udp" => rtt + 300.0,
        _ => rtt + 1.0 + trial.seed as f64,
    }
}

#[test]
fn cells_meet_fail_or_cannot_tell() {
    let uses = uses(USES, usual);
    assert_eq!(cell(&uses, "home-dsl", "DNS", "tcp").verdict, Met::Meets);
    let udp = cell(&uses, "home-dsl", "DNS", "udp");
    assert_eq!((udp.verdict, udp.within_limit, udp.figure()), (Met::Fails, true, "325 ms".into()));
    assert_eq!(udp.words(), "fails, within the limit");
    assert_eq!(udp.floor().unwrap(), "floor 25 ms");
    assert_eq!(cell(&uses, "home-dsl", "login", "tls").verdict, Met::Meets);
    // A link is a block, and one with something beside it another.
    let blocks: Vec<&str> = uses.blocks.iter().map(|block| block.conditions.as_str()).collect();
    assert_eq!(blocks, ["home-dsl", "geostationary-satellite", "4g, beside a download"]);
    assert_eq!(uses.blocks[0].rows.len(), 2);
}

#[test]
fn distance_fails_every_arm_without_a_trial() {
    let nothing = |_: &Trial| f64::NAN;
    let uses = uses(&USES.replace("repeat = 6", "repeat = 1"), nothing);
    for arm in ["tcp", "udp"] {
        let cell = cell(&uses, "geostationary-satellite", "DNS", arm);
        assert_eq!((cell.verdict, cell.words()), (Met::FailsByDistance, "fails by distance".into()));
    }
    // Three round trips and one to connect are 2.4 s, with the handshake of TLS 3 s.
    let far = USES.replace("axes = { profile = [\"home-dsl\"] }", "axes = { profile = [\"geostationary-satellite\"] }");
    let uses = super::tests::uses(&far.replace("most = \"2s\"", "most = \"2.5s\""), |_| 2400.0);
    assert_eq!(cell(&uses, "geostationary-satellite", "login", "tls").verdict, Met::FailsByRoundTrips);
    assert_eq!(cell(&uses, "geostationary-satellite", "login", "tcp").verdict, Met::Meets);
}

#[test]
fn too_few_seeds_or_samples_cannot_tell() {
    let one = uses(&USES.replace("repeat = 6", "repeat = 1"), usual);
    let reason = |cell: &UseCell| cell.reason().unwrap_or_default();
    assert!(reason(cell(&one, "home-dsl", "DNS", "tcp")).starts_with("too few seeds: 1, and it takes 6"));
    // Of 120 queries no percentile above the 97th is known.
    let few = uses(&USES.replace("count = 60", "count = 20"), usual);
    assert_eq!(reason(cell(&few, "home-dsl", "DNS", "tcp")), "too few samples: 120, and it takes 299");
    // That so many take too long is sure all the same.
    assert_eq!(cell(&few, "home-dsl", "DNS", "udp").verdict, Met::Fails);
    let few = uses(&USES.replace("repeat = 12", "repeat = 10"), usual);
    assert!(reason(cell(&few, "home-dsl", "login", "tcp")).starts_with("too few seeds: 10, and it takes 11"));
}

#[test]
fn a_rule_is_wrong_where_another_arm_meets() {
    let said = |of: &dyn Fn(&Trial) -> f64| uses(USES, of).uses[0].sentences.last().unwrap().clone();
    assert_eq!(
        said(&usual),
        "“DNS needs UDP” is wrong: what is needed is met without, on home-dsl by tcp and on 4g, beside a download by tcp."
    );
    let other_way = |trial: &Trial| if trial.arm.is_reliable { 900.0 } else { 100.0 };
    assert_eq!(said(&other_way), "“DNS needs UDP” holds on home-dsl and 4g, beside a download.");
    // The bound is within the interval.
    let torn = |trial: &Trial| 247.0 + trial.seed as f64;
    assert_eq!(said(&torn), "“DNS needs UDP” is neither shown nor refuted here.");
}

#[test]
fn needs_that_make_no_sense_are_named() {
    for (from, to, said) in [
        ("use = \"DNS\"\nmetric", "use = \"TV\"\nmetric", "need 1: no part has `use = \"TV\"`"),
        ("most = \"250ms\"", "", "need 1: it has no bound"),
        ("percentile = 75", "percentile = 100", "need 2: `percentile` must lie"),
        ("says =", "says = 'x'\n#", "missing field `arms`"),
    ] {
        let text = USES.replace(from, to);
        let text = if said.starts_with("missing") { text.replace("arms = [\"udp\"]", "") } else { text };
        let error = Experiment::parse(&text).unwrap_err().to_string();
        assert!(error.contains("line ") && error.contains(said), "{error}");
    }
    let text = USES.replace("metric = \"latency-p99\"", "metric = \"latency\"");
    let error = crate::judge::needs(&Experiment::parse(&text).unwrap()).unwrap_err().in_text(&text).to_string();
    assert!(error.starts_with("line ") && error.contains("there is no metric `latency`"), "{error}");
}

#[test]
fn the_table_as_text() {
    let text = render(Some(&uses(USES, usual)));
    insta::assert_snapshot!(text, @"

    Which transport?

    On home-dsl:
    use     tcp                     tls                     udp
    ─────────────────────────────────────────────────────────────────────────────────
    DNS     29.5 ms (floor 25 ms)                           325 ms (floor 25 ms)
            meets                                           fails, within the limit
    login   134 ms (floor 100 ms)   134 ms (floor 125 ms)
            meets                   meets

    On geostationary-satellite:
    use   tcp                                   udp
    ───────────────────────────────────────────────────────────────────
    DNS   604 ms (floor 600 ms)                 900 ms (floor 600 ms)
          fails by distance, within the limit   fails by distance

    On 4g, beside a download:
    use   tcp                     udp
    ───────────────────────────────────────────────────────
    DNS   89.5 ms (floor 85 ms)   385 ms (floor 85 ms)
          meets                   fails, within the limit

    What is needed
    DNS: latency p99 at most 250ms (limit 700ms); somebody
    login: p75 of latency at most 2s; somebody else

    DNS: “DNS needs UDP” is wrong: what is needed is met without, on home-dsl by tcp and on 4g, beside a
    download by tcp.
    ");
}
