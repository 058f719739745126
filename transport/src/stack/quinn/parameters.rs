//! Transport parameters in the words of qlog (draft-ietf-quic-qlog-quic-events).

use quinn_proto::transport_parameters::TransportParameters;
use samepath_model::hex;
use serde_json::{Map, Value, json};

use crate::quic::Frames;

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

#[cfg(test)]
mod tests {
    use super::*;

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
