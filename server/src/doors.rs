//! The data ports: whoever comes must show the secret of an open session.
//!
//! Until it has, it waits in the [room](crate::room) behind its door. The UDP door needs none: a datagram is a
//! preface with a session's secret, or it is dropped. At the QUIC door nobody waits but whose first packet has the ID
//! that an open session expects, of which there is one connection at a time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use samepath_model::Transport;
use samepath_model::record::End;
use samepath_transport::control::Asked;
use samepath_transport::credentials::{Preface, Secret};
use samepath_transport::stack::quinn as quic;
use samepath_transport::{Connection, Plan, TransportError, tcp, tls, udp};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::room::Room;

/// The open sessions, by secret.
#[derive(Debug)]
pub(crate) struct Registry {
    open: Mutex<HashMap<Secret, Open>>,
    quic: Arc<quic::Server>,
}

#[derive(Debug)]
struct Open {
    plan: Plan,
    connections: mpsc::Sender<Connection>,
    /// Connections that have come.
    bound: HashSet<u16>,
}

/// An open session's entry; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: Arc<Registry>,
    secret: Secret,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.secret);
        self.registry.quic.forget(&self.secret);
    }
}

impl Open {
    /// How many connections it still misses.
    fn misses(&self) -> usize {
        usize::from(self.plan.connections()).saturating_sub(self.bound.len())
    }
}

impl Registry {
    pub(crate) fn new(quic: Arc<quic::Server>) -> Registry {
        Registry { open: Mutex::default(), quic }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Secret, Open>> {
        self.open.lock().expect("no panic while held")
    }

    /// Lets a session's connections in.
    pub(crate) fn open(
        self: &Arc<Self>,
        secret: Secret,
        asked: &Asked,
        connections: mpsc::Sender<Connection>,
    ) -> Entry {
        let Asked { plan, same_host } = asked;
        self.lock().insert(secret, Open { plan: plan.clone(), connections, bound: HashSet::new() });
        if plan.arm.transport == Transport::Quic {
            self.quic.expect(secret, plan, *same_host);
        }
        Entry { registry: self.clone(), secret }
    }

    /// The session that this connection belongs to, if it is one it still misses.
    fn claim(&self, preface: Preface, transport: Transport) -> io::Result<(Plan, mpsc::Sender<Connection>)> {
        let stranger = || io::Error::new(io::ErrorKind::PermissionDenied, "no session misses this connection");
        let mut open = self.lock();
        let session = open.get_mut(&preface.secret).ok_or_else(stranger)?;
        if session.plan.arm.transport != transport
            || preface.number >= session.plan.connections()
            || !session.bound.insert(preface.number)
        {
            return Err(stranger());
        }
        Ok((session.plan.clone(), session.connections.clone()))
    }

    /// Whether this session is open, and still misses a connection.
    fn misses(&self, secret: &Secret) -> bool {
        self.lock().get(secret).is_some_and(|session| session.misses() > 0)
    }

    /// How many connections the open sessions still miss.
    fn missing(&self, transport: Transport) -> usize {
        let open = self.lock();
        open.values().filter(|session| session.plan.arm.transport == transport).map(Open::misses).sum()
    }

    /// Takes TCP connections, with TLS or without.
    pub(crate) async fn tcp_door(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        room: Arc<Room>,
    ) {
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        loop {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    room.cannot_accept(&error).await;
                    continue;
                }
            };
            let mut place = room.enter(from, self.missing(transport));
            let (registry, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                // Over a lossy path TCP's timer may have backed off to minutes (RFC 6298, section 5).
                let is_missed = || registry.missing(transport) > 0;
                // A stranger learns nothing but that the connection is closed.
                match place.prove(registry.take_tcp(stream, tls), is_missed).await {
                    Ok(Ok((connections, connection))) => {
                        drop(place);
                        let _ = connections.send(connection).await;
                    }
                    Ok(Err(error)) => place.failed(&TransportError::from(error).seen_at(End::Server)),
                    Err(left) => place.left(left),
                }
            });
        }
    }

    async fn take_tcp(
        &self,
        mut stream: TcpStream,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<(mpsc::Sender<Connection>, Connection)> {
        match tls {
            None => {
                let preface = Preface::read(&mut stream).await?;
                let (plan, connections) = self.claim(preface, Transport::Tcp)?;
                tcp::tune(&SockRef::from(&stream), &plan).map_err(io::Error::other)?;
                Ok((connections, Connection::Tcp(preface.number, stream)))
            }
            Some(config) => {
                // The tickets are off, so nothing follows the handshake that Nagle could hold up.
                let mut stream = tls::accept_data(config, stream).await?;
                let preface = Preface::read(&mut stream).await?;
                let (plan, connections) = self.claim(preface, Transport::Tls)?;
                tcp::tune(&SockRef::from(stream.get_ref().0.inner()), &plan).map_err(io::Error::other)?;
                Ok((connections, Connection::Tls(preface.number, Box::new(stream))))
            }
        }
    }

    /// Takes QUIC connections; the endpoint lets in only those that a session expects.
    pub(crate) async fn quic_door(self: Arc<Self>, server: Arc<quic::Server>, room: Arc<Room>) {
        while let Some(incoming) = server.accept().await {
            let secret = incoming.secret();
            let mut place = room.enter(incoming.remote_address(), self.missing(Transport::Quic));
            let registry = self.clone();
            tokio::spawn(async move {
                // Over a lossy path the timers of a handshake back off to minutes, too (RFC 9002, section 6.2).
                let is_missed = || registry.misses(&secret);
                let shaken = match place.prove(incoming.handshake(), is_missed).await {
                    Ok(Ok(connection)) => {
                        place.renew();
                        place.prove(quic::accept(connection, secret), || false).await
                    }
                    Ok(Err(error)) => Ok(Err(error)),
                    Err(left) => Err(left),
                };
                let connection = match shaken {
                    Ok(Ok(connection)) => connection,
                    Ok(Err(error)) => return place.failed(&TransportError::from(error).seen_at(End::Server)),
                    Err(left) => return place.left(left),
                };
                drop(place);
                if let Ok((_, connections)) = registry.claim(Preface { secret, number: 0 }, Transport::Quic) {
                    let _ = connections.send(Connection::Quinn(connection)).await;
                }
            });
        }
    }

    /// Takes UDP clients.
    pub(crate) async fn udp_door(self: Arc<Self>, server: udp::Server) {
        loop {
            let Ok(hello) = server.next().await else {
                sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let Ok((_, connections)) = self.claim(hello.preface, Transport::Udp) else { continue };
            match server.connect(&hello) {
                Ok(datagrams) => {
                    let _ = connections.send(Connection::Udp(datagrams)).await;
                }
                // The client asks again.
                Err(_) => {
                    if let Some(session) = self.lock().get_mut(&hello.preface.secret) {
                        session.bound.remove(&hello.preface.number);
                    }
                }
            }
        }
    }
}
