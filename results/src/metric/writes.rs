//! Figures of small writes: what they became on the way to the reader.

use samepath_model::record::{DirectionReport, EndReport, TrialRecord};
use samepath_model::{Direction, Workload};

use super::definition::{Better, Metric, PLAIN, Unit};

/// The metrics of small writes.
pub(crate) const METRICS: &[&Metric] = &[&WRITE_CALLS, &DATA_PACKETS, &READ_CALLS, &WIRE_PER_BYTE];

/// Calls in which the sender wrote payload.
pub(crate) const WRITE_CALLS: Metric = Metric {
    name: "write_calls",
    label: "writes",
    better: Some(Better::Lower),
    of: |t| Some(sender(t)?.writes as f64),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Packets that came to the link in the direction of the payload, those that were sent again and acknowledgements of the
/// other direction included.
pub(crate) const DATA_PACKETS: Metric = Metric {
    name: "packets_sent",
    label: "packets",
    better: Some(Better::Lower),
    of: |t| Some(way(t)?.packets as f64),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Calls in which the receiver read payload: of a byte stream, reads; of datagrams, one each.
pub(crate) const READ_CALLS: Metric = Metric {
    name: "read_calls",
    label: "reads",
    better: Some(Better::Lower),
    of: |t| Some(receiver(t)?.reads as f64),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Bytes of IP packets in the direction of the payload for each byte of it.
pub(crate) const WIRE_PER_BYTE: Metric = Metric {
    name: "sent_wire_bytes_per_byte",
    label: "wire bytes a byte",
    unit: Unit::BytesPerByte,
    better: Some(Better::Lower),
    of: |t| {
        let payload = t.summary.as_ref()?.offered_bytes;
        (payload > 0).then_some(way(t)?.bytes as f64 / payload as f64)
    },
    changes: ("fewer", "more"),
    head: Some("wire bytes\na byte"),
    ..PLAIN
};

fn direction(record: &TrialRecord) -> Option<Direction> {
    match record.trial.workload.scored() {
        Workload::Writes(writes) => Some(writes.direction),
        _ => None,
    }
}

fn way(record: &TrialRecord) -> Option<&DirectionReport> {
    let link = record.link.as_ref().filter(|link| link.counts_packets())?;
    Some(match direction(record)? {
        Direction::Up => &link.up,
        Direction::Down => &link.down,
    })
}

fn sender(record: &TrialRecord) -> Option<&EndReport> {
    match direction(record)? {
        Direction::Up => record.client.as_ref(),
        Direction::Down => record.server.as_ref(),
    }
}

fn receiver(record: &TrialRecord) -> Option<&EndReport> {
    match direction(record)? {
        Direction::Up => record.server.as_ref(),
        Direction::Down => record.client.as_ref(),
    }
}
