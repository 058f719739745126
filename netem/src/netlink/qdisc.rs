//! Queueing disciplines in the kernel's own encoding (`linux/pkt_sched.h`): what `tc` would write.
//!
//! The netlink crates type only a few of them, and netem is not among those, so its options are
//! encoded here. Start with [`Netem`], which has every option of `sch_netem`.

use std::io;

use samepath_model::link::GilbertElliott;
use samepath_model::units::Probability;

use super::{Message, Netlink, attributes};

/// A device's root, as a parent.
pub(crate) const ROOT: u32 = u32::MAX;
/// Length of `struct tcmsg`.
const TCMSG: usize = 20;
/// Length of `struct tc_netem_qopt`.
const NETEM_QOPT: usize = 24;

/// A queueing discipline with its options.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Qdisc {
    /// `sch_netem`.
    Netem(Box<Netem>),
    /// `sch_tbf`: a token bucket over a buffer in bytes.
    Tbf(Tbf),
    /// `sch_codel`: a queue that drops or marks by how long packets have waited.
    Codel(Codel),
}

impl Qdisc {
    /// The kernel's name of it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Qdisc::Netem(_) => "netem",
            Qdisc::Tbf(_) => "tbf",
            Qdisc::Codel(_) => "codel",
        }
    }

    fn options(&self) -> Message {
        match self {
            Qdisc::Netem(netem) => netem.options(),
            Qdisc::Tbf(tbf) => tbf.options(),
            Qdisc::Codel(codel) => codel.options(),
        }
    }
}

/// Everything that `sch_netem` can be told (`struct tc_netem_qopt` and its attributes).
///
/// Correlations are those of the kernel's `get_crandom`. Probabilities go over the wire as
/// rint(p × (2³² − 1)).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Netem {
    /// Delay in nanoseconds.
    pub(crate) delay: u64,
    /// Its variation in nanoseconds.
    pub(crate) jitter: u64,
    /// Correlation of the delay with the one before.
    pub(crate) delay_correlation: Probability,
    /// The distribution's table, scaled by 8192; empty: uniform.
    pub(crate) distribution: Vec<i16>,
    /// Packets that the delay line holds.
    pub(crate) limit: u32,
    /// The rule of loss.
    pub(crate) loss: NetemLoss,
    /// Whether lost packets of ECN-capable transports are marked instead.
    pub(crate) ecn: bool,
    /// Share of packets duplicated, and its correlation.
    pub(crate) duplicate: (Probability, Probability),
    /// Share of packets with a flipped bit, and its correlation.
    pub(crate) corrupt: (Probability, Probability),
    /// Share of packets that are not delayed, and its correlation.
    pub(crate) reorder: (Probability, Probability),
    /// Every so-manieth packet only may skip the delay; 0 or 1: any.
    pub(crate) gap: u32,
    /// The rate, if there is one.
    pub(crate) rate: Option<NetemRate>,
    /// Bursts of release, if there are.
    pub(crate) slot: Option<NetemSlot>,
    /// Where the generator of random numbers starts (kernel 6.6 and later).
    pub(crate) seed: Option<u64>,
}

/// `sch_netem`'s rules of loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NetemLoss {
    /// Each packet by itself, with a correlation.
    Random(Probability, Probability),
    /// Four states: p13, p31, p32, p14, p23, in the order of `struct tc_netem_gimodel`.
    FourState([Probability; 5]),
    /// Gilbert–Elliott.
    GilbertElliott(GilbertElliott),
}

/// `struct tc_netem_rate`, with a rate of 64 bits; by default none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NetemRate {
    /// Bytes per second.
    pub(crate) bytes_per_second: u64,
    /// Bytes added to each packet.
    pub(crate) packet_overhead: i32,
    /// Bytes of a cell; 0: none.
    pub(crate) cell_size: u32,
    /// Bytes added to each cell.
    pub(crate) cell_overhead: i32,
}

/// `struct tc_netem_slot`; times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NetemSlot {
    /// Shortest time between two slots.
    pub(crate) min_delay: i64,
    /// Longest time between two slots.
    pub(crate) max_delay: i64,
    /// Middle of that time, where it is drawn from a table.
    pub(crate) dist_delay: i64,
    /// Spread of it; not 0 where there is a table.
    pub(crate) dist_jitter: i64,
    /// The table, scaled by 8192; empty: uniform, by the first two.
    pub(crate) distribution: Vec<i16>,
    /// Packets of a slot; 0: any number.
    pub(crate) max_packets: i32,
    /// Bytes of a slot; 0: any number.
    pub(crate) max_bytes: i32,
}

impl Default for Netem {
    fn default() -> Netem {
        Netem {
            delay: 0,
            jitter: 0,
            delay_correlation: Probability::ZERO,
            distribution: Vec::new(),
            limit: 1000,
            loss: NetemLoss::Random(Probability::ZERO, Probability::ZERO),
            ecn: false,
            duplicate: (Probability::ZERO, Probability::ZERO),
            corrupt: (Probability::ZERO, Probability::ZERO),
            reorder: (Probability::ZERO, Probability::ZERO),
            gap: 0,
            rate: None,
            slot: None,
            seed: None,
        }
    }
}

/// A probability as the kernel takes it: rint(p × (2³² − 1)).
fn wire(probability: Probability) -> u32 {
    (probability.fraction() * f64::from(u32::MAX)).round_ties_even() as u32
}

/// `TCA_NETEM_*` of `linux/pkt_sched.h`.
mod attribute {
    pub(super) const CORRELATIONS: u16 = 1;
    pub(super) const DELAY_DISTRIBUTION: u16 = 2;
    pub(super) const REORDER: u16 = 3;
    pub(super) const CORRUPT: u16 = 4;
    pub(super) const LOSS: u16 = 5;
    pub(super) const RATE: u16 = 6;
    pub(super) const ECN: u16 = 7;
    pub(super) const RATE64: u16 = 8;
    pub(super) const LATENCY64: u16 = 10;
    pub(super) const JITTER64: u16 = 11;
    pub(super) const SLOT: u16 = 12;
    pub(super) const SLOT_DISTRIBUTION: u16 = 13;
    pub(super) const SEED: u16 = 14;
    /// `NETEM_LOSS_GI`, within `TCA_NETEM_LOSS`.
    pub(super) const LOSS_FOUR_STATE: u16 = 1;
    /// `NETEM_LOSS_GE`, within `TCA_NETEM_LOSS`.
    pub(super) const LOSS_GILBERT_ELLIOTT: u16 = 2;
}

impl Netem {
    /// Packets that a delay line of the kernel's may hold: as good as any number.
    pub(crate) const UNLIMITED: u32 = 0x3fff_ffff;

    /// All of them, also those that say "none": where a discipline is changed, the kernel keeps what is not named.
    fn options(&self) -> Message {
        let mut message = Message::default();
        let (loss, loss_correlation) = match self.loss {
            NetemLoss::Random(p, correlation) => (p, correlation),
            _ => (Probability::ZERO, Probability::ZERO),
        };
        // The kernel takes a gap of 0 for "never reorder", 1 for "any packet may", and any gap without a
        // share of packets for a share of all.
        let gap = if self.reorder.0.is_zero() { 0 } else { self.gap.max(1) };
        // struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter. Latency and jitter come
        // in nanoseconds below.
        message.words(&[0, self.limit, wire(loss), gap, wire(self.duplicate.0), 0]);
        let correlations = [self.delay_correlation, loss_correlation, self.duplicate.1];
        message.word_attribute(attribute::CORRELATIONS, &correlations.map(wire));
        message.attribute(attribute::LATENCY64, &self.delay.to_ne_bytes());
        message.attribute(attribute::JITTER64, &self.jitter.to_ne_bytes());
        if !self.distribution.is_empty() {
            message.table(attribute::DELAY_DISTRIBUTION, &self.distribution);
        }
        for (kind, (probability, correlation)) in
            [(attribute::REORDER, self.reorder), (attribute::CORRUPT, self.corrupt)]
        {
            message.word_attribute(kind, &[wire(probability), wire(correlation)]);
        }
        match self.loss {
            // Which is what the kernel takes the absence of the others for.
            NetemLoss::Random(..) => {}
            NetemLoss::FourState(transitions) => message.nest(attribute::LOSS, |loss| {
                loss.word_attribute(attribute::LOSS_FOUR_STATE, &transitions.map(wire));
            }),
            NetemLoss::GilbertElliott(model) => message.nest(attribute::LOSS, |loss| {
                // The kernel wants h where people give 1 - h.
                let h = u32::MAX - wire(model.loss_bad);
                let words = [wire(model.p), wire(model.r), h, wire(model.loss_good)];
                loss.word_attribute(attribute::LOSS_GILBERT_ELLIOTT, &words);
            }),
        }
        message.word_attribute(attribute::ECN, &[u32::from(self.ecn)]);
        let rate = self.rate.unwrap_or_default();
        let low = u32::try_from(rate.bytes_per_second).unwrap_or(u32::MAX);
        let (packet, cell) = (rate.packet_overhead.cast_unsigned(), rate.cell_overhead.cast_unsigned());
        message.word_attribute(attribute::RATE, &[low, packet, rate.cell_size, cell]);
        if low == u32::MAX {
            message.attribute(attribute::RATE64, &rate.bytes_per_second.to_ne_bytes());
        }
        let slot = self.slot.clone().unwrap_or_default();
        let mut value = Message::default();
        value.0.extend_from_slice(&slot.min_delay.to_ne_bytes());
        value.0.extend_from_slice(&slot.max_delay.to_ne_bytes());
        value.words(&[slot.max_packets.cast_unsigned(), slot.max_bytes.cast_unsigned()]);
        value.0.extend_from_slice(&slot.dist_delay.to_ne_bytes());
        value.0.extend_from_slice(&slot.dist_jitter.to_ne_bytes());
        message.attribute(attribute::SLOT, &value.0);
        if !slot.distribution.is_empty() {
            message.table(attribute::SLOT_DISTRIBUTION, &slot.distribution);
        }
        if let Some(seed) = self.seed {
            message.attribute(attribute::SEED, &seed.to_ne_bytes());
        }
        message
    }
}

/// A token bucket (`struct tc_tbf_qopt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tbf {
    /// Bytes per second.
    pub(crate) bytes_per_second: u64,
    /// Bytes that may leave at once after a rest; at least the largest packet.
    pub(crate) burst: u32,
    /// Bytes that wait at most.
    pub(crate) limit: u32,
}

impl Tbf {
    fn options(&self) -> Message {
        /// `TCA_TBF_*` of `linux/pkt_sched.h`.
        const PARAMETERS: u16 = 1;
        const RATE64: u16 = 4;
        const BURST: u16 = 6;
        /// `TC_LINKLAYER_ETHERNET`: no cells, and no table of transmission times is needed.
        const ETHERNET: u8 = 1;
        let low = u32::try_from(self.bytes_per_second).unwrap_or(u32::MAX);
        let mut parameters = Message::default();
        // struct tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate.
        parameters.0.extend_from_slice(&[0, ETHERNET, 0, 0, 0, 0, 0, 0]);
        parameters.words(&[low]);
        parameters.0.extend_from_slice(&[0; 12]); // no peak rate
        parameters.words(&[self.limit, 0, 0]); // limit; the buffer comes below, in bytes; mtu of the peak rate
        let mut message = Message::default();
        message.attribute(PARAMETERS, &parameters.0);
        if low == u32::MAX {
            message.attribute(RATE64, &self.bytes_per_second.to_ne_bytes());
        }
        message.attribute(BURST, &self.burst.to_ne_bytes());
        message
    }
}

/// CoDel (RFC 8289); times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Codel {
    /// Packets that wait at most.
    pub(crate) limit: u32,
    /// The wait that is acceptable.
    pub(crate) target: u32,
    /// How long it may be exceeded.
    pub(crate) interval: u32,
    /// Whether packets of ECN-capable transports are marked in place of being dropped.
    pub(crate) ecn: bool,
    /// From which wait on every such packet is marked.
    pub(crate) mark_from: Option<u32>,
}

impl Codel {
    /// As good as the kernel's own word for it, which cannot be written: half an hour.
    pub(crate) const NEVER: u32 = i32::MAX.cast_unsigned();

    fn options(&self) -> Message {
        /// `TCA_CODEL_*` of `linux/pkt_sched.h`.
        const TARGET: u16 = 1;
        const LIMIT: u16 = 2;
        const INTERVAL: u16 = 3;
        const ECN: u16 = 4;
        const CE_THRESHOLD: u16 = 5;
        let mut message = Message::default();
        let ecn = u32::from(self.ecn);
        for (kind, word) in [(TARGET, self.target), (LIMIT, self.limit), (INTERVAL, self.interval), (ECN, ecn)] {
            message.word_attribute(kind, &[word]);
        }
        message.word_attribute(CE_THRESHOLD, &[self.mark_from.unwrap_or(Codel::NEVER)]);
        message
    }
}

/// What the kernel says of one queueing discipline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QdiscState {
    /// Its handle.
    pub(crate) handle: u32,
    /// Packets that it dropped, whatever the reason; netem counts its CE marks too.
    pub(crate) drops: u32,
    /// The seed of its generator; only a netem has one, from kernel 6.6 on.
    pub(crate) seed: Option<u64>,
}

impl Netlink {
    /// Puts `qdisc` below `parent` ([`ROOT`], or a handle and class) of a device; where there is one of that kind
    /// with that handle already, it is changed, and keeps its packets. At the root the size
    /// of a packet is made that of the IP packet, `link_header` bytes less than the kernel would count
    /// (a size table of `struct tc_sizespec` with a negative overhead).
    ///
    /// # Errors
    /// ENOENT says that the kernel has none of that name.
    pub(crate) fn add_qdisc(
        &mut self,
        index: u32,
        parent: u32,
        handle: u32,
        qdisc: &Qdisc,
        link_header: u32,
    ) -> io::Result<()> {
        const TCA_STAB: u16 = 8;
        const TCA_STAB_BASE: u16 = 1;
        let mut message = Message::default();
        message.traffic_header(index, handle, parent, 0);
        message.text(libc::TCA_KIND, qdisc.kind());
        message.attribute(libc::TCA_OPTIONS, &qdisc.options().0);
        if parent == ROOT && link_header > 0 {
            // cell_log, size_log, cell_align (2), overhead, linklayer, mpu, mtu, tsize: no table.
            let overhead = -link_header.cast_signed();
            let mut base = Message::default();
            base.words(&[0, overhead.cast_unsigned(), 0, 0, 0, 0]);
            message.nest(TCA_STAB, |stab| stab.attribute(TCA_STAB_BASE, &base.0));
        }
        self.request(libc::RTM_NEWQDISC, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &message)
    }

    /// Takes the discipline below `parent` of a device away, and all below it, with every packet that they hold.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn remove_qdisc(&mut self, index: u32, parent: u32) -> io::Result<()> {
        let mut message = Message::default();
        message.traffic_header(index, 0, parent, 0);
        self.request(libc::RTM_DELQDISC, 0, &message)
    }

    /// What the kernel says of the queueing disciplines of a device.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn qdisc_states(&mut self, index: u32) -> io::Result<Vec<QdiscState>> {
        const TCA_STATS2: u16 = 7;
        const TCA_STATS_QUEUE: u16 = 3;
        let word = |bytes: &[u8], at: usize| {
            bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
        };
        let mut all = Vec::new();
        let mut message = Message::default();
        message.traffic_header(index, 0, 0, 0);
        self.dump(libc::RTM_GETQDISC, &message, |body| {
            if body.len() < TCMSG || word(body, 4) != index {
                return;
            }
            let mut state = QdiscState { handle: word(body, 8), ..QdiscState::default() };
            let all_of = |kind| attributes(&body[TCMSG..]).filter(move |(k, _)| *k == kind).map(|(_, value)| value);
            for (kind, value) in all_of(TCA_STATS2).flat_map(attributes) {
                // struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits.
                if kind == TCA_STATS_QUEUE {
                    state.drops = word(value, 8);
                }
            }
            if all_of(libc::TCA_KIND).any(|kind| kind == b"netem\0") {
                let options = all_of(libc::TCA_OPTIONS).filter_map(|options| options.get(NETEM_QOPT..));
                let mut seeds = options.flat_map(attributes).filter(|(kind, _)| *kind == attribute::SEED);
                state.seed = seeds.find_map(|(_, value)| value.first_chunk().map(|seed| u64::from_ne_bytes(*seed)));
            }
            all.push(state);
        })?;
        Ok(all)
    }
}

impl Message {
    /// `struct tcmsg`: family and padding, ifindex, handle, parent, info.
    pub(super) fn traffic_header(&mut self, index: u32, handle: u32, parent: u32, info: u32) {
        self.words(&[0, index, handle, parent, info]);
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.0.extend_from_slice(&word.to_ne_bytes()));
    }

    fn table(&mut self, kind: u16, table: &[i16]) {
        let bytes: Vec<u8> = table.iter().flat_map(|value| value.to_ne_bytes()).collect();
        self.attribute(kind, &bytes);
    }

    fn word_attribute(&mut self, kind: u16, words: &[u32]) {
        let mut value = Message::default();
        value.words(words);
        self.attribute(kind, &value.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(text: &str) -> Probability {
        text.parse().unwrap()
    }

    #[test]
    fn netem_as_the_kernel_reads_it() {
        let model =
            GilbertElliott { p: percent("1%"), r: percent("25%"), loss_bad: percent("100%"), loss_good: percent("0%") };
        let netem = Netem {
            delay: 10_000_000,
            jitter: 1_000_000,
            limit: 77,
            loss: NetemLoss::GilbertElliott(model),
            duplicate: (percent("50%"), percent("0%")),
            reorder: (percent("100%"), percent("0%")),
            seed: Some(42),
            ..Netem::default()
        };
        let options = netem.options().0;
        let word = |at: usize| u32::from_ne_bytes(options[at..at + 4].try_into().unwrap());
        // latency, limit, loss, gap, duplicate (rint(0.5 × (2³² − 1)), ties to even), jitter
        assert_eq!([0, 4, 8, 12, 16, 20].map(word), [0, 77, 0, 1, 0x8000_0000, 0]);
        let all: Vec<(u16, &[u8])> = attributes(&options[NETEM_QOPT..]).collect();
        let find = |kind: u16| all.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.to_vec());
        assert_eq!(find(attribute::LATENCY64), Some(10_000_000u64.to_ne_bytes().to_vec()));
        assert_eq!(find(attribute::JITTER64), Some(1_000_000u64.to_ne_bytes().to_vec()));
        assert_eq!(find(attribute::SEED), Some(42u64.to_ne_bytes().to_vec()));
        let reorder: Vec<u8> = [u32::MAX, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(find(attribute::REORDER), Some(reorder));
        assert_eq!(find(attribute::CORRUPT), Some(vec![0; 8]), "a change keeps what is not named");
        let loss = find(attribute::LOSS).unwrap();
        let (kind, value) = attributes(&loss).next().unwrap();
        let words: Vec<u32> = value.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect();
        // A packet in the bad state is always lost, so the kernel's h is 0.
        let expected = [0.01, 0.25].map(|p| (p * f64::from(u32::MAX)).round_ties_even() as u32);
        assert_eq!((kind, words), (attribute::LOSS_GILBERT_ELLIOTT, vec![expected[0], expected[1], 0, 0]));
    }

    #[test]
    fn codel_as_the_kernel_reads_it() {
        let codel = Codel { limit: 99, target: 4_000, interval: 100_000, ecn: true, mark_from: None };
        let words = |codel: Codel| -> Vec<(u16, u32)> {
            let options = codel.options().0;
            let word = |value: &[u8]| u32::from_ne_bytes(value.try_into().unwrap());
            attributes(&options).map(|(kind, value)| (kind, word(value))).collect()
        };
        assert_eq!(words(codel), [(1, 4_000), (2, 99), (3, 100_000), (4, 1), (5, i32::MAX.cast_unsigned())]);
        assert_eq!(words(Codel { ecn: false, mark_from: Some(700), ..codel })[3..], [(4, 0), (5, 700)]);
    }

    #[test]
    fn a_gap_without_a_share_is_none() {
        let options = Netem { gap: 1, ..Netem::default() }.options().0;
        assert_eq!(options[12..16], 0u32.to_ne_bytes());
    }

    #[test]
    fn rates_beyond_32_bits_have_64() {
        let rate = |bytes_per_second| Netem {
            rate: Some(NetemRate { bytes_per_second, packet_overhead: -14, cell_size: 0, cell_overhead: 0 }),
            ..Netem::default()
        };
        let has = |netem: &Netem, kind: u16| attributes(&netem.options().0[NETEM_QOPT..]).any(|(k, _)| k == kind);
        assert!(!has(&rate(1_250_000), attribute::RATE64));
        assert!(has(&rate(12_500_000_000), attribute::RATE64));
        let tbf = Tbf { bytes_per_second: 12_500_000_000, burst: 1500, limit: 3000 }.options().0;
        assert!(attributes(&tbf).any(|(kind, value)| kind == 4 && value == 12_500_000_000u64.to_ne_bytes()));
        let parameters = attributes(&tbf).next().unwrap().1;
        assert_eq!(parameters.len(), 36, "struct tc_tbf_qopt");
        assert_eq!(parameters[24..28], 3000u32.to_ne_bytes());
    }
}
