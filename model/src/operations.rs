//! What became of the operations of `rpc`, from the records of its messages.

use std::collections::HashMap;
use std::ops::Range;

use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::workload::{Rpc, StreamId};

/// The operations of a trial, or of a session between two machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    /// How many were released.
    pub released: u32,
    /// The latencies of those that were answered in time, in nanoseconds: from the intended release of the first request
    /// to the delivery of the last response.
    pub latencies: Vec<i64>,
    /// How many the server refused.
    pub refused: u32,
    /// When the server first refused one: the release of its answer.
    pub first_refused: Option<Instant>,
    /// When the last response of one that was answered in time was delivered; 0 where none was.
    pub last_answer: Instant,
}

impl Operations {
    /// Those whose messages are on these streams.
    pub fn of(rpc: &Rpc, streams: Range<StreamId>, messages: &[MessageRecord]) -> Operations {
        let (requests, refusals) = (rpc.requests(), rpc.requests_of_stream());
        let own = || messages.iter().filter(|message| streams.contains(&message.stream));
        let released: HashMap<(StreamId, u32), Instant> =
            own().filter(|m| rpc.begins(m.id())).map(|m| ((m.stream, m.seq / requests), m.released)).collect();
        let timeout = i64::try_from(rpc.timeout.as_nanos()).unwrap_or(i64::MAX);
        let count = u32::try_from(released.len()).unwrap_or(u32::MAX);
        let mut operations = Operations { released: count, ..Operations::default() };
        for answer in own().filter(|message| message.direction == Direction::Down) {
            let Some(delivered) = answer.delivered else { continue };
            let (is_refusal, seq) = (answer.seq >= refusals, answer.seq % refusals.max(1));
            let is_last = is_refusal || (seq + 1).is_multiple_of(requests);
            let Some(released) = released.get(&(answer.stream, seq / requests)).filter(|_| is_last) else { continue };
            let latency = delivered - released;
            if latency > timeout {
                continue;
            }
            if is_refusal {
                operations.refused += 1;
                operations.first_refused = operations.first_refused.into_iter().chain([answer.released]).min();
            } else {
                operations.latencies.push(latency);
                operations.last_answer = delivered.max(operations.last_answer);
            }
        }
        operations
    }
}
