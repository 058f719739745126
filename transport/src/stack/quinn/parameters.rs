//! Transport parameters for the event logs: what both ends of a connection declare, in the words of qlog
//! (draft-ietf-quic-qlog-quic-events).
//!
//! quinn does not log them, but hands them to its cryptography, and takes them from there, which is wrapped for it.

use std::any::Any;
use std::sync::{Arc, Mutex};

use quinn::crypto::{
    ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig, Session,
    UnsupportedVersion,
};
use quinn::{ConnectError, ConnectionId, Side};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use samepath_model::hex;
use serde_json::{Map, Value, json};

use crate::quic::Frames;

/// The transport parameters of a connection that were set since they were logged last, as the schema writes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared(Arc<Mutex<Vec<Value>>>);

impl Declared {
    /// Notes what is declared in a session that starts with these.
    fn wrap(&self, local: &TransportParameters, session: Box<dyn Session>) -> Box<dyn Session> {
        self.set(Owner::Local, local);
        Box::new(TellingSession { session, declared: self.clone() })
    }

    /// Transport parameters are set.
    pub(super) fn set(&self, owner: Owner, declared: &TransportParameters) {
        self.0.lock().expect("no panic while held").push(parameters(owner, declared));
    }

    /// Those that were set since; they are handed over once.
    pub(super) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().expect("no panic while held"))
    }
}

/// Settings of one end whose connection notes what is declared.
pub(super) struct Telling<C> {
    pub(super) config: Arc<C>,
    pub(super) declared: Declared,
}

impl<C: ClientConfig + 'static> ClientConfig for Telling<C> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = self.config.clone().start_session(version, server_name, params)?;
        Ok(self.declared.wrap(params, session))
    }
}

impl<C: ServerConfig + 'static> ServerConfig for Telling<C> {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.config.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.config.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let session = self.config.clone().start_session(version, params);
        self.declared.wrap(params, session)
    }
}

struct TellingSession {
    session: Box<dyn Session>,
    declared: Declared,
}

impl Session for TellingSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.session.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.session.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.session.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.session.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.session.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.session.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let parameters = self.session.transport_parameters()?;
        // quinn asks once, as it puts them into force.
        if let Some(peers) = &parameters {
            self.declared.set(Owner::Remote, peers);
        }
        Ok(parameters)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.session.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.session.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.session.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.session.export_keying_material(output, label, context)
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
fn parameters(owner: Owner, declared: &TransportParameters) -> Value {
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
