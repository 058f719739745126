//! From a link's conditions to queueing disciplines, or to the name of what they cannot express.
//!
//! netem's `limit` counts what waits for the rate and what is in the delay line together, and only
//! in packets. Where a direction has a rate its conditions are therefore spread over two hops, as
//! the embedded emulator's pipeline has them:
//!
//! ```text
//! first hop:   loss, duplication, bottleneck (netem's rate and limit, or a token bucket in bytes)
//! second hop:  corruption, delay, jitter, reordering
//! ```
//!
//! A token bucket lets a packet go when its transmission begins, and a burst of them after a rest.
//! The second hop's netem therefore has the rate too: a work-conserving server behind one of the same
//! rate sets each packet's end of transmission right and holds no more than the burst, by which the
//! bucket's own buffer is made smaller. Without a rate everything is one netem at the second hop.
//!
//! A queue that manages itself is a codel below a bucket with a small burst. What such a bucket has let
//! go waits on at the second hop while the link is busy, and the bucket looks at the packet at its head
//! one transmission early: together that is as long as the burst takes, and so much less is the wait that
//! codel may see.

use samepath_model::link::{
    Aqm, Blackhole, Chance, Conditions, Direction, Framing, Generator, Link, Loss, LossKey, Pause, QueueCapacity, Slot,
};
use samepath_model::units::{BitRate, Duration, Probability};

use crate::link::distribution;
use crate::netlink::qdisc::{Codel, Netem, NetemLoss, NetemRate, NetemSlot, Qdisc, Tbf};

/// Conditions that the kernel's netem cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's netem cannot express {condition} ({direction}): {remedy}")]
pub struct Inexpressible {
    condition: &'static str,
    direction: Direction,
    remedy: &'static str,
}

/// A rate at which the largest packet takes no nanosecond.
const INSTANT: NetemRate = NetemRate { bytes_per_second: 1 << 50, packet_overhead: 0, cell_size: 0, cell_overhead: 0 };

/// The remedy that always helps.
const EMBEDDED: &str = "leave it out, or use the embedded backend (`--backend auto`)";
/// How long a burst of the token bucket lasts, and how many of the largest packets it has at least:
/// more than timers are late, or the bucket would spill.
const BURST: (Duration, u64) = (Duration::from_millis(5), 4);

/// How long the part of a burst beyond one packet lasts before a queue that manages itself: at most, and at most as
/// this part of the wait by which it judges.
const MANAGED_BURST: (Duration, u32) = (Duration::from_millis(1), 8);

/// The queueing disciplines of one direction, at its two hops. At each, the first is the root and
/// every other the child of the one before.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Hops {
    pub(super) first: Vec<Qdisc>,
    pub(super) second: Vec<Qdisc>,
}

impl Hops {
    /// Both hops of each direction.
    pub(super) fn chains(hops: &[Hops; 2]) -> [[&[Qdisc]; 2]; 2] {
        hops.each_ref().map(|hops| [hops.first.as_slice(), hops.second.as_slice()])
    }

    /// The same disciplines, one for one, with delay, rate and buffer, and with nothing that is drawn.
    pub(super) fn without_draws(&self) -> Hops {
        self.netems(&|netem| netem, &|netem| netem)
    }

    /// The same for probes.
    pub(super) fn bare(&self) -> Hops {
        // What limits the second hop is a limit of the delay line, which probes close together would meet.
        self.netems(&|netem| netem, &|netem| Netem { limit: Netem::UNLIMITED, ..netem })
    }

    /// Without draws, and each netem of the hops as these functions make it.
    fn netems(&self, first: &dyn Fn(Netem) -> Netem, second: &dyn Fn(Netem) -> Netem) -> Hops {
        let without_draws = |netem: &Netem| Netem {
            delay: netem.delay,
            limit: netem.limit,
            rate: netem.rate,
            seed: netem.seed,
            ..Netem::default()
        };
        let each = |chain: &[Qdisc], of: &dyn Fn(Netem) -> Netem| {
            chain
                .iter()
                .map(|qdisc| match qdisc {
                    Qdisc::Netem(netem) => Qdisc::Netem(Box::new(of(without_draws(netem)))),
                    other => other.clone(),
                })
                .collect()
        };
        Hops { first: each(&self.first, first), second: each(&self.second, second) }
    }
}

/// The queueing disciplines of a link whose conditions may be changed: the same, below a netem at each hop that
/// there may once be, which holds the packets while what is below it is put there.
///
/// # Errors
/// Names the condition that cannot be.
pub(super) fn adjustable_hops(link: &Link, direction: Direction, seed: u64) -> Result<Hops, Inexpressible> {
    let below_a_netem = |mut chain: Vec<Qdisc>| {
        if !matches!(chain.first(), Some(Qdisc::Netem(_))) {
            let open = Netem { limit: Netem::UNLIMITED, seed: Some(seed), ..Netem::default() };
            chain.insert(0, Qdisc::Netem(Box::new(open)));
        }
        chain
    };
    let Hops { first, second } = hops(link, direction, seed)?;
    let first = if has_two_hops(link) { below_a_netem(first) } else { first };
    Ok(Hops { first, second: below_a_netem(second) })
}

/// Whether some conditions of a link take two hops: with netem's own generator none do.
pub(super) fn has_two_hops(link: &Link) -> bool {
    link.generator != Generator::Netem
}

/// Says what of a link's conditions the kernel's netem cannot express, if anything.
///
/// # Errors
/// Names the first such condition, and the remedy.
pub fn check(link: &Link) -> Result<(), Inexpressible> {
    for direction in Direction::BOTH {
        hops(link, direction, 0)?;
    }
    Ok(())
}

/// The queueing disciplines that do to `direction` what its conditions say.
///
/// # Errors
/// Names the condition that cannot be.
pub(super) fn hops(link: &Link, direction: Direction, seed: u64) -> Result<Hops, Inexpressible> {
    let conditions = link.direction(direction);
    refuse(link, direction)?;
    // Each direction's generator starts from the seed itself, as one `tc` command at each end would.
    let seed = Some(seed);
    let chance = |chance: Chance| (chance.share, chance.correlation);
    let early = Netem {
        limit: Netem::UNLIMITED,
        loss: match conditions.loss {
            Loss::None => NetemLoss::Random(Probability::ZERO, Probability::ZERO),
            Loss::Random(p) => NetemLoss::Random(p, Probability::ZERO),
            Loss::Correlated(Chance { share, correlation }) => NetemLoss::Random(share, correlation),
            Loss::GilbertElliott(model) => NetemLoss::GilbertElliott(model),
            Loss::Markov(m) => NetemLoss::FourState([m.p13, m.p31, m.p32, m.p14, m.p23]),
        },
        ecn: conditions.ecn,
        duplicate: chance(conditions.duplicate),
        seed,
        ..Netem::default()
    };
    let late = Netem {
        limit: conditions.limit.unwrap_or(Netem::UNLIMITED),
        delay: conditions.delay.as_nanos(),
        jitter: conditions.jitter.spread.as_nanos(),
        delay_correlation: conditions.jitter.correlation,
        distribution: distribution::table(&conditions.distribution).map_or(Vec::new(), |table| table.to_vec()),
        corrupt: chance(conditions.corrupt),
        reorder: chance(conditions.reorder.chance),
        gap: conditions.reorder.gap,
        slot: conditions.slot.as_ref().map(slot),
        // A netem with a rate keeps the order whatever the jitter, be it a rate at which nothing takes any time.
        rate: (conditions.keep_order && !conditions.jitter.is_none()).then_some(INSTANT),
        seed,
        ..Netem::default()
    };
    let netem = |netem: Netem| Qdisc::Netem(Box::new(netem));
    let framing = conditions.overhead;
    let (Some(rate), Some(capacity)) = (conditions.rate, link.queue_capacity(direction)) else {
        if *conditions == Conditions::transparent() {
            return Ok(Hops::default());
        }
        // All in one, as a single `tc` command has it: there is no rate, or the one queue is netem's own.
        let Netem { loss, duplicate, ecn, .. } = early;
        let rate = conditions.rate.map(|rate| framed(rate, framing)).or(late.rate);
        return Ok(Hops { first: Vec::new(), second: vec![netem(Netem { loss, duplicate, ecn, rate, ..late })] });
    };
    let (first, second) = match capacity {
        QueueCapacity::Packets(limit) if conditions.aqm != Aqm::None => {
            let managed = managed(link, direction, rate, limit)?;
            let early_is_nothing = conditions.loss == Loss::None && conditions.duplicate.is_never();
            let first = if early_is_nothing { Vec::new() } else { vec![netem(early)] };
            (first.into_iter().chain(managed).collect(), behind_bucket(rate, late, conditions))
        }
        QueueCapacity::Packets(limit) => {
            (vec![netem(Netem { rate: Some(framed(rate, framing)), limit, ..early })], vec![netem(late)])
        }
        QueueCapacity::Bytes(limit) => {
            let bucket = bucket(rate, limit.bytes(), link.mtu);
            let early_is_nothing = conditions.loss == Loss::None && conditions.duplicate.is_never();
            let first = if early_is_nothing { Vec::new() } else { vec![netem(early)] };
            (first.into_iter().chain([Qdisc::Tbf(bucket)]).collect(), behind_bucket(rate, late, conditions))
        }
    };
    Ok(Hops { first, second })
}

/// The second hop behind a bucket: a server of the bucket's rate, and the delay line `late`.
fn behind_bucket(rate: BitRate, late: Netem, conditions: &Conditions) -> Vec<Qdisc> {
    let netem = |netem: Netem| Qdisc::Netem(Box::new(netem));
    let server = Netem { limit: Netem::UNLIMITED, rate: Some(plain(rate)), seed: late.seed, ..Netem::default() };
    // A netem with a rate keeps the order whatever the jitter; so the rate comes before it.
    if !conditions.jitter.is_none() || !conditions.reorder.is_never() {
        vec![netem(server), netem(late)]
    } else {
        vec![netem(Netem { rate: server.rate, ..late })]
    }
}

/// A queue that manages itself, behind its bucket.
fn managed(link: &Link, direction: Direction, rate: BitRate, limit: u32) -> Result<[Qdisc; 2], Inexpressible> {
    const INTERVAL: Duration = Duration::from_millis(100);
    let wait = match link.direction(direction).aqm {
        Aqm::CoDel { target, .. } => target,
        Aqm::Threshold(size) => match link.capacity_of(direction, size) {
            Some(QueueCapacity::Bytes(bytes)) => rate.time_for(bytes.bytes()),
            _ => {
                let (condition, remedy) =
                    ("a threshold in packets", "codel knows how long a packet has waited: give it in bytes or time");
                return Err(Inexpressible { condition, direction, remedy });
            }
        },
        Aqm::None => Duration::ZERO,
    };
    let slack = MANAGED_BURST.0.min(wait / u64::from(MANAGED_BURST.1));
    let burst = u64::from(link.mtu) + rate.bytes_in(slack).bytes();
    let sees = wait.saturating_sub(rate.time_for(burst));
    if sees == Duration::ZERO {
        let condition = "a managed queue whose wait is shorter than the transmission of a packet";
        return Err(Inexpressible { condition, direction, remedy: EMBEDDED });
    }
    let micros = |time: Duration| u32::try_from(time.as_nanos() / 1_000).unwrap_or(u32::MAX).max(1);
    // One more is in transmission.
    let plain = Codel {
        limit: limit.saturating_sub(1).max(1),
        target: 0,
        interval: micros(INTERVAL),
        ecn: false,
        mark_from: None,
    };
    let codel = match link.direction(direction).aqm {
        Aqm::CoDel { interval, ecn, .. } => Codel { target: micros(sees), interval: micros(interval), ecn, ..plain },
        // It marks, and never drops: nothing waits for a minute.
        _ => Codel { target: micros(Duration::from_secs(60)), mark_from: Some(micros(sees)), ..plain },
    };
    let bytes = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let bucket = Tbf {
        bytes_per_second: self::plain(rate).bytes_per_second,
        burst: bytes(burst),
        // Of the queue that codel takes the place of.
        limit: bytes(burst),
    };
    Ok([Qdisc::Tbf(bucket), Qdisc::Codel(codel)])
}

fn plain(rate: BitRate) -> NetemRate {
    framed(rate, Framing::default())
}

fn framed(rate: BitRate, framing: Framing) -> NetemRate {
    // Half a byte a second is nothing: rates below 8 bit/s are none.
    let bytes_per_second = (rate.bits_per_second() / 8).max(1);
    let Framing { packet, cell, cell_overhead } = framing;
    NetemRate { bytes_per_second, packet_overhead: packet, cell_size: cell, cell_overhead }
}

fn slot(slot: &Slot) -> NetemSlot {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let plain = NetemSlot {
        max_packets: slot.packets.map_or(0, |n| i32::try_from(n).unwrap_or(i32::MAX)),
        max_bytes: slot.bytes.map_or(0, |bytes| i32::try_from(bytes.bytes()).unwrap_or(i32::MAX)),
        ..NetemSlot::default()
    };
    match &slot.pause {
        Pause::Between { min, max } => NetemSlot { min_delay: nanos(*min), max_delay: nanos(*max), ..plain },
        Pause::Distributed { distribution, delay, jitter } => match distribution::table(distribution) {
            Some(table) if *jitter > Duration::ZERO => NetemSlot {
                dist_delay: nanos(*delay),
                dist_jitter: nanos(*jitter),
                distribution: table.to_vec(),
                ..plain
            },
            // Which is what a uniform one comes to.
            _ => NetemSlot {
                min_delay: nanos(delay.saturating_sub(*jitter)),
                max_delay: nanos(*delay + *jitter),
                ..plain
            },
        },
    }
}

/// A token bucket whose buffer, with the burst that has left it early, holds `limit` bytes.
fn bucket(rate: BitRate, limit: u64, mtu: u16) -> Tbf {
    let mtu = u64::from(mtu);
    let burst = rate.bytes_in(BURST.0).bytes().max(BURST.1 * mtu).min(limit / 2).max(mtu);
    let limit = limit.saturating_sub(burst).max(mtu);
    let bytes = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Tbf { bytes_per_second: plain(rate).bytes_per_second, burst: bytes(burst), limit: bytes(limit) }
}

/// Names what netem has no word for. Every field is named here, so that a new condition is either
/// expressed above or refused.
fn refuse(link: &Link, direction: Direction) -> Result<(), Inexpressible> {
    let Conditions {
        filter,
        delay: _,
        jitter: _,
        distribution: _,
        keep_order: _,
        rate,
        stopped: _, // by a change, of which there are none
        overhead,
        rate_trace,
        queue: _,
        aqm,
        limit,
        slot: _,
        loss,
        ecn: _,
        duplicate: _,
        corrupt: _,
        reorder: _,
        blackhole,
        bleach,
        drops,
        outages,
        changes,
    } = link.direction(direction);
    let cannot = |condition, remedy| Err(Inexpressible { condition, direction, remedy });
    if !link.rebind.is_empty() {
        return cannot("a NAT's rebinding (`rebind`)", EMBEDDED);
    }
    if filter.is_some() {
        return cannot("a filter before the conditions (`filter`)", EMBEDDED);
    }
    if *blackhole != Blackhole::None {
        return cannot("a black hole for large packets (`blackhole`)", EMBEDDED);
    }
    if *bleach {
        return cannot("the clearing of ECN (`bleach`)", EMBEDDED);
    }
    if !drops.is_empty() {
        return cannot("scripted drops", EMBEDDED);
    }
    if !outages.is_empty() {
        return cannot("outages", EMBEDDED);
    }
    if !changes.is_empty() {
        return cannot("conditions that change at set times", EMBEDDED);
    }
    if rate_trace.is_some() {
        return cannot("a rate trace", EMBEDDED);
    }
    if link.generator == Generator::Netem {
        return Ok(()); // made to be what it can express
    }
    if rate.is_some() && limit.is_some() {
        return cannot(
            "a `limit` beside the queue of a rate",
            "its one queue has the limit with `--generator netem`; or leave it out",
        );
    }
    let in_bytes = matches!(link.queue_capacity(direction), Some(QueueCapacity::Bytes(_)));
    if in_bytes && *aqm != Aqm::None {
        return cannot(
            "a managed queue (`aqm`) with a buffer in bytes",
            "give the queue in packets, as `--queue 100p`",
        );
    }
    if *overhead != Framing::default() && *aqm != Aqm::None {
        return cannot("a packet overhead before a managed queue (`aqm`)", EMBEDDED);
    }
    if in_bytes && *overhead != Framing::default() {
        return cannot("a packet overhead before a queue in bytes", "give the queue in packets, as `--queue 100p`");
    }
    if *loss != Loss::None && link.loss_key == LossKey::Time {
        return cannot(
            "loss that is keyed by time",
            "the kernel draws for each packet in turn, so say `--loss-key index` (in a file `loss-key = \"index\"`), \
             or use the embedded backend (`--backend auto`)",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::link::LinkSpec;

    fn link(text: &str) -> Link {
        toml::from_str::<LinkSpec>(text).unwrap().resolve().unwrap()
    }

    fn up(text: &str) -> Hops {
        hops(&link(text), Direction::Up, 7).unwrap()
    }

    #[test]
    fn conditions_beyond_netem_are_named_with_remedy() {
        for (text, words) in [
            ("[down]\ndrop = ['data 3']", "scripted drops (down): leave it out"),
            ("outage = ['1s..2s']", "outages (up)"),
            ("outage = ['1s..2s every 9s']", "outages (up)"),
            (
                "filter = 'udp port 443'\ndelay = '9ms'",
                "a filter before the conditions (`filter`) (up): leave it out, or",
            ),
            ("down = { blackhole = '1300B' }", "a black hole for large packets (`blackhole`) (down)"),
            ("bleach = true", "the clearing of ECN (`bleach`) (up)"),
            ("rebind = ['2s: port']", "a NAT's rebinding (`rebind`) (up)"),
            ("change = ['1s: delay 9ms']", "change at set times (up)"),
            ("rate-trace = 'inline a 1 1'", "a rate trace (up)"),
            ("rate = '8Mbit'\naqm = 'codel'", "--queue 100p"),
            ("rate = '1Mbit'\nqueue = '9p'\naqm = 'codel'", "shorter than the transmission of a packet"),
            ("rate = '8Mbit'\nqueue = '9p'\naqm = 'threshold 3p'", "in bytes or time"),
            ("rate = '8Mbit'\nqueue = '9p'\noverhead = '14'\naqm = 'codel'", "packet overhead before a managed"),
            ("rate = '8Mbit'\nlimit = 9", "--generator netem"),
            ("rate = '8Mbit'\nqueue = '9kB'\noverhead = '14'", "--queue 100p"),
            ("loss = '1%'", "keyed by time (up): the kernel draws for each packet in turn, so say `--loss-key index`"),
        ] {
            let message = check(&link(text)).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(check(&link("loss = '1%'\nloss-key = 'index'\nrate = '1Mbit'")), Ok(()));
    }

    #[test]
    fn one_netem_without_rate_none_without_conditions() {
        assert_eq!(up(""), Hops::default());
        let hops = up("delay = '10ms'\nloss = '1%'\nloss-key = 'index'\nduplicate = '2%'");
        assert!(hops.first.is_empty());
        let [Qdisc::Netem(netem)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((netem.delay, netem.seed), (10_000_000, Some(7)));
        assert_eq!(netem.loss, NetemLoss::Random("1%".parse().unwrap(), Probability::ZERO));
    }

    #[test]
    fn probes_meet_the_same_disciplines_without_draws() {
        for text in [
            "delay = '10ms'\njitter = '2ms'\ndistribution = 'normal'\nloss = '1%'\nloss-key = 'index'\ncorrupt = '1%'",
            "delay = '10ms'\nrate = '8Mbit'\nqueue = '30p'\nduplicate = '1%'\nreorder = '5%'",
            "delay = '10ms'\nrate = '8Mbit'\nqueue = '90kB'\njitter = '1ms'\nslot = '1ms 2ms'",
            "generator = 'netem'\ndelay = '10ms'\nrate = '8Mbit'\nlimit = 5\nloss = '3%'\necn = true",
        ] {
            let (hops, plain) = (up(text), up(text).bare());
            for (chain, bare) in [(&hops.first, &plain.first), (&hops.second, &plain.second)] {
                let kinds = |chain: &[Qdisc]| chain.iter().map(Qdisc::kind).collect::<Vec<_>>();
                assert_eq!(kinds(chain), kinds(bare), "{text}");
                for pair in std::iter::zip(chain, bare) {
                    let (Qdisc::Netem(netem), Qdisc::Netem(bare)) = pair else {
                        assert_eq!(pair.0, pair.1, "a token bucket draws nothing");
                        continue;
                    };
                    assert_eq!((netem.delay, netem.rate), (bare.delay, bare.rate), "{text}");
                    let drawn = Netem { delay: 0, rate: None, limit: 0, seed: None, ..(**bare).clone() };
                    assert_eq!(drawn, Netem { limit: 0, ..Netem::default() }, "{text}");
                }
            }
        }
        let buffer = up("delay = '10ms'\nrate = '8Mbit'\nqueue = '30p'").bare();
        let [Qdisc::Netem(first)] = buffer.first.as_slice() else { panic!("{buffer:?}") };
        assert_eq!(first.limit, 30, "a buffer is no draw");
    }

    #[test]
    fn ordered_jitter_has_a_rate_without_time() {
        for (text, hops_of_late) in [
            ("delay = '9ms'\njitter = '2ms'\nkeep-order = true", 1),
            ("delay = '9ms'\njitter = '2ms'\nkeep-order = true\nrate = '8Mbit'\nqueue = '30p'", 1),
            ("delay = '9ms'\njitter = '2ms'\nkeep-order = true\nrate = '8Mbit'\nqueue = '90kB'", 2),
        ] {
            let hops = up(text);
            assert_eq!(hops.second.len(), hops_of_late, "{text}");
            let Some(Qdisc::Netem(late)) = hops.second.last() else { panic!("{hops:?}") };
            assert_eq!((late.jitter, late.rate), (2_000_000, Some(INSTANT)), "{text}");
        }
        let own = up("generator = 'netem'\ndelay = '9ms'\njitter = '2ms'\nkeep-order = true\nrate = '8Mbit'");
        let [Qdisc::Netem(one)] = own.second.as_slice() else { panic!("{own:?}") };
        assert_eq!(one.rate.map(|rate| rate.bytes_per_second), Some(1_000_000));
    }

    #[test]
    fn netems_own_generator_is_one_plain_netem() {
        let hops = up("generator = 'netem'\ndelay = '10ms'\njitter = '2ms 25%'\ndistribution = 'pareto'\n\
            rate = '8Mbit'\noverhead = '10 48 5'\nloss = 'state 1% 30% 20% 40% 2%'\necn = true\nduplicate = '1% 5%'\n\
            reorder = '20% 30% gap 4'\nslot = '1ms 2ms packets 3'");
        assert!(hops.first.is_empty());
        let [Qdisc::Netem(netem)] = hops.second.as_slice() else { panic!("{hops:?}") };
        let p = |text: &str| text.parse::<Probability>().unwrap();
        assert_eq!(netem.loss, NetemLoss::FourState([p("1%"), p("30%"), p("20%"), p("2%"), p("40%")]));
        assert_eq!((netem.limit, netem.gap, netem.ecn, netem.seed), (1000, 4, true, Some(7)));
        assert_eq!((netem.duplicate, netem.delay_correlation), ((p("1%"), p("5%")), p("25%")));
        assert_eq!(netem.distribution.len(), 4096);
        let rate = NetemRate { bytes_per_second: 1_000_000, packet_overhead: 10, cell_size: 48, cell_overhead: 5 };
        assert_eq!(netem.rate, Some(rate));
        let slot = NetemSlot { min_delay: 1_000_000, max_delay: 2_000_000, max_packets: 3, ..NetemSlot::default() };
        assert_eq!(netem.slot, Some(slot));
    }

    #[test]
    fn a_buffer_in_packets_limits_the_first_netem() {
        let hops = up("delay = '10ms'\nrate = '8Mbit'\nqueue = '30p'");
        let [Qdisc::Netem(first)] = hops.first.as_slice() else { panic!("{hops:?}") };
        assert_eq!((first.limit, first.delay, first.rate.map(|r| r.bytes_per_second)), (30, 0, Some(1_000_000)));
        let [Qdisc::Netem(second)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((second.delay, second.rate), (10_000_000, None));
    }

    #[test]
    fn an_aqm_sees_less_of_the_wait() {
        let text = "delay = '10ms'\nrate = '12Mbit'\nqueue = '100p'\n";
        let hops = up(&format!("{text}aqm = 'codel 8ms 90ms ecn'"));
        let [Qdisc::Tbf(bucket), Qdisc::Codel(codel)] = hops.first.as_slice() else { panic!("{hops:?}") };
        // A packet takes a millisecond, and so does the rest of the burst.
        assert_eq!(bucket.burst, 3000);
        let expected = Codel { limit: 99, target: 6_000, interval: 90_000, ecn: true, mark_from: None };
        assert_eq!(*codel, expected);
        let [Qdisc::Netem(second)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((second.delay, second.rate.map(|rate| rate.bytes_per_second)), (10_000_000, Some(1_500_000)));
        let hops = up(&format!("{text}aqm = 'threshold 8ms'\nloss = '1%'\nloss-key = 'index'"));
        let [Qdisc::Netem(_), Qdisc::Tbf(_), Qdisc::Codel(codel)] = hops.first.as_slice() else { panic!("{hops:?}") };
        assert_eq!((codel.mark_from, codel.ecn), (Some(6_000), false));
    }

    #[test]
    fn a_buffer_in_bytes_is_a_token_bucket() {
        let hops =
            up("delay = '10ms'\njitter = '1ms'\nrate = '80Mbit'\nqueue = '100kB'\nloss = '1%'\nloss-key = 'index'");
        let [Qdisc::Netem(_), Qdisc::Tbf(bucket)] = hops.first.as_slice() else { panic!("{hops:?}") };
        // A burst lasts five milliseconds, and is no more than half the buffer.
        assert_eq!(*bucket, Tbf { bytes_per_second: 10_000_000, burst: 50_000, limit: 50_000 });
        assert_eq!(super::bucket(BitRate::new(1_000_000), 100_000, 1500).burst, 6000);
        let [Qdisc::Netem(server), Qdisc::Netem(line)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((server.rate.is_some(), server.delay, line.rate, line.jitter), (true, 0, None, 1_000_000));
        // The smallest buffer still holds a packet.
        assert_eq!(super::bucket(BitRate::new(8_000_000), 1500, 1500).limit, 1500);
    }
}
