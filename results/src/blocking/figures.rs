//! The figures of a trial: how many were blocked, for how long, and what the delay is made of.

use samepath_model::blocking::{Blocking, DelayParts, HoldParts};
use samepath_model::link::Direction;
use samepath_model::record::Percentiles;
use samepath_model::workload::StreamId;

use super::analysis::Analysis;
use super::hold::Held;
use super::parts::{Account, BLOCKED, Stall};

/// The share of the messages that counts as the slowest.
const TAIL: usize = 100;

impl Analysis {
    /// How long each stream stalled in all: a byte of it had arrived and could not be delivered.
    pub fn stalls(&self) -> Vec<(Direction, StreamId, i64)> {
        let carried = Direction::BOTH.into_iter().filter(|way| self.messages.iter().any(|m| m.direction == *way));
        stalls(&self.stalls, carried, self.streams)
    }

    /// The figures of the trial; `None` where no message has an account.
    pub fn figures(&self) -> Option<Blocking> {
        let accounts: Vec<&Account> = self.accounts().map(|(_, _, account)| account).collect();
        let mut blocked: Vec<i64> = accounts.iter().map(|account| account.parts.blocked()).collect();
        let blocked_ms = Percentiles::of_nanos(&mut blocked)?;
        let intact: Vec<&Account> = accounts.iter().copied().filter(|account| account.intact).collect();
        let mut stalls: Vec<i64> = self.stalls().into_iter().map(|(.., ns)| ns).collect();
        let millis = |ns: i64| ns as f64 / 1e6;
        Some(Blocking {
            messages: accounts.len() as u64,
            intact: intact.len() as u64,
            intact_blocked: intact.iter().filter(|account| account.parts.blocked() > BLOCKED).count() as u64,
            blocked_mean_ms: blocked.iter().map(|&ns| ns as f64).sum::<f64>() / blocked.len() as f64 / 1e6,
            blocked_ms,
            stall_mean_ms: stalls.iter().map(|ns| millis(*ns)).sum::<f64>() / stalls.len().max(1) as f64,
            stall_max_ms: stalls.iter().map(|ns| millis(*ns)).fold(0.0, f64::max),
            stall_of_stream_ms: stalls.iter().map(|ns| millis(*ns)).collect(),
            stall_ms: Percentiles::of_nanos(&mut stalls),
            buffered_byte_seconds: self.buffered as f64 / 1e9,
            all: mean(&accounts),
            of_intact: mean(&intact),
            of_slowest: mean(slowest(&mut accounts.clone())),
            hold: hold(self),
        })
    }
}

/// What held the messages at their sender, in the mean.
fn hold(analysis: &Analysis) -> Option<HoldParts> {
    let all: Vec<&Held> = analysis.accounts().filter_map(|(place, ..)| analysis.held(place)).collect();
    let mut sums = [0i128; 9];
    for held in &all {
        for (sum, part) in sums.iter_mut().zip(held.values()) {
            *sum += i128::from(part);
        }
    }
    let n = all.len() as f64;
    let [application, lookup, setup, streams, connection, stream, buffer, window, unknown] =
        sums.map(|sum| sum as f64 / n / 1e6);
    (!all.is_empty()).then_some(HoldParts {
        application,
        lookup,
        setup,
        streams,
        connection,
        stream,
        buffer,
        window,
        unknown,
    })
}

/// The slowest hundredth, at least one, of equally slow messages those that come last in the schedule; the list,
/// which is in its order, is put in another.
fn slowest<'l, 'a>(accounts: &'l mut [&'a Account]) -> &'l [&'a Account] {
    let n = accounts.len();
    let tail = n.div_ceil(TAIL).min(n);
    if tail < n {
        accounts.sort_by_key(|account| account.parts.total());
    }
    &accounts[n - tail..]
}

fn mean(accounts: &[&Account]) -> DelayParts {
    let mut sums = [0i128; 8];
    for account in accounts {
        for (sum, part) in sums.iter_mut().zip(account.parts.values()) {
            *sum += i128::from(part);
        }
    }
    let n = accounts.len().max(1) as f64;
    let [hold, queue, propagation, own_loss, intra, cross, record, stack] = sums.map(|sum| sum as f64 / n / 1e6);
    DelayParts { hold, queue, propagation, own_loss, intra, cross, record, stack }
}

/// For each stream the time that its stalls cover, those at the same time counted once.
fn stalls(
    stalls: &[Stall],
    directions: impl Iterator<Item = Direction>,
    streams: u16,
) -> Vec<(Direction, StreamId, i64)> {
    let mut sorted = stalls.to_vec();
    sorted.sort_unstable();
    let mut sums: Vec<_> = directions.flat_map(|way| (0..streams).map(move |stream| (way, stream, 0))).collect();
    for of_stream in sorted.chunk_by(|a, b| (a.direction, a.stream) == (b.direction, b.stream)) {
        let of = (of_stream[0].direction, of_stream[0].stream);
        let (mut sum, mut over) = (0, i64::MIN);
        for stall in of_stream {
            let from = stall.from.max(over);
            sum += (stall.to - from).max(0);
            over = over.max(stall.to);
        }
        if let Some(place) = sums.iter_mut().find(|(way, stream, _)| (*way, *stream) == of) {
            place.2 = sum;
        }
    }
    sums
}
