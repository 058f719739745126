//! Packet protection whose packets are observed (RFC 9001, section 5), whichever stack seals and opens them.
//!
//! A stack that takes TLS from rustls takes the keys of its packets from there, too: those of every encryption level,
//! and of every key update. The [`suite`] here wraps the keys of observed connections, so that each packet's plaintext,
//! number and tag pass by as it is sealed and as it is opened. Nothing is changed: every call goes on to the key inside.
//!
//! rustls makes keys from a suite that lives as long as the process, and does not say for which connection. A suite for
//! each connection would not tell it either: a ticket brings back the suite of the connection that got it. What does belong
//! to one connection is the key log of its settings, which hears of each secret before a key is made from it. A key
//! follows from its secret, so [whoever observes](observe) listens there, and a key that is made is known by its bytes.
//! The keys of Initial packets follow from the ID in the client's first packet, which has to be [said](observe_initial).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::quic::{Algorithm, HeaderProtectionKey, PacketKey, Tag};
use rustls::{Error, KeyLog, SupportedCipherSuite, Tls13CipherSuite};
use samepath_model::record::End;

use super::observer::Observer;

/// The cipher suite that every QUIC stack must have, TLS_AES_128_GCM_SHA256, by ring; connections can be observed.
pub(crate) fn suite() -> SupportedCipherSuite {
    static SUITE: LazyLock<Tls13CipherSuite> = LazyLock::new(|| Tls13CipherSuite {
        common: CipherSuiteCommon { ..inner().common },
        quic: Some(&Observable),
        ..*inner()
    });
    SupportedCipherSuite::Tls13(&SUITE)
}

/// The suite that is wrapped.
fn inner() -> &'static Tls13CipherSuite {
    TLS13_AES_128_GCM_SHA256.tls13().expect("it is one of TLS 1.3")
}

/// How the suite that is wrapped protects packets.
fn inner_algorithm() -> &'static dyn Algorithm {
    inner().quic.expect("QUIC version 1 begins with this suite")
}

/// A key log that has the observer see the packets of the connection whose secrets it hears of; all of them go on to
/// `key_log`. For the settings of one connection alone.
pub(crate) fn observe(key_log: Arc<dyn KeyLog>, observer: &Arc<Observer>) -> Arc<dyn KeyLog> {
    Arc::new(Listening { key_log, observer: observer.clone() })
}

/// Has the observer see the Initial packets, too, of a connection of QUIC version 1 whose client sends its first packet to
/// this ID (RFC 9001, section 5.2). Keys that are there already are not affected.
pub(crate) fn observe_initial(id: &[u8], observer: &Arc<Observer>) {
    for secret in initial_secrets(id) {
        SECRETS.lock().expect("no panic while held").add(secret, observer);
    }
}

/// The secrets of the Initial packets of both ends (RFC 9001, section 5.2).
fn initial_secrets(id: &[u8]) -> [Secret; 2] {
    const SALT: [u8; 20] = [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb,
        0x7f, 0x0a,
    ];
    let initial = inner().hkdf_provider.extract_from_secret(Some(&SALT), id);
    [("client in", End::Client), ("server in", End::Server)].map(|(label, sealed_by)| Secret {
        bytes: expand_block(&*initial, label),
        sealed_by,
        is_updated: false,
    })
}

/// A key log that listens for an observer.
#[derive(Debug)]
struct Listening {
    key_log: Arc<dyn KeyLog>,
    observer: Arc<Observer>,
}

impl KeyLog for Listening {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let Some((sealed_by, is_updated)) = protects(label) {
            let secret = Secret { bytes: OkmBlock::new(secret), sealed_by, is_updated };
            SECRETS.lock().expect("no panic while held").add(secret, &self.observer);
        }
        if self.key_log.will_log(label) {
            self.key_log.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        protects(label).is_some() || self.key_log.will_log(label)
    }
}

/// Which end's packets the secret of this name protects, if it protects packets; and whether it is updated.
fn protects(label: &str) -> Option<(End, bool)> {
    Some(match label {
        "CLIENT_EARLY_TRAFFIC_SECRET" | "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => (End::Client, false),
        "SERVER_HANDSHAKE_TRAFFIC_SECRET" => (End::Server, false),
        "CLIENT_TRAFFIC_SECRET_0" => (End::Client, true),
        "SERVER_TRAFFIC_SECRET_0" => (End::Server, true),
        _ => return None,
    })
}

/// The secrets of observed connections.
static SECRETS: LazyLock<Mutex<Secrets>> = LazyLock::new(Mutex::default);

/// Secrets, and who observes the packets that they protect, by the packet key that is made of each.
#[derive(Default)]
struct Secrets(HashMap<Vec<u8>, (Secret, Observers<Weak<Observer>>)>);

impl Secrets {
    /// This observer is at one of the two ends that have the secret. Those whose observers are gone go, too.
    fn add(&mut self, secret: Secret, observer: &Arc<Observer>) {
        self.0.retain(|_, (_, observers)| observers.sealing.strong_count() + observers.opening.strong_count() > 0);
        let seals = observer.end() == secret.sealed_by;
        let (_, observers) = self.0.entry(secret.packet_key()).or_insert_with(|| (secret, Observers::default()));
        *if seals { &mut observers.sealing } else { &mut observers.opening } = Arc::downgrade(observer);
    }

    /// Who observes the packets that this key protects. From now on the key of the next update is known as well.
    fn observers(&mut self, key: &[u8]) -> Observers<Option<Arc<Observer>>> {
        let Some((secret, observers)) = self.0.get(key) else { return Observers::default() };
        let found = Observers { sealing: observers.sealing.upgrade(), opening: observers.opening.upgrade() };
        if let Some(next) = secret.next() {
            for observer in [&found.sealing, &found.opening].into_iter().flatten() {
                self.add(next.clone(), observer);
            }
        }
        found
    }
}

/// The observers at the two ends of a direction, as far as they are in this process.
#[derive(Debug, Clone, Default)]
struct Observers<O> {
    /// At the end that seals.
    sealing: O,
    /// At the end that opens.
    opening: O,
}

/// A secret of which the key of one direction's packets is made.
#[derive(Clone)]
struct Secret {
    bytes: OkmBlock,
    sealed_by: End,
    /// Whether a key update makes another one of it (RFC 9001, section 6).
    is_updated: bool,
}

impl Secret {
    /// The key of packet protection (RFC 9001, section 5.1).
    fn packet_key(&self) -> Vec<u8> {
        let mut key = vec![0; inner_algorithm().aead_key_len()];
        expand_label(&*inner().hkdf_provider.expander_for_okm(&self.bytes), "quic key", &mut key);
        key
    }

    /// What an update makes of it.
    fn next(&self) -> Option<Secret> {
        let expand = || expand_block(&*inner().hkdf_provider.expander_for_okm(&self.bytes), "quic ku");
        self.is_updated.then(|| Secret { bytes: expand(), ..*self })
    }
}

/// HKDF-Expand-Label (RFC 8446, section 7.1) with an empty context, as long as the hash.
fn expand_block(secret: &dyn HkdfExpander, label: &str) -> OkmBlock {
    let mut block = [0; OkmBlock::MAX_LEN];
    let block = &mut block[..secret.hash_len()];
    expand_label(secret, label, block);
    OkmBlock::new(block)
}

/// HKDF-Expand-Label with an empty context.
fn expand_label(secret: &dyn HkdfExpander, label: &str, output: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let length = (output.len() as u16).to_be_bytes();
    let label_length = [(PREFIX.len() + label.len()) as u8];
    secret
        .expand_slice(&[&length, &label_length, PREFIX, label.as_bytes(), &[0]], output)
        .expect("at most as long as the hash");
}

/// Makes the keys of packet protection, and wraps those of observed connections.
struct Observable;

impl Algorithm for Observable {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn PacketKey> {
        let observers = SECRETS.lock().expect("no panic while held").observers(key.as_ref());
        let key = inner_algorithm().packet_key(key, iv);
        if observers.sealing.is_none() && observers.opening.is_none() {
            return key;
        }
        Box::new(ObservedKey { key, observers })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn HeaderProtectionKey> {
        inner_algorithm().header_protection_key(key)
    }

    fn aead_key_len(&self) -> usize {
        inner_algorithm().aead_key_len()
    }

    fn fips(&self) -> bool {
        inner_algorithm().fips()
    }
}

/// A key whose packets are observed.
struct ObservedKey {
    key: Box<dyn PacketKey>,
    observers: Observers<Option<Arc<Observer>>>,
}

impl ObservedKey {
    fn seal(
        &self,
        number: u64,
        header: &[u8],
        payload: &mut [u8],
        seal: impl FnOnce(&mut [u8]) -> Result<Tag, Error>,
    ) -> Result<Tag, Error> {
        let Some(observer) = &self.observers.sealing else { return seal(payload) };
        let size = header.len() + payload.len() + self.key.tag_len();
        observer.seal(number, size, payload, seal)
    }

    fn open<'a>(
        &self,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
        open: impl FnOnce(&'a mut [u8]) -> Result<&'a [u8], Error>,
    ) -> Result<&'a [u8], Error> {
        // The tag may be gone once the packet is open.
        let (tag, size) = (payload.last_chunk().copied(), header.len() + payload.len());
        let plaintext = open(payload)?;
        if let (Some(observer), Some(tag)) = (&self.observers.opening, tag) {
            observer.opened(number, size, tag, plaintext);
        }
        Ok(plaintext)
    }
}

impl PacketKey for ObservedKey {
    fn encrypt_in_place(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Result<Tag, Error> {
        self.seal(number, header, payload, |payload| self.key.encrypt_in_place(number, header, payload))
    }

    fn encrypt_in_place_for_path(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        self.seal(number, header, payload, |payload| self.key.encrypt_in_place_for_path(path, number, header, payload))
    }

    fn decrypt_in_place<'a>(&self, number: u64, header: &[u8], payload: &'a mut [u8]) -> Result<&'a [u8], Error> {
        self.open(number, header, payload, |payload| self.key.decrypt_in_place(number, header, payload))
    }

    fn decrypt_in_place_for_path<'a>(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.open(number, header, payload, |payload| self.key.decrypt_in_place_for_path(path, number, header, payload))
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
    use rustls::pki_types::ServerName;
    use rustls::quic::{ClientConnection, Connection, KeyChange, Keys, ServerConnection, Version};
    use rustls::{ClientConfig, ServerConfig, Side};
    use samepath_model::hex;

    use super::*;
    use crate::identity::{self, Identity, Pin};

    /// Settings of both ends that take up a session again, with early data.
    fn settings() -> (ClientConfig, ServerConfig) {
        let identity = Identity::generate().unwrap();
        let mut server = identity.server_config(identity::ALPN_DATA).unwrap();
        (server.send_tls13_tickets, server.max_early_data_size) = (1, u32::MAX);
        let pin = Pin::Exactly(identity.fingerprint());
        let (mut client, _) = identity::client_config(pin, identity::ALPN_DATA).unwrap();
        client.resumption = rustls::client::Resumption::in_memory_sessions(1);
        client.enable_early_data = true;
        (client, server)
    }

    /// The ends of a connection, and who observes them.
    struct Ends {
        client: Connection,
        server: Connection,
        at_client: Arc<Observer>,
        at_server: Arc<Observer>,
    }

    impl Ends {
        fn new((client, server): &(ClientConfig, ServerConfig)) -> Ends {
            let [at_client, at_server] = [End::Client, End::Server].map(|end| Observer::new(end, true, false));
            let (mut client, mut server) = (client.clone(), server.clone());
            client.key_log = observe(client.key_log, &at_client);
            server.key_log = observe(server.key_log, &at_server);
            let name = ServerName::try_from(identity::SERVER_NAME).unwrap();
            let client = ClientConnection::new(Arc::new(client), Version::V1, name, Vec::new()).unwrap();
            let server = ServerConnection::new(Arc::new(server), Version::V1, Vec::new()).unwrap();
            at_client.connects(4000, 1200);
            at_server.connects(4000, 1200);
            Ends { client: client.into(), server: server.into(), at_client, at_server }
        }

        /// What one end has to say goes to the other; the keys that came with it.
        fn tell(from: &mut Connection, to: &mut Connection) -> (bool, Option<KeyChange>) {
            let mut said = Vec::new();
            let keys = from.write_hs(&mut said);
            if !said.is_empty() {
                to.read_hs(&said).unwrap();
            }
            (!said.is_empty() || keys.is_some(), keys)
        }

        /// Completes the handshake: the keys of the client, and those of the server.
        fn shake_hands(&mut self) -> [Vec<KeyChange>; 2] {
            let mut keys = [Vec::new(), Vec::new()];
            loop {
                let (client_spoke, client) = Ends::tell(&mut self.client, &mut self.server);
                let (server_spoke, server) = Ends::tell(&mut self.server, &mut self.client);
                keys[0].extend(client);
                keys[1].extend(server);
                if !client_spoke && !server_spoke {
                    return keys;
                }
            }
        }

        /// A packet from one end to the other is seen at both.
        fn cross(&self, from: End, sealing: &dyn PacketKey, opening: &dyn PacketKey, number: u64) {
            // PING, and three bytes of a stream.
            let plaintext = [0x01, 0x0e, 0x07, 0x44, 0x00, 0x03, b'a', b'b', b'c'];
            let (header, mut packet) = ([0x41, 1, 2, 3], plaintext.to_vec());
            let tag = sealing.encrypt_in_place(number, &header, &mut packet).unwrap();
            packet.extend(tag.as_ref());
            assert_eq!(opening.decrypt_in_place(number, &header, &mut packet).unwrap(), plaintext);
            for observer in [&self.at_client, &self.at_server] {
                let (seen, 0) = observer.take() else { panic!("every frame can be read") };
                let [one] = seen[..] else { panic!("{seen:?}") };
                let direction = if observer.end() == from { observer.sent() } else { observer.received() };
                assert_eq!((one.end, one.direction, one.number), (observer.end(), direction, number));
                assert_eq!((one.domain, one.start, one.end_offset), (Some(7), 1024, 1027));
                assert_eq!(one.tag, tag.as_ref());
            }
        }

        /// A packet each way, with these keys.
        fn cross_both(&self, client: [&dyn PacketKey; 2], server: [&dyn PacketKey; 2], number: u64) {
            self.cross(End::Client, client[0], server[1], number);
            self.cross(End::Server, server[0], client[1], number);
        }
    }

    fn of(keys: &Keys) -> [&dyn PacketKey; 2] {
        [&*keys.local.packet, &*keys.remote.packet]
    }

    #[test]
    fn packets_of_every_level_and_update_are_seen() {
        let mut ends = Ends::new(&settings());
        for observer in [&ends.at_client, &ends.at_server] {
            observe_initial(b"the first ID", observer);
        }
        let quic = suite().tls13().unwrap().quic_suite().unwrap();
        let [client, server] = [Side::Client, Side::Server].map(|side| quic.keys(b"the first ID", side, Version::V1));
        ends.cross_both(of(&client), of(&server), 0);

        let [client, server] = ends.shake_hands().map(|keys| <[KeyChange; 2]>::try_from(keys).ok().unwrap());
        let ([KeyChange::Handshake { keys: client }, of_client], [KeyChange::Handshake { keys: server }, of_server]) =
            (client, server)
        else {
            panic!("the handshake's keys come first")
        };
        ends.cross_both(of(&client), of(&server), 1);
        let (
            KeyChange::OneRtt { keys: client, next: mut client_next },
            KeyChange::OneRtt { keys: server, next: mut server_next },
        ) = (of_client, of_server)
        else {
            panic!("then those of 1-RTT")
        };
        ends.cross_both(of(&client), of(&server), 2);
        for update in 0..4 {
            let (client, server) = (client_next.next_packet_keys(), server_next.next_packet_keys());
            ends.cross_both([&*client.local, &*client.remote], [&*server.local, &*server.remote], 3 + update);
        }
    }

    /// What a ticket brings back is of the connection before; its observer must not see anything of this one.
    #[test]
    fn early_data_is_seen_in_its_own_connection() {
        let settings = settings();
        let mut before = Ends::new(&settings);
        before.shake_hands();

        let mut ends = Ends::new(&settings);
        let client = ends.client.zero_rtt_keys().expect("there is a ticket");
        Ends::tell(&mut ends.client, &mut ends.server);
        let server = ends.server.zero_rtt_keys().expect("it is accepted");
        ends.cross(End::Client, &*client.packet, &*server.packet, 0);
        let [client, server] = ends.shake_hands();
        let (KeyChange::Handshake { keys: client }, KeyChange::Handshake { keys: server }) = (&client[0], &server[0])
        else {
            panic!("the handshake's keys come first")
        };
        ends.cross_both(of(client), of(server), 1);
        assert!(before.at_client.take().0.is_empty() && before.at_server.take().0.is_empty());
    }

    #[test]
    fn packets_on_several_paths_are_seen() {
        let mut ends = Ends::new(&settings());
        let [client, server] = ends.shake_hands();
        let (Some(KeyChange::OneRtt { keys: client, .. }), Some(KeyChange::OneRtt { keys: server, .. })) =
            (client.last(), server.last())
        else {
            panic!("the handshake is done")
        };
        let mut packet = vec![0x01, 0x00, 0x00, 0x00];
        let tag = client.local.packet.encrypt_in_place_for_path(7, 3, &[0x41], &mut packet).unwrap();
        packet.extend(tag.as_ref());
        let plaintext = server.remote.packet.decrypt_in_place_for_path(7, 3, &[0x41], &mut packet).unwrap();
        assert_eq!(plaintext, [0x01, 0x00, 0x00, 0x00]);
        for observer in [&ends.at_client, &ends.at_server] {
            let [one] = observer.take().0[..] else { panic!("one packet is seen") };
            assert_eq!((one.number, &one.tag[..], one.domain), (3, tag.as_ref(), None));
        }
    }

    #[test]
    fn packets_that_cannot_be_opened_are_not_seen() {
        let mut ends = Ends::new(&settings());
        let [_, server] = ends.shake_hands();
        let Some(KeyChange::OneRtt { keys: server, .. }) = server.last() else { panic!("the handshake is done") };
        assert!(server.remote.packet.decrypt_in_place(0, &[0x41], &mut [0; 40]).is_err());
        assert!(ends.at_server.take().0.is_empty());
    }

    #[test]
    fn a_thousand_sessions_leave_nothing_behind() {
        let settings = settings();
        for _ in 0..1000 {
            let mut ends = Ends::new(&settings);
            observe_initial(&identity::random::<20>(), &ends.at_server);
            assert!(ends.shake_hands().iter().all(|keys| keys.len() == 2));
            let held = Arc::downgrade(&ends.at_server);
            drop(ends);
            assert_eq!(held.strong_count(), 0, "nothing holds the observer of a session that is over");
        }
        // Those of the last one are there until another begins, and those of other tests.
        let known = SECRETS.lock().unwrap().0.len();
        assert!(known < 100, "{known}");
    }

    #[test]
    fn secrets_and_keys_are_those_of_rfc_9001() {
        let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let keys = initial_secrets(&id).map(|secret| hex(&secret.packet_key()));
        assert_eq!(keys, ["1f369613dd76d5467730efcbe3b1a22d", "cf3a5331653c364c88f0f379b6067e37"], "appendix A.1");
        let bytes = [
            0x9a, 0xc3, 0x12, 0xa7, 0xf8, 0x77, 0x46, 0x8e, 0xbe, 0x69, 0x42, 0x27, 0x48, 0xad, 0x00, 0xa1, 0x54, 0x43,
            0xf1, 0x82, 0x03, 0xa0, 0x7d, 0x60, 0x60, 0xf6, 0x88, 0xf3, 0x0f, 0x21, 0x63, 0x2b,
        ];
        let secret = Secret { bytes: OkmBlock::new(&bytes), sealed_by: End::Client, is_updated: true };
        let next = hex(secret.next().unwrap().bytes.as_ref());
        assert_eq!(next, "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9", "appendix A.5");
    }
}
