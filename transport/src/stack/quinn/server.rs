//! Server's endpoint of quinn, which lets in the connections of expected clients alone.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quinn::crypto::{self, rustls::QuicServerConfig};
use quinn::{Endpoint, Runtime, TokioRuntime, VarInt};
use samepath_model::record::{End, Setting};

use super::config::{endpoint_config, transport_config};
use super::connection::{Below, Connection, datagram_capacity, first_id};
use super::ending::failed;
use super::expected::{Expected, Guest};
use super::flight::Flight;
use super::parameters::{Declared, Telling};
use super::qlog::{log_directory, log_events};
use super::socket::GuardedSocket;
use crate::credentials::Secret;
use crate::identity::{self, Identity};
use crate::quic::{Observer, protection};
use crate::{Plan, TransportError, tcp, udp};

/// The server's endpoint, shared by all its sessions.
pub struct Server {
    /// Its number among the servers of a session, and that of the connection to it.
    number: u16,
    endpoint: Endpoint,
    socket: Arc<GuardedSocket>,
    tls: rustls::ServerConfig,
    expected: Expected,
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
    pub(crate) fn bind(address: SocketAddr, number: u16, identity: &Identity) -> Result<Server, TransportError> {
        let socket = udp::bind(address, false)?;
        let settings = udp::settings(&socket);
        let tls = identity.server_config(identity::ALPN_DATA)?;
        let crypto =
            QuicServerConfig::try_from(tls.clone()).map_err(|error| TransportError::Control(error.to_string()))?;
        let socket = Arc::new(GuardedSocket {
            inner: TokioRuntime.wrap_udp_socket(socket)?,
            proven: Mutex::new(HashMap::new()),
        });
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config(),
            Some(quinn::ServerConfig::with_crypto(Arc::new(crypto))),
            socket.clone(),
            Arc::new(TokioRuntime),
        )?;
        Ok(Server { number, endpoint, socket, tls, expected: Expected::default(), settings })
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
        self.expected.insert(first_id(&secret, self.number), secret, plan.clone(), same_host);
    }

    /// Lets it connect no longer.
    pub(crate) fn forget(&self, secret: &Secret) {
        self.expected.remove(&first_id(secret, self.number));
        self.socket.proven.lock().expect("no panic while held").retain(|_, owner| owner != secret);
    }

    /// The next handshake of an expected client; `None` once the endpoint is closed. Of one session there is one at
    /// a time: whatever else comes with the ID of its first packet goes to the connection that is there.
    pub(crate) async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let id = incoming.orig_dst_cid();
            let Some(Guest { secret, plan, one_clock, observer }) = self.expected.get(&id) else {
                incoming.ignore();
                continue;
            };
            let address = incoming.remote_address();
            self.socket.prove(address, secret);
            let ipv6 = tcp::canonical(address).is_ipv6();
            if let Some(observer) = &observer {
                observer.connects(address.port(), datagram_capacity(&plan, ipv6));
            }
            let declared = Declared::default();
            let mut config = quinn::ServerConfig::with_crypto(self.crypto(observer.as_ref(), &declared));
            let flight = Flight::default();
            let mut transport = transport_config(&plan, End::Server, ipv6, &flight);
            if let Err(error) = log_events(&mut transport, End::Server, &id, observer.as_ref(), &declared, one_clock) {
                // A server goes on without: its sessions have no part in its environment.
                let _ = writeln!(io::stderr(), "samepath: {error}");
            }
            config.transport_config(Arc::new(transport)).migration(false);
            let accepted = incoming.accept_with(Arc::new(config));
            self.expected.renew(&id);
            // It fails only where the packet itself was malformed.
            if let Ok(connecting) = accepted {
                let below = Below { settings: self.settings.clone(), client_port: address.port(), observer, flight };
                return Some(Incoming { secret, connecting, below });
            }
        }
    }

    /// The cryptography of one connection, which has the observer, if there is one, see its packets.
    fn crypto(&self, observer: Option<&Arc<Observer>>, declared: &Declared) -> Arc<dyn crypto::ServerConfig> {
        let mut tls = self.tls.clone();
        if let Some(observer) = observer {
            tls.key_log = protection::observe(tls.key_log, observer);
        }
        let crypto = Arc::new(QuicServerConfig::try_from(tls).expect("the endpoint's was made of the same"));
        match log_directory() {
            Some(_) => Arc::new(Telling { config: crypto, declared: declared.clone() }),
            None => crypto,
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
