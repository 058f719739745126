//! Client's end of a connection by quinn.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::TokioRuntime;
use quinn::crypto::rustls::QuicClientConfig;
use samepath_model::record::End;

use super::config::{endpoint_config, transport_config};
use super::connection::{Below, Connection, datagram_capacity, first_id, observer};
use super::ending;
use super::flight::Flight;
use super::parameters::{Declared, Telling};
use super::qlog::{log_directory, log_events};
use crate::credentials::Preface;
use crate::identity::{self, Fingerprint, Pin};
use crate::quic::protection;
use crate::{Plan, TransportError, udp};

/// A client's endpoint, which must outlive its connection.
#[derive(Debug)]
pub struct Endpoint {
    _inner: quinn::Endpoint,
}

/// Connects; `Connection::show` then says whose connection it is.
///
/// # Errors
/// When the handshake fails.
pub async fn connect(
    address: SocketAddr,
    plan: &Plan,
    fingerprint: Fingerprint,
    preface: Preface,
) -> Result<(Connection, Endpoint), TransportError> {
    let failed = |detail: String| TransportError::Connection { transport: "QUIC", address, detail, errno: None };
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = udp::bind((any, 0).into(), false)?;
    let settings = udp::settings(&socket);
    let endpoint = quinn::Endpoint::new(endpoint_config(), None, socket, Arc::new(TokioRuntime))?;
    let client_port = endpoint.local_addr()?.port();
    let id = first_id(&preface.secret, preface.number);
    let observer = observer(plan, End::Client, &id);
    let (mut tls, _) = identity::client_config(Pin::Exactly(fingerprint), identity::ALPN_DATA)?;
    if let Some(observer) = &observer {
        observer.connects(client_port, datagram_capacity(plan, address.is_ipv6()));
        tls.key_log = protection::observe(tls.key_log, observer);
    }
    let tls = Arc::new(QuicClientConfig::try_from(tls).map_err(|error| failed(error.to_string()))?);
    let declared = Declared::default();
    let mut config = quinn::ClientConfig::new(match log_directory() {
        Some(_) => Arc::new(Telling { config: tls, declared: declared.clone() }),
        None => tls,
    });
    let flight = Flight::default();
    let mut transport = transport_config(plan, End::Client, address.is_ipv6(), &flight);
    // qvis moves the server's times to the client's, and so it is the server's log that says by how much.
    log_events(&mut transport, End::Client, &id, observer.as_ref(), &declared, false)?;
    config.transport_config(Arc::new(transport));
    config.initial_dst_cid_provider(Arc::new(move || id));
    let connecting =
        endpoint.connect_with(config, address, identity::SERVER_NAME).map_err(|error| failed(error.to_string()))?;
    let inner = connecting.await.map_err(|error| failed(ending::of_connection(&error).to_string()))?;
    let below = Below { settings, client_port, observer, flight };
    Ok((Connection { inner, below }, Endpoint { _inner: endpoint }))
}
