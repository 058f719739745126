//! QUIC's event logs, as qvis opens them: quinn's own, completed.
//!
//! quinn logs packets without their frames and sizes, and metrics in seconds where the schema has
//! milliseconds, all as JSON text sequences (RFC 7464) of the main schema's version 0.3
//! (draft-ietf-quic-qlog-main-schema, draft-ietf-quic-qlog-quic-events). [`Completed`] sits between quinn and
//! the file. Each packet is logged as it is sealed or opened, so what the [`Observer`] saw last in that
//! direction is the packet of the record at hand. One is not seen: the client's first, which a server opens
//! before it knows whose it is.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use samepath_model::link::Direction;
use samepath_model::record::End;
use serde_json::{Map, Value, json};

use super::frames::{Frame, Frames};
use super::observe::Observer;
use crate::clock;

/// Separates the texts of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// quinn keeps the default exponent of acknowledgement delays (RFC 9000, section 18.2).
const ACK_DELAY_EXPONENT: u32 = 3;

/// What a packet held, for the log.
#[derive(Debug)]
pub(super) struct Contents {
    /// Its number.
    pub(super) number: u64,
    /// Bytes in all, header and tag included.
    pub(super) size: usize,
    /// Its frames, as the schema writes them.
    pub(super) frames: Vec<Value>,
}

/// The frames of a packet's plaintext in the schema's words; those behind one that cannot be read are left
/// out.
pub(super) fn frames(plaintext: &[u8]) -> Vec<Value> {
    Frames::of(plaintext).map_while(Result::ok).map(|frame| describe(&frame)).collect()
}

fn describe(frame: &Frame<'_>) -> Value {
    let kind = |bidirectional: &bool| if *bidirectional { "bidirectional" } else { "unidirectional" };
    match frame {
        Frame::Padding(length) => json!({ "frame_type": "padding", "payload_length": length }),
        Frame::Ping => json!({ "frame_type": "ping" }),
        Frame::Ack(ack) => {
            let micros = ack.delay.saturating_mul(1 << ACK_DELAY_EXPONENT);
            json!({ "frame_type": "ack", "ack_delay": micros as f64 / 1e3, "acked_ranges": ack.ranges() })
        }
        Frame::Crypto(offset, length) => json!({ "frame_type": "crypto", "offset": offset, "length": length }),
        Frame::Stream { id, offset, data, fin } => {
            json!({ "frame_type": "stream", "stream_id": id, "offset": offset, "length": data.len(), "fin": fin })
        }
        Frame::MaxData(maximum) => json!({ "frame_type": "max_data", "maximum": maximum }),
        Frame::MaxStreamData(id, maximum) => {
            json!({ "frame_type": "max_stream_data", "stream_id": id, "maximum": maximum })
        }
        Frame::MaxStreams(both, maximum) => {
            json!({ "frame_type": "max_streams", "stream_type": kind(both), "maximum": maximum })
        }
        Frame::Datagram(data) => json!({ "frame_type": "datagram", "length": data.len() }),
        Frame::Other(of) => match name(*of) {
            Some(name) => json!({ "frame_type": name }),
            None => json!({ "frame_type": "unknown", "frame_type_bytes": of }),
        },
    }
}

/// The schema's name of a type that is not described further.
const fn name(of: u64) -> Option<&'static str> {
    Some(match of {
        0x04 => "reset_stream",
        0x05 => "stop_sending",
        0x07 => "new_token",
        0x14 => "data_blocked",
        0x15 => "stream_data_blocked",
        0x16 | 0x17 => "streams_blocked",
        0x18 => "new_connection_id",
        0x19 => "retire_connection_id",
        0x1a => "path_challenge",
        0x1b => "path_response",
        0x1c | 0x1d => "connection_close",
        0x1e => "handshake_done",
        _ => return None,
    })
}

/// A file that gets quinn's records, each whole and completed.
#[derive(Debug)]
pub(super) struct Completed<W> {
    to: W,
    end: End,
    /// The connection's first ID, in hexadecimal.
    id: String,
    observer: Arc<Observer>,
    /// The record under way.
    record: Vec<u8>,
    /// The latest time so far, in milliseconds.
    latest: f64,
}

impl Completed<std::fs::File> {
    /// A log at this path, which is made or emptied.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub(super) fn create(path: &Path, end: End, id: String, observer: Arc<Observer>) -> io::Result<Self> {
        Ok(Completed::new(std::fs::File::create(path)?, end, id, observer))
    }
}

impl<W: Write> Completed<W> {
    fn new(to: W, end: End, id: String, observer: Arc<Observer>) -> Self {
        Completed { to, end, id, observer, record: Vec::new(), latest: 0.0 }
    }

    /// Writes the record that is whole now: in one call, so that an end that is told to go leaves no half.
    fn complete(&mut self) -> io::Result<()> {
        let text = self.record.strip_prefix(&[RECORD_SEPARATOR]).unwrap_or(&self.record);
        let mut line = vec![RECORD_SEPARATOR];
        match serde_json::from_slice::<Map<String, Value>>(text) {
            Ok(mut record) => {
                if record.contains_key("qlog_version") {
                    self.head(&mut record);
                } else {
                    self.event(&mut record);
                }
                serde_json::to_writer(&mut line, &record)?;
                line.push(b'\n');
            }
            // Not one of quinn's objects: left as it is.
            Err(_) => line.extend_from_slice(text),
        }
        self.record.clear();
        self.to.write_all(&line)
    }

    /// Says who looks on, and from when times count.
    fn head(&self, head: &mut Map<String, Value>) {
        let Some(Value::Object(trace)) = head.get_mut("trace") else { return };
        let end = match self.end {
            End::Client => "client",
            End::Server => "server",
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3);
        trace.insert("vantage_point".into(), json!({ "name": "samepath", "type": end }));
        let common = json!({
            "ODCID": self.id,
            "protocol_type": ["QUIC"],
            "reference_time": now,
            "reference_monotonic_ns": clock::now(),
            "time_format": "relative",
        });
        trace.insert("common_fields".into(), common);
    }

    fn event(&mut self, event: &mut Map<String, Value>) {
        // Of one connection; by this field qvis would take it for several.
        event.remove("group_id");
        // quinn takes the time before it deals with a batch, and a timer's may lie behind the last.
        self.latest = event.get("time").and_then(Value::as_f64).unwrap_or(0.0).max(self.latest);
        event.insert("time".into(), json!(self.latest));
        let name = event.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(Value::Object(data)) = event.get_mut("data") else { return };
        match name.as_str() {
            "transport:packet_sent" => self.packet(self.observer.sent(), data),
            "transport:packet_received" => self.packet(self.observer.received(), data),
            "recovery:packet_lost" => size_of(data),
            "recovery:metrics_updated" => metrics(data),
            _ => {}
        }
    }

    /// Adds what the packet held.
    fn packet(&self, direction: Direction, data: &mut Map<String, Value>) {
        size_of(data);
        let number = data.get("header").and_then(|header| header["packet_number"].as_u64());
        let Some(contents) = self.observer.contents(direction).filter(|seen| Some(seen.number) == number) else {
            return;
        };
        data.insert("raw".into(), json!({ "length": contents.size }));
        data.insert("frames".into(), contents.frames.into());
    }
}

/// quinn has the size where version 0.2 of the schema had it.
fn size_of(data: &mut Map<String, Value>) {
    let length = data.get_mut("header").and_then(Value::as_object_mut).and_then(|header| header.remove("length"));
    if let Some(length) = length {
        data.insert("raw".into(), json!({ "length": length }));
    }
}

/// In milliseconds; and no threshold that is not set.
fn metrics(data: &mut Map<String, Value>) {
    for name in ["min_rtt", "smoothed_rtt", "latest_rtt", "rtt_variance"] {
        if let Some(seconds) = data.get(name).and_then(Value::as_f64) {
            data.insert(name.into(), json!(seconds * 1e3));
        }
    }
    if data.get("ssthresh").and_then(Value::as_u64) == Some(u64::MAX) {
        data.remove("ssthresh");
    }
}

impl<W: Write> Write for Completed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.record.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.complete()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(end: End, seen: &[(Direction, u64, &[u8])], records: &[Value]) -> Vec<Value> {
        let observer = Observer::new(end, 4000, 1200, false, true);
        let mut log = Completed::new(Vec::new(), end, "ab01".into(), observer.clone());
        let mut seen = seen.iter();
        for record in records {
            if record["name"].as_str().is_some_and(|name| name.starts_with("transport:packet")) {
                let (direction, number, plaintext) = seen.next().unwrap();
                observer.see(*direction, *number, [0; 16], plaintext, plaintext.len() + 40);
            }
            // As quinn writes: in pieces.
            log.write_all(&[RECORD_SEPARATOR]).unwrap();
            serde_json::to_writer(&mut log, record).unwrap();
            log.write_all(b"\n").unwrap();
        }
        let text = String::from_utf8(log.to).unwrap();
        text.split('\u{1e}').skip(1).map(|record| serde_json::from_str(record).unwrap()).collect()
    }

    #[test]
    fn a_packet_gets_its_frames_and_size_and_a_trace_its_end() {
        let head = json!({ "qlog_version": "0.3", "qlog_format": "JSON-SEQ", "trace": { "vantage_point": { "type": "unknown" } } });
        let packet = |name: &str, number: u64, time: f64| {
            let header = json!({ "packet_type": "1RTT", "packet_number": number, "length": 50 });
            json!({ "time": time, "name": name, "data": { "header": header }, "group_id": "ab01" })
        };
        let rtt = json!({ "time": 7.5, "name": "recovery:metrics_updated", "data": { "min_rtt": 0.02, "ssthresh": u64::MAX } });
        let ack = [0x02, 0x20, 0x00, 0x02, 0x01, 0x00, 0x02, 0x03, 0x04];
        let stream = [0x01, 0x0f, 0x07, 0x44, 0x00, 0x03, b'a', b'b', b'c', 0, 0];
        let log = completed(
            End::Client,
            &[(Direction::Up, 3, &stream), (Direction::Down, 9, &ack), (Direction::Up, 3, &stream)],
            &[
                head,
                packet("transport:packet_sent", 3, 8.0),
                packet("transport:packet_received", 9, 8.5),
                packet("transport:packet_sent", 4, 9.0),
                rtt,
                packet("recovery:packet_lost", 3, 10.0),
            ],
        );
        let [head, sent, received, other, rtt, lost] = &log[..] else { panic!("{log:?}") };
        assert_eq!(head["trace"]["vantage_point"]["type"], "client");
        assert_eq!(head["trace"]["common_fields"]["time_format"], "relative");
        let expected = json!([
            { "frame_type": "ping" },
            { "frame_type": "stream", "stream_id": 7, "offset": 1024, "length": 3, "fin": true },
            { "frame_type": "padding", "payload_length": 2 },
        ]);
        assert_eq!((&sent["data"]["frames"], &sent["data"]["raw"]["length"]), (&expected, &json!(51)));
        assert!(sent.get("group_id").is_none() && sent["data"]["header"].get("length").is_none(), "{sent}");
        assert_eq!(received["data"]["frames"][0]["acked_ranges"], json!([[31, 32], [27, 29], [18, 22]]));
        // What was seen is another packet's: nothing is made up, and quinn's own size stays.
        assert!(other["data"].get("frames").is_none() && other["data"]["raw"]["length"] == 50, "{other}");
        assert_eq!(
            (&rtt["data"], &rtt["time"]),
            (&json!({ "min_rtt": 20.0 }), &json!(9.0)),
            "in milliseconds, in order"
        );
        assert_eq!(lost["data"]["raw"]["length"], 50);
    }
}
