//! Who is lost at random: each packet alone, or in bursts by the Gilbert–Elliott model.
//!
//! # What arms share under time keys
//! Paired arms have the same seed, and must meet the same draws at the same instant. Independent
//! loss is easy: the k-th packet of a slot has a draw of its own, and that draw is a function of
//! slot and k alone.
//!
//! Bursts are counted in packets, while draws go by the clock; both cannot be had at once. Were
//! the state a function of time alone, a burst of mean length 1/r packets would be so only for one
//! packet rate, and packets that come back to back would all share a fate. So the chain steps once
//! for each packet, exactly as the kernel's does, and what depends on time alone are its **draws**:
//! the k-th packet of a slot has one draw u, from which the next state follows as
//!
//! ```text
//! bad  ⇐  u < p        whatever the state: a burst starts (or goes on) for every arm that is here
//! good ⇐  u ≥ 1 − r    whatever the state: every arm's burst ends here
//! else the state stays as it is (for p + r ≤ 1)
//! ```
//!
//! That is the right chain for any packet process, since no draw is used twice: stationary loss is
//! p/(p+r) and the mean burst 1/r packets, however the packets come. And two arms whose packets
//! come in the same slots are, from the first shared draw that decides on, in the same state: their
//! losses are equal packet for packet until their timings part. Not shared is the state across
//! packets that only one of them sent: an arm that is silent while another's burst starts and ends
//! does not know of it.
//!
//! At the schedule's start the chain starts afresh, in a state drawn from its stationary
//! distribution by the seed alone, so that what an arm sent before (handshake, warm-up) leaves no
//! trace. Under index keys it starts in the good state with the first packet, as the kernel's does,
//! and is never started again.

use samepath_model::link::{GilbertElliott, Loss, LossKey, Markov};
use samepath_model::units::Probability;

use super::draws::{Draws, Effect, Key, Sequence};

/// The loss rule of one direction, and its state.
#[derive(Debug)]
pub struct LossProcess {
    loss: Loss,
    keyed_by: LossKey,
    rule: Rule,
    draws: Draws,
}

#[derive(Debug)]
enum Rule {
    None,
    Random(f64),
    Correlated(f64, Sequence),
    GilbertElliott(Chain),
    Markov(FourStates),
}

/// netem's four-state chain. Each packet has one draw, which moves the chain; its fate is that of the
/// state it moves to. As with Gilbert–Elliott, two arms in step stay in step.
#[derive(Debug)]
struct FourStates {
    model: Markov,
    state: State,
    /// As of [`Chain`].
    last: Option<Key>,
    starts_good: bool,
}

/// The states, by the numbers of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// 1: received within a gap.
    Good,
    /// 2: received within a burst.
    Respite,
    /// 3: lost within a burst.
    Burst,
    /// 4: lost alone.
    Alone,
}

/// The Gilbert–Elliott chain.
#[derive(Debug)]
struct Chain {
    model: GilbertElliott,
    bad: bool,
    /// The last key, by which a change of the time's origin is seen; `None` before the first packet.
    last: Option<Key>,
    starts_good: bool,
}

impl LossProcess {
    /// The process of `loss`, keyed by `keyed_by`, under `draws`.
    pub fn new(loss: Loss, keyed_by: LossKey, draws: Draws) -> Self {
        LossProcess { loss, keyed_by, rule: Rule::new(loss, keyed_by), draws }
    }

    /// Goes on by this rule. A chain that is asked for again goes on in its state.
    pub fn change(&mut self, loss: Loss) {
        if loss != self.loss {
            self.loss = loss;
            self.rule = Rule::new(loss, self.keyed_by);
        }
    }

    /// Forgets all state under time keys, as a new schedule starts. Under index keys there is no
    /// start but the first packet, and this does nothing.
    pub fn restart(&mut self) {
        if self.keyed_by == LossKey::Index {
            return;
        }
        match &mut self.rule {
            Rule::None | Rule::Random(_) => {}
            Rule::Correlated(_, sequence) => sequence.restart(),
            Rule::GilbertElliott(chain) => chain.last = None,
            Rule::Markov(chain) => chain.last = None,
        }
    }

    /// Whether the packet of this key is lost. Call once for every packet, in order of arrival.
    pub fn strikes(&mut self, key: Key) -> bool {
        match &mut self.rule {
            Rule::None => false,
            Rule::Random(p) => self.draws.uniform(Effect::Loss, false, key) < *p,
            Rule::Correlated(p, sequence) => sequence.next(&self.draws, false, key) < *p,
            Rule::GilbertElliott(chain) => chain.step(self.draws, key),
            Rule::Markov(chain) => chain.step(self.draws, key),
        }
    }
}

impl Rule {
    fn new(loss: Loss, keyed_by: LossKey) -> Rule {
        match loss {
            Loss::None => Rule::None,
            Loss::Random(p) => Rule::Random(p.fraction()),
            Loss::Correlated(chance) => {
                Rule::Correlated(chance.share.fraction(), Sequence::new(Effect::Loss, chance.correlation.fraction()))
            }
            Loss::GilbertElliott(model) => {
                Rule::GilbertElliott(Chain { model, bad: false, last: None, starts_good: keyed_by == LossKey::Index })
            }
            Loss::Markov(model) => Rule::Markov(FourStates {
                model,
                state: State::Good,
                last: None,
                starts_good: keyed_by == LossKey::Index,
            }),
        }
    }
}

impl FourStates {
    fn step(&mut self, draws: Draws, key: Key) -> bool {
        if !self.last.is_some_and(|last| last.same_origin(key)) {
            self.state = if self.starts_good { State::Good } else { self.drawn_state(draws, key) };
        }
        self.last = Some(key);
        let u = draws.uniform(Effect::LossTransition, false, key);
        let below = |p: Probability, q: Probability| u < p.fraction() + q.fraction();
        let m = &self.model;
        // Losses are at the low end in every state, so that chains that differ soon agree.
        self.state = match self.state {
            State::Good if below(m.p14, Probability::ZERO) => State::Alone,
            State::Good if below(m.p13, m.p14) => State::Burst,
            State::Good | State::Alone => State::Good,
            State::Respite if below(m.p23, Probability::ZERO) => State::Burst,
            State::Respite => State::Respite,
            State::Burst if u >= 1.0 - m.p31.fraction() => State::Good,
            State::Burst if u >= 1.0 - m.p31.fraction() - m.p32.fraction() => State::Respite,
            State::Burst => State::Burst,
        };
        matches!(self.state, State::Burst | State::Alone)
    }

    /// A state from the stationary distribution.
    fn drawn_state(&self, draws: Draws, key: Key) -> State {
        let mut u = draws.uniform(Effect::LossStart, false, key.origin());
        for (state, share) in [State::Good, State::Respite, State::Burst].into_iter().zip(self.model.stationary()) {
            if u < share {
                return state;
            }
            u -= share;
        }
        State::Alone
    }
}

impl Chain {
    /// Draws loss in the present state, then the state of the next packet (the kernel's order).
    fn step(&mut self, draws: Draws, key: Key) -> bool {
        if !self.last.is_some_and(|last| last.same_origin(key)) {
            self.bad = !self.starts_good && {
                let (p, r) = (self.model.p.fraction(), self.model.r.fraction());
                // With p of zero there is no bad state to start in, whatever r is.
                p > 0.0 && draws.uniform(Effect::LossStart, false, key.origin()) < p / (p + r)
            };
        }
        self.last = Some(key);
        let loss = if self.bad { self.model.loss_bad } else { self.model.loss_good };
        // The usual 0 and 1 need no draw; skipping it moves nothing, since draws have no order.
        let lost = match loss.fraction() {
            p if p <= 0.0 => false,
            p if p >= 1.0 => true,
            p => draws.uniform(Effect::Loss, false, key) < p,
        };
        let stays_or_turns_bad = if self.bad { 1.0 - self.model.r.fraction() } else { self.model.p.fraction() };
        self.bad = draws.uniform(Effect::LossTransition, false, key) < stays_or_turns_bad;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::link::Direction;

    /// The fates of `count` packets with these keys.
    fn fates(loss: &str, keyed_by: LossKey, seed: u64, keys: impl Iterator<Item = Key>) -> Vec<bool> {
        let mut process = LossProcess::new(loss.parse().unwrap(), keyed_by, Draws::new(seed, Direction::Down));
        keys.map(|key| process.strikes(key)).collect()
    }

    /// Back to back packets: `per_slot` in every slot.
    fn back_to_back(count: u64, per_slot: u64) -> impl Iterator<Item = Key> {
        let mut key = Key::slot(0, true);
        (0..count).map(move |n| {
            key = if n % per_slot == 0 { Key::slot(n / per_slot, true) } else { key.next() };
            key
        })
    }

    fn rate(fates: &[bool]) -> f64 {
        fates.iter().filter(|lost| **lost).count() as f64 / fates.len() as f64
    }

    fn mean_burst(fates: &[bool]) -> f64 {
        let losses = fates.iter().filter(|lost| **lost).count();
        let starts = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() + usize::from(fates[0]);
        losses as f64 / starts as f64
    }

    #[test]
    fn one_percent_lies_in_its_binomial_interval() {
        // 99 % interval of Binomial(100,000, 0.01), normal approximation: 1000 ± 2.576·√990.
        let (low, high) = (919, 1081);
        for keyed_by in [LossKey::Time, LossKey::Index] {
            let keys = |n: u64| if keyed_by == LossKey::Index { Key::index(n) } else { Key::slot(n, true) };
            let counts: Vec<usize> = (0..100)
                .map(|seed| fates("1%", keyed_by, seed, (0..100_000).map(keys)).iter().filter(|l| **l).count())
                .collect();
            // Of 100 seeds 1 is expected outside; 6 or more has a probability of 0.0005. The
            // draws are a fixed function of the seed, so this passes always or never.
            let outside = counts.iter().filter(|count| !(low..=high).contains(*count)).count();
            assert!(outside <= 5, "{outside} of 100 seeds outside: {counts:?}");
            // Not degenerate: as spread out as a binomial is (standard deviation 31.5).
            let mean = counts.iter().sum::<usize>() as f64 / 100.0;
            let deviation = (counts.iter().map(|c| (*c as f64 - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
            assert!((mean - 1000.0).abs() < 13.0, "mean {mean}");
            assert!((25.0..38.5).contains(&deviation), "standard deviation {deviation}");
        }
    }

    #[test]
    fn bursts_have_their_stationary_loss_and_length() {
        for (loss, burst) in [(0.01, 3.0), (0.03, 8.0), (0.2, 1.5)] {
            let rule = format!("burst {}% {burst}", loss * 100.0);
            let n = 500_000;
            let mut patterns = vec![fates(&rule, LossKey::Index, 11, (0..n).map(Key::index))];
            for per_slot in [1, 9, 40] {
                patterns.push(fates(&rule, LossKey::Time, 11, back_to_back(n, per_slot)));
            }
            // A sparse stream: one packet every 50 slots.
            patterns.push(fates(&rule, LossKey::Time, 11, (0..n).map(|k| Key::slot(50 * k, true))));
            // Four deviations. Losses come in bursts, so that of the rate is wider than a
            // binomial's by about √(2·burst); a burst's length is geometric, with mean b and
            // variance b(b−1), and there are n·loss/b of them.
            let of_rate = 4.0 * (loss * (1.0 - loss) * 2.0 * burst / n as f64).sqrt();
            let of_burst = 4.0 * (burst * (burst - 1.0) / (n as f64 * loss / burst)).sqrt();
            for fates in patterns {
                assert!((rate(&fates) - loss).abs() < of_rate, "{rule}: {}", rate(&fates));
                assert!((mean_burst(&fates) - burst).abs() < of_burst, "{rule}: {}", mean_burst(&fates));
            }
        }
    }

    #[test]
    fn loss_within_the_states_is_drawn_too() {
        let fates = fates("gemodel 2% 20% 70% 5%", LossKey::Time, 3, back_to_back(1_000_000, 4));
        let bad = 0.02 / 0.22;
        assert!((rate(&fates) - (bad * 0.7 + (1.0 - bad) * 0.05)).abs() < 0.002, "{}", rate(&fates));
    }

    #[test]
    fn four_states_lose_their_share_however_packets_come() {
        for text in ["state 1% 30% 20% 40% 0.5%", "state 2%", "state 3% 25%", "state 0% 100% 0% 100% 4%"] {
            let rate_of = text.parse::<Loss>().unwrap().rate();
            let n = 500_000;
            for fates in [
                fates(text, LossKey::Index, 5, (0..n).map(Key::index)),
                fates(text, LossKey::Time, 5, back_to_back(n, 7)),
            ] {
                let bound = 4.0 * (rate_of * 2.0 * 8.0 / n as f64).sqrt();
                assert!((rate(&fates) - rate_of).abs() < bound, "{text}: {} against {rate_of}", rate(&fates));
            }
        }
        // Losses alone are alone.
        assert!(
            (mean_burst(&fates("state 0% 100% 0% 100% 20%", LossKey::Time, 5, back_to_back(9_999, 3))) - 1.0).abs()
                < 1e-9
        );
        // Without respites a burst lasts 1/p31.
        let bursts = mean_burst(&fates("state 1% 25%", LossKey::Time, 5, back_to_back(500_000, 3)));
        assert!((bursts - 4.0).abs() < 0.2, "{bursts}");
    }

    #[test]
    fn correlated_loss_comes_in_runs_of_their_length() {
        // A loss is followed by another with ρ + (1 − ρ)·p: runs of 1/((1 − ρ)(1 − p)).
        let fates = fates("5% 60%", LossKey::Time, 5, back_to_back(500_000, 3));
        assert!((rate(&fates) - 0.05).abs() < 0.003, "{}", rate(&fates));
        assert!((mean_burst(&fates) - 1.0 / (0.4 * 0.95)).abs() < 0.1, "{}", mean_burst(&fates));
    }

    #[test]
    fn a_chain_that_mostly_alternates_is_right_too() {
        // p + r > 1: the draws of the two states overlap the other way round.
        let fates = fates("gemodel 80% 70%", LossKey::Time, 3, back_to_back(1_000_000, 4));
        assert!((rate(&fates) - 0.8 / 1.5).abs() < 0.002, "{}", rate(&fates));
        assert!((mean_burst(&fates) - 1.0 / 0.7).abs() < 0.01, "{}", mean_burst(&fates));
    }

    #[test]
    fn arms_in_step_meet_the_same_bursts() {
        for rule in ["burst 5% 4", "5% 70%", "state 2% 30% 20% 40% 1%"] {
            let scheduled = || (0..50_000).map(|slot| Key::slot(slot, true));
            let quiet = fates(rule, LossKey::Time, 9, scheduled());
            let busy_before =
                fates(rule, LossKey::Time, 9, (0..777).map(|slot| Key::slot(slot, false)).chain(scheduled()));
            assert_eq!(quiet, busy_before[777..], "{rule}");
            // One that missed the first second is soon in step, and then stays so.
            let late = fates(rule, LossKey::Time, 9, scheduled().skip(10_000));
            let parted = late.iter().zip(&quiet[10_000..]).rposition(|(a, b)| a != b).map_or(0, |at| at + 1);
            assert!(parted < 200, "{rule}: still apart after {parted} packets");
            assert!(late[parted..].iter().any(|lost| *lost));
        }
    }

    #[test]
    fn never_and_always() {
        assert!(!fates("gemodel 0% 0%", LossKey::Time, 1, back_to_back(1000, 3)).contains(&true));
        let mut process =
            LossProcess::new(Loss::Random(Probability::ONE), LossKey::Index, Draws::new(1, Direction::Up));
        assert!((0..1000).all(|n| process.strikes(Key::index(n))));
    }
}
