//! The emulated path's conditions: what may be said of each direction, and what it resolves to.
//!
//! Two stages. [`LinkSpec`] is what was typed, in a file or as flags: everything optional, with
//! shorthands. [`Link`] is what it means: two directions, every value decided.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::{BitRate, ByteCount, Duration, Probability, UnitError, serde_as_text};

/// One of the two directions of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Client to server.
    Up,
    /// Server to client.
    Down,
}

impl Direction {
    /// Both, in index order.
    pub const BOTH: [Direction; 2] = [Direction::Up, Direction::Down];

    /// 0 for up, 1 for down.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    pub const fn opposite(self) -> Direction {
        match self {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }
}

/// The size of the bottleneck's buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QueueLimit {
    /// So many packets, the one being transmitted included.
    Packets(u32),
    /// So many bytes of IP packets, the one being transmitted included.
    Bytes(ByteCount),
    /// As many bytes as the rate carries in this time.
    Time(Duration),
    /// This multiple of the bandwidth-delay product (rate × round-trip time).
    Bdp(f64),
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueLimit::Packets(n) => write!(f, "{n}p"),
            QueueLimit::Bytes(bytes) => write!(f, "{bytes}"),
            QueueLimit::Time(time) => write!(f, "{time}"),
            QueueLimit::Bdp(factor) => write!(f, "{factor}bdp"),
        }
    }
}

impl FromStr for QueueLimit {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Queue(text.to_owned());
        let limit = if let Some(factor) = text.strip_suffix("bdp") {
            let factor: f64 = factor.trim().parse().map_err(|_| fail())?;
            if !(factor > 0.0 && factor <= 1000.0) {
                return Err(fail());
            }
            QueueLimit::Bdp(factor)
        } else if let Some(packets) = text.strip_suffix('p') {
            QueueLimit::Packets(packets.trim().parse().map_err(|_| fail())?)
        } else if text.ends_with('B') {
            QueueLimit::Bytes(text.parse()?)
        } else if text.ends_with('s') {
            QueueLimit::Time(text.parse()?)
        } else {
            return Err(fail());
        };
        match limit {
            QueueLimit::Packets(0) | QueueLimit::Bytes(ByteCount::ZERO) | QueueLimit::Time(Duration::ZERO) => {
                Err(fail())
            }
            limit => Ok(limit),
        }
    }
}

serde_as_text!(QueueLimit);

/// The rule by which packets are lost at random.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each packet independently.
    Random(Probability),
    /// Gilbert–Elliott: a good and a bad state; before each packet's successor the state may change.
    /// Loss is drawn in the state before the transition, as the kernel's netem does.
    GilbertElliott(GilbertElliott),
}

/// The four parameters of the Gilbert–Elliott model, in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GilbertElliott {
    /// From good to bad.
    pub p: Probability,
    /// From bad to good.
    pub r: Probability,
    /// Loss in the bad state (the kernel's `1-h`).
    pub loss_bad: Probability,
    /// Loss in the good state (the kernel's `1-k`).
    pub loss_good: Probability,
}

impl GilbertElliott {
    /// Long-run share of packets lost: with π = p/(p+r) in the bad state, π·bad + (1−π)·good.
    pub fn stationary_loss(&self) -> f64 {
        let (p, r) = (self.p.fraction(), self.r.fraction());
        let bad = if p + r == 0.0 { 0.0 } else { p / (p + r) };
        bad * self.loss_bad.fraction() + (1.0 - bad) * self.loss_good.fraction()
    }

    /// Mean number of packets for which the bad state lasts: 1/r.
    pub fn mean_burst(&self) -> f64 {
        1.0 / self.r.fraction()
    }
}

impl Loss {
    /// Long-run share of packets lost.
    pub fn rate(&self) -> f64 {
        match self {
            Loss::None => 0.0,
            Loss::Random(p) => p.fraction(),
            Loss::GilbertElliott(model) => model.stationary_loss(),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::None => f.pad("0%"),
            Loss::Random(p) => f.pad(&p.to_string()),
            Loss::GilbertElliott(m) => f.pad(&format!("gemodel {} {} {} {}", m.p, m.r, m.loss_bad, m.loss_good)),
        }
    }
}

impl FromStr for Loss {
    type Err = ConditionError;

    /// `1%` – each packet independently. `gemodel P [R [1-H [1-K]]]` – as `tc` writes it.
    /// `burst P N` – the same model, by its mean loss P and mean burst length N.
    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fail = |problem: &str| Err(ConditionError::Loss { input: text.to_owned(), problem: problem.to_owned() });
        match words.as_slice() {
            [one] | ["random", one] => {
                let p: Probability = one.parse()?;
                Ok(if p.is_zero() { Loss::None } else { Loss::Random(p) })
            }
            ["gemodel", rest @ ..] if (1..=4).contains(&rest.len()) => {
                let at = |i: usize| rest.get(i).map(|word| word.parse::<Probability>()).transpose();
                let p = at(0)?.unwrap_or(Probability::ZERO);
                let r = at(1)?.unwrap_or(Probability::new(1.0 - p.fraction()).unwrap_or(Probability::ZERO));
                let loss_bad = at(2)?.unwrap_or(Probability::ONE);
                let loss_good = at(3)?.unwrap_or(Probability::ZERO);
                if r.is_zero() && !p.is_zero() {
                    return fail("with R of 0% the bad state never ends; give R more than 0%, or use an outage");
                }
                Ok(Loss::GilbertElliott(GilbertElliott { p, r, loss_bad, loss_good }))
            }
            ["burst", loss, burst] => {
                let loss: Probability = loss.parse()?;
                let Ok(burst) = burst.parse::<f64>() else {
                    return fail("the burst length must be a number of packets");
                };
                if !(1.0..=10_000.0).contains(&burst) {
                    return fail("the mean burst must lie between 1 and 10000 packets");
                }
                if loss.fraction() >= 1.0 {
                    return fail("the mean loss must be below 100%");
                }
                // π = p/(p+r) and burst = 1/r give r = 1/burst, p = r·π/(1−π).
                let r = 1.0 / burst;
                let p = r * loss.fraction() / (1.0 - loss.fraction());
                let (Some(p), Some(r)) = (Probability::new(p), Probability::new(r)) else {
                    return fail(
                        "no such mean loss and burst length exist together; lower the loss or lengthen the burst",
                    );
                };
                Ok(Loss::GilbertElliott(GilbertElliott {
                    p,
                    r,
                    loss_bad: Probability::ONE,
                    loss_good: Probability::ZERO,
                }))
            }
            _ => fail("write 1%, gemodel P [R [1-H [1-K]]], or burst P PACKETS"),
        }
    }
}

serde_as_text!(Loss);

/// What random loss is keyed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKey {
    /// By the time since the schedule's start: at the same instant the same weather for every arm.
    #[default]
    Time,
    /// By the packet's number in its direction: the n-th packet has the same fate in every run.
    Index,
}

/// A packet dropped on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedDrop {
    /// The n-th packet (from 1) that carries application data after the schedule's start: a TCP
    /// segment or QUIC short-header or UDP datagram with at least 100 bytes of transport payload.
    Data(u64),
    /// The n-th packet (from 1) of the direction, of any kind, from the moment the link is up.
    Packet(u64),
    /// Every packet that carries a byte of this range of the connection's TCP stream (offsets from
    /// the initial sequence number plus one; the end is excluded); the first copy only.
    Bytes(u64, u64),
}

impl fmt::Display for ScriptedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptedDrop::Data(n) => write!(f, "data {n}"),
            ScriptedDrop::Packet(n) => write!(f, "packet {n}"),
            ScriptedDrop::Bytes(from, to) => write!(f, "bytes {from}..{to}"),
        }
    }
}

impl FromStr for ScriptedDrop {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Drop(text.to_owned());
        let (kind, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(fail)?;
        let number = |s: &str| s.trim().parse::<u64>().map_err(|_| fail());
        match kind {
            "data" | "packet" => {
                let n = number(rest)?;
                if n == 0 {
                    return Err(fail());
                }
                Ok(if kind == "data" { ScriptedDrop::Data(n) } else { ScriptedDrop::Packet(n) })
            }
            "bytes" => {
                let (from, to) = rest.split_once("..").ok_or_else(fail)?;
                let (from, to) = (number(from)?, number(to)?);
                if from >= to { Err(fail()) } else { Ok(ScriptedDrop::Bytes(from, to)) }
            }
            _ => Err(fail()),
        }
    }
}

serde_as_text!(ScriptedDrop);

/// A time, counted from the schedule's start, during which every packet is dropped: `2s..2.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// First instant of the outage.
    pub from: Duration,
    /// First instant after it.
    pub to: Duration,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl FromStr for Outage {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Outage(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(fail)?;
        let (from, to) = (from.trim().parse()?, to.trim().parse()?);
        if from >= to { Err(fail()) } else { Ok(Outage { from, to }) }
    }
}

serde_as_text!(Outage);

/// What one direction of the link does to its packets, every value decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conditions {
    /// One-way propagation delay.
    pub delay: Duration,
    /// Uniform variation of the delay, ± this much. Reorders packets, unless smaller than their spacing.
    pub jitter: Duration,
    /// Rate of the bottleneck. Absent: unlimited.
    pub rate: Option<BitRate>,
    /// Buffer of the bottleneck. Only meaningful with a rate.
    pub queue: Option<QueueLimit>,
    /// Random loss.
    pub loss: Loss,
    /// Share of packets delivered twice.
    pub duplicate: Probability,
    /// Share of packets with one bit flipped.
    pub corrupt: Probability,
    /// Share of packets that skip the delay line and overtake those before them.
    pub reorder: Probability,
    /// Packets dropped on purpose.
    pub drops: Vec<ScriptedDrop>,
    /// Times at which nothing passes.
    pub outages: Vec<Outage>,
}

impl Conditions {
    /// A direction that does nothing to its packets.
    pub fn transparent() -> Self {
        Conditions {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: None,
            loss: Loss::None,
            duplicate: Probability::ZERO,
            corrupt: Probability::ZERO,
            reorder: Probability::ZERO,
            drops: Vec::new(),
            outages: Vec::new(),
        }
    }
}

/// The emulated path, every value decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Link {
    /// Client to server.
    pub up: Conditions,
    /// Server to client.
    pub down: Conditions,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// What random loss is keyed by.
    pub loss_key: LossKey,
}

impl Link {
    /// A path that does nothing, with the usual MTU of 1500.
    pub fn transparent() -> Self {
        Link { up: Conditions::transparent(), down: Conditions::transparent(), mtu: 1500, loss_key: LossKey::Time }
    }

    /// The conditions of one direction.
    pub const fn direction(&self, direction: Direction) -> &Conditions {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Propagation both ways, without queueing.
    pub fn rtt(&self) -> Duration {
        self.up.delay + self.down.delay
    }

    /// The buffer of a direction in bytes, or packets, as the emulator enforces it.
    pub fn queue_capacity(&self, direction: Direction) -> Option<QueueCapacity> {
        let conditions = self.direction(direction);
        let rate = conditions.rate?;
        // A buffer that cannot hold one packet would carry nothing.
        let at_least_one = |bytes: ByteCount| QueueCapacity::Bytes(bytes.max(ByteCount::new(u64::from(self.mtu))));
        Some(match conditions.queue.unwrap_or(DEFAULT_QUEUE) {
            QueueLimit::Packets(n) => QueueCapacity::Packets(n),
            QueueLimit::Bytes(bytes) => at_least_one(bytes),
            QueueLimit::Time(time) => at_least_one(rate.bytes_in(time)),
            QueueLimit::Bdp(factor) => {
                let bdp = rate.bytes_in(self.rtt()).bytes() as f64;
                // Ten packets, where the path is so short that its BDP is less than a burst.
                at_least_one(ByteCount::new(((bdp * factor) as u64).max(10 * u64::from(self.mtu))))
            }
        })
    }
}

/// The default buffer: one bandwidth-delay product.
pub const DEFAULT_QUEUE: QueueLimit = QueueLimit::Bdp(1.0);

/// A buffer's size in the unit in which the emulator counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueCapacity {
    /// Packets, the one in transmission included.
    Packets(u32),
    /// Bytes of IP packets, the one in transmission included.
    Bytes(ByteCount),
}

/// What was typed for one direction, or for both: everything optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConditionsSpec {
    /// One-way delay.
    pub delay: Option<Duration>,
    /// See [`Conditions::jitter`].
    pub jitter: Option<Duration>,
    /// See [`Conditions::rate`].
    pub rate: Option<BitRate>,
    /// See [`Conditions::queue`].
    pub queue: Option<QueueLimit>,
    /// See [`Conditions::loss`].
    pub loss: Option<Loss>,
    /// See [`Conditions::duplicate`].
    pub duplicate: Option<Probability>,
    /// See [`Conditions::corrupt`].
    pub corrupt: Option<Probability>,
    /// See [`Conditions::reorder`].
    pub reorder: Option<Probability>,
    /// See [`Conditions::drops`].
    pub drop: Vec<ScriptedDrop>,
    /// See [`Conditions::outages`].
    pub outage: Vec<Outage>,
}

impl ConditionsSpec {
    /// `self` where it says something, else `base`.
    fn over(&self, base: &ConditionsSpec) -> ConditionsSpec {
        ConditionsSpec {
            delay: self.delay.or(base.delay),
            jitter: self.jitter.or(base.jitter),
            rate: self.rate.or(base.rate),
            queue: self.queue.or(base.queue),
            loss: self.loss.or(base.loss),
            duplicate: self.duplicate.or(base.duplicate),
            corrupt: self.corrupt.or(base.corrupt),
            reorder: self.reorder.or(base.reorder),
            drop: if self.drop.is_empty() { base.drop.clone() } else { self.drop.clone() },
            outage: if self.outage.is_empty() { base.outage.clone() } else { self.outage.clone() },
        }
    }
}

/// What was typed for the link, in a file or as flags. The conditions named here directly hold for
/// both directions; those under `up` and `down` come before them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct LinkSpec {
    /// A named set of conditions to start from.
    pub profile: Option<String>,
    /// Round-trip time, half each way. Excludes `delay`.
    pub rtt: Option<Duration>,
    /// Largest IP packet.
    pub mtu: Option<u16>,
    /// What random loss is keyed by.
    pub loss_key: Option<LossKey>,
    /// One-way delay.
    pub delay: Option<Duration>,
    /// See [`Conditions::jitter`].
    pub jitter: Option<Duration>,
    /// See [`Conditions::rate`].
    pub rate: Option<BitRate>,
    /// See [`Conditions::queue`].
    pub queue: Option<QueueLimit>,
    /// See [`Conditions::loss`].
    pub loss: Option<Loss>,
    /// See [`Conditions::duplicate`].
    pub duplicate: Option<Probability>,
    /// See [`Conditions::corrupt`].
    pub corrupt: Option<Probability>,
    /// See [`Conditions::reorder`].
    pub reorder: Option<Probability>,
    /// See [`Conditions::outages`].
    pub outage: Vec<Outage>,
    /// Conditions of one direction, over those of both.
    pub up: ConditionsSpec,
    /// Conditions of one direction, over those of both.
    pub down: ConditionsSpec,
}

/// The smallest MTU over which QUIC can run: 1200 bytes of UDP payload (RFC 9000, section 14) and
/// the headers of IPv6 and UDP.
const MIN_MTU: u16 = 1248;

impl LinkSpec {
    /// These conditions with a later word over them: what `change` says of both directions, or of one,
    /// holds from then on, and the rest stays. Where it names a profile, nothing of these stays but
    /// what belongs to the link as a whole.
    #[must_use]
    pub fn amended(&self, change: &LinkSpec) -> LinkSpec {
        if change.profile.is_some() {
            return LinkSpec { mtu: self.mtu, loss_key: self.loss_key, ..change.clone() };
        }
        let (before, said) = (self.both(), change.both());
        LinkSpec {
            profile: self.profile.clone(),
            mtu: self.mtu,
            loss_key: self.loss_key,
            up: change.up.over(&said).over(&self.up).over(&before),
            down: change.down.over(&said).over(&self.down).over(&before),
            ..LinkSpec::default()
        }
    }

    /// What was said of both directions at once.
    fn both(&self) -> ConditionsSpec {
        ConditionsSpec {
            delay: self.delay.or(self.rtt.map(|rtt| rtt / 2)),
            jitter: self.jitter,
            rate: self.rate,
            queue: self.queue,
            loss: self.loss,
            duplicate: self.duplicate,
            corrupt: self.corrupt,
            reorder: self.reorder,
            drop: Vec::new(),
            outage: self.outage.clone(),
        }
    }

    /// Decides every value.
    ///
    /// # Errors
    /// Names the conditions that cannot be, and what to write instead.
    pub fn resolve(&self) -> Result<Link, ConditionError> {
        let impossible = |problem: String| Err(ConditionError::Impossible(problem));
        if self.rtt.is_some() && self.delay.is_some() {
            return impossible("`rtt` (half each way) and `delay` (each way) exclude each other; give one".into());
        }
        let base = match &self.profile {
            None => LinkSpec::default(),
            Some(name) => crate::profile::find(name).map_err(ConditionError::Impossible)?,
        };
        let mtu = self.mtu.or(base.mtu).unwrap_or(1500);
        if mtu < MIN_MTU {
            return impossible(format!("an `mtu` of {mtu} is too small for QUIC; give at least {MIN_MTU}"));
        }
        let decide = |own: &ConditionsSpec, of_profile: &ConditionsSpec| {
            let spec = own.over(&self.both()).over(of_profile).over(&base.both());
            Conditions {
                delay: spec.delay.unwrap_or_default(),
                jitter: spec.jitter.unwrap_or_default(),
                rate: spec.rate,
                queue: spec.rate.map(|_| spec.queue.unwrap_or(DEFAULT_QUEUE)),
                loss: spec.loss.unwrap_or_default(),
                duplicate: spec.duplicate.unwrap_or_default(),
                corrupt: spec.corrupt.unwrap_or_default(),
                reorder: spec.reorder.unwrap_or_default(),
                drops: spec.drop,
                outages: spec.outage,
            }
        };
        let link = Link {
            up: decide(&self.up, &base.up),
            down: decide(&self.down, &base.down),
            mtu,
            loss_key: self.loss_key.or(base.loss_key).unwrap_or_default(),
        };
        for direction in Direction::BOTH {
            let (c, own) = (link.direction(direction), if direction == Direction::Up { &self.up } else { &self.down });
            if c.rate.is_none() && (own.queue.is_some() || self.queue.is_some()) {
                return impossible(format!("a queue without a rate ({direction}): add `rate`, or leave `queue` out"));
            }
            if c.jitter > c.delay {
                return impossible(format!(
                    "a jitter of {} is more than the delay of {} ({direction}): a packet cannot arrive before it was sent",
                    c.jitter, c.delay
                ));
            }
            if !c.reorder.is_zero() && c.delay == Duration::ZERO {
                return impossible(format!("reordering needs a delay to skip ({direction}): add `rtt` or `delay`"));
            }
            if c.delay > MAX_DELAY {
                return impossible(format!("a delay of {} ({direction}); at most {MAX_DELAY} is possible", c.delay));
            }
        }
        Ok(link)
    }
}

/// Longer delays than this are surely a slip of the unit.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Conditions that cannot be, with the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConditionError {
    /// A quantity could not be read.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A queue limit could not be read.
    #[error(
        "`{0}` is not a queue size: write 100p (packets), 64KiB (bytes), 50ms (time) or 1bdp (bandwidth-delay products), more than zero"
    )]
    Queue(String),
    /// A loss rule could not be read.
    #[error("`{input}` is not a loss rule: {problem}")]
    Loss {
        /// What was typed.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A scripted drop could not be read.
    #[error("`{0}` is not a scripted drop: write `data N`, `packet N` (from 1) or `bytes FROM..TO`")]
    Drop(String),
    /// An outage could not be read.
    #[error("`{0}` is not an outage: write FROM..TO, as 2s..2.5s, the end after the start")]
    Outage(String),
    /// Conditions that exclude each other, or that no link can have.
    #[error("impossible link conditions: {0}")]
    Impossible(String),
}

impl fmt::Display for Link {
    /// One line, as charts and tables caption it: `RTT 60ms, 20Mbit, queue 1bdp, loss 1%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RTT {}", self.rtt())?;
        if self.up == self.down {
            return write!(f, "{}", Rest(&self.up));
        }
        // What both have alike is said once.
        let (mut up, mut down) = (self.up.clone(), self.down.clone());
        let mut alike = Conditions::transparent();
        if up.loss == down.loss {
            alike.loss = std::mem::take(&mut up.loss);
            down.loss = Loss::None;
        }
        if up.outages == down.outages {
            alike.outages = std::mem::take(&mut up.outages);
            down.outages.clear();
        }
        write!(f, "{}", Rest(&alike))?;
        let (up, down) = (Rest(&up).to_string(), Rest(&down).to_string());
        let said = |text: &str| text.trim_start_matches(", ").to_owned();
        match (up.is_empty(), down.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => write!(f, "; up {}", said(&up)),
            (true, false) => write!(f, "; down {}", said(&down)),
            (false, false) if up == down => write!(f, "{up}"),
            (false, false) => write!(f, "; up {}; down {}", said(&up), said(&down)),
        }
    }
}

/// At most three decimals, without trailing zeros.
fn rounded(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A direction's conditions but its delay, each after a comma.
struct Rest<'a>(&'a Conditions);

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0;
        if c.jitter > Duration::ZERO {
            write!(f, ", jitter ±{}", c.jitter)?;
        }
        if let Some(rate) = c.rate {
            write!(f, ", {rate}")?;
            if let Some(queue) = c.queue {
                write!(f, ", queue {queue}")?;
            }
        }
        match c.loss {
            Loss::None => {}
            Loss::GilbertElliott(m) if m.loss_bad == Probability::ONE && m.loss_good.is_zero() => {
                let (loss, burst) = (m.stationary_loss() * 100.0, m.mean_burst());
                write!(f, ", loss {}% in bursts of {}", rounded(loss), rounded(burst))?;
            }
            loss => write!(f, ", loss {loss}")?,
        }
        for (name, p) in [("duplicate", c.duplicate), ("corrupt", c.corrupt), ("reorder", c.reorder)] {
            if !p.is_zero() {
                write!(f, ", {name} {p}")?;
            }
        }
        for drop in &c.drops {
            write!(f, ", drop {drop}")?;
        }
        for outage in &c.outages {
            write!(f, ", outage {outage}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> LinkSpec {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn rtt_is_half_each_way_and_a_direction_comes_before_both() {
        let link = spec("rtt = '60ms'\nrate = '20Mbit'\nloss = '1%'\n[up]\nloss = '0%'\n").resolve().unwrap();
        assert_eq!(link.up.delay, Duration::from_millis(30));
        assert_eq!(link.rtt(), Duration::from_millis(60));
        assert_eq!(link.up.loss, Loss::None);
        assert!((link.down.loss.rate() - 0.01).abs() < 1e-12);
        // 20 Mbit/s × 60 ms = 150,000 bytes.
        assert_eq!(link.queue_capacity(Direction::Down), Some(QueueCapacity::Bytes(ByteCount::new(150_000))));
    }

    #[test]
    fn the_impossible_is_refused_by_name() {
        for (text, word) in [
            ("rtt = '1ms'\ndelay = '1ms'", "exclude"),
            ("queue = '100p'", "without a rate"),
            ("rtt = '10ms'\njitter = '6ms'", "before it was sent"),
            ("reorder = '1%'", "needs a delay"),
            ("mtu = 500", "too small"),
            ("rtt = '1h'", "at most"),
            ("profile = 'moon'", "moon"),
        ] {
            let message = spec(text).resolve().unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
        assert!(toml::from_str::<LinkSpec>("latency = '1ms'").unwrap_err().to_string().contains("latency"));
    }

    #[test]
    fn gilbert_elliott_by_mean_loss_and_burst() {
        let Loss::GilbertElliott(model) = "burst 2% 3".parse().unwrap() else { panic!("not a burst model") };
        assert!((model.stationary_loss() - 0.02).abs() < 1e-12);
        assert!((model.mean_burst() - 3.0).abs() < 1e-12);
        let text = Loss::GilbertElliott(model).to_string();
        let Loss::GilbertElliott(back) = text.parse().unwrap() else { panic!("{text}") };
        assert!((back.stationary_loss() - 0.02).abs() < 1e-10);
    }

    #[test]
    fn text_forms_round_trip() {
        for text in ["100p", "64KiB", "50ms", "1bdp", "0.5bdp"] {
            assert_eq!(text.parse::<QueueLimit>().unwrap().to_string(), text);
        }
        for text in ["data 3", "packet 1", "bytes 14600..16060"] {
            assert_eq!(text.parse::<ScriptedDrop>().unwrap().to_string(), text);
        }
        assert_eq!("2s..2.5s".parse::<Outage>().unwrap().to_string(), "2s..2.5s");
        for text in ["data 0", "bytes 5..5", "drop"] {
            assert!(text.parse::<ScriptedDrop>().is_err());
        }
        for text in ["0p", "p", "1", "0bdp", "nanbdp"] {
            assert!(text.parse::<QueueLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_line_says_it_all() {
        let link = spec("rtt = '60ms'\nrate = '20Mbit'\nloss = '1%'").resolve().unwrap();
        assert_eq!(link.to_string(), "RTT 60ms, 20Mbit, queue 1bdp, loss 1%");
        let link = spec("rtt = '60ms'\n[down]\nloss = '1%'").resolve().unwrap();
        assert_eq!(link.to_string(), "RTT 60ms; down loss 1%");
    }
}
