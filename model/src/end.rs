//! The two ends of a trial.

use serde::{Deserialize, Serialize};

use crate::link::Direction;

/// Which end of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl End {
    /// The direction in which it sends.
    pub const fn outgoing(self) -> Direction {
        match self {
            End::Client => Direction::Up,
            End::Server => Direction::Down,
        }
    }

    /// The end that sends in this direction.
    pub const fn sender(direction: Direction) -> End {
        match direction {
            Direction::Up => End::Client,
            Direction::Down => End::Server,
        }
    }

    /// The end that receives in this direction.
    pub const fn receiver(direction: Direction) -> End {
        End::sender(direction.opposite())
    }
}
