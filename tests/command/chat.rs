//! Conversations over each kind of arm: what comes, in which order, and keep-alives apart from messages.

use samepath_model::conversations::Conversations;
use samepath_model::{Direction, Workload};

use crate::support::{can_emulate, figure, test, trials};

#[test]
fn conversations_are_whole_where_the_arm_is_reliable() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'tls/per-stream', 'quic', 'quic/per-message', 'udp']\n\
                workload = { kind = 'chat', conversations = 10, per-second = 20, duration = '3s' }\n\
                link = { rtt = '40ms', rate = '20Mbit', loss = '10%' }";
    let run = trials(dir.path(), "chat", part);
    assert_eq!(run.trials().len(), 5);
    let mut released = Vec::new();
    for record in run.trials() {
        let (id, arm) = (&record.trial.id, record.trial.arm);
        let Workload::Chat(chat) = &record.trial.workload else { unreachable!("it is what was asked") };
        let messages = run.messages(id).unwrap();
        let all = Conversations::of(chat, record.trial.workload.scored_streams(), &messages);
        released.push(all.released);
        assert!(Direction::BOTH.into_iter().all(|way| messages.iter().any(|m| m.direction == way)), "{id}");
        let n = f64::from(all.released);
        let lost = figure(record, "chat_lost");
        if arm.is_reliable {
            assert_eq!((lost, figure(record, "chat_delivered_percent")), (0.0, 100.0), "{id}");
            // A retransmission takes a round trip more, and stays within its stream's order, or not.
            let out_of_order = figure(record, "chat_out_of_order_percent");
            let is_ordered = arm.ordering != samepath_model::arm::OrderingDomain::Message;
            assert_eq!(out_of_order == 0.0, is_ordered, "{id}: {out_of_order} %");
            assert!(figure(record, "chat_delay_p99_ms") > 60.0, "{id}");
        } else {
            let spread = 3.9 * (n * 0.1 * 0.9).sqrt();
            assert!((lost - 0.1 * n).abs() < spread, "{id}: {lost} of {n} were lost");
            assert_eq!(figure(record, "chat_out_of_order_percent"), 0.0, "{id}");
        }
        assert_eq!(figure(record, "chat_keep_alives"), 0.0, "{id}");
    }
    assert!(released.windows(2).all(|pair| pair[0] == pair[1]), "the same on every arm: {released:?}");
}

#[test]
fn keep_alives_are_counted_apart() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'quic', 'udp']\n\
                workload = { kind = 'chat', conversations = 4, per-second = 1, duration = '4s', keep-alive = '400ms' }\n\
                link = { rtt = '20ms', rate = '20Mbit' }";
    let run = trials(dir.path(), "keep-alive", part);
    for record in run.trials() {
        let id = &record.trial.id;
        let Workload::Chat(chat) = &record.trial.workload else { unreachable!("it is what was asked") };
        let messages = run.messages(id).unwrap();
        let keep_alives: Vec<_> = messages.iter().filter(|m| chat.is_keep_alive(m.seq)).collect();
        assert!(keep_alives.len() > 10 && keep_alives.iter().all(|m| m.size == 1 && m.delivered.is_some()), "{id}");
        assert_eq!(figure(record, "chat_keep_alives"), keep_alives.len() as f64, "{id}");
        let all = Conversations::of(chat, 0..4, &messages);
        assert_eq!(all.released as usize, messages.len() - keep_alives.len(), "{id}");
        assert_eq!(figure(record, "chat_delivered_percent"), 100.0, "{id}");
    }
}
