//! When a sender had used up its flow-control credit (RFC 9000, section 4.1), by its own frames: DATA_BLOCKED and
//! STREAM_DATA_BLOCKED say so, and MAX_DATA and MAX_STREAM_DATA from its peer end it.

use std::collections::HashMap;

use samepath_model::record::Metric;

use super::frames::Frame;

/// What one end of a connection was held by. Times are as they are given.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    /// The limit of the connection at which it waits.
    connection: Option<u64>,
    /// The limits of the streams that wait at theirs.
    streams: HashMap<u64, u64>,
    /// Each change, as points of a time series.
    pub(crate) changes: Vec<(u64, Metric, f64)>,
}

impl Credit {
    /// A frame that this end sent, or received.
    pub(crate) fn see(&mut self, at: u64, is_sent: bool, frame: &Frame<'_>) {
        match *frame {
            Frame::DataBlocked(limit) if is_sent => {
                let waits_already = self.connection.replace(limit).is_some();
                self.change(at, Metric::ConnectionBlocked, 1.0, !waits_already);
            }
            // One that came late moves nothing.
            Frame::MaxData(limit) if !is_sent && self.connection.is_some_and(|reached| limit > reached) => {
                self.connection = None;
                self.change(at, Metric::ConnectionBlocked, 0.0, true);
            }
            Frame::StreamDataBlocked(stream, limit) if is_sent => {
                let waits_already = self.streams.insert(stream, limit).is_some();
                self.change(at, Metric::StreamBlocked, stream as f64 + 1.0, !waits_already);
            }
            Frame::MaxStreamData(stream, limit)
                if !is_sent && self.streams.get(&stream).is_some_and(|reached| limit > *reached) =>
            {
                self.streams.remove(&stream);
                self.change(at, Metric::StreamBlocked, -(stream as f64 + 1.0), true);
            }
            _ => {}
        }
    }

    fn change(&mut self, at: u64, metric: Metric, value: f64, is_new: bool) {
        if is_new {
            self.changes.push((at, metric, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_used_up_until_the_limit_is_moved() {
        let mut credit = Credit::default();
        credit.see(1, true, &Frame::DataBlocked(100));
        credit.see(2, true, &Frame::DataBlocked(100));
        credit.see(3, false, &Frame::MaxData(100));
        credit.see(4, true, &Frame::StreamDataBlocked(7, 50));
        credit.see(5, false, &Frame::MaxStreamData(3, 500));
        credit.see(6, false, &Frame::MaxData(200));
        credit.see(7, false, &Frame::MaxStreamData(7, 60));
        // What this end grants, and what its peer is held by, is not its own.
        credit.see(8, false, &Frame::DataBlocked(1));
        credit.see(9, true, &Frame::MaxData(300));
        let expected = [
            (1, Metric::ConnectionBlocked, 1.0),
            (4, Metric::StreamBlocked, 8.0),
            (6, Metric::ConnectionBlocked, 0.0),
            (7, Metric::StreamBlocked, -8.0),
        ];
        assert_eq!(credit.changes, expected);
    }
}
