//! How many QUIC streams may be open at once, where each message has one of its own.
//!
//! A stream counts against the limit (RFC 9000, section 4.6) from its opening until word of its end has come back to
//! its sender: a round trip where nothing is lost, some more where something is. The limit is to be ample, so that it
//! is no part of what is measured, and it is memory and time at the receiver, so that it has a bound.

use crate::arm::{Arm, Connections, Mapping};
use crate::link::Direction;
use crate::units::Duration;
use crate::workload::{Class, Workload};

/// The most streams for messages that a receiver lets be open at once: some 20 ms of its CPU as the connection is made.
pub const MOST_STREAMS: u64 = 1 << 16;

/// At least so many are let be, where there are so many messages.
const AMPLE: u64 = 4096;

/// A workload whose messages have a QUIC stream each, of which more would have to be open at once than can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "with a stream for each message this workload has some {needed} of them open at once, and at most {MOST_STREAMS} can \
     be: leave the arm `{arm}` out, give a longer `spacing`, fewer `streams`, or a shorter round trip"
)]
pub struct TooManyStreams {
    arm: Arm,
    needed: u64,
}

/// Refuses a workload that would be held up by the limit of streams as a matter of course: where more messages than it
/// are released within three round trips, in which a lost packet is noticed, sent again, and its stream's end told.
///
/// # Errors
/// Says how many streams it would take, and what to change.
pub fn check(arm: Arm, workload: &Workload, rtt: Duration) -> Result<(), TooManyStreams> {
    if arm.mapping != Mapping::PerMessage || arm.connections != Connections::One || !workload.has(Class::Latency) {
        return Ok(());
    }
    let needed = Direction::BOTH.into_iter().map(|way| workload.most_released_in(way, rtt * 3)).max().unwrap_or(0);
    if needed > MOST_STREAMS { Err(TooManyStreams { arm, needed }) } else { Ok(()) }
}

/// The streams of its sender that a receiver of this direction lets be open at once: of what is released in eight round
/// trips and two seconds, each; or as many as the workload has streams; and those of the warm-up.
pub fn limit(arm: Arm, workload: &Workload, direction: Direction, rtt: Duration) -> u64 {
    let of_messages = if arm.mapping == Mapping::PerMessage && workload.has(Class::Latency) {
        let ample = workload.most_released_in(direction, rtt * 8 + Duration::from_secs(2)).max(AMPLE);
        ample.min(workload.table(direction, 0).len() as u64).min(MOST_STREAMS)
    } else {
        0
    };
    of_messages + 2 * u64::from(workload.streams()) + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Messages;

    fn down(arm: Arm, workload: &Workload, rtt: Duration) -> u64 {
        limit(arm, workload, Direction::Down, rtt)
    }

    fn messages(streams: u16, spacing_ms: u64, count: u32) -> Workload {
        let spacing = Duration::from_millis(spacing_ms);
        Workload::Messages(Messages { streams, spacing, count: Some(count), ..Messages::default() })
    }

    fn arm(text: &str) -> Arm {
        text.parse().unwrap()
    }

    #[test]
    fn the_limit_is_ample_for_long_paths() {
        // 5714 messages a second on 800 ms: 4571 of them under way, without any loss.
        let rtt = Duration::from_millis(800);
        let workload = messages(80, 14, 220);
        let under_way = 80 * 800 / 14;
        assert!(down(arm("quic/per-message"), &workload, rtt) > 3 * under_way);
        assert_eq!(down(arm("quic/per-message"), &workload, rtt), 80 * 220 + 162, "and no more than there are");
        assert_eq!(down(arm("quic"), &workload, rtt), 162);
        // On a short path as it was: the defence stays one.
        assert_eq!(down(arm("quic/per-message"), &messages(8, 10, 10_000), Duration::from_millis(60)), 4096 + 18);
        assert_eq!(down(arm("quic/per-message"), &messages(8, 100, 100), Duration::from_millis(60)), 800 + 18);
    }

    #[test]
    fn what_no_limit_would_be_ample_for_is_refused() {
        let long = Duration::from_secs(2);
        let workload = messages(4096, 20, 100);
        let refused = check(arm("quic/per-message"), &workload, long).unwrap_err().to_string();
        assert!(refused.contains("`quic/per-message`") && refused.contains("`spacing`"), "{refused}");
        assert_eq!(check(arm("quic"), &workload, long), Ok(()), "its streams are the workload's own");
        assert_eq!(check(arm("quic/per-message"), &messages(80, 14, 220), Duration::from_millis(800)), Ok(()));
        assert!(down(arm("quic/per-message"), &workload, long) <= MOST_STREAMS + 2 * 4096 + 2);
    }
}
