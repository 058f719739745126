//! A TCP connection that ran out of time because its own timer had backed off.
//!
//! A sender that hears nothing doubles its retransmission timeout each time (RFC 6298, section 5.5;
//! Linux up to 120 s). On a link that drops 30 % each way, one connection in some hundreds so meets a
//! row of losses that no time limit of minutes outlasts. That is TCP's doing, and no fault of the link:
//! but only where the ledger proves it.

use samepath_model::record::{DropCause, PacketRecord, TrialRecord};
use samepath_model::{Direction, Transport};
use samepath_netem::link::packet::TCP_SYN;
use samepath_results::Run;

/// How many copies in a row the link had dropped when the time was over and the next was not yet due;
/// `None` where that is not what ended the trial.
pub(super) fn copies_lost_in_a_row(run: &Run, record: &TrialRecord) -> anyhow::Result<Option<usize>> {
    if !matches!(record.trial.arm.transport, Transport::Tcp | Transport::Tls) {
        return Ok(None);
    }
    let Some(ledger) = run.evidence_ledger(&record.trial.id)? else { return Ok(None) };
    let packets: Vec<PacketRecord> = ledger.collect::<Result<_, _>>()?;
    let Some(first) = packets.iter().map(|packet| packet.arrived).min() else { return Ok(None) };
    let limit = first + i64::try_from(record.trial.time_limit.as_nanos())?;
    Ok(Direction::BOTH.into_iter().filter_map(|direction| waiting(&packets, direction, limit)).max())
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
            mark: None,
            queued: 0,
            corrupted: false,
            congestion_marked: false,
            bypassed: false,
            left: (!lost).then_some((second * 1e9) as i64 + 15_000_000),
            dropped: lost.then_some(DropCause::Loss),
        }
    }

    const LIMIT: i64 = 60_000_000_000;

    #[test]
    fn a_timer_that_backed_off_beyond_the_limit_is_found() {
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
