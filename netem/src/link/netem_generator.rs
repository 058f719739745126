//! The kernel netem's own randomness: for a seed the same sequence of decisions as `sch_netem`.
//!
//! What `net/sched/sch_netem.c` does since Linux 6.6, in its order: one generator serves all draws,
//! a combined Tausworthe one (L'Ecuyer's LFSR113, `lib/random32.c`), and probabilities are compared
//! as 32-bit fixed-point numbers, as `tc` sends them (`rint(p × (2³² − 1))`). So the fate of a packet
//! depends on every draw before it: switching jitter on moves the losses. That is why it is not the
//! default here, and why it is bit for bit the same there.
//!
//! What the kernel does not seed cannot be the same: the values from which correlations start (random
//! there, 0 here), the position of a flipped bit, and the pauses of slots (both counter-based here).
//!
//! Start with [`fates`].

use std::sync::Arc;

use samepath_model::link::{Chance, Conditions, Loss};
use samepath_model::units::Probability;

use super::distribution;

/// netem's scale of the values in a table of delays (`NETEM_DIST_SCALE`).
const DIST_SCALE: i64 = 8192;

/// What netem decides for one packet, before time has a say: a packet that finds the queue at its
/// `limit` is dropped in spite of it, and then the kernel draws nothing more for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Lost; then nothing else was drawn.
    pub lost: bool,
    /// Whether one of its bits is flipped.
    pub corrupted: bool,
    /// The delay in nanoseconds, below 0 where a table says so; `None`: it goes ahead of the queue
    /// (reordering).
    pub delay: Option<i64>,
    /// The copy that enters the queue before it, with draws of its own.
    pub copy: Option<Box<Fate>>,
}

/// The fates of the first `count` packets of one direction, none of them ECN-capable, under the
/// kernel's seed.
///
/// ```
/// use samepath_model::link::{Conditions, Loss};
/// use samepath_netem::link::netem_generator::fates;
///
/// let conditions = Conditions { loss: "10%".parse().unwrap(), ..Conditions::transparent() };
/// let fates = fates(&conditions, 42, 1000);
/// let dropped: Vec<usize> = (0..1000).filter(|&n| fates[n].lost).collect();
/// assert!((60..140).contains(&dropped.len()));
/// ```
pub fn fates(conditions: &Conditions, seed: u64, count: usize) -> Vec<Fate> {
    let mut generator = NetemGenerator::new(conditions, seed);
    (0..count).map(|_| fate(&mut generator, true)).collect()
}

fn fate(generator: &mut NetemGenerator, original: bool) -> Fate {
    let mut packets = 1;
    packets += u32::from(original && generator.duplicates());
    packets -= u32::from(generator.loses());
    if packets == 0 {
        return Fate { lost: true, corrupted: false, delay: None, copy: None };
    }
    let corrupted = generator.corrupts();
    let copy = (packets > 1).then(|| Box::new(fate(generator, false)));
    Fate { lost: false, corrupted, delay: generator.delay(), copy }
}

/// netem's generator and the state of its models.
#[derive(Debug)]
pub struct NetemGenerator {
    random: Lfsr113,
    duplicate: Correlated,
    loss: LossModel,
    corrupt: Correlated,
    reorder: Correlated,
    /// 0: nothing is reordered.
    gap: u32,
    /// Packets delayed since the last one that was not.
    counter: u32,
    latency: i64,
    jitter: i64,
    jitter_correlation: Correlated,
    table: Option<Arc<[i16]>>,
}

impl NetemGenerator {
    /// As after `tc qdisc add … netem … seed SEED`.
    pub fn new(conditions: &Conditions, seed: u64) -> Self {
        let mut generator = NetemGenerator {
            random: Lfsr113::seeded(seed),
            duplicate: Correlated::NEVER,
            loss: LossModel::None,
            corrupt: Correlated::NEVER,
            reorder: Correlated::NEVER,
            gap: 0,
            counter: 0,
            latency: 0,
            jitter: 0,
            jitter_correlation: Correlated::NEVER,
            table: None,
        };
        generator.change(conditions);
        generator
    }

    /// Goes on under these conditions. The sequence goes on too, where the kernel's
    /// `tc qdisc change` would start it again.
    pub fn change(&mut self, conditions: &Conditions) {
        let same = self.loss.matches(conditions.loss);
        if !same {
            self.loss = LossModel::new(conditions.loss);
        }
        self.duplicate.change(conditions.duplicate);
        self.corrupt.change(conditions.corrupt);
        self.reorder.change(conditions.reorder.chance);
        self.gap = if conditions.reorder.is_never() { 0 } else { conditions.reorder.gap.max(1) };
        self.latency = conditions.delay.as_nanos().cast_signed();
        // The kernel holds it to what a 32-bit integer can say, 2.1 s.
        self.jitter = i64::from(i32::try_from(conditions.jitter.spread.as_nanos()).unwrap_or(i32::MAX));
        self.jitter_correlation.change(Chance { share: Probability::ZERO, correlation: conditions.jitter.correlation });
        self.table = distribution::table(&conditions.distribution);
    }

    /// Whether the packet is duplicated.
    pub fn duplicates(&mut self) -> bool {
        self.duplicate.strikes(&mut self.random)
    }

    /// Whether the packet is lost (or marked): `loss_event`.
    pub fn loses(&mut self) -> bool {
        self.loss.strikes(&mut self.random)
    }

    /// Whether a bit of it is flipped.
    pub fn corrupts(&mut self) -> bool {
        self.corrupt.strikes(&mut self.random)
    }

    /// Its delay in nanoseconds; `None` where it goes ahead of the queue.
    pub fn delay(&mut self) -> Option<i64> {
        let delayed = self.gap == 0
            || self.counter < self.gap - 1
            || self.reorder.threshold < self.reorder.draw(&mut self.random);
        if !delayed {
            self.counter = 0;
            return None;
        }
        self.counter = self.counter.wrapping_add(1);
        Some(self.tabledist())
    }

    /// The delay without jitter.
    pub fn mean_delay(&self) -> u64 {
        self.latency.unsigned_abs()
    }

    /// The kernel's `tabledist`.
    fn tabledist(&mut self) -> i64 {
        let (mu, sigma) = (self.latency, self.jitter);
        if sigma == 0 {
            return mu;
        }
        let random = self.jitter_correlation.draw(&mut self.random);
        let Some(table) = &self.table else {
            return i64::from(random % (2 * sigma as u32)) + mu - sigma;
        };
        let t = i64::from(table[random as usize % table.len()]);
        let x = (sigma % DIST_SCALE) * t;
        let rounded = if x >= 0 { x + DIST_SCALE / 2 } else { x - DIST_SCALE / 2 };
        rounded / DIST_SCALE + (sigma / DIST_SCALE) * t + mu
    }
}

/// As `tc` sends a probability: `rint(p × (2³² − 1))`.
fn fixed_point(p: Probability) -> u32 {
    (p.fraction() * f64::from(u32::MAX)).round_ties_even() as u32
}

/// A threshold, and the correlated generator whose values are held against it (`crndstate`).
#[derive(Debug, Clone, Copy)]
struct Correlated {
    threshold: u32,
    rho: u32,
    last: u32,
}

impl Correlated {
    const NEVER: Correlated = Correlated { threshold: 0, rho: 0, last: 0 };

    fn change(&mut self, chance: Chance) {
        self.threshold = fixed_point(chance.share);
        self.rho = fixed_point(chance.correlation);
    }

    /// The kernel's `get_crandom`.
    fn draw(&mut self, random: &mut Lfsr113) -> u32 {
        let value = random.next();
        if self.rho == 0 {
            return value;
        }
        let rho = u64::from(self.rho) + 1;
        // Wraps as the kernel's 64-bit sum does, which a correlation of 100 % needs.
        let sum = u64::from(value).wrapping_mul((1 << 32) - rho).wrapping_add(u64::from(self.last).wrapping_mul(rho));
        self.last = (sum >> 32) as u32;
        self.last
    }

    /// Draws only where there is something to draw for.
    fn strikes(&mut self, random: &mut Lfsr113) -> bool {
        self.threshold != 0 && self.threshold >= self.draw(random)
    }
}

/// netem's loss models, with their states.
#[derive(Debug)]
enum LossModel {
    None,
    Random {
        of: Loss,
        chance: Correlated,
    },
    /// `a4` … of the kernel's `clgstate`, by their names in `tc`.
    FourStates {
        of: Loss,
        state: FourStates,
        p13: u32,
        p31: u32,
        p32: u32,
        p23: u32,
        p14: u32,
    },
    GilbertElliott {
        of: Loss,
        bad: bool,
        p: u32,
        r: u32,
        h: u32,
        k1: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FourStates {
    TransmittedInGap,
    TransmittedInBurst,
    LostInBurst,
    LostInGap,
}

impl LossModel {
    fn new(loss: Loss) -> LossModel {
        let chance = |chance| {
            let mut state = Correlated::NEVER;
            state.change(chance);
            state
        };
        match loss {
            Loss::None => LossModel::None,
            Loss::Random(share) => {
                LossModel::Random { of: loss, chance: chance(Chance { share, correlation: Probability::ZERO }) }
            }
            Loss::Correlated(correlated) => LossModel::Random { of: loss, chance: chance(correlated) },
            Loss::Markov(m) => LossModel::FourStates {
                of: loss,
                state: FourStates::TransmittedInGap,
                p13: fixed_point(m.p13),
                p31: fixed_point(m.p31),
                p32: fixed_point(m.p32),
                p23: fixed_point(m.p23),
                p14: fixed_point(m.p14),
            },
            Loss::GilbertElliott(m) => LossModel::GilbertElliott {
                of: loss,
                bad: false,
                p: fixed_point(m.p),
                r: fixed_point(m.r),
                // The wire carries h, the command 1-h.
                h: u32::MAX - fixed_point(m.loss_bad),
                k1: fixed_point(m.loss_good),
            },
        }
    }

    fn matches(&self, loss: Loss) -> bool {
        match self {
            LossModel::None => loss == Loss::None,
            LossModel::Random { of, .. } | LossModel::FourStates { of, .. } | LossModel::GilbertElliott { of, .. } => {
                *of == loss
            }
        }
    }

    /// `loss_event`, `loss_4state` and `loss_gilb_ell`, comparison by comparison.
    fn strikes(&mut self, random: &mut Lfsr113) -> bool {
        match self {
            LossModel::None => false,
            LossModel::Random { chance, .. } => chance.strikes(random),
            LossModel::FourStates { state, p13, p31, p32, p23, p14, .. } => {
                use FourStates::{LostInBurst, LostInGap, TransmittedInBurst, TransmittedInGap};
                let rnd = random.next();
                // A value equal to a bound changes nothing, and the packet passes, as there.
                *state = match *state {
                    TransmittedInGap if rnd < *p14 => LostInGap,
                    TransmittedInGap if *p14 < rnd && rnd < p13.wrapping_add(*p14) => LostInBurst,
                    TransmittedInGap => return false,
                    TransmittedInBurst if rnd < *p23 => LostInBurst,
                    TransmittedInBurst => return false,
                    LostInBurst if rnd < *p32 => TransmittedInBurst,
                    LostInBurst if *p32 < rnd && rnd < p31.wrapping_add(*p32) => TransmittedInGap,
                    LostInBurst if p31.wrapping_add(*p32) < rnd => LostInBurst,
                    LostInBurst => return false,
                    LostInGap => TransmittedInGap,
                };
                matches!(state, LostInBurst | LostInGap)
            }
            LossModel::GilbertElliott { bad, p, r, h, k1, .. } => {
                if *bad {
                    *bad = random.next() >= *r;
                    random.next() > *h
                } else {
                    *bad = random.next() < *p;
                    random.next() < *k1
                }
            }
        }
    }
}

/// The kernel's `prandom_u32_state`: L'Ecuyer, "Tables of maximally-equidistributed combined LFSR
/// generators", Mathematics of Computation 68 (1999), LFSR113.
#[derive(Debug, Clone)]
pub struct Lfsr113([u32; 4]);

impl Lfsr113 {
    /// `prandom_seed_state`: the seed folded to 32 bits, each part raised to its least value. The
    /// kernel does not warm it up here.
    pub const fn seeded(seed: u64) -> Self {
        const fn at_least(seed: u32, least: u32) -> u32 {
            if seed < least { seed + least } else { seed }
        }
        let folded = ((seed >> 32) ^ (seed << 10) ^ seed) as u32;
        Lfsr113([at_least(folded, 2), at_least(folded, 8), at_least(folded, 16), at_least(folded, 128)])
    }

    /// Thirty-two bits more.
    #[allow(clippy::should_implement_trait)] // it never ends
    pub const fn next(&mut self) -> u32 {
        const fn step(s: u32, a: u32, b: u32, mask: u32, d: u32) -> u32 {
            ((s & mask) << d) ^ (((s << a) ^ s) >> b)
        }
        let [s1, s2, s3, s4] = self.0;
        self.0 = [
            step(s1, 6, 13, 0xffff_fffe, 18),
            step(s2, 2, 27, 0xffff_fff8, 2),
            step(s3, 13, 21, 0xffff_fff0, 7),
            step(s4, 3, 12, 0xffff_ff80, 13),
        ];
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::link::LinkSpec;

    fn conditions(text: &str) -> Conditions {
        let spec: LinkSpec = toml::from_str(&format!("generator = 'netem'\n{text}")).unwrap();
        spec.resolve().unwrap().up
    }

    fn share(count: usize, of: usize) -> f64 {
        count as f64 / of as f64
    }

    /// The first cases of `test2` in the kernel's `lib/random32.c`: a seed (put into every part of
    /// the state by `__seed`), a number of values, and the last of them.
    #[test]
    fn the_generator_passes_the_kernels_own_self_test() {
        // prandom_state_selftest seeds by `(i) => __seed(i, k)` and warms up by ten values.
        for (seed, iteration, expected) in
            [(931_557_656u32, 959u32, 2_975_593_782u32), (1_339_693_295, 876, 3_887_776_532)]
        {
            let lcg = |x: u32| x.wrapping_mul(69_069);
            let s1 = lcg(seed);
            let raise = |x: u32, least: u32| if x < least { x + least } else { x };
            let one = raise(s1, 2);
            let two = raise(lcg(one), 8);
            let three = raise(lcg(two), 16);
            let four = raise(lcg(three), 128);
            let mut random = Lfsr113([one, two, three, four]);
            for _ in 0..10 {
                random.next();
            }
            let last = (0..iteration).map(|_| random.next()).last();
            assert_eq!(last, Some(expected), "seed {seed}");
        }
    }

    #[test]
    fn a_seed_is_folded_as_the_kernel_folds_it() {
        assert_eq!(Lfsr113::seeded(0).0, [2, 8, 16, 128]);
        assert_eq!(Lfsr113::seeded(1).0, [1025, 1025, 1025, 1025]);
        assert_eq!(Lfsr113::seeded(1 << 32 | 1).0, [1024, 1024, 1024, 1024]);
    }

    #[test]
    fn probabilities_are_those_tc_sends() {
        assert_eq!(fixed_point("1%".parse().unwrap()), 42_949_673);
        assert_eq!(fixed_point("100%".parse().unwrap()), u32::MAX);
    }

    #[test]
    fn every_model_has_its_share() {
        let n = 400_000;
        let lost = |text: &str| share(fates(&conditions(text), 7, n).iter().filter(|fate| fate.lost).count(), n);
        // Four deviations of a binomial, bursts widened by √(2·burst).
        assert!((lost("loss = '1%'") - 0.01).abs() < 4.0 * (0.01f64 / n as f64).sqrt());
        for text in ["gemodel 1% 20%", "gemodel 2% 20% 70% 1%", "state 1% 30% 20% 40% 0.5%", "state 2%"] {
            let rate = text.parse::<Loss>().unwrap().rate();
            let bound = 4.0 * (rate * 14.0 / n as f64).sqrt();
            let measured = lost(&format!("loss = '{text}'"));
            assert!((measured - rate).abs() < bound, "{text}: {measured} against {rate}");
        }
        assert_eq!(lost("loss = '100%'"), 1.0);
        assert_eq!(lost("duplicate = '50%'"), 0.0);
    }

    #[test]
    fn a_copy_has_draws_of_its_own() {
        let n = 100_000;
        let fates = fates(&conditions("loss = '10%'\nduplicate = '20%'\ncorrupt = '10%'"), 3, n);
        let copies: Vec<&Fate> = fates.iter().filter_map(|fate| fate.copy.as_deref()).collect();
        // Duplicated and not lost. Lost and duplicated leaves one packet, which is no loss.
        assert!((share(copies.len(), n) - 0.2 * 0.9).abs() < 0.005);
        let lost = fates.iter().filter(|fate| fate.lost).count();
        assert!((share(lost, n) - 0.1 * 0.8).abs() < 0.004);
        let lost_copies = copies.iter().filter(|copy| copy.lost).count();
        assert!((share(lost_copies, copies.len()) - 0.1).abs() < 0.01);
        assert!(copies.iter().all(|copy| copy.copy.is_none()));
        assert!(copies.iter().any(|copy| copy.corrupted));
    }

    #[test]
    fn the_gap_makes_every_nth_a_candidate() {
        let fates = fates(&conditions("delay = '10ms'\nreorder = '100% gap 5'"), 1, 100);
        let ahead: Vec<usize> = (0..100).filter(|&n| fates[n].delay.is_none()).collect();
        assert_eq!(ahead, (0..20).map(|n| n * 5 + 4).collect::<Vec<_>>());
    }

    #[test]
    fn jitter_is_uniform_or_by_its_table() {
        let delays = |text: &str| -> Vec<f64> {
            let fates = fates(&conditions(&format!("delay = '50ms'\njitter = '5ms'\n{text}")), 9, 50_000);
            fates.iter().map(|fate| fate.delay.unwrap() as f64 / 1e6 - 50.0).collect()
        };
        let uniform = delays("");
        assert!(uniform.iter().all(|d| (-5.0..5.0).contains(d)));
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let deviation = |of: &[f64]| (of.iter().map(|d| d * d).sum::<f64>() / of.len() as f64).sqrt();
        assert!(mean(&uniform).abs() < 0.05 && (deviation(&uniform) - 5.0 / 3f64.sqrt()).abs() < 0.05);
        let normal = delays("distribution = 'normal'");
        assert!(mean(&normal).abs() < 0.1 && (deviation(&normal) - 5.0).abs() < 0.1);
        let own = delays("distribution = 'inline mine -8192 8192'");
        assert!(own.iter().all(|d| d.abs() == 5.0));
    }

    #[test]
    fn correlation_follows_the_kernels_recursion() {
        // With a correlation of 100 % every value is the last one, which starts at 0: below any share.
        assert!(fates(&conditions("loss = '1% 100%'"), 5, 100).iter().all(|fate| fate.lost));
        // With 50 % neighbours resemble each other.
        let lost: Vec<bool> = fates(&conditions("loss = '30% 50%'"), 5, 50_000).iter().map(|f| f.lost).collect();
        let after = lost.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64;
        let all = lost.iter().filter(|lost| **lost).count() as f64;
        assert!(after / all > all / 50_000.0 + 0.1);
    }
}
