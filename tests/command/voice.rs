//! Calls over each transport: what a path without loss must give, and what of a lossy one is missing.

use samepath_model::Direction;
use samepath_model::emodel::{G711_CONCEALED, rating};

use crate::support::{can_emulate, figure, test, trials};

#[test]
fn a_call_is_rated_by_its_delay_alone() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'quic', 'udp']\n\
                workload = { kind = 'voice', duration = '2s', buffer = '500ms' }\n\
                link = { rtt = '60ms', rate = '20Mbit' }\naxes = { direction = ['down', 'both'] }";
    let run = trials(dir.path(), "calm", part);
    assert_eq!(run.trials().len(), 6);
    for record in run.trials() {
        let (id, delay) = (&record.trial.id, figure(record, "mouth_to_ear_ms"));
        // 30 ms on the way, 20 of packet, 500 of buffer, and what an end took for the fastest packet.
        assert!((550.0..560.0).contains(&delay), "{id}: {delay} ms");
        assert_eq!(figure(record, "packets_missing_percent"), 0.0, "{id}");
        let (rated, expected) = (figure(record, "r_factor"), rating(G711_CONCEALED, delay, 0.0, 1.0));
        assert!((rated - expected).abs() < 1e-9, "{id}: {rated}, not {expected}");
        let messages = run.messages(id).unwrap();
        let ways = Direction::BOTH.map(|way| messages.iter().filter(|m| m.direction == way).count());
        assert_eq!(ways, if record.trial.axes["direction"] == "both" { [100, 100] } else { [0, 100] }, "{id}");
    }
}

#[test]
fn datagrams_miss_what_was_lost_and_streams_nothing() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = |arms: &str, duration: &str| {
        format!(
            "arms = {arms}\nworkload = {{ kind = 'voice', duration = '{duration}', buffer = '1s' }}\n\
             link = {{ rtt = '20ms', rate = '20Mbit', loss = '10%' }}"
        )
    };
    let reliable = trials(dir.path(), "reliable", &part("['tcp', 'quic']", "3s"));
    for record in reliable.trials() {
        // What is lost is sent again, sooner or later.
        let messages = reliable.messages(&record.trial.id).unwrap();
        assert!(messages.iter().all(|message| message.delivered.is_some()), "{}", record.trial.id);
    }
    let unreliable = trials(dir.path(), "unreliable", &part("['udp']", "20s"));
    let [record] = unreliable.trials() else { panic!("one trial, not {:?}", unreliable.trials()) };
    let messages = unreliable.messages(&record.trial.id).unwrap();
    let (n, lost) = (messages.len(), messages.iter().filter(|message| message.delivered.is_none()).count());
    let missing = 100.0 * lost as f64 / n as f64;
    // Within 3.9 standard deviations, which a loss of 7 or 13 % is not.
    let most = 3.9 * 100.0 * (0.1 * 0.9 / n as f64).sqrt();
    assert!((missing - 10.0).abs() < most && most < 3.0, "{missing} % of {n}");
    let figures = ["packets_missing_percent", "packets_late_percent", "burst_ratio"].map(|name| figure(record, name));
    assert!(figures[0] >= missing && figures[1] == 0.0, "{figures:?}: the worse direction");
    // Independent losses come in bursts of 1 / (1 − p).
    assert!((1.0..1.2).contains(&figures[2]), "{figures:?}");
}
