//! Frames with a deadline over each transport: how many are whole where packets are lost, and what repair makes of them.

use samepath_model::record::TrialRecord;
use samepath_results::Run;

use crate::support::{can_emulate, figure, test, trials};

#[test]
fn datagram_frames_are_whole_as_theory_has_it() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // 1,600 frames of six packets, of which one in ten is lost.
    let part = |axes: &str| {
        format!(
            "arms = ['udp']\n\
             workload = {{ kind = 'video-call', fps = 200, rate = '9.6Mbit', packet = '1000B', spread = 0, duration = '8s', \
             key = 'every 1h', parity = '30%' }}\n\
             link = {{ rtt = '20ms', loss = '10%', loss-key = 'index' }}\naxes = {{ {axes} }}"
        )
    };
    let alone = trials(dir.path(), "alone", &part("loss = ['10%', 'burst 10% 3']"));
    let repaired = trials(dir.path(), "repaired", &part("repair = ['resend', 'fec']"));
    let whole = |run: &Run, value: &str| {
        let is_it = |record: &&TrialRecord| record.trial.axes.values().any(|of| of == value);
        figure(run.trials().iter().find(is_it).unwrap(), "frames_whole_percent") / 100.0
    };
    let (n, p, burst) = (1600.0f64, 0.1f64, 3.0);
    let bound = |share: f64| 3.9 * (share * (1.0 - share) / n).sqrt() + 1.0 / n;
    let spared = |p: f64| (1.0 - p).powi(6);
    let found = whole(&alone, "10%");
    assert!((found - spared(p)).abs() < bound(spared(p)), "{found}, not {}", spared(p));
    for other in [0.7 * p, 1.3 * p] {
        assert!((spared(other) - spared(p)).abs() > bound(spared(p)), "{other} would be told from {p}");
    }
    // Gilbert: the first packet is spared, and each of the others after one that was.
    let in_bursts = (1.0 - p) * (1.0 - p / (burst * (1.0 - p))).powi(5);
    let found = whole(&alone, "burst 10% 3");
    assert!((found - spared(p)).abs() > bound(spared(p)), "{found}: bursts are told from random loss");
    // Neighbouring frames share bursts, so they are not as many as they seem.
    assert!((found - in_bursts).abs() < 1.5 * bound(in_bursts), "{found}, not {in_bursts}");
    // Any six of eight.
    let of_eight = |lost: i32, ways: f64| ways * p.powi(lost) * (1.0 - p).powi(8 - lost);
    let any_six = of_eight(0, 1.0) + of_eight(1, 8.0) + of_eight(2, 28.0);
    let found = whole(&repaired, "fec");
    assert!((found - any_six).abs() < bound(any_six), "{found}, not {any_six}");
    // Asked for and sent again three times within the deadline: almost all.
    assert!(whole(&repaired, "resend") > 0.985, "{}", whole(&repaired, "resend"));
}

#[test]
fn every_mapping_carries_frames_and_questions() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'tls', 'quic', 'quic/per-message', 'udp']\n\
                workload = { kind = 'video-call', duration = '3s', repair = 'resend', give-up = true, deadline = '2s' }\n\
                link = { rtt = '20ms', rate = '20Mbit', loss = '3%' }\naxes = { direction = ['up', 'down'] }";
    let run = trials(dir.path(), "mappings", part);
    for record in run.trials() {
        let id = &record.trial.id;
        // Within two seconds everything has come, on whatever transport.
        assert_eq!(figure(record, "frames_in_time_percent"), 100.0, "{id}");
        let sum: f64 = ["in_time", "late", "missing", "undecodable"]
            .map(|of| figure(record, &format!("frames_{of}_percent")))
            .iter()
            .sum();
        assert!((sum - 100.0).abs() < 1e-9, "{id}: {sum}");
        // Only datagrams are sent again by the workload; each was asked for by a message that came.
        assert_eq!(figure(record, "repair_bytes") > 0.0, !record.trial.arm.is_reliable, "{id}");
        let messages = run.messages(id).unwrap();
        for again in messages.iter().filter(|message| message.attempt > 1) {
            let by = again.released_by.expect("nothing is sent again unasked");
            let question = messages.iter().find(|message| message.id() == by).unwrap();
            assert_eq!(question.delivered, Some(again.released), "{id}");
        }
        if record.trial.arm.is_reliable {
            assert_eq!(messages.iter().filter(|m| m.deadline.is_some()).count(), 90, "{id}: a message a frame");
        }
    }
}

#[test]
fn key_frames_end_what_cannot_be_decoded() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['udp']\n\
                workload = { kind = 'video-call', duration = '8s' }\n\
                link = { rtt = '60ms', rate = '20Mbit', loss = '1%', loss-key = 'index' }\n\
                axes = { key = ['on-loss', 'every 2s'] }";
    let run = trials(dir.path(), "keys", part);
    // They end in any order.
    let of = |key: &str| run.trials().iter().find(|record| record.trial.axes["key"] == key).unwrap();
    let (on_loss, by_the_clock) = (of("on-loss"), of("every 2s"));
    assert!(figure(on_loss, "key_frames") >= 3.0, "{:?}", on_loss.summary);
    assert_eq!(figure(by_the_clock, "key_frames"), 3.0);
    // On request a picture is back some 100 ms after a loss, by the clock after a second in the mean.
    let undecodable = |record| figure(record, "frames_undecodable_percent");
    assert!(undecodable(on_loss) < undecodable(by_the_clock), "{} {}", undecodable(on_loss), undecodable(by_the_clock));
    assert!(figure(on_loss, "longest_freeze_ms") < figure(by_the_clock, "longest_freeze_ms"));
}

#[test]
fn what_is_given_up_lets_the_next_come_earlier() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Nothing gets through for a while, and the link has little to spare: what piled up goes before the key frame of the
    // third second, unless it is given up.
    let part = "arms = ['quic/per-message']\n\
                workload = { kind = 'video-call', rate = '1.5Mbit', duration = '4s', key = 'every 1s', deadline = '400ms' }\n\
                link = { rtt = '40ms', rate = '1.8Mbit', outage = ['1.5s..1.95s'] }\ntuning = { order = 'sequential' }\n\
                axes = { give-up = [false, true] }";
    let run = trials(dir.path(), "give-up", part);
    let of = |give_up: &str| run.trials().iter().find(|record| record.trial.axes["give-up"] == give_up).unwrap();
    let (patient, impatient) = (of("false"), of("true"));
    let given_up = |record: &TrialRecord| {
        let messages = run.messages(&record.trial.id).unwrap();
        messages.iter().filter(|message| message.cancelled.is_some() && message.sent.is_some()).count()
    };
    assert_eq!(given_up(patient), 0);
    assert!(given_up(impatient) > 3, "streams of frames that were handed over are reset");
    let delay = |record: &TrialRecord| {
        let messages = run.messages(&record.trial.id).unwrap();
        let key = messages.iter().find(|message| message.released == 3_000_000_000).expect("there is a frame then");
        key.delivered.map_or(f64::INFINITY, |at| (at - key.released) as f64 / 1e6)
    };
    assert!(delay(impatient) < delay(patient), "{} and {} ms", delay(impatient), delay(patient));
    // What was saved, by the ledger.
    let wire = |record: &TrialRecord| record.link.as_ref().unwrap().down.bytes;
    assert!(wire(impatient) < wire(patient), "{} and {} bytes", wire(impatient), wire(patient));
}
