//! Probabilities and variations of the delay, each with a correlation, as netem's command has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use crate::units::{Duration, Probability, serde_as_text};

/// A probability a packet, and how strongly a packet's fate follows that of the one before it:
/// `1%` or `1% 25%`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Chance {
    /// Share of packets that are struck.
    pub share: Probability,
    /// Correlation with the packet before. The counter generator repeats the draw of the packet
    /// before with this probability, which leaves the share as it is; the netem generator mixes the
    /// two as the kernel does, which does not.
    pub correlation: Probability,
}

impl Chance {
    /// Never.
    pub const NEVER: Chance = Chance { share: Probability::ZERO, correlation: Probability::ZERO };

    /// Whether this never happens.
    pub fn is_never(&self) -> bool {
        self.share.is_zero()
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&with_correlation(self.share, self.correlation))
    }
}

impl FromStr for Chance {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match *text.split_whitespace().collect::<Vec<_>>() {
            [share] => Ok(Chance { share: share.parse()?, correlation: Probability::ZERO }),
            [share, correlation] => Ok(Chance { share: share.parse()?, correlation: correlation.parse()? }),
            _ => Err(ConditionError::Chance(text.to_owned())),
        }
    }
}

serde_as_text!(Chance);

/// Which packets skip the delay and so overtake those before them: `25%`, `25% 50%`, or
/// `25% 50% gap 5` (of every fifth packet alone).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// Share of the candidates that skip the delay, and its correlation.
    pub chance: Chance,
    /// Packets from one candidate to the next: after a packet has skipped the delay, the `gap` − 1
    /// that follow it surely do not. 1: every packet is a candidate.
    pub gap: u32,
}

impl Default for Reorder {
    fn default() -> Self {
        Reorder { chance: Chance::NEVER, gap: 1 }
    }
}

impl Reorder {
    /// Whether this never happens.
    pub fn is_never(&self) -> bool {
        self.chance.is_never()
    }
}

impl fmt::Display for Reorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gap {
            0 | 1 => self.chance.fmt(f),
            gap => f.pad(&format!("{} gap {gap}", self.chance)),
        }
    }
}

impl FromStr for Reorder {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (chance, gap) = match text.split_once("gap") {
            None => (text, 1),
            Some((chance, gap)) => match gap.trim().parse() {
                Ok(gap) if gap > 0 => (chance, gap),
                _ => return Err(ConditionError::Reorder(text.to_owned())),
            },
        };
        Ok(Reorder { chance: chance.parse()?, gap })
    }
}

serde_as_text!(Reorder);

/// Variation of the delay: `5ms` or, with a correlation, `5ms 25%`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Jitter {
    /// Half the width of the uniform distribution; of the others their scale, which is the standard
    /// deviation of `normal`.
    pub spread: Duration,
    /// Correlation with the packet before, as of [`Chance`].
    pub correlation: Probability,
}

impl Jitter {
    /// Without variation.
    pub const NONE: Jitter = Jitter { spread: Duration::ZERO, correlation: Probability::ZERO };

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.spread == Duration::ZERO
    }
}

impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&with_correlation(self.spread, self.correlation))
    }
}

impl FromStr for Jitter {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match *text.split_whitespace().collect::<Vec<_>>() {
            [spread] => Ok(Jitter { spread: spread.parse()?, correlation: Probability::ZERO }),
            [spread, correlation] => Ok(Jitter { spread: spread.parse()?, correlation: correlation.parse()? }),
            _ => Err(ConditionError::Jitter(text.to_owned())),
        }
    }
}

serde_as_text!(Jitter);

fn with_correlation(value: impl fmt::Display, correlation: Probability) -> String {
    if correlation.is_zero() { value.to_string() } else { format!("{value} {correlation}") }
}
