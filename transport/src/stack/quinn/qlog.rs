//! QUIC's event logs, as qvis opens them: quinn's own, completed.
//!
//! quinn logs packets without their frames and sizes, and metrics in seconds where the schema has
//! milliseconds, all as JSON text sequences (RFC 7464) of the main schema's version 0.3
//! (draft-ietf-quic-qlog-main-schema, draft-ietf-quic-qlog-quic-events). [`Completed`] sits between quinn and
//! the file. Each packet is logged as it is sealed or opened, so what the [`Observer`] saw last in that
//! direction is the packet of the record at hand.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use quinn::{ConnectionId, QlogConfig};
use samepath_model::link::Direction;
use samepath_model::record::End;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::parameters::Declared;
use crate::clock;
use crate::quic::Observer;

/// Separates the texts of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Milliseconds between two clocks that are one: a nanosecond, since qvis takes none for not known, and guesses.
const NO_OFFSET: f64 = 1e-6;

/// quinn's default: a packet is lost once one so much later is acknowledged (RFC 9002, section 6.1.1).
const PACKET_THRESHOLD: u64 = 3;

/// So many packets that only acknowledge are remembered, until the peer could have said that they arrived.
const MOST_UNCOUNTED: usize = 1024;

/// Where the qlogs go: the directory that `QLOGDIR` names, if it names one.
pub(super) fn log_directory() -> Option<PathBuf> {
    std::env::var_os("QLOGDIR").filter(|directory| !directory.is_empty()).map(PathBuf::from)
}

/// Writes the qlog of a connection into the directory that `QLOGDIR` names, if it names one, as
/// `ID_client.sqlog` or `ID_server.sqlog`: JSON text sequences (RFC 7464), the ID being that of the
/// connection's first packet. `one_clock` is whether the other end has the same clock.
pub(super) fn log_events(
    config: &mut quinn::TransportConfig,
    end: End,
    id: &ConnectionId,
    observer: Option<&Arc<Observer>>,
    declared: &Declared,
    one_clock: bool,
) -> io::Result<()> {
    let (Some(directory), Some(observer)) = (log_directory(), observer) else { return Ok(()) };
    let name = match end {
        End::Client => "client",
        End::Server => "server",
    };
    let path = directory.join(format!("{id}_{name}.sqlog"));
    let file =
        Completed::create(&path, id.to_string(), observer.clone(), declared.clone(), one_clock).map_err(|error| {
            let what = format!(
                "cannot write the qlog `{}`: {error}; make QLOGDIR a directory that can be written",
                path.display()
            );
            io::Error::new(error.kind(), what)
        })?;
    let mut log = QlogConfig::default();
    log.writer(Box::new(file)).title(Some(format!("samepath {name}")));
    config.qlog_stream(log.into_stream());
    Ok(())
}

/// A file that gets quinn's records, each whole and completed.
#[derive(Debug)]
pub(super) struct Completed<W> {
    to: W,
    /// The connection's first ID, in hexadecimal.
    id: String,
    observer: Arc<Observer>,
    declared: Declared,
    /// The record under way.
    record: Vec<u8>,
    /// The latest time so far, in milliseconds.
    latest: f64,
    /// Whether the times of the other end's log are by the same clock.
    one_clock: bool,
    /// The largest number acknowledged so far, by type of packet. Once there is one, round-trip times are
    /// measured ones.
    acknowledged: HashMap<String, u64>,
    /// The latest sent packets that need no acknowledgement: type, number, size.
    uncounted: VecDeque<(String, u64, usize)>,
}

impl Completed<std::fs::File> {
    /// A log at this path, which is made or emptied. `one_clock` is whether the other end has the same clock.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub(super) fn create(
        path: &Path,
        id: String,
        observer: Arc<Observer>,
        declared: Declared,
        one_clock: bool,
    ) -> io::Result<Self> {
        Ok(Completed::new(std::fs::File::create(path)?, id, observer, declared, one_clock))
    }
}

impl<W: Write> Completed<W> {
    fn new(to: W, id: String, observer: Arc<Observer>, declared: Declared, one_clock: bool) -> Self {
        let (record, acknowledged, uncounted) = (Vec::new(), HashMap::new(), VecDeque::new());
        Completed { to, id, observer, declared, record, latest: 0.0, one_clock, acknowledged, uncounted }
    }

    /// Writes the record that is whole now: in one call, so that an end that is told to go leaves no half.
    fn complete(&mut self) -> io::Result<()> {
        let text = self.record.strip_prefix(&[RECORD_SEPARATOR]).unwrap_or(&self.record);
        let mut lines = Vec::new();
        match serde_json::from_slice::<Map<String, Value>>(text) {
            Ok(mut record) => {
                if record.contains_key("qlog_version") {
                    self.head(&mut record);
                } else {
                    // quinn does not log them. They came with the latest that it did log.
                    for parameters in self.declared.take() {
                        let name = "transport:parameters_set";
                        append(&mut lines, &json!({ "time": self.latest, "name": name, "data": parameters }))?;
                    }
                    self.event(&mut record);
                }
                append(&mut lines, &record)?;
            }
            // Not one of quinn's objects: left as it is.
            Err(_) => {
                lines.push(RECORD_SEPARATOR);
                lines.extend_from_slice(text);
            }
        }
        self.record.clear();
        self.to.write_all(&lines)
    }

    /// Says who looks on, and from when times count.
    fn head(&self, head: &mut Map<String, Value>) {
        let Some(Value::Object(trace)) = head.get_mut("trace") else { return };
        let end = match self.observer.end() {
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
        if self.one_clock {
            trace.insert("configuration".into(), json!({ "time_offset": NO_OFFSET }));
        }
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
            "recovery:packet_lost" => self.lost(data),
            "recovery:metrics_updated" => self.metrics(data),
            _ => {}
        }
    }

    /// Adds what the packet held.
    fn packet(&mut self, direction: Direction, data: &mut Map<String, Value>) {
        size_of(data);
        let (kind, number) = name_of(data);
        let Some(contents) = self.observer.contents(direction).filter(|seen| Some(seen.number) == number) else {
            return;
        };
        let is = |frame: &Value, kinds: &[&str]| frame["frame_type"].as_str().is_some_and(|is| kinds.contains(&is));
        if direction == self.observer.received() {
            let largest = contents.frames.iter().filter_map(|frame| frame["acked_ranges"][0][1].as_u64()).max();
            if let Some(largest) = largest.max(self.acknowledged.get(&kind).copied()) {
                self.acknowledged.insert(kind, largest);
            }
        } else if contents.frames.iter().all(|frame| is(frame, &["ack", "padding", "connection_close"])) {
            self.uncounted.truncate(MOST_UNCOUNTED - 1);
            self.uncounted.push_front((kind, contents.number, contents.size));
        }
        data.insert("raw".into(), json!({ "length": contents.size }));
        data.insert("frames".into(), contents.frames.into());
    }

    /// Says by what a packet counts as lost, for which quinn has the same word always; and gives one that only
    /// acknowledged the size that quinn does not keep.
    fn lost(&self, data: &mut Map<String, Value>) {
        size_of(data);
        let (kind, number) = name_of(data);
        let sent = self.uncounted.iter().find(|(of, sent, _)| *of == kind && Some(*sent) == number);
        if let (None, Some((_, _, size))) = (data.get("raw"), sent) {
            data.insert("raw".into(), json!({ "length": size }));
        }
        data.remove("trigger");
        if let (Some(number), Some(largest)) = (number, self.acknowledged.get(&kind)) {
            let by_number = *largest >= number + PACKET_THRESHOLD;
            let trigger = if by_number { "reordering_threshold" } else { "time_threshold" };
            data.insert("trigger".into(), json!(trigger));
        }
    }

    /// In milliseconds; no round-trip time before one is measured, and no threshold that is not set.
    fn metrics(&self, data: &mut Map<String, Value>) {
        for name in ["min_rtt", "smoothed_rtt", "latest_rtt", "rtt_variance"] {
            let Some(seconds) = data.get(name).and_then(Value::as_f64) else { continue };
            if !self.acknowledged.is_empty() {
                // To the nanosecond, as quinn has it.
                data.insert(name.into(), json!((seconds * 1e9).round() / 1e6));
            } else {
                // What quinn starts from. The first sample changes all four, so they are logged again.
                data.remove(name);
            }
        }
        if data.get("ssthresh").and_then(Value::as_u64) == Some(u64::MAX) {
            data.remove("ssthresh");
        }
    }
}

fn append(lines: &mut Vec<u8>, record: &impl Serialize) -> io::Result<()> {
    lines.push(RECORD_SEPARATOR);
    serde_json::to_writer(&mut *lines, record)?;
    lines.push(b'\n');
    Ok(())
}

/// A packet's type and number.
fn name_of(data: &Map<String, Value>) -> (String, Option<u64>) {
    let header = data.get("header").unwrap_or(&Value::Null);
    (header["packet_type"].as_str().unwrap_or_default().to_owned(), header["packet_number"].as_u64())
}

/// quinn has the size where version 0.2 of the schema had it; 0 where it does not know it.
fn size_of(data: &mut Map<String, Value>) {
    let length = data.get_mut("header").and_then(Value::as_object_mut).and_then(|header| header.remove("length"));
    if let Some(length) = length.filter(|length| length.as_u64() != Some(0)) {
        data.insert("raw".into(), json!({ "length": length }));
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
    use quinn::Side;
    use quinn_proto::transport_parameters::TransportParameters;

    use super::super::parameters::Owner;
    use super::*;

    fn completed(end: End, seen: &[(Direction, u64, &[u8])], records: &[Value]) -> Vec<Value> {
        let observer = Observer::new(end, false, true);
        let mut log =
            Completed::new(Vec::new(), "ab01".into(), observer.clone(), Declared::default(), end == End::Server);
        let mut seen = seen.iter();
        for record in records {
            if record["name"].as_str().is_some_and(|name| name.starts_with("transport:packet")) {
                let (direction, number, plaintext) = seen.next().unwrap();
                let size = plaintext.len() + 40;
                if *direction == observer.sent() {
                    observer.seal(*number, size, &mut plaintext.to_vec(), |_| Ok::<_, ()>([0; 16])).unwrap();
                } else {
                    observer.opened(*number, size, [0; 16], plaintext);
                }
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
    fn a_packet_gets_its_frames_and_size() {
        let head = json!({ "qlog_version": "0.3", "qlog_format": "JSON-SEQ", "trace": { "vantage_point": { "type": "unknown" } } });
        let packet = |name: &str, number: u64, time: f64| {
            let header = json!({ "packet_type": "1RTT", "packet_number": number, "length": 50 });
            json!({ "time": time, "name": name, "data": { "header": header }, "group_id": "ab01" })
        };
        let rtt = |seconds: f64| {
            let data = json!({ "min_rtt": seconds, "latest_rtt": seconds, "ssthresh": u64::MAX, "pto_count": 0 });
            json!({ "time": 7.5, "name": "recovery:metrics_updated", "data": data })
        };
        let ack = [0x02, 0x20, 0x00, 0x02, 0x01, 0x00, 0x02, 0x03, 0x04];
        let stream = [0x01, 0x0f, 0x07, 0x44, 0x00, 0x03, b'a', b'b', b'c', 0, 0];
        let log = completed(
            End::Client,
            &[(Direction::Up, 3, &stream), (Direction::Down, 9, &ack), (Direction::Up, 3, &stream)],
            &[
                head,
                rtt(0.333),
                packet("transport:packet_sent", 3, 8.0),
                packet("transport:packet_received", 9, 8.5),
                packet("transport:packet_sent", 4, 9.0),
                rtt(0.060867622),
                packet("recovery:packet_lost", 3, 10.0),
            ],
        );
        let [head, initial, sent, received, other, rtt, lost] = &log[..] else { panic!("{log:?}") };
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
        // quinn's first guess is no measurement.
        assert_eq!(initial["data"], json!({ "pto_count": 0 }));
        let millis = json!({ "min_rtt": 60.867622, "latest_rtt": 60.867622, "pto_count": 0 });
        assert_eq!((&rtt["data"], &rtt["time"]), (&millis, &json!(9.0)), "in milliseconds, in order");
        assert_eq!(lost["data"]["raw"]["length"], 50);
    }

    #[test]
    fn a_lost_packet_has_its_size_and_trigger() {
        let packet = |name: &str, kind: &str, number: u64, length: u64| {
            let header = json!({ "packet_type": kind, "packet_number": number, "length": length });
            json!({ "time": 1.0, "name": name, "data": { "header": header } })
        };
        let (ack, ping) = ([0x02, 0x08, 0x00, 0x00, 0x00], [0x01, 0x00]);
        let log = completed(
            End::Server,
            &[(Direction::Down, 5, &ack), (Direction::Down, 6, &ping), (Direction::Up, 1, &ack)],
            &[
                packet("transport:packet_sent", "1RTT", 5, 45),
                packet("transport:packet_sent", "1RTT", 6, 42),
                packet("transport:packet_received", "1RTT", 1, 45),
                packet("recovery:packet_lost", "1RTT", 5, 0),
                packet("recovery:packet_lost", "handshake", 5, 0),
                packet("recovery:packet_lost", "1RTT", 6, 42),
            ],
        );
        let sizes: Vec<_> = log[3..].iter().map(|lost| &lost["data"]["raw"]["length"]).collect();
        assert_eq!(sizes, [&json!(45), &Value::Null, &json!(42)], "{log:?}");
        // 8 is acknowledged: three after 5, but only two after 6.
        let triggers: Vec<_> = log[3..].iter().map(|lost| lost["data"]["trigger"].as_str()).collect();
        assert_eq!(triggers, [Some("reordering_threshold"), None, Some("time_threshold")], "{log:?}");
    }

    #[test]
    fn offsets_are_given_on_one_clock_only() {
        let offset = |end: End| {
            let trace = json!({ "vantage_point": {}, "configuration": { "time_offset": 0.0 } });
            let log = completed(end, &[], &[json!({ "qlog_version": "0.3", "trace": trace })]);
            log[0]["trace"]["configuration"]["time_offset"].as_f64()
        };
        // In these tests, the server's side alone is told that they have.
        assert_eq!((offset(End::Client), offset(End::Server)), (Some(0.0), Some(1e-6)));
    }

    #[test]
    fn parameters_stand_between_what_brought_them_and_what_follows() {
        let observer = Observer::new(End::Client, false, true);
        let declared = Declared::default();
        let mut log = Completed::new(Vec::new(), "ab01".into(), observer, declared.clone(), false);
        let mut write = |time: f64| {
            let metrics = json!({ "time": time, "name": "recovery:metrics_updated", "data": { "pto_count": 0 } });
            serde_json::to_writer(&mut log, &metrics).unwrap();
            log.write_all(b"\n").unwrap();
        };
        let parameters = TransportParameters::read(Side::Client, &mut &[0x04, 0x01, 0x3f][..]).unwrap();
        declared.set(Owner::Local, &parameters);
        write(2.0);
        declared.set(Owner::Remote, &parameters);
        write(5.0);
        write(6.0);
        let text = String::from_utf8(log.to).unwrap();
        let log: Vec<Value> = text.split('\u{1e}').skip(1).map(|one| serde_json::from_str(one).unwrap()).collect();
        let short: Vec<_> = log.iter().map(|event| (event["time"].as_f64(), event["data"]["owner"].as_str())).collect();
        let times = [(0.0, Some("local")), (2.0, None), (2.0, Some("remote")), (5.0, None), (6.0, None)];
        assert_eq!(short, times.map(|(time, owner)| (Some(time), owner)));
        assert_eq!(
            (&log[2]["name"], &log[2]["data"]["initial_max_data"]),
            (&json!("transport:parameters_set"), &json!(63))
        );
    }
}
