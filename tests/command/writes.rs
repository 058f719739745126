//! Small writes: how many packets and reads they become over each transport.

use samepath_model::record::TrialRecord;

use crate::support::{can_emulate, test, trials};

/// Writes, packets in the direction of the payload, reads.
fn counts(record: &TrialRecord) -> (u64, u64, u64) {
    let (server, client) = (record.server.as_ref().unwrap(), record.client.as_ref().unwrap());
    (server.writes, record.link.as_ref().unwrap().down.packets, client.reads)
}

#[test]
fn a_byte_stream_keeps_no_borders_and_datagrams_do() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp", "quic", "quic/datagram", "udp"]
workload = { kind = "writes", size = "10B", spacing = "2ms", count = 300, warmup = "50kB" }
link = { rtt = "40ms", rate = "100Mbit" }
axes = { batch = [1, 10], no-delay = [true, false] }
"#;
    let run = trials(dir.path(), "writes", part);
    for record in run.trials() {
        let (id, arm) = (&record.trial.id, record.trial.arm);
        let (writes, packets, reads) = counts(record);
        let batch: u64 = record.trial.axes["batch"].parse().unwrap();
        let summary = record.summary.as_ref().unwrap();
        assert_eq!((summary.messages, summary.delivered), (300, 300), "{id}");
        if arm.is_reliable {
            // What is late is written together with what follows.
            assert!(writes <= 300 / batch && writes > 200 / batch, "{id}: {writes} writes");
            assert!(reads <= 300 / batch + 10, "{id}: {reads} reads of {writes} writes");
        } else {
            assert_eq!(reads, 300, "{id}: each datagram is read as it was sent");
        }
        let is_held_back = record.trial.axes["no-delay"] == "false" && arm.name == "tcp";
        if is_held_back {
            // A segment a round trip: what is made in the meantime waits for the acknowledgement.
            assert!(reads < 40, "{id}: {reads} reads, {packets} packets");
        } else if batch == 1 {
            assert!(packets >= 200, "{id}: {packets} packets");
        }
    }
}
