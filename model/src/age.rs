//! The age of the newest update that was delivered, as a function of time, from the records of messages.
//!
//! It grows with the time, and falls when an update is delivered that was released later than all before it: to that
//! update's delay (age of information; Kaul, Yates & Gruteser 2012). An update that comes after a newer one changes
//! nothing.

use std::ops::Range;

use crate::record::{Instant, MessageRecord};
use crate::units::Duration;
use crate::workload::{GameState, StreamId};

/// The age over a time, or over several that do not follow each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Age {
    /// In none of them an update took the place of the newest.
    spans: Vec<Span>,
}

/// A time over which the age grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// The age at its start, in nanoseconds.
    from: i64,
    /// The age at its end.
    to: i64,
}

impl Age {
    /// The age from when the first update can have come, the one-way delay after the start of the schedule, and for as
    /// long as the schedule lasts. Until the first update comes, it counts from the start.
    pub fn of(state: &GameState, streams: Range<StreamId>, one_way: Duration, messages: &[MessageRecord]) -> Age {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let start = nanos(one_way);
        let end = start.saturating_add(nanos(state.lasts()));
        let mut deliveries: Vec<(Instant, Instant)> = messages
            .iter()
            .filter(|message| message.direction == state.direction && streams.contains(&message.stream))
            .filter_map(|message| Some((message.delivered?, message.released)))
            .collect();
        deliveries.sort_unstable();
        Age::between(start..end, &deliveries)
    }

    /// By when updates were delivered, in this order, and released.
    fn between(window: Range<Instant>, deliveries: &[(Instant, Instant)]) -> Age {
        let mut spans = Vec::with_capacity(deliveries.len() + 1);
        let (mut newest, mut since) = (0, window.start);
        for &(delivered, released) in deliveries {
            if released <= newest {
                continue;
            }
            let until = delivered.clamp(since, window.end);
            spans.push(Span { from: since - newest, to: until - newest });
            (newest, since) = (released.max(newest), until);
        }
        spans.push(Span { from: since - newest, to: window.end - newest });
        spans.retain(|span| span.to > span.from);
        Age { spans }
    }

    /// That of several trials together.
    pub fn pool<'a>(ages: impl Iterator<Item = &'a Age>) -> Age {
        Age { spans: ages.flat_map(|age| age.spans.iter().copied()).collect() }
    }

    /// Whether there is no time over which it is known.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The time over which it is known, in nanoseconds.
    fn time(&self) -> f64 {
        self.spans.iter().map(Span::lasts).sum()
    }

    /// The mean over time, in nanoseconds; `None` of no time.
    pub fn mean(&self) -> Option<f64> {
        let area = |span: &Span| span.lasts() * (span.from as f64 + span.to as f64) / 2.0;
        (!self.is_empty()).then(|| self.spans.iter().map(area).sum::<f64>() / self.time())
    }

    /// The largest, in nanoseconds.
    pub fn max(&self) -> Option<i64> {
        self.spans.iter().map(|span| span.to).max()
    }

    /// The share of the time, of 1, in which it was above a bound.
    pub fn share_above(&self, bound: Duration) -> Option<f64> {
        let bound = i64::try_from(bound.as_nanos()).unwrap_or(i64::MAX);
        let above = |span: &Span| (span.to - span.from.max(bound)).max(0) as f64;
        (!self.is_empty()).then(|| self.spans.iter().map(above).sum::<f64>() / self.time())
    }

    /// The age that it was at or below for a share `q` of the time, in nanoseconds.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let above = 1.0 - q.clamp(0.0, 1.0);
        let tail = self.tail();
        let after = tail.iter().position(|(_, share)| *share <= above)?;
        let (high, least) = tail[after];
        let Some(&(low, most)) = after.checked_sub(1).and_then(|before| tail.get(before)) else {
            return Some(high as f64);
        };
        // Between two corners the share falls evenly.
        Some(low as f64 + (high - low) as f64 * (most - above) / (most - least))
    }

    /// The share of the time, of 1, in which it was above each age at which the share's slope changes, from the
    /// smallest age to the largest: between two of them it falls evenly.
    pub fn tail(&self) -> Vec<(i64, f64)> {
        let mut corners: Vec<(i64, i64)> = self.spans.iter().flat_map(|span| [(span.from, 1), (span.to, -1)]).collect();
        corners.sort_unstable();
        let all = self.time();
        let (mut below, mut slope, mut last) = (0.0, 0, 0);
        let mut tail: Vec<(i64, f64)> = Vec::new();
        for (age, change) in corners {
            below += slope as f64 * (age - last) as f64;
            (slope, last) = (slope + change, age);
            let share = (1.0 - below / all).max(0.0);
            match tail.last_mut().filter(|corner| corner.0 == age) {
                Some(corner) => corner.1 = share,
                None => tail.push((age, share)),
            }
        }
        // Rounding is not to leave a share above the largest.
        if let Some(largest) = tail.last_mut() {
            largest.1 = 0.0;
        }
        tail
    }
}

impl Span {
    fn lasts(&self) -> f64 {
        (self.to - self.from) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Updates at 0, 10, 20, … ns, 5 ns under way; delivered as said.
    fn age(delivered: &[(Instant, Instant)]) -> Age {
        Age::between(5..45, delivered)
    }

    #[test]
    fn an_update_lost_ages_the_one_before() {
        let all = age(&[(5, 0), (15, 10), (25, 20), (35, 30)]);
        assert_eq!((all.mean(), all.max(), all.quantile(1.0)), (Some(10.0), Some(15), Some(15.0)));
        assert_eq!((all.quantile(0.0), all.quantile(0.5)), (Some(5.0), Some(10.0)));
        // The third is lost: between 25 and 35 the second is the newest, and 15 to 25 old.
        let lossy = age(&[(5, 0), (15, 10), (35, 30)]);
        assert_eq!((lossy.mean(), lossy.max()), (Some(12.5), Some(25)));
        let share = |bound| lossy.share_above(Duration::from_nanos(bound)).unwrap();
        assert_eq!([4, 15, 20, 25].map(share), [1.0, 0.25, 0.125, 0.0]);
        assert_eq!(lossy.quantile(0.875), Some(20.0));
        assert_eq!(lossy.tail(), [(5, 1.0), (15, 0.25), (25, 0.0)]);
    }

    #[test]
    fn an_update_overtaken_changes_nothing() {
        let overtaken = age(&[(5, 0), (25, 20), (26, 10), (35, 30)]);
        assert_eq!(overtaken, age(&[(5, 0), (25, 20), (35, 30)]));
        // Three at once, as a byte stream delivers after a retransmission.
        let together = age(&[(5, 0), (35, 10), (35, 20), (35, 30)]);
        assert_eq!((together.max(), together.spans.len()), (Some(35), 2));
    }

    #[test]
    fn where_nothing_comes_the_age_is_the_time() {
        let nothing = age(&[]);
        assert_eq!((nothing.max(), nothing.mean()), (Some(45), Some(25.0)));
        assert_eq!(age(&[(60, 30)]), nothing, "what comes after the window is not seen");
        assert_eq!(Age::default().mean(), None);
        assert_eq!((Age::default().quantile(0.5), Age::default().share_above(Duration::ZERO)), (None, None));
        let pooled = Age::pool([&nothing, &age(&[(5, 0), (15, 10), (25, 20), (35, 30)])].into_iter());
        assert_eq!((pooled.max(), pooled.mean()), (Some(45), Some(17.5)));
    }
}
