//! The clients that a server expects, by the IDs of their first packets.
//!
//! quinn's endpoint opens a connection's first packet with keys that it makes itself, before the connection is there. So
//! whoever observes the connection is there from when its client is expected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use quinn::ConnectionId;
use samepath_model::record::End;

use super::connection::observer;
use crate::Plan;
use crate::credentials::Secret;
use crate::quic::Observer;

/// A session whose client may connect.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) secret: Secret,
    pub(super) plan: Plan,
    /// Whether it runs on this host, and so has this clock.
    pub(super) one_clock: bool,
    /// Who notes the packets of its next connection, if anybody does.
    pub(super) observer: Option<Arc<Observer>>,
}

/// All of them, by the ID of the client's first packet.
#[derive(Debug, Default)]
pub(super) struct Expected(Mutex<HashMap<ConnectionId, Guest>>);

impl Expected {
    pub(super) fn insert(&self, id: ConnectionId, secret: Secret, plan: Plan, one_clock: bool) {
        let observer = observer(&plan, End::Server, &id);
        let guest = Guest { secret, plan, one_clock, observer };
        self.0.lock().expect("no panic while held").insert(id, guest);
    }

    pub(super) fn remove(&self, id: &ConnectionId) {
        self.0.lock().expect("no panic while held").remove(id);
    }

    pub(super) fn get(&self, id: &ConnectionId) -> Option<Guest> {
        self.0.lock().expect("no panic while held").get(id).cloned()
    }

    /// A connection has come, and has its keys: another one that should come in its place is observed by itself.
    pub(super) fn renew(&self, id: &ConnectionId) {
        if let Some(guest) = self.0.lock().expect("no panic while held").get_mut(id) {
            guest.observer = observer(&guest.plan, End::Server, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use quinn::Side;
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    use quinn::crypto::{ClientConfig, ServerConfig};
    use quinn_proto::transport_parameters::TransportParameters;
    use samepath_model::arm::Transport;
    use samepath_model::link::Direction;
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
            attribution: true,
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
        let expected = Expected::default();
        let [guest, other] = [b"12345678", b"abcdefgh"].map(|id| ConnectionId::new(id));
        expected.insert(guest, identity::random(), plan(), false);

        let observer = || expected.get(&guest).unwrap().observer.unwrap();
        let open = |id: &ConnectionId| {
            let mut packet = [&[0xc0, 0, 0, 1, 0x01][..], &[0; 40], &[0; 16]].concat();
            client.initial_keys(id, Side::Client).packet.local.encrypt(0, &mut packet, 4);
            // What the endpoint does, before it has the connection.
            let keys = server.initial_keys(1, id).unwrap();
            let mut payload = BytesMut::from(&packet[4..]);
            keys.packet.remote.decrypt(0, &packet[..4], &mut payload).unwrap();
        };
        let first = observer();
        first.connects(4000, 1200);
        open(&other);
        assert!(first.take().0.is_empty());
        open(&guest);
        let [seen] = first.take().0[..] else { panic!("one packet is seen") };
        assert_eq!((seen.end, seen.direction, seen.port, seen.number), (End::Server, Direction::Up, 4000, 0));

        expected.renew(&guest);
        observer().connects(4001, 1200);
        open(&guest);
        assert_eq!((first.take().0.len(), observer().take().0.len()), (0, 1), "the next connection has its own");
        expected.remove(&guest);
        open(&guest);
        assert!(first.take().0.is_empty(), "a session that is over expects nothing");
    }
}
