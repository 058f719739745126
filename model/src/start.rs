//! The state from which a trial's schedule starts.
//!
//! Arms are compared from an equal start: not merely after as many bytes of warm-up, but with windows that are as
//! open. What the sender's transport says of itself as the schedule starts is recorded, and beside it the window that
//! the warm-up opens where nothing holds it back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tuning::Controller;

/// How far a window may be from what the warm-up opens before the trial says so, as a share of it.
pub const ALIKE: f64 = 0.1;

/// What the sender's connections say of themselves as the schedule starts, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartState {
    /// How many there are.
    pub connections: u16,
    /// The sum of their congestion windows, in bytes.
    #[serde(rename = "window_bytes")]
    pub window: u64,
    /// The longest of their smoothed round-trip times, in microseconds.
    pub srtt_us: u64,
    /// Payload bytes of the warm-up, all acknowledged unless `in_flight` says otherwise.
    #[serde(rename = "warmup_bytes")]
    pub warmup: u64,
    /// Packets or segments that they had declared lost or retransmitted by then.
    pub losses: u64,
    /// Bytes that they had in flight.
    #[serde(rename = "in_flight_bytes")]
    pub in_flight: u64,
    /// The window that the warm-up opens in slow start, in bytes: the initial windows, and what was acknowledged
    /// (RFC 5681, section 3.1; RFC 9002, section 7.3.1).
    #[serde(rename = "expected_window_bytes")]
    pub expected_window: u64,
    /// Why the window is another, where it is further from that than [`ALIKE`].
    pub apart: Option<Apart>,
}

/// Why a window is not what the warm-up opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apart {
    /// Packets were lost before the schedule.
    Losses,
    /// Some of the warm-up was not acknowledged.
    Unacknowledged,
    /// The controller does not open its window by slow start.
    Controller,
    /// Slow start had ended, for its window or by a rule of its own (HyStart) though nothing was lost.
    SlowStartOver,
    /// More was acknowledged than the warm-up: the handshake, too.
    MoreAcknowledged,
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Apart::Losses => "packets were lost before the schedule",
            Apart::Unacknowledged => "not all of the warm-up was acknowledged",
            Apart::Controller => "its controller does not open the window by slow start",
            Apart::SlowStartOver => "its slow start had ended, though nothing was lost",
            Apart::MoreAcknowledged => "more was acknowledged than the warm-up, as of the handshake",
        })
    }
}

impl StartState {
    /// How far the window is from what the warm-up opens, as a share of it; below 0 where it is smaller.
    pub fn deviation(&self) -> f64 {
        self.window as f64 / self.expected_window.max(1) as f64 - 1.0
    }

    /// With the reason why the window is another, if it is.
    #[must_use]
    pub fn judged(self, controller: Controller) -> StartState {
        let deviation = self.deviation();
        let apart = (deviation.abs() > ALIKE).then_some(match self {
            StartState { losses: 1.., .. } => Apart::Losses,
            _ if controller == Controller::Bbr => Apart::Controller,
            _ if deviation > 0.0 => Apart::MoreAcknowledged,
            StartState { in_flight: 1.., .. } => Apart::Unacknowledged,
            _ => Apart::SlowStartOver,
        });
        StartState { apart, ..self }
    }

    /// Why the window is not what the warm-up opens, and by how much, in words.
    pub fn complaint(&self) -> Option<String> {
        let way = if self.deviation() < 0.0 { "below" } else { "above" };
        let apart = self.apart?;
        Some(format!(
            "a window of {:.0} kB, {:.0} % {way} the {:.0} kB that its warm-up opens: {apart}",
            self.window as f64 / 1e3,
            self.deviation().abs() * 100.0,
            self.expected_window as f64 / 1e3,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(window: u64, losses: u64, in_flight: u64) -> StartState {
        StartState {
            connections: 1,
            window,
            srtt_us: 61_000,
            warmup: 150_000,
            losses,
            in_flight,
            expected_window: 164_480,
            apart: None,
        }
    }

    #[test]
    fn another_window_says_why_and_how_much() {
        let apart = |state: StartState, controller| state.judged(controller).apart;
        assert_eq!(apart(state(165_000, 0, 0), Controller::Cubic), None);
        assert_eq!(apart(state(170_000, 3, 0), Controller::Cubic), None, "losses that changed nothing");
        assert_eq!(apart(state(93_000, 0, 0), Controller::Cubic), Some(Apart::SlowStartOver));
        assert_eq!(apart(state(93_000, 0, 1448), Controller::Cubic), Some(Apart::Unacknowledged));
        assert_eq!(apart(state(23_000, 3, 1448), Controller::Cubic), Some(Apart::Losses));
        assert_eq!(apart(state(400_000, 0, 0), Controller::Bbr), Some(Apart::Controller));
        assert_eq!(apart(state(190_000, 0, 0), Controller::Reno), Some(Apart::MoreAcknowledged));
        let told = state(82_240, 2, 0).judged(Controller::Cubic).complaint().expect("it is half as open");
        assert_eq!(
            told,
            "a window of 82 kB, 50 % below the 164 kB that its warm-up opens: packets were lost before the schedule"
        );
    }
}
