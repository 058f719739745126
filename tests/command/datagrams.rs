//! What arms without retransmission put on the wire: each datagram once, whatever becomes of it.

use std::collections::{HashMap, HashSet};

use samepath_model::Direction;
use samepath_model::attribution::Tag;
use samepath_model::end::End;
use samepath_model::flow::UNDER_TEST;
use samepath_model::record::{DropCause, PacketRecord, TrialRecord};
use samepath_results::Run;

use crate::support::{can_emulate, test, trials};

/// Messages both ways, of one datagram and of several, where packets are lost and duplicated.
fn part(arms: &str, workload: &str) -> String {
    format!(
        "arms = [{arms}]\nattribution = true\nworkload = {workload}\n\
         link = {{ rtt = '20ms', rate = '50Mbit', loss = '5%', duplicate = '5%' }}"
    )
}

const CALL: &str = "{ kind = 'voice', duration = '6s' }";
const FRAMES: &str = "{ kind = 'video-call', duration = '4s' }";

/// The trial's own packets in the order in which they came to the link, and how many copies that made.
fn packets(run: &Run, record: &TrialRecord) -> (Vec<PacketRecord>, usize) {
    let all = run.ledger(&record.trial.id).unwrap().expect("a ledger").map(Result::unwrap);
    let (copies, sent): (Vec<_>, Vec<_>) = all.filter(|one| one.is_of(UNDER_TEST)).partition(|one| one.duplicate);
    (sent, copies.len())
}

/// A payload by its direction and the header that stands before it: stream, message, offset and length.
type Payload = (Direction, u16, u32, u64, u32);

/// What each packet of UDP carries of messages. Its tag is the header: flags and stream (2 bytes), length (4), message (4),
/// offset (6), in network order; no flag is set before the bytes of a message.
fn of_udp(packets: &[PacketRecord]) -> Vec<Payload> {
    const FLAGS: u16 = 0xf000;
    let payload = |packet: &PacketRecord| {
        let tag = packet.tag.filter(|_| packet.payload as usize > size_of::<Tag>())?;
        let number =
            |bytes: std::ops::Range<usize>| tag[bytes].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let (stream, len, seq, offset) =
            (number(0..2) as u16, number(2..6) as u32, number(6..10) as u32, number(10..16));
        (stream & FLAGS == 0 && len + size_of::<Tag>() as u32 == packet.payload).then_some((
            packet.direction,
            stream,
            seq,
            offset,
            len,
        ))
    };
    packets.iter().filter_map(payload).collect()
}

#[test]
fn over_udp_each_payload_is_sent_once() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, workload) in [("call", CALL), ("frames", FRAMES)] {
        let run = trials(dir.path(), name, &part("'udp'", workload));
        let [record] = run.trials() else { panic!("one trial, not {:?}", run.trials()) };
        let (packets, copies) = packets(&run, record);
        assert!(copies > 0 && packets.iter().any(|packet| packet.dropped == Some(DropCause::Loss)), "{name}");
        let payloads = of_udp(&packets);
        let known: HashSet<_> =
            payloads.iter().map(|&(way, stream, seq, offset, _)| (way, stream, seq, offset)).collect();
        assert_eq!(known.len(), payloads.len(), "{name}: a payload came to the link twice");
        // And each of them was there: no message was sent but in these.
        let messages = run.messages(&record.trial.id).unwrap();
        let sent: u64 = messages.iter().filter(|message| message.cancelled.is_none()).map(|message| message.size).sum();
        assert_eq!(payloads.iter().map(|(.., len)| u64::from(*len)).sum::<u64>(), sent, "{name}");
    }
}

#[test]
fn quic_sends_datagrams_once_and_streams_again() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = trials(dir.path(), "quic", &part("'quic/datagram', 'quic'", CALL));
    for record in run.trials() {
        let id = &record.trial.id;
        let (packets, copies) = packets(&run, record);
        assert!(copies > 0, "{id}");
        // By what their senders saw in the packets that came to the link: how often which byte of a domain was there.
        let came: HashSet<Tag> = packets.iter().filter_map(|packet| packet.tag).collect();
        let mut times: HashMap<(bool, u64, u64), u32> = HashMap::new();
        for one in run.observations(id).unwrap().expect("they were attributed") {
            let Some(domain) = one.domain.filter(|_| one.end == End::sender(one.direction)) else { continue };
            if came.contains(&one.tag) {
                *times.entry((one.end == End::Client, domain, one.start)).or_default() += 1;
            }
        }
        let again = times.values().filter(|times| **times > 1).count();
        match record.trial.arm.to_string().as_str() {
            "quic/datagram" => {
                // Those of the call are beyond the IDs of streams, on which each end says whose connection it is.
                let datagrams = times.iter().filter(|((_, domain, _), _)| *domain >= 1 << 62);
                assert_eq!(datagrams.clone().count(), 2 * 300, "{id}");
                assert!(datagrams.clone().all(|(_, times)| *times == 1), "{id}");
            }
            _ => assert!(again > 0, "{id}: nothing of it was sent again, so this shows nothing"),
        }
    }
}
