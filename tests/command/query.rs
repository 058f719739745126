//! Queries that the application tries again: how many tries answer how many, against theory, and what a new connection costs.

use samepath_model::Workload;
use samepath_model::queries::Queries;

use crate::support::{can_emulate, figure, test, trials};

/// As many as tell a loss of 10 % from 7 % and from 13 % by the second try, too.
const QUERIES: u32 = 5_200;
const LOSS: f64 = 0.1;

#[test]
fn over_udp_each_try_answers_what_theory_says() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Faster than anybody asks, so that it does not take minutes; each try is over before the next all the same.
    let part = format!(
        "arms = ['udp']\n\
         workload = {{ kind = 'query', per-second = 400, count = {QUERIES}, timeout = '250ms', tries = 3 }}\n\
         link = {{ rtt = '20ms', rate = '100Mbit', loss = '10%' }}"
    );
    let run = trials(dir.path(), "retry", &part);
    let record = &run.trials()[0];
    let Workload::Query(query) = &record.trial.workload else { unreachable!("it is what was asked") };
    let messages = run.messages(&record.trial.id).unwrap();
    let queries = Queries::of(query, record.trial.workload.scored_streams(), &messages);
    assert_eq!(queries.released, QUERIES);
    let n = f64::from(QUERIES);
    let by = |p: f64, tries: i32| 1.0 - (1.0 - (1.0 - p).powi(2)).powi(tries);
    let spread = |share: f64| (share * (1.0 - share) / n).sqrt();
    for tries in 1..=3 {
        let (share, expected) = (f64::from(queries.answered_by(tries)) / n, by(LOSS, tries as i32));
        assert!((share - expected).abs() < 3.9 * spread(expected), "by try {tries}: {share}, not {expected}");
        for wrong in [0.7 * LOSS, 1.3 * LOSS].map(|p| by(p, tries as i32)).into_iter().filter(|_| tries < 3) {
            let apart = (wrong - expected).abs() - 3.9 * (spread(expected) + spread(wrong));
            assert!(apart > 0.0, "{wrong} would not be told from {expected}");
        }
    }
    // The records have as many tries as it takes: all that had no answer, and no other, were made again.
    let made = |attempt| messages.iter().filter(|m| m.attempt == attempt && m.released_by.is_none()).count() as u32;
    let again = |tries| QUERIES - queries.answered_by(tries);
    assert_eq!([made(1), made(2), made(3)], [QUERIES, again(1), again(2)]);
    assert_eq!(queries.tries, made(1) + made(2) + made(3));
    // What the record says is the same.
    assert_eq!(figure(record, "answered_by_first_try_percent"), 100.0 * f64::from(queries.answered_by(1)) / n);
    assert_eq!(figure(record, "tries_per_query"), f64::from(queries.tries) / n);
}

#[test]
fn a_cold_query_pays_for_its_connection() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['udp', 'tcp', 'tls', 'quic', 'quic/per-message']\n\
                workload = { kind = 'query', count = 1, cold = true }\n\
                link = { rtt = '200ms', rate = '100Mbit' }\naxes = { cold = [false, true] }";
    let run = trials(dir.path(), "cold", part);
    assert_eq!(run.trials().len(), 10);
    for record in run.trials() {
        let is_cold = record.trial.axes["cold"] == "true";
        let handshake = record.trial.arm.handshake_round_trips.filter(|_| is_cold).unwrap_or(0);
        let (floor, took) = (200.0 * f64::from(1 + handshake), figure(record, "latency_p50_ms"));
        // Less than another half of a round trip is the ends' own.
        assert!((floor..floor + 100.0).contains(&took), "{}: {took} ms, not {floor} ms", record.trial.id);
        assert_eq!(figure(record, "answered_percent"), 100.0, "{}", record.trial.id);
    }
}

#[test]
fn reliable_arms_answer_all_at_one_try() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'tls', 'quic']\n\
                workload = { kind = 'query', per-second = 100, count = 100, retry = 'systemd-resolved', service = '1ms' }\n\
                link = { rtt = '20ms', rate = '20Mbit', loss = '5%' }";
    let run = trials(dir.path(), "reliable", part);
    for record in run.trials() {
        assert_eq!(figure(record, "answered_percent"), 100.0, "{}", record.trial.id);
        assert_eq!(figure(record, "tries_per_query"), 1.0, "{}", record.trial.id);
        assert!(figure(record, "latency_p50_ms") >= 21.0, "{}", record.trial.id);
    }
}
