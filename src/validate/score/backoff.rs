//! A connection that ran out of time because its own timer had backed off.
//!
//! A sender that hears nothing doubles its retransmission timeout each time (RFC 6298, section 5.5;
//! Linux up to 120 s), or its probe timeout (RFC 9002, section 6.2.1). On a link that drops 30 % each way, one connection
//! in some hundreds so meets a row of losses that no time limit of minutes outlasts; QUIC does so too (seen once), where
//! a lost acknowledgement of its Initial has stretched the first round-trip sample to seconds. That is the transport's doing, and
//! no fault of the link: but only where the ledger proves it.

use samepath_model::Direction;
use samepath_model::arm::IpProtocol;
use samepath_model::record::{DropCause, PacketRecord, TrialRecord};
use samepath_netem::link::packet::TCP_SYN;
use samepath_results::Run;

/// What a timer waited for when the time was over and it was not yet due, in words; `None` where that is not what ended
/// the trial.
pub(super) fn waited_for_timer(run: &Run, record: &TrialRecord) -> anyhow::Result<Option<String>> {
    let Some(ledger) = run.evidence_ledger(&record.trial.id)? else { return Ok(None) };
    let packets: Vec<PacketRecord> = ledger.collect::<Result<_, _>>()?;
    let Some(first) = packets.iter().map(|packet| packet.arrived).min() else { return Ok(None) };
    let limit = i64::try_from(record.trial.time_limit.as_nanos())?;
    let arm = record.trial.arm;
    Ok(match arm.ip_protocol {
        _ if !arm.is_reliable => None,
        IpProtocol::Tcp => {
            let copies = Direction::BOTH.into_iter().filter_map(|way| waiting(&packets, way, first + limit)).max();
            copies.map(|copies| format!("TCP's retransmission timer: {copies} copies in a row were lost"))
        }
        // The client keeps a twentieth of its time back for the reports.
        IpProtocol::Udp => silences(&packets, first + limit / 20 * 19)
            .map(|[up, down]| format!("QUIC's probe timers: the ends had last sent {up:.0} and {down:.0} s before")),
    })
}

/// For how many seconds each end of a QUIC connection had sent nothing by its timer at `limit`, if that may have been
/// due only then: it doubles from one expiry to the next, and so waits for at most twice as long as it did before.
fn silences(packets: &[PacketRecord], limit: i64) -> Option<[f64; 2]> {
    /// What is sent so soon after something came answers it (RFC 9000, section 18.2: `max_ack_delay` is 25 ms).
    const ANSWER: i64 = 30_000_000;
    let of = |direction| {
        packets
            .iter()
            .filter(move |p| p.direction == direction && p.protocol == IpProtocol::Udp.number() && !p.duplicate)
    };
    let silence = |direction: Direction| {
        let came: Vec<i64> = of(direction.opposite()).filter_map(|packet| packet.left).collect();
        let is_answer = |at: i64| came.iter().any(|came| (0..=ANSWER).contains(&(at - came)));
        let mut times: Vec<i64> =
            of(direction).map(|p| p.arrived).filter(|at| *at < limit && !is_answer(*at)).collect();
        times.sort_unstable();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max()?;
        let silent = limit - times.last()?;
        // A fifth more, for the host's own granularity.
        (silent as f64 <= longest as f64 * 2.2).then_some(silent as f64 / 1e9)
    };
    let lost = Direction::BOTH.into_iter().flat_map(of).any(|packet| packet.dropped == Some(DropCause::Loss));
    let [up, down] = Direction::BOTH.map(silence);
    lost.then_some([up?, down?])
}

/// The copies at the end of one direction of which none got through, if the sender was still waiting for
/// its timer at `limit`.
fn waiting(packets: &[PacketRecord], direction: Direction, limit: i64) -> Option<usize> {
    let mut sent: Vec<&PacketRecord> = packets
        .iter()
        .filter(|p| p.direction == direction && !p.duplicate && p.arrived < limit)
        .filter(|p| p.payload > 0 || p.tcp_flags & TCP_SYN != 0)
        .collect();
    sent.sort_by_key(|packet| packet.number);
    let lost = sent.iter().rev().take_while(|packet| packet.dropped == Some(DropCause::Loss)).count();
    let [.., before, last] = &sent[sent.len() - lost..] else { return None };
    // The timer doubles; a fifth more, for the host's own granularity.
    let timer = (last.arrived - before.arrived) as f64 * 2.2;
    ((limit - last.arrived) as f64 <= timer).then_some(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data segment sent at `second`, dropped or not.
    fn segment(number: u64, second: f64, lost: bool) -> PacketRecord {
        PacketRecord {
            flow: None,
            direction: Direction::Up,
            number,
            duplicate: false,
            arrived: (second * 1e9) as i64,
            size: 106,
            protocol: 6,
            source_port: 1,
            destination_port: 2,
            payload: 54,
            tcp_seq: Some(1),
            tcp_flags: 0x18,
            tag: None,
            queued: 0,
            corrupted: false,
            congestion_marked: false,
            bypassed: false,
            left: (!lost).then_some((second * 1e9) as i64 + 15_000_000),
            dropped: lost.then_some(DropCause::Loss),
        }
    }

    /// As met once: the client's Finished arrived, the server's HANDSHAKE_DONE did not, nor did most of its probes.
    #[test]
    fn quics_probes_may_be_minutes_apart() {
        let datagram = |direction, second: f64, lost| PacketRecord {
            direction,
            protocol: 17,
            tcp_seq: None,
            tcp_flags: 0,
            ..segment(0, second, lost)
        };
        let up = |second, lost| datagram(Direction::Up, second, lost);
        let down = |second, lost| datagram(Direction::Down, second, lost);
        let packets = vec![
            up(0.001, true),
            up(1.001, true),
            up(3.000, true),
            up(6.997, false),
            down(7.014, true),
            down(8.014, false),
            up(8.031, true),
            up(31.801, false),
            down(31.826, false),
            up(31.842, false),
            down(31.858, true),
            up(35.429, false),
            down(52.376, true),
            up(67.978, false),
            down(67.994, false),
            up(68.009, false),
            up(89.381, false),
            up(117.876, true),
            down(136.072, false),
            up(136.088, true),
            up(174.864, false),
        ];
        let at = |second: i64| second * 1_000_000_000;
        let silent = silences(&packets, at(285)).expect("both wait for their timers");
        assert_eq!(silent.map(f64::round), [110.0, 149.0]);
        assert_eq!(silences(&packets, at(310)), None, "by then the client should have sent again");
        let mute: Vec<_> =
            packets.iter().filter(|p| p.direction == Direction::Up || p.arrived < at(60)).cloned().collect();
        assert_eq!(silences(&mute, at(285)), None, "the server fell silent");
        let alone: Vec<_> = packets.iter().filter(|p| p.direction == Direction::Up).cloned().collect();
        assert_eq!(silences(&alone, at(285)), None, "there was no server");
    }

    const LIMIT: i64 = 60_000_000_000;

    #[test]
    fn a_backoff_beyond_the_limit_is_found() {
        let times = [3.4, 6.5, 12.6, 24.9, 50.2];
        let packets: Vec<_> = times.iter().enumerate().map(|(n, at)| segment(n as u64, *at, true)).collect();
        assert_eq!(waiting(&packets, Direction::Up, LIMIT), Some(5));
        assert_eq!(waiting(&packets, Direction::Down, LIMIT), None, "nothing was sent that way");
    }

    #[test]
    fn a_sender_that_fell_silent_is_no_such_case() {
        let silent = [segment(0, 1.0, true), segment(1, 1.4, true)];
        assert_eq!(waiting(&silent, Direction::Up, LIMIT), None, "its next copy was due long before the limit");
        let through = [segment(0, 20.0, true), segment(1, 40.0, false)];
        assert_eq!(waiting(&through, Direction::Up, LIMIT), None, "the last copy arrived");
        assert_eq!(waiting(&[segment(0, 59.0, true)], Direction::Up, LIMIT), None, "one copy tells no timer");
    }
}
