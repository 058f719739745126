//! How a link treats packets that a host hands over many at a time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the link hands packets to the receiving host. Its decisions, and the drops for a seed, are the same
/// in every mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Fast where no condition and no measurement needs single packets, else exact.
    #[default]
    Auto,
    /// Every packet of the wire reaches the receiving host alone.
    Exact,
    /// Neighbours that leave the link together reach the receiving host as one, as a network card with
    /// receive offload joins them. Needs TUN devices.
    Fast,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Auto, Mode::Exact, Mode::Fast];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Exact => "exact",
            Mode::Fast => "fast",
        }
    }

    /// Whether it is for the link to choose.
    pub const fn is_auto(&self) -> bool {
        matches!(self, Mode::Auto)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A mode that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no mode `{0}`; choose from: auto, exact, fast")]
pub struct ModeError(String);

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        Mode::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| ModeError(text.to_owned()))
    }
}
