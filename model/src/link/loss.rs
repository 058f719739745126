//! The rules by which packets are lost at random.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Chance, ConditionError};
use crate::units::{Probability, serde_as_text};

/// The rule by which packets are lost at random.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each packet independently.
    Random(Probability),
    /// Each packet with this probability, its fate correlated with that of the one before it.
    Correlated(Chance),
    /// netem's four-state Markov chain.
    Markov(Markov),
    /// Gilbert–Elliott: a good and a bad state; before each packet's successor the state may change.
    /// Loss is drawn in the state before the transition, as the kernel's netem does.
    GilbertElliott(GilbertElliott),
}

/// What random loss is keyed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKey {
    /// By the time since the schedule's start: at the same instant the same draw for every arm.
    #[default]
    Time,
    /// By the packet's number in its direction, counted from where random loss begins: the n-th packet has the
    /// same fate in every run.
    Index,
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

/// The transitions of the four-state chain of netem's `loss state`: 1 received within a gap, 2
/// received within a burst, 3 lost within a burst, 4 lost alone within a gap. Each packet moves the
/// chain, and its fate is that of the state it moves to. After a loss alone the next packet surely
/// arrives. (Salsano, Ludovici, Ordine and Giannuzzi, "Definition of a general and intuitive loss
/// model for packet networks", 2012.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Markov {
    /// From 1 to 3: a burst begins.
    pub p13: Probability,
    /// From 3 to 1: a burst ends.
    pub p31: Probability,
    /// From 3 to 2: packets arrive within the burst.
    pub p32: Probability,
    /// From 2 to 3: they no longer do.
    pub p23: Probability,
    /// From 1 to 4: a loss alone.
    pub p14: Probability,
}

impl Markov {
    /// The long-run shares of the states 1 to 4, by balance between each two: π₃·p31 = π₁·p13,
    /// π₂·p23 = π₃·p32, π₄ = π₁·p14.
    pub fn stationary(&self) -> [f64; 4] {
        let over = |a: Probability, b: Probability| if a.is_zero() { 0.0 } else { a.fraction() / b.fraction() };
        let three = over(self.p13, self.p31);
        let two = three * over(self.p32, self.p23);
        let four = self.p14.fraction();
        let sum = 1.0 + two + three + four;
        [1.0 / sum, two / sum, three / sum, four / sum]
    }

    /// Long-run share of packets lost.
    pub fn stationary_loss(&self) -> f64 {
        let [_, _, burst, alone] = self.stationary();
        burst + alone
    }

    /// What is impossible about it, with the remedy.
    fn problem(&self) -> Option<&'static str> {
        let exceed = |a: Probability, b: Probability| a.fraction() + b.fraction() > 1.0 + 1e-12;
        if exceed(self.p13, self.p14) {
            Some("P13 and P14 together are more than 100%; lower one")
        } else if exceed(self.p31, self.p32) {
            Some("P31 and P32 together are more than 100%; lower one")
        } else if self.p31.is_zero() && !self.p13.is_zero() {
            Some("with P31 of 0% a burst never ends; give P31 more than 0%, or use an outage")
        } else if self.p23.is_zero() && !self.p32.is_zero() {
            Some("with P23 of 0% and P32 above it the chain never leaves state 2; give P23 more than 0%")
        } else {
            None
        }
    }
}

impl Loss {
    /// Long-run share of packets lost.
    pub fn rate(&self) -> f64 {
        match self {
            Loss::None => 0.0,
            Loss::Random(p) => p.fraction(),
            Loss::Correlated(chance) => chance.share.fraction(),
            Loss::Markov(chain) => chain.stationary_loss(),
            Loss::GilbertElliott(model) => model.stationary_loss(),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::None => f.pad("0%"),
            Loss::Random(p) => f.pad(&p.to_string()),
            Loss::Correlated(chance) => chance.fmt(f),
            Loss::Markov(m) => f.pad(&format!("state {} {} {} {} {}", m.p13, m.p31, m.p32, m.p23, m.p14)),
            Loss::GilbertElliott(m) => f.pad(&format!("gemodel {} {} {} {}", m.p, m.r, m.loss_bad, m.loss_good)),
        }
    }
}

impl FromStr for Loss {
    type Err = ConditionError;

    /// `1%` – each packet independently; `1% 25%` – with a correlation. `gemodel P [R [1-H [1-K]]]`
    /// and `state P13 [P31 [P32 [P23 [P14]]]]` – as `tc` writes them.
    /// `burst P N` – the same model, by its mean loss P and mean burst length N.
    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fail = |problem: &str| Err(ConditionError::Loss { input: text.to_owned(), problem: problem.to_owned() });
        match words.as_slice() {
            [one] | ["random", one] => {
                let p: Probability = one.parse()?;
                Ok(if p.is_zero() { Loss::None } else { Loss::Random(p) })
            }
            ["random", share, correlation] | [share, correlation] if share.contains('%') => {
                let chance: Chance = format!("{share} {correlation}").parse()?;
                Ok(if chance.share.is_zero() {
                    Loss::None
                } else if chance.correlation.is_zero() {
                    Loss::Random(chance.share)
                } else {
                    Loss::Correlated(chance)
                })
            }
            ["state", rest @ ..] if (1..=5).contains(&rest.len()) => {
                let at = |i: usize| rest.get(i).map(|word| word.parse::<Probability>()).transpose();
                let p13 = at(0)?.unwrap_or(Probability::ZERO);
                let chain = Markov {
                    p13,
                    p31: at(1)?.unwrap_or(Probability::new(1.0 - p13.fraction()).unwrap_or(Probability::ZERO)),
                    p32: at(2)?.unwrap_or(Probability::ZERO),
                    p23: at(3)?.unwrap_or(Probability::ONE),
                    p14: at(4)?.unwrap_or(Probability::ZERO),
                };
                chain.problem().map_or(Ok(Loss::Markov(chain)), fail)
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
            _ => fail(
                "write 1%, 1% 25% (with a correlation), gemodel P [R [1-H [1-K]]], \
                 state P13 [P31 [P32 [P23 [P14]]]], or burst P PACKETS",
            ),
        }
    }
}

serde_as_text!(Loss);
