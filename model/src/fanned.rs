//! What became of the operations of `fan-out` and of their calls, from the records of its messages.

use std::collections::HashMap;

use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::workload::{FanOut, StreamId};

/// The operations of a trial, or of a session between two machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fanned {
    /// Operations that were released.
    pub released: u32,
    /// Calls that were released.
    pub requested: u32,
    /// Operations that every service answered in time, in the order of their numbers.
    pub whole: Vec<Whole>,
    /// Latencies of the calls that were answered, whatever became of the others of their operations, in nanoseconds: from
    /// the release of the request to the delivery of the response.
    pub calls: Vec<i64>,
    /// Operations that a service refused.
    pub refused: u32,
    /// When the last response of one that was answered in time was delivered; 0 where none was.
    pub last_answer: Instant,
}

/// An operation that every service answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// From its intended release to the delivery of its last response, in nanoseconds.
    pub latency: i64,
    /// How long its longest call took, in nanoseconds.
    pub longest: i64,
    /// The service of that call, where no other call came within [`CLEARLY`] of it; in parallel, it answered last.
    pub slowest: Option<StreamId>,
}

/// By how much a call must be longer than every other to be told as the slowest, in nanoseconds: what calls that begin at
/// one instant wait for each other in the hosts is less.
pub const CLEARLY: i64 = 1_000_000;

impl Fanned {
    /// Those of these messages.
    pub fn of(fan_out: &FanOut, messages: &[MessageRecord]) -> Fanned {
        let all = fan_out.operations().max(1);
        let timeout = i64::try_from(fan_out.timeout.as_nanos()).unwrap_or(i64::MAX);
        let mut requested: HashMap<(StreamId, u32), Instant> = HashMap::new();
        let mut operations: HashMap<u32, Operation> = HashMap::new();
        for request in messages.iter().filter(|message| message.direction == Direction::Up) {
            requested.insert((request.stream, request.seq), request.released);
            let operation = operations.entry(request.seq).or_default();
            operation.released = operation.released.into_iter().chain([request.released]).min();
        }
        let mut fanned =
            Fanned { released: operations.len() as u32, requested: requested.len() as u32, ..Fanned::default() };
        for answer in messages.iter().filter(|message| message.direction == Direction::Down) {
            let (number, is_refusal) = (answer.seq % all, answer.seq >= all);
            let Some((delivered, requested)) = answer.delivered.zip(requested.get(&(answer.stream, number))) else {
                continue;
            };
            let Some(operation) = operations.get_mut(&number) else { continue };
            if is_refusal {
                operation.is_refused = true;
                continue;
            }
            let took = delivered - requested;
            fanned.calls.push(took);
            operation.answered += 1;
            operation.last = operation.last.max(delivered);
            operation.took(took, answer.stream);
        }
        let mut over: Vec<(u32, Operation)> = operations.into_iter().collect();
        over.sort_unstable_by_key(|(number, _)| *number);
        for (_, operation) in over {
            let latency = operation.released.map_or(i64::MAX, |released| operation.last - released);
            if operation.answered == fan_out.services && latency <= timeout {
                let (longest, service) = operation.longest;
                let slowest = (longest - operation.second >= CLEARLY).then_some(service);
                fanned.last_answer = operation.last.max(fanned.last_answer);
                fanned.whole.push(Whole { latency, longest, slowest: slowest.filter(|_| fan_out.services > 1) });
            } else {
                fanned.refused += u32::from(operation.is_refused);
            }
        }
        fanned
    }

    /// The service whose call was clearly the slowest most often, with the share of the whole operations in which it was;
    /// `None` where none was in any.
    pub fn slowest(&self) -> Option<(StreamId, f64)> {
        let mut times: HashMap<StreamId, u32> = HashMap::new();
        self.whole.iter().filter_map(|whole| whole.slowest).for_each(|service| *times.entry(service).or_default() += 1);
        let (service, n) = times.into_iter().max_by_key(|(service, n)| (*n, std::cmp::Reverse(*service)))?;
        Some((service, f64::from(n) / self.whole.len() as f64))
    }

    /// The share of the whole operations one of whose calls took longer than `bound`, in nanoseconds; `None` where none was
    /// whole.
    pub fn with_a_call_beyond(&self, bound: i64) -> Option<f64> {
        let beyond = self.whole.iter().filter(|whole| whole.longest > bound).count();
        (!self.whole.is_empty()).then(|| beyond as f64 / self.whole.len() as f64)
    }
}

#[derive(Debug, Default)]
struct Operation {
    released: Option<Instant>,
    answered: u16,
    last: Instant,
    /// The longest call, and its service.
    longest: (i64, StreamId),
    /// The longest of the others.
    second: i64,
    is_refused: bool,
}

impl Operation {
    /// Notes that a call to a service took so long.
    fn took(&mut self, took: i64, service: StreamId) {
        if took > self.longest.0 {
            self.second = self.longest.0;
            self.longest = (took, service);
        } else {
            self.second = took.max(self.second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteCount;
    use crate::workload::Size;

    const MS: i64 = 1_000_000;

    fn message(
        direction: Direction,
        stream: StreamId,
        seq: u32,
        released: i64,
        delivered: Option<i64>,
    ) -> MessageRecord {
        MessageRecord {
            flow: 0,
            direction,
            stream,
            seq,
            size: 100,
            released: released * MS,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(released * MS),
            delivered: delivered.map(|at| at * MS),
            received: 100,
            coded: None,
        }
    }

    #[test]
    fn operations_are_counted_by_hand() {
        let fan_out = FanOut {
            services: 2,
            outstanding: Some(1),
            count: Some(5),
            request: Size::Fixed(ByteCount::new(100)),
            ..FanOut::default()
        };
        let (up, down) = (Direction::Up, Direction::Down);
        // When each is released, and when its two services have answered; the answer to the fourth is a refusal.
        let operations = [
            (0, [Some(30), Some(60)]),
            (60, [Some(90), Some(90)]),
            (100, [Some(130), None]),
            (200, [Some(230), Some(250)]),
            (300, [Some(330), Some(6000)]),
        ];
        let mut messages = Vec::new();
        for (seq, (released, answers)) in (0..).zip(operations) {
            for (service, answered) in (0..).zip(answers) {
                messages.push(message(up, service, seq, released, Some(released + 10)));
                let number = if (seq, service) == (3, 1) { seq + 5 } else { seq };
                messages.push(message(down, service, number, released + 10, answered));
            }
        }
        let fanned = Fanned::of(&fan_out, &messages);
        let whole = [
            Whole { latency: 60 * MS, longest: 60 * MS, slowest: Some(1) },
            Whole { latency: 30 * MS, longest: 30 * MS, slowest: None },
        ];
        assert_eq!((fanned.released, fanned.requested, fanned.refused), (5, 10, 1));
        assert_eq!((&fanned.whole[..], fanned.last_answer), (&whole[..], 90 * MS), "the last came too late");
        assert_eq!(fanned.calls.len(), 8, "one was never answered, and one refused");
        assert_eq!(fanned.slowest(), Some((1, 0.5)));
        assert_eq!(fanned.with_a_call_beyond(30 * MS), Some(0.5));
        assert_eq!(Fanned::of(&fan_out, &[]), Fanned::default());
    }
}
