//! Connections over loopback, observed where the lab's own connections do not go: early data and key updates.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint};
use samepath_model::attribution::{ObservationRecord, Tag};
use samepath_model::record::End;

use crate::identity::{self, Identity, Pin};
use crate::quic::{Observer, protection};

/// A client and a server, whose settings take up a session again, with early data.
struct Ends {
    client: Endpoint,
    server: Endpoint,
    client_tls: rustls::ClientConfig,
    server_tls: rustls::ServerConfig,
}

/// A connection at both ends, and who observes it there.
struct Observed {
    client: Connection,
    server: Connection,
    at_client: Arc<Observer>,
    at_server: Arc<Observer>,
    /// Whether the server took the early data.
    early: bool,
}

impl Ends {
    fn new() -> Ends {
        let identity = Identity::generate().unwrap();
        let mut server_tls = identity.server_config(identity::ALPN_DATA).unwrap();
        (server_tls.send_tls13_tickets, server_tls.max_early_data_size) = (1, u32::MAX);
        let pin = Pin::Exactly(identity.fingerprint());
        let (mut client_tls, _) = identity::client_config(pin, identity::ALPN_DATA).unwrap();
        client_tls.resumption = rustls::client::Resumption::in_memory_sessions(1);
        client_tls.enable_early_data = true;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let crypto = Arc::new(QuicServerConfig::try_from(server_tls.clone()).unwrap());
        let server = Endpoint::server(quinn::ServerConfig::with_crypto(crypto), any).unwrap();
        Ends { client: Endpoint::client(any).unwrap(), server, client_tls, server_tls }
    }

    /// Connects; the client sends this on a stream as soon as it may.
    async fn connect(&self, first: &[u8]) -> Observed {
        let [at_client, at_server] = [End::Client, End::Server].map(|end| Observer::new(end, true, false));
        for observer in [&at_client, &at_server] {
            observer.connects(4000, 1200);
        }
        let mut tls = self.client_tls.clone();
        tls.key_log = protection::observe(tls.key_log, &at_client);
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let connecting =
            self.client.connect_with(config, self.server.local_addr().unwrap(), identity::SERVER_NAME).unwrap();
        let client = async {
            let (connection, early) = match connecting.into_0rtt() {
                Ok((connection, early)) => {
                    send(&connection, first).await;
                    (connection, early.await)
                }
                Err(connecting) => {
                    let connection = connecting.await.unwrap();
                    send(&connection, first).await;
                    (connection, false)
                }
            };
            // What the server answers comes behind its ticket.
            assert_eq!(receive(&connection).await, 1);
            (connection, early)
        };
        let server = async {
            let incoming = self.server.accept().await.unwrap();
            let mut tls = self.server_tls.clone();
            tls.key_log = protection::observe(tls.key_log, &at_server);
            let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
            let connection = incoming.accept_with(Arc::new(config)).unwrap().await.unwrap();
            assert_eq!(receive(&connection).await, first.len());
            send(&connection, b".").await;
            connection
        };
        let ((client, early), server) = tokio::join!(client, server);
        Observed { client, server, at_client, at_server, early }
    }
}

async fn send(connection: &Connection, bytes: &[u8]) {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.finish().unwrap();
}

async fn receive(connection: &Connection) -> usize {
    connection.accept_uni().await.unwrap().read_to_end(usize::MAX).await.unwrap().len()
}

/// How many bytes of each of the client's streams lie in these packets, from its start without a gap.
fn reached<'a>(observations: impl IntoIterator<Item = &'a ObservationRecord>) -> Vec<u64> {
    let mut runs: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for one in observations {
        // The client's unidirectional streams (RFC 9000, section 2.1).
        if let Some(domain) = one.domain.filter(|domain| domain % 4 == 2) {
            runs.entry(domain).or_default().push((one.start, one.end_offset));
        }
    }
    let reach = |mut runs: Vec<(u64, u64)>| {
        runs.sort_unstable();
        runs.iter().fold(0, |at, (start, end)| if *start <= at { at.max(*end) } else { at })
    };
    runs.into_values().map(reach).collect()
}

fn tags(observations: &[ObservationRecord], observer: &Observer, end: End) -> HashSet<Tag> {
    let direction = if end == observer.end() { observer.sent() } else { observer.received() };
    observations.iter().filter(|one| one.direction == direction).map(|one| one.tag).collect()
}

#[tokio::test]
async fn early_data_is_observed() {
    let ends = Ends::new();
    let first = ends.connect(b"a first visit").await;
    assert!(!first.early);
    first.client.close(0u8.into(), b"");
    first.server.closed().await;
    for observer in [&first.at_client, &first.at_server] {
        observer.take();
    }

    let again = ends.connect(&[7; 6000]).await;
    assert!(again.early);
    let (sent, unread) = again.at_client.take();
    assert_eq!(unread, 0);
    // As long as nothing has come from the server, there are no keys but those of early data to send it with.
    let early: Vec<_> = sent.iter().take_while(|one| one.direction == again.at_client.sent()).collect();
    assert_eq!(reached(early), [6000]);
    let (received, _) = again.at_server.take();
    assert_eq!(reached(&received), [6000]);
    let received = tags(&received, &again.at_server, End::Client);
    assert!(received.is_subset(&tags(&sent, &again.at_client, End::Client)), "both ends see the same packets");
    let before = [first.at_client, first.at_server].map(|observer| reached(&observer.take().0));
    assert!(before.concat().is_empty(), "the observers of the ticket's connection do not");
}

#[tokio::test]
async fn key_updates_lose_no_packet() {
    const UPDATES: usize = 5;
    const BYTES: usize = 50_000;
    let ends = Ends::new();
    let observed = ends.connect(&[1; BYTES]).await;
    for _ in 0..UPDATES {
        // It is ignored while the last one is not done (RFC 9001, section 6.5); the first one never is.
        observed.client.force_key_update();
        send(&observed.client, &[2; BYTES]).await;
        assert_eq!(receive(&observed.server).await, BYTES);
        send(&observed.server, b".").await;
        assert_eq!(receive(&observed.client).await, 1);
    }
    let packets = observed.client.stats().path.sent_packets;
    let (sent, received) = (observed.at_client.take().0, observed.at_server.take().0);
    assert_eq!(reached(&sent), [BYTES as u64; 1 + UPDATES]);
    assert_eq!(reached(&received), [BYTES as u64; 1 + UPDATES]);
    let (sent, received) =
        (tags(&sent, &observed.at_client, End::Client), tags(&received, &observed.at_server, End::Client));
    assert!(received.is_subset(&sent));
    // The keys of its Initial packets were not asked for.
    assert!(sent.len() as u64 + 2 >= packets, "{} of {packets}", sent.len());
}
