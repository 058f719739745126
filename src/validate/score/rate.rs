//! Scores of how fast bulk transfers are.

use std::collections::BTreeMap;

use samepath_model::arm::{Arm, Stack, Transport};
use samepath_model::experiment::Bound;
use samepath_model::link::{Counted, ScriptedDrop};
use samepath_model::record::{DropCause, Metric, TrialRecord};
use samepath_model::units::ByteCount;
use samepath_model::{Direction, Workload};
use samepath_results::Run;
use samepath_results::judge::rule;

use super::{Finding, done, flow, median, near, short, within};

/// P1. The interoperability runner's goodput scenario: at least 9.0 of 10 Mbit/s, the rest being
/// headers, slow start and recovery.
pub(crate) fn link_is_filled(run: &Run) -> anyhow::Result<Vec<Finding>> {
    Ok(done(run)
        .map(|record| {
            let found = goodput(record);
            Finding {
                what: format!("{} seed {}: goodput", record.trial.arm, record.trial.seed),
                expected: "at least 9.0 Mbit/s".into(),
                found: format!("{found:.2} Mbit/s"),
                judgement: rule::of_value(Bound::AtLeast(9.0), found).into(),
            }
        })
        .collect())
}

/// T6. At most a window is under way in a round trip: goodput is the receive window over the round-trip
/// time, less what the handshake, slow start and the sender's wait for the window's update cost. Over the whole
/// transfer, which is long enough that they cost little.
pub(crate) fn window_limits(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in done(run) {
        let Some(window) = record.trial.tuning.receive_window else { continue };
        let limit = window.bytes() as f64 * 8.0 / record.trial.link.rtt().as_secs_f64() / 1e6;
        let what = format!("{} seed {}: window {window}: share of its rate", record.trial.arm, record.trial.seed);
        findings.push(within(what, 0.85, 1.0, goodput(record) / limit, ""));
    }
    Ok(findings)
}

/// T8. Where one of n packets is lost, Reno's window swings between W/2 and W: 3/8·W² packets in W/2
/// round trips, a mean of √(3n/2) (Mathis et al., "The Macroscopic Behavior of the TCP Congestion Avoidance
/// Algorithm", 1997). From the second second to the end, without slow start.
///
/// The formula is for windows that are large: it leaves out the round trip of recovery, in which the window
/// stays at W/2 (RFC 6675; RFC 9002, section 7.3.2), and that windows are whole segments, rounded down when
/// halved. At n = 400 this is 8 % and the formula is judged, within 15 %. At n = 100, with a dozen segments,
/// it is 16 %, to which a delayed acknowledgement of each round's odd last segment adds 4 % of round-trip
/// time on Linux (with TCP_QUICKACK at the receiver it is gone, and the goodput that much higher): there the
/// formula's figure is said, and Reno in whole segments is judged, within 10 %.
pub(crate) fn periodic_loss(run: &Run) -> anyhow::Result<Vec<Finding>> {
    const FROM: f64 = 2.0;
    /// Mean window in segments from which the formula is taken at its word.
    const LARGE: f64 = 20.0;
    let mut findings = Vec::new();
    for ((part, arm), records) in by_part_and_arm(run) {
        let Some(trial) = records.first().map(|record| &record.trial) else { continue };
        let Some(apart) = trial.link.down.drops.iter().find_map(|drop| match drop {
            ScriptedDrop::Data(n) => Some(*n),
            ScriptedDrop::Series(Counted::Data, series) => Some(series.every),
            _ => None,
        }) else {
            continue;
        };
        let to = trial.workload.nominal_duration().map_or(0.0, |duration| duration.as_secs_f64());
        let rates: Vec<f64> =
            records.iter().map(|record| steady_goodput(run, record, FROM, to)).collect::<Result<_, _>>()?;
        let found = median(&rates);
        let rate = |window: f64| window * MSS * 8.0 / trial.link.rtt().as_secs_f64() / 1e6;
        let (formula, whole) = (rate(mathis(apart)), rate(in_whole_segments(apart)));
        if mathis(apart) >= LARGE {
            findings.push(near(format!("{part}: {arm}: goodput, Mathis"), formula, 0.15 * formula, found, "Mbit/s"));
        } else {
            let off = (found / formula - 1.0) * 100.0;
            findings.push(Finding::told(
                format!("{part}: {arm}: goodput, Mathis"),
                format!("{} Mbit/s", short(formula)),
                format!("{} Mbit/s, {off:+.0} %: its window is large, this one is not", short(found)),
            ));
        }
        findings.push(near(format!("{part}: {arm}: goodput, whole segments"), whole, 0.1 * whole, found, "Mbit/s"));
    }
    Ok(findings)
}

/// Payload of a full segment with timestamps at an MTU of 1500.
const MSS: f64 = 1448.0;

/// Mathis' mean window in segments where one packet in `apart` is lost.
fn mathis(apart: u64) -> f64 {
    (1.5 * apart as f64).sqrt()
}

/// Mean of new segments in a round trip, of a Reno whose windows are whole segments: after each loss a round
/// trip at half the window, then from there one segment more in each, until `apart` packets are sent, of
/// which one was lost.
fn in_whole_segments(apart: u64) -> f64 {
    // From any start it soon swings between the same two windows.
    let (mut threshold, mut round_trips) = (1, 0.0);
    for _ in 0..64 {
        let (mut window, mut left) = (threshold, apart.saturating_sub(threshold));
        round_trips = 1.0;
        while left >= window {
            left -= window;
            round_trips += 1.0;
            window += 1;
        }
        round_trips += left as f64 / window as f64;
        threshold = (window / 2).max(1);
    }
    (apart - 1) as f64 / round_trips
}

/// P3. Random loss is no sign of congestion, and BBR (v1) takes it for none: on a link of 100 Mbit/s it carries what is
/// not lost of the 96.5 Mbit/s of payload that the headers leave (1448 of 1500 bytes), less a tenth for its probing.
/// From the third second to the end. Where the losses begin then, in every seed. Where they begin with the first packet,
/// in every seed whose start-up had found the rate by then, and so filled the buffer: BBR ends its start-up after three
/// round trips in which its estimate did not grow by a quarter (`bbr_check_full_bw_reached` in net/ipv4/tcp_bbr.c), and
/// may, we think, take those that a recovery holds back for such; its own state was not traced. From there the estimate grows by a quarter in eight round trips:
/// what such a seed carried is said, and where no seed had found the rate, the comparison is inconclusive. quinn's BBR, which its authors call experimental, has no such figure: what it
/// carries is said, with what it loses beyond the random loss by overflowing the buffer.
///
/// CUBIC halves its window, nearly, at each loss: with one packet in a hundred lost at 100 ms it is in its Reno-friendly
/// region, where Mathis' formula gives 1.4 Mbit/s, and 1.0 to 2.2 is what windows of whole segments and the draw of the
/// losses leave of it, over the mean of the seeds and from the fourth second to the end.
pub(crate) fn random_loss(run: &Run) -> anyhow::Result<Vec<Finding>> {
    /// Payload of the link's rate, in Mbit/s.
    const PAYLOAD: f64 = 100.0 * MSS / 1500.0;
    let mut groups: BTreeMap<(String, u64, Arm), Vec<&TrialRecord>> = BTreeMap::new();
    for record in done(run) {
        let percent = (loss_at_the_end(record) * 100.0).round() as u64;
        groups.entry((record.trial.part.clone(), percent, record.trial.arm)).or_default().push(record);
    }
    let mut findings = Vec::new();
    for ((part, percent, arm), records) in groups {
        let what = format!("{part}: {arm}, loss {percent}%: goodput");
        let carried = (1.0 - percent as f64 / 100.0) * PAYLOAD;
        // What is lost at random has never been at the bottleneck, and takes nothing of its rate.
        let keeps = |seeds: &str, rates: &[f64]| {
            let worst = rates.iter().copied().fold(f64::NAN, f64::min);
            within(format!("{what}, {seeds}"), 0.9 * carried, 1.005 * PAYLOAD, worst, "Mbit/s")
        };
        match (part.as_str(), arm.stack) {
            ("cubic", _) => {
                let rates = steady_goodputs(run, &records, 4.0)?;
                let mean = rates.iter().sum::<f64>() / rates.len() as f64;
                findings.push(within(format!("{what}, mean of the seeds"), 1.0, 2.2, mean, "Mbit/s"));
            }
            (_, Stack::Quinn) => {
                let rates = steady_goodputs(run, &records, ESTABLISHED)?;
                let lost: Vec<f64> = records.iter().filter_map(|record| overflowed(record)).collect();
                findings.push(Finding::told(
                    what,
                    format!("tcp at least {}", short(0.9 * carried)),
                    format!("{} Mbit/s; {} % lost by overflow", short(median(&rates)), short(median(&lost))),
                ));
            }
            ("bbr", _) => {
                let (mut filled, mut early) = (Vec::new(), Vec::new());
                for record in records {
                    let seeds = if fills_the_buffer(run, record, ESTABLISHED)? { &mut filled } else { &mut early };
                    seeds.push(record);
                }
                let seeds = format!("worst of {} seeds", filled.len());
                findings.push(keeps(&seeds, &steady_goodputs(run, &filled, ESTABLISHED)?));
                for (record, rate) in early.iter().zip(steady_goodputs(run, &early, ESTABLISHED)?) {
                    let before = steady_goodput(run, record, ESTABLISHED - 0.5, ESTABLISHED)?;
                    findings.push(Finding::told(
                        format!("{what}, seed {}", record.trial.seed),
                        "buffer not filled by 3 s: not judged".to_owned(),
                        format!("{} Mbit/s, from {} at the third second", short(rate), short(before)),
                    ));
                }
            }
            _ => findings.push(keeps("worst seed", &steady_goodputs(run, &records, ESTABLISHED)?)),
        }
    }
    Ok(findings)
}

/// From when on BBR's start-up is over, in seconds.
const ESTABLISHED: f64 = 3.0;

/// The loss of the data direction as the trial ends.
fn loss_at_the_end(record: &TrialRecord) -> f64 {
    let end = record.trial.workload.nominal_duration().unwrap_or_default();
    record.trial.link.down.at(end).loss.rate()
}

/// Whether by this second a packet had waited for a quarter of a round trip at the bottleneck: so the sender had come to
/// the link's rate.
fn fills_the_buffer(run: &Run, record: &TrialRecord, by: f64) -> anyhow::Result<bool> {
    let long = record.trial.link.rtt().as_nanos() / 4;
    let packets = flow(run, record, Direction::Down)?;
    Ok(packets.iter().any(|packet| (packet.arrived as f64) < by * 1e9 && packet.queued >= long))
}

/// Percentage of the packets of a trial's data direction that found the buffer full.
fn overflowed(record: &TrialRecord) -> Option<f64> {
    let counts = &record.link.as_ref()?.down;
    let lost = counts.dropped.get(DropCause::Overflow.name()).copied().unwrap_or(0);
    (counts.packets > 0).then(|| lost as f64 / counts.packets as f64 * 100.0)
}

/// T11. N equal objects that share a rate end together, after N times the time of one; one after the
/// other they end after 1, 2, … N times: the mean is (N + 1)/2N of that. Counted from the start, and so with the
/// handshake and slow start, which the objects are large enough to outweigh.
pub(crate) fn objects_in_sequence(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut means: BTreeMap<(Arm, u16), BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for record in done(run) {
        let messages = run.messages(&record.trial.id)?;
        let times: Vec<f64> = messages.iter().map(|m| m.delivered.map_or(f64::NAN, |at| at as f64 / 1e6)).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let of = (record.trial.arm, record.trial.workload.streams());
        means.entry(of).or_default().entry(record.trial.tuning.order.to_string()).or_default().push(mean);
    }
    Ok(means
        .into_iter()
        .map(|((arm, streams), mean)| {
            let n = f64::from(streams);
            let expected = (n + 1.0) / (2.0 * n);
            let of = |order: &str| mean.get(order).map_or(f64::NAN, |of_seeds| median(of_seeds));
            let found = of("sequential") / of("round-robin");
            near(format!("{arm}: {streams} objects, sequential/round-robin"), expected, 0.05 * expected, found, "")
        })
        .collect())
}

/// P5. With the same controller and nothing lost, what TLS and QUIC need beyond TCP is their handshake:
/// the rest of the transfer takes the same time, within 10 %. With loss the medians are said, and those of the
/// ratios of one seed, but not judged: loss detection and pacing differ (see the report's notes on what cannot
/// be made equal).
pub(crate) fn same_controller_same_time(run: &Run) -> anyhow::Result<Vec<Finding>> {
    /// By seed, the milliseconds from the end of the handshake to the end of the transfer.
    type Times = BTreeMap<u64, f64>;
    let mut cells: Vec<(f64, u64, BTreeMap<Arm, Times>)> = Vec::new();
    for record in done(run) {
        let (Workload::Bulk(bulk), Some(summary)) = (&record.trial.workload, &record.summary) else { continue };
        let (Some(all), Some(handshake)) = (summary.completion_ms, summary.handshake_ms) else { continue };
        let (loss, bytes) = (record.trial.link.down.loss.rate(), bulk.bytes.map_or(0, |bytes| bytes.bytes()));
        let place = cells.iter().position(|(l, b, _)| (*l, *b) == (loss, bytes)).unwrap_or_else(|| {
            cells.push((loss, bytes, BTreeMap::new()));
            cells.len() - 1
        });
        cells[place].2.entry(record.trial.arm).or_default().insert(record.trial.seed, all - handshake);
    }
    cells.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut findings = Vec::new();
    for (loss, bytes, mut arms) in cells {
        let of = |times: &Times| median(&times.values().copied().collect::<Vec<_>>());
        let tcp = arms.remove(&Arm::default_of(Transport::Tcp)).unwrap_or_default();
        for (arm, times) in arms {
            let (expected, found) = (of(&tcp), of(&times));
            let size = ByteCount::new(bytes);
            if loss == 0.0 {
                let what = format!("{arm}: {size}, nothing lost: time without handshake");
                findings.push(near(what, expected, 0.1 * expected, found, "ms"));
                continue;
            }
            let ratios: Vec<f64> = times.iter().filter_map(|(seed, time)| Some(time / tcp.get(seed)?)).collect();
            findings.push(Finding::told(
                format!("{arm}: {size}, loss {}%: time without handshake", short(loss * 100.0)),
                format!("tcp {} ms", short(expected)),
                format!("{} ms; paired by seed {} of tcp's", short(found), short(median(&ratios))),
            ));
        }
    }
    Ok(findings)
}

/// P6. Where random loss decides, each of several connections carries what one does alone: eight of them between six and
/// nine times as much in the mean, its first three seconds left out.
pub(crate) fn parallel_connections(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut of: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
    for record in done(run) {
        let (streams, Some(duration)) = (record.trial.workload.streams(), record.trial.workload.nominal_duration())
        else {
            continue;
        };
        of.entry(streams).or_default().push(steady_goodput(run, record, 3.0, duration.as_secs_f64())?);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let Some((1, one)) = of.first_key_value().map(|(n, values)| (*n, mean(values))) else { return Ok(Vec::new()) };
    let several = of.iter().skip(1).map(|(n, values)| {
        let (n, found) = (f64::from(*n), mean(values) / one);
        let what = format!("tcp/per-stream: {n} connections to one ({} Mbit/s)", short(one));
        within(what, 0.75 * n, 1.125 * n, found, "times")
    });
    Ok(several.collect())
}

/// Payload received, in Mbit/s.
fn goodput(record: &TrialRecord) -> f64 {
    record.summary.as_ref().and_then(|s| s.goodput_bits_per_second).unwrap_or(f64::NAN) / 1e6
}

/// Payload that the receiver read between two times of the schedule, in seconds; in Mbit/s.
fn steady_goodput(run: &Run, record: &TrialRecord, from: f64, to: f64) -> anyhow::Result<f64> {
    let bytes: f64 = run
        .series(&record.trial.id)?
        .iter()
        .filter(|point| point.metric == Metric::DeliveredBytes && (from..to).contains(&(point.at as f64 / 1e9)))
        .map(|point| point.value)
        .sum();
    Ok(bytes * 8.0 / (to - from) / 1e6)
}

/// The same of each of them, from that second to the end.
fn steady_goodputs(run: &Run, records: &[&TrialRecord], from: f64) -> anyhow::Result<Vec<f64>> {
    let end = |record: &TrialRecord| record.trial.workload.nominal_duration().map_or(0.0, |end| end.as_secs_f64());
    records.iter().map(|record| steady_goodput(run, record, from, end(record))).collect()
}

/// The trials that count, over their seeds.
fn by_part_and_arm(run: &Run) -> BTreeMap<(String, Arm), Vec<&TrialRecord>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in done(run) {
        groups.entry((record.trial.part.clone(), record.trial.arm)).or_default().push(record);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_its_quoted_figures() {
        let rate = |window: f64| window * MSS * 8.0 / 0.05 / 1e6;
        assert!((rate(mathis(100)) - 2.84).abs() < 0.005 && (rate(mathis(400)) - 5.68).abs() < 0.01);
        // 7 in recovery, then 7, 8, … 14, and 9 of 15 segments: 99 of 100 arrive in 9.6 round trips.
        assert!((in_whole_segments(100) - 99.0 / 9.6).abs() < 1e-9, "{}", in_whole_segments(100));
        let short_of = |apart| in_whole_segments(apart) / mathis(apart);
        assert!(
            (0.9..0.95).contains(&short_of(400)) && (0.96..1.0).contains(&short_of(10_000)),
            "{}",
            short_of(10_000)
        );
    }
}
