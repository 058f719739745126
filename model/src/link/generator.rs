//! Source of the link's random draws.

use serde::{Deserialize, Serialize};

use super::ConditionError;

/// Where the random draws come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// A stream of its own for each seed, direction and effect: no effect moves another's draws.
    #[default]
    Counter,
    /// The sequence of the kernel's netem (6.6 and later) under the same seed, draw by draw, and its
    /// order of decisions: the packets dropped are those that `tc qdisc add … netem … seed SEED`
    /// drops. Each direction's generator starts from the seed itself, as one qdisc at each end would.
    /// netem's one queue takes the place of buffer and delay line: its `limit` is 1000 packets unless
    /// given, and `queue`, `aqm` and `rate-trace` are not possible.
    Netem,
}

impl std::str::FromStr for Generator {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match text {
            "counter" => Ok(Generator::Counter),
            "netem" => Ok(Generator::Netem),
            _ => Err(ConditionError::Generator(text.to_owned())),
        }
    }
}

/// netem's `limit` where none is given: what its command sends.
pub const NETEM_LIMIT: u32 = 1000;
