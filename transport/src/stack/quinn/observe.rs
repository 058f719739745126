//! What a QUIC endpoint sees in its packets: the keys that protect them are wrapped, so that each
//! packet's plaintext passes by as it is sealed and as it is opened, for the attribution of packets to
//! messages and for the logs.
//!
//! quinn does not say which packet carried which bytes, and its qlog names packets without their
//! frames. Whoever holds the packet protection (RFC 9001, section 5) sees both, the packet's number,
//! and its authentication tag, by which the packet is found again in the ledger. Nothing is changed:
//! every call goes on to the key that is wrapped.

use std::any::Any;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use quinn::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig, Session,
    UnsupportedVersion,
};
use quinn::{ConnectError, ConnectionId, Side};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use samepath_model::attribution::{ObservationRecord, Tag};
use samepath_model::link::Direction;
use samepath_model::record::{End, Metric};
use serde_json::Value;

use super::parameters::{self, Owner};
use crate::attribution::datagram_run;
use crate::clock;
use crate::frame::{HEADER_LEN, Header};
use crate::quic::credit::Credit;
use crate::quic::schema::{self, Contents};
use crate::quic::{Frame, Frames};

/// Notes the packets of one connection at one of its ends.
#[derive(Debug)]
pub(crate) struct Observer {
    end: End,
    client_port: u16,
    /// The payload of the datagrams that messages are cut into, where they are.
    datagram_capacity: u64,
    /// Whether packets are attributed to messages.
    attributes: bool,
    /// Whether its events are logged.
    logs: bool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Times are absolute: CLOCK_MONOTONIC, nanoseconds.
    observations: Vec<ObservationRecord>,
    /// Packets whose frames could not be read.
    unread: u64,
    /// What this end's flow-control credit held up.
    credit: Credit,
    /// The packet that passed by last in each direction, until it is logged.
    last: [Option<Contents>; 2],
    /// Transport parameters, as the schema writes them, until they are logged.
    parameters: Vec<Value>,
}

impl Observer {
    /// An observer at this end of the connection that the client makes from this port.
    pub(crate) fn new(
        end: End,
        client_port: u16,
        datagram_capacity: u64,
        attributes: bool,
        logs: bool,
    ) -> Arc<Observer> {
        Arc::new(Observer { end, client_port, datagram_capacity, attributes, logs, notes: Mutex::default() })
    }

    /// What the last packet of this direction held; it is handed over once.
    pub(super) fn contents(&self, direction: Direction) -> Option<Contents> {
        self.notes.lock().expect("no panic while held").last[direction.index()].take()
    }

    /// The transport parameters that were set since; they are handed over once.
    pub(super) fn parameters(&self) -> Vec<Value> {
        std::mem::take(&mut self.notes.lock().expect("no panic while held").parameters)
    }

    /// Transport parameters are set.
    pub(super) fn set(&self, owner: Owner, declared: &TransportParameters) {
        if self.logs {
            let parameters = parameters::parameters(owner, declared);
            self.notes.lock().expect("no panic while held").parameters.push(parameters);
        }
    }

    /// What was seen so far, and how many packets could not be read; it is handed over once.
    pub(crate) fn take(&self) -> (Vec<ObservationRecord>, u64) {
        let mut notes = self.notes.lock().expect("no panic while held");
        let unread = std::mem::take(&mut notes.unread);
        (std::mem::take(&mut notes.observations), unread)
    }

    /// When this end had used up its flow-control credit, and when it had more again; it is handed over once.
    pub(crate) fn take_credit(&self) -> Vec<(u64, Metric, f64)> {
        std::mem::take(&mut self.notes.lock().expect("no panic while held").credit.changes)
    }

    /// A packet of `size` bytes passes by.
    pub(super) fn see(&self, direction: Direction, number: u64, tag: Tag, plaintext: &[u8], size: usize) {
        self.log(direction, number, plaintext, size);
        if self.attributes {
            self.map(direction, number, tag, plaintext);
        }
    }

    /// A packet that is logged, if packets are, but in no case attributed.
    pub(super) fn log(&self, direction: Direction, number: u64, plaintext: &[u8], size: usize) {
        if self.logs {
            let contents = Contents { number, size, frames: schema::frames(plaintext) };
            self.notes.lock().expect("no panic while held").last[direction.index()] = Some(contents);
        }
    }

    fn map(&self, direction: Direction, number: u64, tag: Tag, plaintext: &[u8]) {
        let at = clock::now().cast_signed();
        let Observer { end, client_port: port, .. } = *self;
        let none = ObservationRecord { end, direction, at, port, number, tag, domain: None, start: 0, end_offset: 0 };
        let mut notes = self.notes.lock().expect("no panic while held");
        let before = notes.observations.len();
        let is_sent = direction == self.sent();
        for frame in Frames::of(plaintext) {
            match frame {
                // A frame that only ends its stream holds no byte of it.
                Ok(Frame::Stream { data: [], .. }) => {}
                Ok(Frame::Stream { id, offset, data, .. }) => {
                    let end_offset = offset + data.len() as u64;
                    notes.observations.push(ObservationRecord { domain: Some(id), start: offset, end_offset, ..none });
                }
                Ok(Frame::Datagram(data)) => {
                    let Some(Ok(header)) = data.first_chunk::<HEADER_LEN>().map(Header::decode) else { continue };
                    let (domain, run) = datagram_run(&header, self.datagram_capacity);
                    let (start, end_offset) = (run.start, run.end);
                    notes.observations.push(ObservationRecord { domain: Some(domain), start, end_offset, ..none });
                }
                Ok(other) => notes.credit.see(at.cast_unsigned(), is_sent, &other),
                Err(_) => notes.unread += 1,
            }
        }
        if notes.observations.len() == before {
            notes.observations.push(none);
        }
    }

    pub(super) const fn end(&self) -> End {
        self.end
    }

    pub(super) fn sent(&self) -> Direction {
        match self.end {
            End::Client => Direction::Up,
            End::Server => Direction::Down,
        }
    }

    pub(super) fn received(&self) -> Direction {
        match self.end {
            End::Client => Direction::Down,
            End::Server => Direction::Up,
        }
    }

    fn wrap_packet_keys(self: &Arc<Self>, keys: KeyPair<Box<dyn PacketKey>>) -> KeyPair<Box<dyn PacketKey>> {
        let wrap = |key| Box::new(ObservedKey { key, observer: self.clone() }) as Box<dyn PacketKey>;
        KeyPair { local: wrap(keys.local), remote: wrap(keys.remote) }
    }

    fn wrap_keys(self: &Arc<Self>, keys: Keys) -> Keys {
        Keys { header: keys.header, packet: self.wrap_packet_keys(keys.packet) }
    }

    fn wrap_session(self: &Arc<Self>, session: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(ObservedSession { session, observer: self.clone() })
    }
}

/// Settings of one end whose connection is observed.
pub(crate) struct Observed<C> {
    pub(crate) config: Arc<C>,
    pub(crate) observer: Arc<Observer>,
}

impl<C: ClientConfig + 'static> ClientConfig for Observed<C> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = self.config.clone().start_session(version, server_name, params)?;
        self.observer.set(Owner::Local, params);
        Ok(self.observer.wrap_session(session))
    }
}

impl<C: ServerConfig + 'static> ServerConfig for Observed<C> {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(self.observer.wrap_keys(self.config.initial_keys(version, dst_cid)?))
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.config.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let session = self.config.clone().start_session(version, params);
        self.observer.set(Owner::Local, params);
        self.observer.wrap_session(session)
    }
}

struct ObservedSession {
    session: Box<dyn Session>,
    observer: Arc<Observer>,
}

impl Session for ObservedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.observer.wrap_keys(self.session.initial_keys(dst_cid, side))
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
            self.observer.set(Owner::Remote, peers);
        }
        Ok(parameters)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        Some(self.observer.wrap_keys(self.session.write_handshake(buf)?))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        Some(self.observer.wrap_packet_keys(self.session.next_1rtt_keys()?))
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

struct ObservedKey {
    key: Box<dyn PacketKey>,
    observer: Arc<Observer>,
}

impl PacketKey for ObservedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        // The plaintext is gone once it is sealed, and the tag is not there before.
        let plaintext = buf[header_len..buf.len() - self.key.tag_len()].to_vec();
        self.key.encrypt(packet, buf, header_len);
        if let Some(tag) = buf.last_chunk() {
            self.observer.see(self.observer.sent(), packet, *tag, &plaintext, buf.len());
        }
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let (tag, size) = (payload.last_chunk().copied(), header.len() + payload.len());
        self.key.decrypt(packet, header, payload)?;
        if let Some(tag) = tag {
            self.observer.see(self.observer.received(), packet, tag, payload, size);
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}
