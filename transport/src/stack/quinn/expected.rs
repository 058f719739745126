//! The clients that a server expects, by the IDs of their first packets; and those packets, for the logs.
//!
//! quinn's endpoint opens a connection's first packet with keys that it makes itself, before the connection is
//! there, and so past what observes the connection. Where logs are wanted, the keys of expected clients alone
//! are wrapped here: the packet of another client leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use quinn::ConnectionId;
use quinn::crypto::{CryptoError, Keys, PacketKey, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;

use super::observe::Observer;
use crate::Plan;
use crate::credentials::Secret;

/// Who looks at the next first packet of a client, once it is let in.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Option<Arc<Observer>>>>);

impl Watch {
    /// The packet that is opened next is this observer's.
    pub(super) fn hand_to(&self, observer: Option<&Arc<Observer>>) {
        *self.0.lock().expect("no panic while held") = observer.cloned();
    }
}

/// A session whose client may connect.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) secret: Secret,
    pub(super) plan: Plan,
    /// Whether it runs on this host, and so has this clock.
    pub(super) one_clock: bool,
    pub(super) watch: Watch,
}

/// All of them, by the ID of the client's first packet.
#[derive(Debug, Default)]
pub(super) struct Expected(Mutex<HashMap<ConnectionId, Guest>>);

impl Expected {
    pub(super) fn insert(&self, id: ConnectionId, secret: Secret, plan: Plan, one_clock: bool) {
        let guest = Guest { secret, plan, one_clock, watch: Watch::default() };
        self.0.lock().expect("no panic while held").insert(id, guest);
    }

    pub(super) fn remove(&self, id: &ConnectionId) {
        self.0.lock().expect("no panic while held").remove(id);
    }

    pub(super) fn get(&self, id: &ConnectionId) -> Option<Guest> {
        self.0.lock().expect("no panic while held").get(id).cloned()
    }

    fn watch(&self, id: &ConnectionId) -> Option<Watch> {
        self.0.lock().expect("no panic while held").get(id).map(|guest| guest.watch.clone())
    }
}

/// The endpoint's settings where logs are wanted. A connection has its own ones, once it is let in.
pub(super) struct Watched<C> {
    pub(super) config: Arc<C>,
    pub(super) expected: Arc<Expected>,
}

impl<C: ServerConfig + 'static> ServerConfig for Watched<C> {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        let mut keys = self.config.initial_keys(version, dst_cid)?;
        if let Some(watch) = self.expected.watch(dst_cid) {
            keys.packet.remote = Box::new(WatchedKey { key: keys.packet.remote, watch });
        }
        Ok(keys)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.config.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        self.config.clone().start_session(version, params)
    }
}

struct WatchedKey {
    key: Box<dyn PacketKey>,
    watch: Watch,
}

impl PacketKey for WatchedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.key.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let observer = self.watch.0.lock().expect("no panic while held").take();
        let size = header.len() + payload.len();
        self.key.decrypt(packet, header, payload)?;
        if let Some(observer) = observer {
            observer.log(observer.received(), packet, payload, size);
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

#[cfg(test)]
mod tests {
    use quinn::Side;
    use quinn::crypto::ClientConfig;
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    use samepath_model::arm::Transport;
    use samepath_model::link::Direction;
    use samepath_model::record::End;
    use samepath_model::tuning::Tuning;
    use samepath_model::units::Duration;
    use samepath_model::workload::Bulk;
    use samepath_model::{Arm, Workload};

    use super::*;
    use crate::identity::{self, Identity, Pin};

    fn plan() -> Plan {
        Plan {
            arm: Arm::default_of(Transport::Quic),
            workload: Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() }),
            tuning: Tuning::default(),
            seed: 1,
            mtu: 1500,
            rtt: Duration::from_millis(60),
            rate: None,
            time_limit: Duration::from_secs(10),
            attribution: false,
        }
    }

    #[test]
    fn first_packet_selects_observer() {
        let identity = Identity::generate().unwrap();
        let server = QuicServerConfig::try_from(identity.server_config(identity::ALPN_DATA).unwrap()).unwrap();
        let (tls, _) = identity::client_config(Pin::Exactly(identity.fingerprint()), identity::ALPN_DATA).unwrap();
        let declared = TransportParameters::read(Side::Client, &mut &[][..]).unwrap();
        let client = Arc::new(QuicClientConfig::try_from(tls).unwrap());
        let client = client.start_session(1, identity::SERVER_NAME, &declared).unwrap();
        let expected = Arc::new(Expected::default());
        let watched = Watched { config: Arc::new(server), expected: expected.clone() };
        let [guest, other] = [b"12345678", b"abcdefgh"].map(|id| ConnectionId::new(id));
        expected.insert(guest, identity::random(), plan(), false);

        let observer = Observer::new(End::Server, 4000, 1200, true, true);
        let open = |id: &ConnectionId, packet: &mut Vec<u8>| {
            client.initial_keys(id, Side::Client).packet.local.encrypt(0, packet, 4);
            let keys = watched.initial_keys(1, id).unwrap();
            // What was found by the ID comes before the packet is opened, as it does in the endpoint.
            if let Some(guest) = expected.get(id) {
                guest.watch.hand_to(Some(&observer));
            }
            let mut payload = BytesMut::from(&packet[4..]);
            keys.packet.remote.decrypt(0, &packet[..4], &mut payload).unwrap();
            observer.contents(Direction::Up)
        };
        let packet = [&[0xc0, 0, 0, 1, 0x01][..], &[0; 40], &[0; 16]].concat();
        assert!(open(&other, &mut packet.clone()).is_none());
        let contents = open(&guest, &mut packet.clone()).unwrap();
        assert_eq!((contents.number, contents.size, contents.frames.len()), (0, 61, 2), "{contents:?}");
        assert!(observer.take().0.is_empty(), "it is logged, not attributed");
        expected.remove(&guest);
        assert!(open(&guest, &mut packet.clone()).is_none(), "a session that is over expects nothing");
    }
}
