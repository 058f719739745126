//! More gaps in a stream's buffer than quinn-proto takes as published (1024): what the overshoot of slow start leaves on
//! a long fat path. Two ends of quinn-proto in virtual time, without sockets; see `vendor/quinn-proto/README.md`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, ServerConfig,
    StreamEvent, TransportConfig, VarInt,
};
use samepath_transport::identity::{self, Identity, Pin};

const DELAY: Duration = Duration::from_millis(50);
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1000);
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 4433);

/// One end: its endpoint, and its connection once it is there.
struct Peer {
    address: SocketAddr,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
}

impl Peer {
    fn new(address: SocketAddr, server: Option<Arc<ServerConfig>>) -> Peer {
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), server, false, Some([7; 32]));
        Peer { address, endpoint, connection: None }
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: BytesMut) {
        let mut buffer = Vec::new();
        match self.endpoint.handle(now, from, None, None, datagram, &mut buffer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let (own, connection) = self.connection.as_mut().expect("its connection is there");
                assert_eq!(*own, handle);
                connection.handle_event(event);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut buffer, None);
                self.connection = Some(accepted.map_err(|error| error.cause).expect("the first packet is whole"));
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// What it sends now.
    fn send(&mut self, now: Instant) -> Vec<BytesMut> {
        let Some((handle, connection)) = &mut self.connection else { return Vec::new() };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        let mut sent = Vec::new();
        let mut buffer = Vec::new();
        while connection.poll_transmit(now, 1, &mut buffer).is_some() {
            sent.push(BytesMut::from(&buffer[..]));
            buffer.clear();
        }
        sent
    }

    fn timeout(&mut self) -> Option<Instant> {
        self.connection.as_mut().and_then(|(_, connection)| connection.poll_timeout())
    }
}

fn transport_config() -> Arc<TransportConfig> {
    let window = VarInt::from_u32(64 << 20);
    let mut congestion = CubicConfig::default();
    // All of it may be under way at once, so that one round of drops makes all the gaps.
    congestion.initial_window(64 << 20);
    let mut config = TransportConfig::default();
    config
        .congestion_controller_factory(Arc::new(congestion))
        .stream_receive_window(window)
        .receive_window(window)
        .send_window(64 << 20)
        .initial_mtu(1472)
        .min_mtu(1472)
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    Arc::new(config)
}

/// Sends `payload` from client to server while `is_dropped` says which of the client's large packets are lost, counted
/// from 0; what arrived, and how many were lost.
fn transfer(payload: &Bytes, is_dropped: impl Fn(u64) -> bool) -> (Vec<u8>, u64) {
    let identity = Identity::generate().unwrap();
    let tls = QuicServerConfig::try_from(identity.server_config(identity::ALPN_DATA).unwrap()).unwrap();
    let mut server_config = ServerConfig::with_crypto(Arc::new(tls));
    server_config.transport_config(transport_config());
    let (tls, _) = identity::client_config(Pin::Exactly(identity.fingerprint()), identity::ALPN_DATA).unwrap();
    let mut client_config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    client_config.transport_config(transport_config());

    let mut now = Instant::now();
    let mut client = Peer::new(CLIENT, None);
    client.connection = Some(client.endpoint.connect(now, client_config, SERVER, identity::SERVER_NAME).unwrap());
    let server = Peer::new(SERVER, Some(Arc::new(server_config)));
    let mut peers = [client, server];
    // In order of arrival: to which peer.
    let mut under_way: BTreeMap<(Instant, u64), (usize, BytesMut)> = BTreeMap::new();
    let (mut order, mut large, mut lost) = (0, 0, 0);
    let mut unwritten = payload.clone();
    let mut stream = None;
    let mut received = Vec::new();
    while received.len() < payload.len() {
        for (at, peer) in peers.iter_mut().enumerate() {
            if let Some((_, connection)) = &mut peer.connection {
                while let Some(event) = connection.poll() {
                    match event {
                        Event::ConnectionLost { reason } => panic!("peer {at}: {reason}"),
                        Event::Connected if at == 0 => stream = connection.streams().open(Dir::Uni),
                        Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                            stream = connection.streams().accept(Dir::Uni);
                        }
                        _ => {}
                    }
                }
                if let (0, Some(id), false) = (at, stream, unwritten.is_empty()) {
                    let chunks = &mut [unwritten.clone()];
                    if let Ok(written) = connection.send_stream(id).write_chunks(chunks) {
                        unwritten = unwritten.slice(written.bytes..);
                    }
                }
                if let (1, Some(id)) = (at, stream) {
                    let mut readable = connection.recv_stream(id);
                    if let Ok(mut chunks) = readable.read(true) {
                        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                            received.extend_from_slice(&chunk.bytes);
                        }
                        let _ = chunks.finalize();
                    }
                }
            }
            for datagram in peer.send(now) {
                if at == 0 && datagram.len() > 1400 && stream.is_some() {
                    large += 1;
                    if is_dropped(large - 1) {
                        lost += 1;
                        continue;
                    }
                }
                order += 1;
                under_way.insert((now + DELAY, order), (1 - at, datagram));
            }
        }
        let arrival = under_way.first_key_value().map(|((at, _), _)| *at);
        let timeout = peers.iter_mut().filter_map(Peer::timeout).min();
        now = arrival.into_iter().chain(timeout).min().expect("something is under way, or timed").max(now);
        while let Some(entry) = under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, datagram) = entry.remove();
            let from = peers[1 - to].address;
            peers[to].receive(now, from, datagram);
        }
        for peer in &mut peers {
            if peer.timeout().is_some_and(|at| at <= now) {
                let (_, connection) = peer.connection.as_mut().expect("it has a timeout");
                connection.handle_timeout(now);
            }
        }
    }
    (received, lost)
}

fn payload(len: usize) -> Bytes {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect::<Vec<_>>().into()
}

#[test]
fn a_window_with_thousands_of_gaps_is_put_together() {
    let payload = payload(16 << 20);
    // Every second packet of a window: as many gaps as packets arrive.
    let (received, lost) = transfer(&payload, |n| n < 10_000 && n % 2 == 0);
    assert!(lost > 4 * 1024, "only {lost} packets were lost");
    assert!(received == payload, "it did not arrive as it was sent");
}

#[test]
fn what_loses_nothing_is_the_same() {
    let payload = payload(4 << 20);
    let (received, lost) = transfer(&payload, |_| false);
    assert_eq!(lost, 0);
    assert!(received == payload, "it did not arrive as it was sent");
}
