//! QUIC, both ends, by quinn: settings, the client's connection, the server's endpoint.
//!
//! The server must not send a datagram to an address that has shown nothing. A client therefore
//! derives the connection ID of its first packet from the session's secret: the server finds the
//! session, and its settings, by that ID before it answers, ignores every other first packet, and
//! lets nothing at all out of its socket (no version negotiation, no stateless reset) to addresses
//! that were never accepted. Who sees the first packet can repeat it from another address while the session
//! lasts; what the server sends there is at most three times what came (RFC 9000, section 8.1).

mod expected;
mod flight;
mod observe;
mod qlog;
mod schema;

use std::collections::HashMap;
use std::io::{self, IoSliceMut, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin as BoxPin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{
    AsyncUdpSocket, ConnectionId, Endpoint, EndpointConfig, MtuDiscoveryConfig, Runtime, TokioRuntime, UdpPoller,
    VarInt,
};
use samepath_model::record::{End, Setting};
use samepath_model::streams;
use samepath_model::tuning::Controller;
use sha2::{Digest, Sha256};

use expected::{Expected, Guest, Watched};
pub use flight::Flight;
use flight::Told;
use observe::Observed;
pub use observe::Observer;
use qlog::{log_directory, log_events};

use crate::credentials::{Preface, Secret};
use crate::ending::Ending;
use crate::identity::{self, Fingerprint, Identity, Pin};
use crate::plan::SEGMENT;
use crate::{Plan, TransportError, tcp, udp};

/// Whose code speaks QUIC here, and what is changed in it; the versions are those of `Cargo.lock`.
pub const STACK: &str =
    concat!("quinn 0.11.12, quinn-proto 0.11.19 patched: ", include_str!("../../../vendor/quinn-proto/PATCHED"));

/// The streams that the other end may have open at once: ample for a sender ([`streams::limit`]), so that stream credit
/// never looks like blocking. quinn sets up a record for each as the connection is made, so a receiver's peer has none.
fn concurrent_streams(plan: &Plan, end: End) -> u64 {
    if plan.sends(end) { 2 } else { streams::limit(plan.arm, &plan.workload, plan.rtt) }
}

/// The settings of one end, from the plan; `flight` is told of its bytes in flight.
fn transport_config(plan: &Plan, end: End, ipv6: bool, flight: &Flight) -> quinn::TransportConfig {
    let tuning = &plan.tuning;
    let window = plan.window();
    let as_varint = |n: u64| VarInt::from_u64(n).unwrap_or(VarInt::MAX);
    let mut config = quinn::TransportConfig::default();
    let initial_window = u64::from(tuning.initial_window) * SEGMENT;
    match tuning.controller {
        Controller::Cubic => {
            let mut factory = CubicConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
        Controller::Reno => {
            let mut factory = NewRenoConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
        Controller::Bbr => {
            let mut factory = BbrConfig::default();
            factory.initial_window(initial_window);
            config.congestion_controller_factory(Arc::new(Told { factory: Arc::new(factory), flight: flight.clone() }));
        }
    }
    let mtu = plan.quic_mtu(ipv6);
    config
        .initial_mtu(mtu)
        .stream_receive_window(as_varint(window))
        // The connection's window holds several streams' worth, unless the window is the subject.
        .receive_window(as_varint(if tuning.receive_window.is_some() { window } else { window.saturating_mul(2) }))
        .send_window(send_window(plan))
        .max_concurrent_uni_streams(as_varint(concurrent_streams(plan, end)))
        .send_fairness(tuning.quic_send_fairness)
        .enable_segmentation_offload(plan.offload())
        // The session's time limit ends a dead path; an outage within it must not.
        .max_idle_timeout(None);
    if tuning.quic_mtu_discovery {
        let mut discovery = MtuDiscoveryConfig::default();
        // Small enough steps that the last of them is the whole.
        discovery.upper_bound(plan.most_quic_mtu(ipv6)).minimum_change(8);
        config.mtu_discovery_config(Some(discovery));
    } else {
        // The path's MTU is known: without this, bursts of random loss would be taken for a black
        // hole and the packets shrink to 1200 bytes.
        config.mtu_discovery_config(None).min_mtu(mtu);
    }
    config
}

/// The settings of both ends' sockets.
fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // The fixed bit stays set (no greasing, RFC 9287): by it the ledger knows QUIC from other datagrams.
    config.grease_quic_bit(false);
    config
}

/// The most that waits in the sender. It must not limit where the receiver's window is the subject.
pub(crate) fn send_window(plan: &Plan) -> u64 {
    const LEAST: u64 = 6 << 20;
    plan.window().max(LEAST)
}

/// What was asked of quinn, and what its connection says is in force.
pub fn settings(connection: &quinn::Connection, plan: &Plan, end: End, endpoint: &[Setting]) -> Vec<Setting> {
    let tuning = &plan.tuning;
    let path = connection.stats().path;
    let ipv6 = tcp::canonical(connection.remote_address()).is_ipv6();
    let set = |name: &str, asked: Option<String>, effective: String| Setting::new(name, asked, effective);
    let window = plan.window().to_string();
    let asked = u64::from(tuning.initial_window) * SEGMENT;
    let controller = connection.congestion_state();
    let mut all = vec![
        set("quic.congestion-control", Some(tuning.controller.to_string()), tuning.controller.to_string()),
        set("quic.initial-window", Some(asked.to_string()), controller.initial_window().to_string()),
        set("quic.mtu", Some(plan.quic_mtu(ipv6).to_string()), path.current_mtu.to_string()),
        set("quic.mtu-discovery", Some(tuning.quic_mtu_discovery.to_string()), tuning.quic_mtu_discovery.to_string()),
        set("quic.stream-receive-window", Some(window.clone()), window),
        set("quic.concurrent-streams", None, concurrent_streams(plan, end).to_string()),
        set("quic.send-fairness", Some(tuning.quic_send_fairness.to_string()), tuning.quic_send_fairness.to_string()),
        set("quic.segmentation-offload", Some(plan.offload().to_string()), plan.offload().to_string()),
        set("quic.version", None, "1".into()),
        set("quic.stack", None, STACK.to_owned()),
        // The only one that both ends offer.
        set("tls.cipher-suite", None, "TLS13_AES_128_GCM_SHA256".into()),
    ];
    all.extend_from_slice(endpoint);
    all
}

/// The connection ID of a session's first packet: visible to all, so a hash of the secret.
fn first_id(secret: &Secret) -> ConnectionId {
    ConnectionId::new(&Sha256::digest([b"quic ", &secret[..]].concat())[..20])
}

/// Who notes a connection's packets at this end, if they are to be mapped to messages, or logged.
fn observer(plan: &Plan, end: End, client_port: u16, ipv6: bool) -> Option<Arc<Observer>> {
    let room = plan.datagram(ipv6) - crate::frame::HEADER_LEN;
    let logs = log_directory().is_some();
    (plan.mapping || logs).then(|| Observer::new(end, client_port, room as u64, plan.mapping, logs))
}

/// What lies below a QUIC connection.
#[derive(Debug)]
pub struct Below {
    /// Effective settings of the socket.
    pub settings: Vec<Setting>,
    /// The port from which the client connects.
    pub client_port: u16,
    /// Who notes its packets, where they are mapped to messages.
    pub observer: Option<Arc<Observer>>,
    /// Its bytes in flight.
    pub flight: Flight,
}

/// Connects; [`show`] then says whose connection it is. Returns the endpoint too, which must outlive the connection,
/// and what lies below it.
///
/// # Errors
/// When the handshake fails.
pub async fn connect(
    address: SocketAddr,
    plan: &Plan,
    fingerprint: Fingerprint,
    secret: Secret,
) -> Result<(Endpoint, quinn::Connection, Below), TransportError> {
    let failed = |detail: String| TransportError::Connection { transport: "QUIC", address, detail };
    let (tls, _) = identity::client_config(Pin::Exactly(fingerprint), identity::ALPN_DATA)?;
    let tls = QuicClientConfig::try_from(tls).map_err(|error| failed(error.to_string()))?;

    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = udp::bind((any, 0).into(), false)?;
    let settings = udp::settings(&socket);
    let endpoint = Endpoint::new(endpoint_config(), None, socket, Arc::new(TokioRuntime))?;
    let client_port = endpoint.local_addr()?.port();
    let observer = observer(plan, End::Client, client_port, address.is_ipv6());
    let tls = Arc::new(tls);
    let mut config = quinn::ClientConfig::new(match &observer {
        Some(observer) => Arc::new(Observed { config: tls, observer: observer.clone() }),
        None => tls,
    });
    let flight = Flight::default();
    let mut transport = transport_config(plan, End::Client, address.is_ipv6(), &flight);
    // qvis moves the server's times to the client's, and so it is the server's log that says by how much.
    log_events(&mut transport, End::Client, &first_id(&secret), observer.as_ref(), false)?;
    config.transport_config(Arc::new(transport));
    config.initial_dst_cid_provider(Arc::new(move || first_id(&secret)));
    let connecting =
        endpoint.connect_with(config, address, identity::SERVER_NAME).map_err(|error| failed(error.to_string()))?;
    let connection = connecting.await.map_err(|error| failed(Ending::of_quic(&error).to_string()))?;
    Ok((endpoint, connection, Below { settings, client_port, observer, flight }))
}

/// Shows whose connection it is, on its first stream.
///
/// # Errors
/// When the connection broke.
pub async fn show(connection: &quinn::Connection, secret: Secret) -> Result<(), TransportError> {
    let (mut send, _) = connection.open_bi().await.map_err(io::Error::from)?;
    send.write_all(&Preface { secret, number: 0 }.encode()).await.map_err(io::Error::from)?;
    let _ = send.finish();
    Ok(())
}

/// The server's endpoint, shared by all its sessions.
pub struct Server {
    endpoint: Endpoint,
    socket: Arc<GuardedSocket>,
    crypto: Arc<QuicServerConfig>,
    expected: Arc<Expected>,
    /// Effective settings of the socket.
    settings: Vec<Setting>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// When the port is taken, with the remedy.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Server, TransportError> {
        let socket = udp::bind(address, false)?;
        let settings = udp::settings(&socket);
        let tls = identity.server_config(identity::ALPN_DATA)?;
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| TransportError::Control(error.to_string()))?;
        let crypto = Arc::new(crypto);
        let socket = Arc::new(GuardedSocket {
            inner: TokioRuntime.wrap_udp_socket(socket)?,
            proven: Mutex::new(HashMap::new()),
        });
        let expected = Arc::new(Expected::default());
        let watched = || Arc::new(Watched { config: crypto.clone(), expected: expected.clone() });
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config(),
            Some(quinn::ServerConfig::with_crypto(if log_directory().is_some() { watched() } else { crypto.clone() })),
            socket.clone(),
            Arc::new(TokioRuntime),
        )?;
        Ok(Server { endpoint, socket, crypto, expected, settings })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Lets a session's client connect; `same_host` is whether it runs on this host.
    pub fn expect(&self, secret: Secret, plan: &Plan, same_host: bool) {
        self.expected.insert(first_id(&secret), secret, plan.clone(), same_host);
    }

    /// Lets it connect no longer.
    pub fn forget(&self, secret: &Secret) {
        self.expected.remove(&first_id(secret));
        self.socket.proven.lock().expect("no panic while held").retain(|_, owner| owner != secret);
    }

    /// The next handshake of an expected client; `None` once the endpoint is closed. Of one session there is one at
    /// a time: whatever else comes with the ID of its first packet goes to the connection that is there.
    pub async fn accept(&self) -> Option<(Secret, quinn::Connecting, Below)> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let id = incoming.orig_dst_cid();
            let Some(Guest { secret, plan, one_clock, watch }) = self.expected.get(&id) else {
                incoming.ignore();
                continue;
            };
            let address = incoming.remote_address();
            self.socket.prove(address, secret);
            let ipv6 = tcp::canonical(address).is_ipv6();
            let observer = observer(&plan, End::Server, address.port(), ipv6);
            let mut config = quinn::ServerConfig::with_crypto(match &observer {
                Some(observer) => Arc::new(Observed { config: self.crypto.clone(), observer: observer.clone() }),
                None => self.crypto.clone(),
            });
            let flight = Flight::default();
            let mut transport = transport_config(&plan, End::Server, ipv6, &flight);
            if let Err(error) = log_events(&mut transport, End::Server, &id, observer.as_ref(), one_clock) {
                // A server goes on without: its sessions have no part in its environment.
                let _ = writeln!(io::stderr(), "samepath: {error}");
            }
            config.transport_config(Arc::new(transport)).migration(false);
            watch.hand_to(observer.as_ref());
            // It fails only where the packet itself was malformed.
            if let Ok(connecting) = incoming.accept_with(Arc::new(config)) {
                let below = Below { settings: self.settings.clone(), client_port: address.port(), observer, flight };
                return Some((secret, connecting, below));
            }
        }
    }

    /// Ends every connection.
    pub fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the server is shutting down");
    }
}

/// Completes a handshake.
///
/// # Errors
/// When it fails.
pub async fn handshake(connecting: quinn::Connecting) -> io::Result<quinn::Connection> {
    Ok(connecting.await?)
}

/// Reads whose connection it is.
///
/// # Errors
/// When it is not that of the expected session.
pub async fn accept(connection: quinn::Connection, secret: Secret) -> io::Result<quinn::Connection> {
    let (_, mut stream) = connection.accept_bi().await?;
    let preface = Preface::read(&mut stream).await?;
    if preface.secret != secret {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another session's secret"));
    }
    Ok(connection)
}

/// A socket that sends to proven addresses alone.
#[derive(Debug)]
struct GuardedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    proven: Mutex<HashMap<SocketAddr, Secret>>,
}

impl GuardedSocket {
    /// Lets datagrams out to this address, and of the same session's to no other: an attempt that failed leaves
    /// nothing behind.
    fn prove(&self, address: SocketAddr, secret: Secret) {
        let mut proven = self.proven.lock().expect("no panic while held");
        proven.retain(|_, owner| *owner != secret);
        proven.insert(address, secret);
    }
}

impl AsyncUdpSocket for GuardedSocket {
    fn create_io_poller(self: Arc<Self>) -> BoxPin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.proven.lock().expect("no panic while held").contains_key(&transmit.destination) {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
