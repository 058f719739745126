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

use samepath_model::link::{Conditions, Direction, Link, Loss, LossKey, QueueCapacity};
use samepath_model::units::{BitRate, Duration, Probability};

use crate::netlink::qdisc::{Netem, NetemLoss, NetemRate, Qdisc, Tbf};

/// Conditions that the kernel's netem cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's netem cannot express {condition} ({direction}): {remedy}")]
pub struct Inexpressible {
    condition: &'static str,
    direction: Direction,
    remedy: &'static str,
}

/// The remedy that always helps.
const EMBEDDED: &str = "leave it out, or use the embedded backend (`--backend auto`)";
/// Packets that a delay line of the kernel's may hold: as good as any number.
const UNLIMITED: u32 = 0x3fff_ffff;
/// How long a burst of the token bucket lasts at most: longer than a timer is late.
const BURST: Duration = Duration::from_millis(1);

/// The queueing disciplines of one direction, at its two hops. At each, the first is the root and
/// every other the child of the one before.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Hops {
    pub(super) first: Vec<Qdisc>,
    pub(super) second: Vec<Qdisc>,
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
    let early = Netem {
        limit: UNLIMITED,
        loss: match conditions.loss {
            Loss::None => NetemLoss::Random(Probability::ZERO, Probability::ZERO),
            Loss::Random(p) => NetemLoss::Random(p, Probability::ZERO),
            Loss::GilbertElliott(model) => NetemLoss::GilbertElliott(model),
        },
        duplicate: (conditions.duplicate, Probability::ZERO),
        seed,
        ..Netem::default()
    };
    let late = Netem {
        limit: UNLIMITED,
        delay: conditions.delay.as_nanos(),
        jitter: conditions.jitter.as_nanos(),
        corrupt: (conditions.corrupt, Probability::ZERO),
        reorder: (conditions.reorder, Probability::ZERO),
        seed,
        ..Netem::default()
    };
    let netem = |netem: Netem| Qdisc::Netem(Box::new(netem));
    let (Some(rate), Some(capacity)) = (conditions.rate, link.queue_capacity(direction)) else {
        if *conditions == Conditions::transparent() {
            return Ok(Hops::default());
        }
        let (loss, duplicate) = (early.loss, early.duplicate);
        return Ok(Hops { first: Vec::new(), second: vec![netem(Netem { loss, duplicate, ..late })] });
    };
    let (first, second) = match capacity {
        QueueCapacity::Packets(limit) => {
            (vec![netem(Netem { rate: Some(plain(rate)), limit, ..early })], vec![netem(late)])
        }
        QueueCapacity::Bytes(limit) => {
            let (bucket, mtu) = (bucket(rate, limit.bytes(), link.mtu), plain(rate));
            let early_is_nothing = conditions.loss == Loss::None && conditions.duplicate.is_zero();
            let first = if early_is_nothing { Vec::new() } else { vec![netem(early)] };
            let server = Netem { limit: UNLIMITED, rate: Some(mtu), seed, ..Netem::default() };
            // A netem with a rate keeps the order whatever the jitter; so the rate comes before it.
            let second = if conditions.jitter > Duration::ZERO || !conditions.reorder.is_zero() {
                vec![netem(server), netem(late)]
            } else {
                vec![netem(Netem { rate: server.rate, ..late })]
            };
            (first.into_iter().chain([Qdisc::Tbf(bucket)]).collect(), second)
        }
    };
    Ok(Hops { first, second })
}

fn plain(rate: BitRate) -> NetemRate {
    // Half a byte a second is nothing: rates below 8 bit/s are none.
    let bytes_per_second = (rate.bits_per_second() / 8).max(1);
    NetemRate { bytes_per_second, packet_overhead: 0, cell_size: 0, cell_overhead: 0 }
}

/// A token bucket whose buffer, with the burst that has left it early, holds `limit` bytes.
fn bucket(rate: BitRate, limit: u64, mtu: u16) -> Tbf {
    let mtu = u64::from(mtu);
    let burst = rate.bytes_in(BURST).bytes().min(limit / 2).max(mtu);
    let limit = limit.saturating_sub(burst).max(mtu);
    let bytes = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Tbf { bytes_per_second: plain(rate).bytes_per_second, burst: bytes(burst), limit: bytes(limit) }
}

/// Names what netem has no word for. Every field is named here, so that a new condition is either
/// expressed above or refused.
fn refuse(link: &Link, direction: Direction) -> Result<(), Inexpressible> {
    let Conditions {
        delay: _,
        jitter: _,
        rate: _,
        queue: _,
        loss,
        duplicate: _,
        corrupt: _,
        reorder: _,
        drops,
        outages,
    } = link.direction(direction);
    let cannot = |condition, remedy| Err(Inexpressible { condition, direction, remedy });
    if !drops.is_empty() {
        return cannot("scripted drops", EMBEDDED);
    }
    if !outages.is_empty() {
        return cannot("outages", EMBEDDED);
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
    fn what_netem_has_no_word_for_is_named_with_the_remedy() {
        for (text, words) in [
            ("[down]\ndrop = ['data 3']", "scripted drops (down): leave it out"),
            ("outage = ['1s..2s']", "outages (up)"),
            ("loss = '1%'", "keyed by time (up): the kernel draws for each packet in turn, so say `--loss-key index`"),
        ] {
            let message = check(&link(text)).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(check(&link("loss = '1%'\nloss-key = 'index'\nrate = '1Mbit'")), Ok(()));
    }

    #[test]
    fn without_a_rate_it_is_one_netem_and_without_conditions_none() {
        assert_eq!(up(""), Hops::default());
        let hops = up("delay = '10ms'\nloss = '1%'\nloss-key = 'index'\nduplicate = '2%'");
        assert!(hops.first.is_empty());
        let [Qdisc::Netem(netem)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((netem.delay, netem.seed), (10_000_000, Some(7)));
        assert_eq!(netem.loss, NetemLoss::Random("1%".parse().unwrap(), Probability::ZERO));
    }

    #[test]
    fn a_buffer_in_packets_is_the_limit_of_a_netem_before_the_delay() {
        let hops = up("delay = '10ms'\nrate = '8Mbit'\nqueue = '30p'");
        let [Qdisc::Netem(first)] = hops.first.as_slice() else { panic!("{hops:?}") };
        assert_eq!((first.limit, first.delay, first.rate.map(|r| r.bytes_per_second)), (30, 0, Some(1_000_000)));
        let [Qdisc::Netem(second)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((second.delay, second.rate), (10_000_000, None));
    }

    #[test]
    fn a_buffer_in_bytes_is_a_bucket_and_what_has_left_it_early() {
        let hops =
            up("delay = '10ms'\njitter = '1ms'\nrate = '80Mbit'\nqueue = '100kB'\nloss = '1%'\nloss-key = 'index'");
        let [Qdisc::Netem(_), Qdisc::Tbf(bucket)] = hops.first.as_slice() else { panic!("{hops:?}") };
        // A burst lasts a millisecond: 10,000 bytes.
        assert_eq!(*bucket, Tbf { bytes_per_second: 10_000_000, burst: 10_000, limit: 90_000 });
        let [Qdisc::Netem(server), Qdisc::Netem(line)] = hops.second.as_slice() else { panic!("{hops:?}") };
        assert_eq!((server.rate.is_some(), server.delay, line.rate, line.jitter), (true, 0, None, 1_000_000));
        // The smallest buffer still holds a packet.
        assert_eq!(super::bucket(BitRate::new(8_000_000), 1500, 1500).limit, 1500);
    }
}
