//! Counterfactual arrival times: when each packet would have reached the receiving host without loss.

use std::collections::HashMap;

use samepath_model::Trial;
use samepath_model::attribution::LayoutRecord;
use samepath_model::link::{Aqm, Conditions, Direction, Generator, Link};
use samepath_model::record::Instant;
use samepath_model::units::Duration;

use super::packets::{NEVER, Packet};

/// What holds from a time on, for a packet of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    from: Instant,
    /// One-way delay in nanoseconds.
    delay: i64,
    /// Whether the delay is given to a packet as it leaves the queue, not as it comes to it.
    late: bool,
    /// Whether a packet never leaves before those that came before it.
    ordered: bool,
}

/// The ways beyond the link to servers that stand farther away than it is long, by the ports of the clients whose
/// connections lead there.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    ways: HashMap<u16, Way>,
    servers: u16,
}

/// A way beyond the link.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    /// The server's number and one; 0 of all that do not stand farther away.
    server: u16,
    /// One-way delay in nanoseconds.
    delay: i64,
}

impl Beyond {
    /// Those of a trial, each of whose connections carries streams of one server.
    pub(super) fn of(trial: &Trial, layout: &[LayoutRecord]) -> Beyond {
        if trial.workload.farthest() == Duration::ZERO {
            return Beyond::default();
        }
        let ways = layout.iter().filter_map(|record| {
            let server = trial.workload.server_of(record.stream);
            let delay = (trial.workload.extra_rtt(server) / 2).as_nanos().cast_signed();
            (delay > 0).then_some((record.port, Way { server: server + 1, delay }))
        });
        Beyond { ways: ways.collect(), servers: trial.workload.servers() }
    }

    fn way(&self, packet: &Packet) -> Way {
        if self.servers == 0 { Way::default() } else { self.ways.get(&packet.port).copied().unwrap_or_default() }
    }
}

/// The arrival time of each packet, in the order of arrival at the link: of one that left the link, when it did; of a
/// dropped one, after its own wait in the queue and the delay then in force, and that beyond the link.
pub(super) fn arrivals_without_loss(packets: &[Packet], link: &Link, beyond: &Beyond) -> Vec<Instant> {
    // A packet that waits longer than this for a bottleneck that has stopped is not followed further.
    const LONGEST: u64 = 60_000_000_000;
    let end = packets.iter().map(|packet| packet.arrived + packet.queued.min(LONGEST).cast_signed());
    let end = end.max().unwrap_or(0);
    let steps = Direction::BOTH.map(|direction| steps(link, direction, end));
    // The last that left of those that came so far; of each way beyond the link, which keep no order among each other.
    let mut last = Direction::BOTH.map(|_| vec![Instant::MIN; usize::from(beyond.servers) + 1]);
    packets
        .iter()
        .map(|packet| {
            let (steps, way) = (&steps[packet.direction.index()], beyond.way(packet));
            let last = &mut last[packet.direction.index()][usize::from(way.server)];
            // What the filter does not match leaves as it comes, and is before and behind nobody.
            if packet.bypassed {
                return if packet.left == NEVER { packet.arrived } else { packet.left };
            }
            if packet.left != NEVER {
                *last = packet.left.max(*last);
                return packet.left;
            }
            let now = at(steps, packet.arrived);
            let waited = packet.arrived + packet.queued.cast_signed();
            let alone = waited + way.delay + if now.late { at(steps, waited).delay } else { now.delay };
            // Where the delay became shorter the line keeps the order all the same.
            if now.ordered { alone.max(*last) } else { alone }
        })
        .collect()
}

/// What the link does to a direction's packets, step by step until `end`; the times are those at which the
/// emulator takes a step, a ramp's among them. The first step holds before the schedule's start, where nothing is
/// drawn.
fn steps(link: &Link, direction: Direction, end: Instant) -> Vec<Step> {
    let end = Duration::from_nanos(end.max(0).cast_unsigned());
    let mut times: Vec<Duration> = Direction::BOTH.iter().flat_map(|&d| link.direction(d).change_times(end)).collect();
    times.sort_unstable();
    times.dedup();
    let step = |from: Instant, conditions: &Conditions| Step {
        from,
        delay: conditions.delay.as_nanos().cast_signed(),
        late: matches!(conditions.aqm, Aqm::CoDel { .. }),
        ordered: link.generator == Generator::Counter
            && (conditions.keep_order
                || conditions.jitter.spread == Duration::ZERO && conditions.reorder.chance.share.fraction() == 0.0),
    };
    let first = link.direction(direction);
    let mut steps = vec![step(Instant::MIN, &first.without_draws()), step(0, first)];
    steps
        .extend(times.into_iter().map(|time| step(time.as_nanos().cast_signed(), &link.direction(direction).at(time))));
    steps
}

fn at(steps: &[Step], since: Instant) -> Step {
    steps[steps.partition_point(|step| step.from <= since).max(1) - 1]
}
