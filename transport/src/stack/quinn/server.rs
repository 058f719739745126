//! Server's endpoint of quinn, which lets in the connections of expected clients alone.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Runtime, TokioRuntime, VarInt};
use samepath_model::record::{End, Setting};

use super::config::{endpoint_config, transport_config};
use super::connection::{Below, Connection, first_id, observer};
use super::ending::failed;
use super::expected::{Expected, Guest, Watched};
use super::flight::Flight;
use super::observe::Observed;
use super::qlog::{log_directory, log_events};
use super::socket::GuardedSocket;
use crate::credentials::Secret;
use crate::identity::{self, Identity};
use crate::{Plan, TransportError, tcp, udp};

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
    pub(crate) fn bind(address: SocketAddr, identity: &Identity) -> Result<Server, TransportError> {
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
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Lets a session's client connect; `same_host` is whether it runs on this host.
    pub(crate) fn expect(&self, secret: Secret, plan: &Plan, same_host: bool) {
        self.expected.insert(first_id(&secret), secret, plan.clone(), same_host);
    }

    /// Lets it connect no longer.
    pub(crate) fn forget(&self, secret: &Secret) {
        self.expected.remove(&first_id(secret));
        self.socket.proven.lock().expect("no panic while held").retain(|_, owner| owner != secret);
    }

    /// The next handshake of an expected client; `None` once the endpoint is closed. Of one session there is one at
    /// a time: whatever else comes with the ID of its first packet goes to the connection that is there.
    pub(crate) async fn accept(&self) -> Option<Incoming> {
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
                return Some(Incoming { secret, connecting, below });
            }
        }
    }

    /// Ends every connection.
    pub(crate) fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the server is shutting down");
    }
}

/// A handshake of an expected client.
#[derive(Debug)]
pub struct Incoming {
    secret: Secret,
    connecting: quinn::Connecting,
    below: Below,
}

impl Incoming {
    /// The session that expects it.
    pub(crate) const fn secret(&self) -> Secret {
        self.secret
    }

    /// Where it comes from.
    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.connecting.remote_address()
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn handshake(self) -> Result<Connection, TransportError> {
        let inner = self.connecting.await.map_err(failed)?;
        Ok(Connection { inner, below: self.below })
    }
}
