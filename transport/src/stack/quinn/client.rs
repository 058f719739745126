//! Client's end of a connection by quinn.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::TokioRuntime;
use quinn::crypto::rustls::QuicClientConfig;
use samepath_model::record::End;

use super::config::{endpoint_config, transport_config};
use super::connection::{Below, Connection, first_id, observer};
use super::ending;
use super::flight::Flight;
use super::observe::Observed;
use super::qlog::log_events;
use crate::credentials::Secret;
use crate::identity::{self, Fingerprint, Pin};
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
    secret: Secret,
) -> Result<(Connection, Endpoint), TransportError> {
    let failed = |detail: String| TransportError::Connection { transport: "QUIC", address, detail };
    let (tls, _) = identity::client_config(Pin::Exactly(fingerprint), identity::ALPN_DATA)?;
    let tls = QuicClientConfig::try_from(tls).map_err(|error| failed(error.to_string()))?;

    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = udp::bind((any, 0).into(), false)?;
    let settings = udp::settings(&socket);
    let endpoint = quinn::Endpoint::new(endpoint_config(), None, socket, Arc::new(TokioRuntime))?;
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
    let inner = connecting.await.map_err(|error| failed(ending::of_connection(&error).to_string()))?;
    let below = Below { settings, client_port, observer, flight };
    Ok((Connection { inner, below }, Endpoint { _inner: endpoint }))
}
