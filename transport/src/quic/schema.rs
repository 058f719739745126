//! Frames in the words of qlog (draft-ietf-quic-qlog-quic-events).

use samepath_model::hex;
use serde_json::{Value, json};

use super::frames::{Frame, Frames};

/// The default exponent of acknowledgement delays (RFC 9000, section 18.2), which quinn keeps.
const ACK_DELAY_EXPONENT: u32 = 3;

/// What a packet held, for the log.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Its number.
    pub(crate) number: u64,
    /// Bytes in all, header and tag included.
    pub(crate) size: usize,
    /// Its frames, as the schema writes them.
    pub(crate) frames: Vec<Value>,
}

/// The frames of a packet's plaintext in the schema's words; those behind one that cannot be read are left
/// out.
pub(crate) fn frames(plaintext: &[u8]) -> Vec<Value> {
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
    fn frames_about_streams_say_which_and_why() {
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
}
