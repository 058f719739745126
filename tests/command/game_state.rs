//! States of which only the newest counts: their age where updates are lost, against theory, and over each kind of arm.

use samepath_model::Workload;
use samepath_model::age::Age;
use samepath_model::record::MessageRecord;

use crate::support::{can_emulate, figure, test, trials};

/// Losses, and how many updates it takes to tell them from such as are off by 30 %.
const LOSS: f64 = 0.4;
const UPDATES: u32 = 1_700;

/// A figure as measured, by theory, and what k periods from a delivery to the next add to it.
type Expected = (f64, f64, fn(f64) -> f64);

/// Mean over `n` periods, and its standard deviation, of a figure to which `k` periods from a delivery to the next add
/// `of(k)`, where each update is lost with probability `p`: deliveries are renewals.
fn renewals(p: f64, n: u32, of: impl Fn(f64) -> f64) -> (f64, f64) {
    let over = |f: &dyn Fn(f64) -> f64| (1..400).map(|k| p.powi(k - 1) * (1.0 - p) * f(f64::from(k))).sum::<f64>();
    let length = over(&|k| k);
    let mean = over(&of) / length;
    let variance = over(&|k| (of(k) - mean * k).powi(2));
    (mean, (variance / (f64::from(n) * length)).sqrt())
}

#[test]
fn over_udp_the_age_is_that_of_theory() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = format!(
        "arms = ['udp']\nworkload = {{ kind = 'game-state', per-second = 200, count = {UPDATES}, bound = '40ms' }}\n\
         link = {{ rtt = '60ms', rate = '100Mbit', down.loss = '40%' }}"
    );
    let run = trials(dir.path(), "game-state", &part);
    let record = &run.trials()[0];
    let Workload::GameState(state) = &record.trial.workload else { unreachable!("it is what was asked") };
    let messages = run.messages(&record.trial.id).unwrap();
    let one_way = record.trial.link.down.delay;
    let age = Age::of(state, 0..1, one_way, &messages);
    // The mean moves with what the hosts add to the one-way delay. The share above a corner does not: it is counted with
    // each update that came as if it had come when the link alone would have brought it.
    let delays: Vec<f64> = messages.iter().filter_map(|m| Some((m.delivered? - m.released) as f64)).collect();
    let delay = delays.iter().sum::<f64>() / delays.len() as f64;
    let at_once = |m: &MessageRecord| m.released + one_way.as_nanos() as i64;
    let by_link: Vec<MessageRecord> =
        messages.iter().map(|m| MessageRecord { delivered: m.delivered.map(|_| at_once(m)), ..m.clone() }).collect();
    let by_link = Age::of(state, 0..1, one_way, &by_link);
    let older = |m: u64| by_link.share_above(one_way + state.period() * m).unwrap();
    let mean = (age.mean().unwrap() - delay) / state.period().as_nanos() as f64;
    let figures: [Expected; 3] = [
        (older(1), LOSS, |k| k - 1.0),
        (older(2), LOSS * LOSS, |k| (k - 2.0).max(0.0)),
        (mean, (1.0 + LOSS) / (2.0 * (1.0 - LOSS)), |k| k * k / 2.0),
    ];
    for (measured, closed, of) in figures {
        let (mean, deviation) = renewals(LOSS, UPDATES, of);
        assert!((mean - closed).abs() < 1e-9, "the renewals give {mean}, the formula {closed}");
        assert!((measured - closed).abs() < 3.9 * deviation, "{measured}, not {closed} ± {}", 3.9 * deviation);
        for wrong in [0.7 * LOSS, 1.3 * LOSS] {
            let (other, spread) = renewals(wrong, UPDATES, of);
            let apart = (other - mean).abs() - 3.9 * (deviation + spread);
            assert!(apart > 0.0, "a loss of {wrong} would not be told from {LOSS}: {other}, {mean}");
        }
    }
    // The record says the same.
    assert!((figure(record, "age_above_bound_percent") - 100.0 * age.share_above(state.bound).unwrap()).abs() < 1e-9);
    assert!((figure(record, "age_mean_ms") - age.mean().unwrap() / 1e6).abs() < 1e-9);
}

#[test]
fn every_arm_has_an_age_above_its_floor() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'quic', 'quic/per-message', 'udp']\n\
                workload = { kind = 'game-state', count = 100, input = '40B', direction = 'up' }\n\
                link = { rtt = '60ms', rate = '20Mbit' }\naxes = { loss = ['0%', '5%'] }";
    let run = trials(dir.path(), "arms", part);
    assert_eq!(run.trials().len(), 8);
    for record in run.trials() {
        let (mean, most) = (figure(record, "age_mean_ms"), figure(record, "age_max_ms"));
        let floor = 30.0 + 1e3 / 64.0 / 2.0;
        assert!(mean >= floor - 0.5 && most >= mean, "{}: {mean} ms, {most} ms", record.trial.id);
        let messages = run.messages(&record.trial.id).unwrap();
        let inputs = messages.iter().filter(|m| m.direction != record.trial.workload.direction());
        assert_eq!((messages.len(), inputs.count()), (200, 100), "{}", record.trial.id);
        if record.trial.arm.is_reliable {
            assert_eq!(record.summary.as_ref().unwrap().delivered, 200, "{}", record.trial.id);
        }
    }
}
