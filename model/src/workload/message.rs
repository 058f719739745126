//! Messages, the units that an application waits for: their names, their lengths, and their release.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::stream::StreamId;
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// The name of a message within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// Which way it goes.
    pub direction: Direction,
    /// Its logical stream.
    pub stream: StreamId,
    /// Its number within the stream and direction, from 0.
    pub seq: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.direction, self.stream, self.seq)
    }
}

/// Where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After so many bytes.
    Bytes(ByteCount),
    /// At this time from the start of the schedule, with whatever was written by then.
    Until(Duration),
}

impl Length {
    /// The number of bytes, where it is fixed.
    pub const fn bytes(self) -> Option<ByteCount> {
        match self {
            Length::Bytes(bytes) => Some(bytes),
            Length::Until(_) => None,
        }
    }
}

/// What a message is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Throughput: in long frames, taking turns with other messages of this class.
    Throughput,
    /// Latency: at once, in short frames, those that wait together in one call.
    Latency,
}

/// A message that its sender's application has handed over, or will in this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Which message.
    pub id: MessageId,
    /// Where it ends.
    pub length: Length,
    /// When it was meant to be released, from the start of the schedule. Its delay counts from here.
    pub at: Duration,
    /// The message whose delivery released it; `None` for the clock.
    pub by: Option<MessageId>,
    /// Until when it is of use, from the start of the schedule; `None` where it always is.
    pub deadline: Option<Duration>,
    /// When it goes among those that wait: higher goes first.
    pub priority: i32,
    /// Which attempt at the same thing it is, from 1.
    pub attempt: u32,
}

impl Release {
    /// The first attempt at a message, released by the clock, without deadline or precedence.
    pub const fn by_the_clock(id: MessageId, length: Length, at: Duration) -> Release {
        Release { id, length, at, by: None, deadline: None, priority: 0, attempt: 1 }
    }
}
