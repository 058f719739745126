//! Listeners of the data ports: each connection must show the secret of an open session.
//!
//! Until it has, it holds a slot of its listener's [pool](crate::pool). UDP needs none: a datagram begins with a preface
//! that has a session's secret, or it is dropped; one that asks for a name is answered where that session looks one up. On QUIC's listener nothing waits but a connection whose first packet has the ID
//! that an open session expects, of which there is one at a time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use samepath_model::Transport;
use samepath_model::record::End;
use samepath_transport::connection::{Admission, Incoming, Listener};
use samepath_transport::control::Asked;
use samepath_transport::credentials::{Preface, Secret};
use samepath_transport::lookup::Lookup;
use samepath_transport::{Connection, Plan, TransportError, udp};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::pool::{Pool, Slot};

/// The open sessions, by secret.
#[derive(Debug)]
pub(crate) struct Registry {
    open: Mutex<HashMap<Secret, Open>>,
    /// Of each server.
    admission: Vec<Admission>,
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
        self.registry.admission.iter().for_each(|server| server.forget(&self.secret));
    }
}

impl Open {
    /// How many connections to this server it still misses.
    fn misses(&self, server: u16) -> usize {
        /// Those that a client makes for its messages at a time.
        const AT_A_TIME: usize = 256;
        if self.plan.connects_as_released() {
            return if server < self.plan.workload.servers() { AT_A_TIME } else { 0 };
        }
        let is_missed =
            |number: &u16| self.plan.server_of_connection(*number) == server && !self.bound.contains(number);
        (0..self.plan.connections()).filter(is_missed).count()
    }
}

/// How many times as long as its handshake a QUIC connection may take to say whose it is: the client's timer, which goes on
/// from where the handshake has left it, doubles with each packet that is lost (RFC 9002, section 6.2), so this is four of them.
const BACK_OFF: u32 = 16;

impl Registry {
    pub(crate) fn new(admission: Vec<Admission>) -> Registry {
        Registry { open: Mutex::default(), admission }
    }

    /// Ends every connection that was let in before it had proven anything.
    pub(crate) fn close(&self) {
        self.admission.iter().for_each(Admission::close);
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
        let servers = self.admission.iter().take(usize::from(plan.workload.servers()));
        servers.for_each(|server| server.expect(secret, plan, *same_host));
        Entry { registry: self.clone(), secret }
    }

    /// The session that this connection to a server belongs to, if it is one it still misses.
    fn claim(
        &self,
        preface: Preface,
        transport: Transport,
        server: u16,
    ) -> io::Result<(Plan, mpsc::Sender<Connection>)> {
        let refused = || io::Error::new(io::ErrorKind::PermissionDenied, "no session misses this connection");
        let mut open = self.lock();
        let session = open.get_mut(&preface.secret).ok_or_else(refused)?;
        if session.plan.arm.transport != transport
            || session.plan.server_of_connection(preface.number) != server
            || !(session.plan.connects_as_released()
                || preface.number < session.plan.connections() && session.bound.insert(preface.number))
        {
            return Err(refused());
        }
        Ok((session.plan.clone(), session.connections.clone()))
    }

    /// The lookup of a name with which the open session of this secret begins.
    fn lookup_of(&self, secret: &Secret) -> Option<Lookup> {
        self.lock().get(secret).and_then(|session| Lookup::of(&session.plan))
    }

    /// Whether a session with this secret is open, and still misses a connection to this server.
    fn misses(&self, secret: &Secret, server: u16) -> bool {
        self.lock().get(secret).is_some_and(|session| session.misses(server) > 0)
    }

    /// How many connections to this server the open sessions still miss.
    fn missing(&self, transport: Transport, server: u16) -> usize {
        let open = self.lock();
        let sessions = open.values().filter(|session| session.plan.arm.transport == transport);
        sessions.map(|session| session.misses(server)).sum()
    }

    /// Takes the connections of a data port of the server of this number.
    pub(crate) async fn accept(self: Arc<Self>, server: u16, listener: Listener, pool: Arc<Pool>) {
        let transport = listener.transport();
        loop {
            match listener.accept().await {
                Ok(Some(incoming)) => {
                    let slot = pool.enter(incoming.remote_address(), self.missing(transport, server));
                    tokio::spawn(self.clone().admit(server, incoming, transport, slot));
                }
                Ok(None) => return,
                Err(error) => pool.cannot_accept(&error).await,
            }
        }
    }

    /// Hands a connection over to its session, once it has shown which that is.
    async fn admit(self: Arc<Self>, server: u16, incoming: Incoming, transport: Transport, mut slot: Slot) {
        let (expected_by, begun) = (incoming.expected_by(), Instant::now());
        // Over a lossy path the timers of TCP (RFC 6298, section 5) and of a handshake of QUIC (RFC 9002, section 6.2)
        // may have backed off to minutes.
        let shown = match expected_by {
            None => {
                let shown = async { incoming.handshake().await?.preface().await };
                slot.prove(shown, || self.missing(transport, server) > 0).await
            }
            Some(secret) => match slot.prove(incoming.handshake(), || self.misses(&secret, server)).await {
                Ok(Ok(unclaimed)) => {
                    slot.renew(begun.elapsed() * BACK_OFF);
                    slot.prove(unclaimed.preface(), || false).await
                }
                Ok(Err(error)) => Ok(Err(error)),
                Err(left) => Err(left),
            },
        };
        // An unauthenticated peer learns nothing but that the connection is closed.
        let (preface, connection) = match shown {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => return slot.failed(&error.seen_at(End::Server)),
            Err(left) => return slot.left(left),
        };
        let claimed = self.claim(preface, transport, server).map_err(TransportError::from);
        let claimed = claimed.and_then(|(plan, connections)| connection.tune(&plan).map(|()| connections));
        match claimed {
            Ok(connections) => {
                drop(slot);
                let _ = connections.send(connection).await;
            }
            // It was expected, so its client has authenticated: its session has ended since, or has its connection.
            Err(_) if expected_by.is_some() => {}
            Err(error) => slot.failed(&error.seen_at(End::Server)),
        }
    }

    /// Takes UDP clients of the server of this number.
    pub(crate) async fn accept_udp(self: Arc<Self>, server: u16, socket: udp::Server) {
        loop {
            let Ok(hello) = socket.next().await else {
                sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            if let Some(query) = &hello.query {
                if let Some(lookup) = self.lookup_of(&hello.preface.secret) {
                    socket.answer(&hello, &lookup.answer(hello.preface, query));
                }
                continue;
            }
            let Ok((_, connections)) = self.claim(hello.preface, Transport::Udp, server) else { continue };
            match socket.connect(&hello) {
                Ok(datagrams) => {
                    let _ = connections.send(Connection::Udp(hello.preface.number, datagrams)).await;
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
