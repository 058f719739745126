//! Frames and transport parameters in the words of qlog (draft-ietf-quic-qlog-quic-events).

use quinn_proto::transport_parameters::TransportParameters;
use samepath_model::hex;
use serde_json::{Map, Value, json};

use crate::quic::{Frame, Frames};

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
        Frame::ResetStream(id, error, size) => {
            json!({ "frame_type": "reset_stream", "stream_id": id, "error_code": error, "final_size": size })
        }
        Frame::StopSending(id, error) => {
            json!({ "frame_type": "stop_sending", "stream_id": id, "error_code": error })
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
        Frame::DataBlocked(limit) => json!({ "frame_type": "data_blocked", "limit": limit }),
        Frame::StreamDataBlocked(id, limit) => {
            json!({ "frame_type": "stream_data_blocked", "stream_id": id, "limit": limit })
        }
        Frame::StreamsBlocked(both, limit) => {
            json!({ "frame_type": "streams_blocked", "stream_type": kind(both), "limit": limit })
        }
        Frame::NewConnectionId { sequence, retire_prior_to, id } => json!({
            "frame_type": "new_connection_id",
            "sequence_number": sequence,
            "retire_prior_to": retire_prior_to,
            "connection_id": hex(id),
        }),
        Frame::RetireConnectionId(sequence) => {
            json!({ "frame_type": "retire_connection_id", "sequence_number": sequence })
        }
        Frame::Close { by_application, error, reason } => json!({
            "frame_type": "connection_close",
            "error_space": if *by_application { "application" } else { "transport" },
            "error_code": error,
            "reason": String::from_utf8_lossy(reason),
        }),
        Frame::Datagram(data) => json!({ "frame_type": "datagram", "length": data.len() }),
        Frame::Other(of) => match name(*of) {
            Some(name) => json!({ "frame_type": name }),
            None => json!({ "frame_type": "unknown", "frame_type_bytes": of }),
        },
    }
}

/// Numbers among the transport parameters: ID, name, and what holds where it is not sent (RFC 9000, section 18.2;
/// RFC 9221, section 3).
const NUMBERS: [(u64, &str, u64); 12] = [
    (0x01, "max_idle_timeout", 0),
    (0x03, "max_udp_payload_size", 65_527),
    (0x04, "initial_max_data", 0),
    (0x05, "initial_max_stream_data_bidi_local", 0),
    (0x06, "initial_max_stream_data_bidi_remote", 0),
    (0x07, "initial_max_stream_data_uni", 0),
    (0x08, "initial_max_streams_bidi", 0),
    (0x09, "initial_max_streams_uni", 0),
    (0x0a, "ack_delay_exponent", 3),
    (0x0b, "max_ack_delay", 25),
    (0x0e, "active_connection_id_limit", 2),
    (0x20, "max_datagram_frame_size", 0),
];

/// Connection IDs among them (RFC 9000, section 18.2).
const IDS: [(u64, &str); 3] = [
    (0x00, "original_destination_connection_id"),
    (0x0f, "initial_source_connection_id"),
    (0x10, "retry_source_connection_id"),
];

/// What is set by its presence alone (RFC 9000, section 18.2; RFC 9287, section 3).
const FLAGS: [(u64, &str); 2] = [(0x0c, "disable_active_migration"), (0x2ab2, "grease_quic_bit")];

/// The transport parameters that one end declares. quinn keeps them to itself, but writes them as they go over
/// the wire.
pub(super) fn parameters(owner: Owner, declared: &TransportParameters) -> Value {
    let mut wire = Vec::new();
    declared.write(&mut wire);
    let mut all = Map::from_iter([("owner".into(), json!(owner.name()))]);
    all.extend(NUMBERS.map(|(_, name, value)| (name.into(), json!(value))));
    all.extend(FLAGS.map(|(_, name)| (name.into(), json!(false))));
    let mut rest = Frames::of(&wire);
    while let (Some(id), Some(value)) = (rest.varint(), rest.counted()) {
        if let Some((_, name, _)) = NUMBERS.iter().find(|(number, ..)| *number == id) {
            all.insert((*name).into(), json!(Frames::of(value).varint()));
        } else if let Some((_, name)) = IDS.iter().find(|(of, _)| *of == id) {
            all.insert((*name).into(), hex(value).into());
        } else if let Some((_, name)) = FLAGS.iter().find(|(flag, _)| *flag == id) {
            all.insert((*name).into(), json!(true));
        }
    }
    // By the name it had in the drafts, which is the one that qvis reads.
    all.insert("max_packet_size".into(), all["max_udp_payload_size"].clone());
    all.into()
}

/// Whose parameters they are, as an end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Local,
    Remote,
}

impl Owner {
    const fn name(self) -> &'static str {
        match self {
            Owner::Local => "local",
            Owner::Remote => "remote",
        }
    }
}

/// The schema's name of a type that is not described further.
const fn name(of: u64) -> Option<&'static str> {
    Some(match of {
        0x07 => "new_token",
        0x1a => "path_challenge",
        0x1b => "path_response",
        0x1e => "handshake_done",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_end_or_block_say_which_stream_and_why() {
        let plaintext = [
            &[0x04, 0x03, 0x07, 0x44, 0x00][..],
            &[0x05, 0x03, 0x07, 0x14, 0x10, 0x15, 0x03, 0x11, 0x16, 0x12, 0x17, 0x13],
            &[0x18, 0x01, 0x00, 0x02, 0xab, 0x0c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x19, 0x02],
            &[0x1c, 0x0a, 0x06, 0x02, b'n', b'o', 0x1d, 0x05, 0x03, b'e', b'n', b'd', 0x1e],
        ]
        .concat();
        let expected = json!([
            { "frame_type": "reset_stream", "stream_id": 3, "error_code": 7, "final_size": 1024 },
            { "frame_type": "stop_sending", "stream_id": 3, "error_code": 7 },
            { "frame_type": "data_blocked", "limit": 16 },
            { "frame_type": "stream_data_blocked", "stream_id": 3, "limit": 17 },
            { "frame_type": "streams_blocked", "stream_type": "bidirectional", "limit": 18 },
            { "frame_type": "streams_blocked", "stream_type": "unidirectional", "limit": 19 },
            { "frame_type": "new_connection_id", "sequence_number": 1, "retire_prior_to": 0, "connection_id": "ab0c" },
            { "frame_type": "retire_connection_id", "sequence_number": 2 },
            { "frame_type": "connection_close", "error_space": "transport", "error_code": 10, "reason": "no" },
            { "frame_type": "connection_close", "error_space": "application", "error_code": 5, "reason": "end" },
            { "frame_type": "handshake_done" },
        ]);
        assert_eq!(Value::from(frames(&plaintext)), expected);
    }

    #[test]
    fn parameters_are_those_declared_and_else_the_defaults() {
        let wire = [
            &[0x01, 0x02, 0x67, 0x10, 0x04, 0x04, 0x80, 0x0c, 0x00, 0x00, 0x07, 0x01, 0x3f][..],
            &[0x03, 0x02, 0x45, 0xc0, 0x0c, 0x00, 0x0f, 0x02, 0xab, 0x0c],
        ]
        .concat();
        let declared = TransportParameters::read(quinn::Side::Client, &mut &wire[..]).unwrap();
        let expected = json!({
            "owner": "remote",
            "max_idle_timeout": 10_000,
            "max_udp_payload_size": 1472,
            "max_packet_size": 1472,
            "initial_max_data": 786_432,
            "initial_max_stream_data_bidi_local": 0,
            "initial_max_stream_data_bidi_remote": 0,
            "initial_max_stream_data_uni": 63,
            "initial_max_streams_bidi": 0,
            "initial_max_streams_uni": 0,
            "ack_delay_exponent": 3,
            "max_ack_delay": 25,
            "active_connection_id_limit": 2,
            "max_datagram_frame_size": 0,
            "disable_active_migration": true,
            "grease_quic_bit": false,
            "initial_source_connection_id": "ab0c",
        });
        assert_eq!(parameters(Owner::Remote, &declared), expected);
    }
}
