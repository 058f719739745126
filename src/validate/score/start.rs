//! Scores of how connections start: round trips, and what the loss of the first packets costs.

use std::collections::{BTreeMap, BTreeSet};

use samepath_model::Direction;
use samepath_model::arm::{Arm, IpProtocol};
use samepath_model::record::{DropCause, PacketRecord, Summary};
use samepath_model::units::Duration;
use samepath_netem::link::packet::TCP_SYN;
use samepath_results::Run;

use super::{Finding, done, flow, near, near_in, within_in};

/// T1. TCP's handshake takes one round trip, TLS 1.3 one more, QUIC's one in all; the request and its
/// first byte one more. UDP has no handshake. Scored as the slope of time against round-trip time, so that
/// the constant cost of the host's CPU drops out. Of the seeds, which draw nothing here, the shortest time is taken: an
/// interruption of the machine only ever adds to it.
pub(crate) fn round_trips(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let slope_of = |arm: Arm, figure: fn(&Summary) -> Option<f64>| {
        let mut times: BTreeMap<Duration, Vec<f64>> = BTreeMap::new();
        for record in done(run).filter(|record| record.trial.arm == arm) {
            let time = record.summary.as_ref().and_then(figure);
            times.entry(record.trial.link.rtt()).or_default().extend(time);
        }
        let shortest = |times: &[f64]| times.iter().copied().fold(f64::NAN, f64::min);
        let points: Vec<(f64, f64)> = times.iter().map(|(rtt, of)| (rtt.as_millis_f64(), shortest(of))).collect();
        slope(&points)
    };
    let arms: BTreeSet<Arm> = run.planned().iter().map(|trial| trial.arm).collect();
    let mut findings = Vec::new();
    for arm in arms {
        if let Some(wanted) = arm.handshake_round_trips {
            let found = slope_of(arm, |s| s.handshake_ms);
            findings.push(near(format!("{arm}: handshake"), wanted.into(), 0.03, found, "RTT"));
        }
        let (wanted, found) = (arm.first_byte_round_trips, slope_of(arm, |s| s.first_byte_ms));
        findings.push(near(format!("{arm}: first byte"), wanted.into(), 0.03, found, "RTT"));
    }
    Ok(findings)
}

/// T2. A client that hears nothing waits, and then repeats its first packet. TCP: the initial timeout is
/// 1 s (RFC 6298, section 2), and Linux keeps it for the first four repetitions (6.5 and later,
/// `tcp_syn_linear_timeouts`). QUIC: the initial probe timeout is 333 + 4 · 333/2 = 999 ms (RFC 9002,
/// section 6.2.2), it doubles each time, and each time two probes are sent. Scored on the wire: from the
/// first packet that came to the link to the first that was not dropped.
pub(crate) fn first_packets_lost(run: &Run) -> anyhow::Result<Vec<Finding>> {
    const TOLERANCE: f64 = 10.0;
    let mut findings = Vec::new();
    for record in done(run) {
        let packets = flow(run, record, Direction::Up)?;
        let asked = record.trial.link.up.drops.len();
        let what = |of: &str| format!("{} seed {}: {asked} lost: {of}", record.trial.arm, record.trial.seed);
        let is_dropped = |packet: &PacketRecord| packet.dropped == Some(DropCause::Script);
        let dropped = packets.iter().take_while(|packet| is_dropped(packet)).count();
        findings.push(near(what("first packets dropped"), asked as f64, 0.0, dropped as f64, "packets"));
        let (Some(first), Some(survivor)) = (packets.first(), packets.get(dropped)) else { continue };
        let waited = (survivor.arrived - first.arrived) as f64 / 1e6;
        if record.trial.arm.ip_protocol == IpProtocol::Tcp {
            let syns = packets[..=dropped].iter().filter(|packet| packet.tcp_flags & TCP_SYN != 0).count();
            findings.push(near(what("of them and the next, SYN"), dropped as f64 + 1.0, 0.0, syns as f64, "packets"));
            let timeouts = dropped as f64;
            let most = timeouts * (1000.0 + timer_slot_ms(1000.0)) + TOLERANCE;
            findings.push(within_in(record, what("waited"), timeouts * 1000.0 - TOLERANCE, most, waited));
        } else {
            // One packet, then two probes, then two: 3 lost are two timeouts.
            let timeouts = dropped.div_ceil(2) as i32;
            let expected = 999.0 * (2f64.powi(timeouts) - 1.0);
            findings.push(near_in(record, what("waited"), expected, TOLERANCE, waited));
            let together = packets[dropped..].iter().take_while(|p| p.arrived - survivor.arrived < 5_000_000).count();
            findings.push(near(what("probes sent together"), 2.0, 0.0, together as f64, "packets"));
        }
    }
    Ok(findings)
}

/// How much later than asked the kernel may end a timer of this length: it keeps timers in wheels of 64
/// slots, of which each is eight times coarser than the one before, and rounds up to a slot
/// (kernel/time/timer.c). The shortest slot is a tick, which is what the coarse clock counts in.
fn timer_slot_ms(timeout_ms: f64) -> f64 {
    let tick = nix::time::clock_getres(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(10.0, |tick| tick.tv_nsec() as f64 / 1e6);
    slot_ms(timeout_ms, tick)
}

fn slot_ms(timeout_ms: f64, tick_ms: f64) -> f64 {
    let (mut slot, mut reach) = (1.0, 63.0);
    while timeout_ms / tick_ms >= reach {
        (slot, reach) = (slot * 8.0, reach * 8.0);
    }
    slot * tick_ms
}

/// Slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (sxy, sxx) =
        points.iter().fold((0.0, 0.0), |(sxy, sxx), (x, y)| (sxy + (x - mx) * (y - my), sxx + (x - mx).powi(2)));
    sxy / sxx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_leaves_the_constant_out() {
        assert!((slope(&[(20.0, 45.0), (50.0, 105.0), (100.0, 205.0)]) - 2.0).abs() < 1e-9);
        assert!(slope(&[]).is_nan());
    }

    #[test]
    fn timers_round_as_the_kernels_table_says() {
        // From the tables in kernel/time/timer.c: 1000, 250 and 100 ticks a second.
        assert_eq!([slot_ms(1000.0, 1.0), slot_ms(1000.0, 4.0), slot_ms(1000.0, 10.0)], [64.0, 32.0, 80.0]);
        assert_eq!(slot_ms(30.0, 1.0), 1.0);
        assert!(timer_slot_ms(1000.0) > 0.0);
    }
}
