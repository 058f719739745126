//! What a picture's loss is answered with: key frames, and repair.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::{Duration, serde_as_text};

/// When a frame is a key frame, which needs no other to be decoded. The first one always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Key {
    /// When the receiver asked for it, as a frame was lost, or the sender gave one up.
    #[default]
    OnLoss,
    /// By the clock alone.
    Every(Duration),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::OnLoss => f.write_str("on-loss"),
            Key::Every(time) => write!(f, "every {time}"),
        }
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` does not say when a key frame is sent; write `on-loss`, or as `every 2s`");
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["on-loss"] => Ok(Key::OnLoss),
            ["every", time] => Ok(Key::Every(time.parse().map_err(|_| refused())?)),
            _ => Err(refused()),
        }
    }
}

serde_as_text!(Key);

/// What is done about packets of a frame that are lost, where the transport itself sends nothing again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Nothing: a frame is lost with any of its packets.
    #[default]
    None,
    /// The receiver asks for them (NACK, RFC 4585), and they are sent again.
    Resend,
    /// Repair packets go with each frame, of an ideal erasure code (maximum distance separable, as Reed–Solomon's): any so
    /// many packets as the frame itself has make it whole.
    Fec,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Repair::None => "none",
            Repair::Resend => "resend",
            Repair::Fec => "fec",
        })
    }
}
