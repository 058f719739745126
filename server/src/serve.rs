//! The server: its ports, what it serves, and its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use samepath_model::Transport;
use samepath_transport::connection::Listeners;
use samepath_transport::control::{Asked, ServerControl};
use samepath_transport::identity::{self, Fingerprint, Identity};
use samepath_transport::{TransportError, listen, tcp, tls};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::limits::Limits;
use crate::listeners::Registry;
use crate::log::Log;
use crate::pool::{Pool, Slot};
use crate::session::{self, Context};
use crate::shutdown::Shutdown;

/// How long running sessions may go on once the server is told to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address and port of the control connections. The data ports are this one (QUIC, over UDP)
    /// and the next two (TCP and UDP, TLS); all five are chosen by the kernel, each by itself, where this is 0.
    pub listen: SocketAddr,
    /// The secret that clients must know.
    pub token: String,
    /// What they may ask.
    pub limits: Limits,
    /// Servers that it stands for, each with three ports in a row of its own: a workload may need several.
    pub servers: u16,
    /// Where the payments of workloads that have some are recorded, a line each.
    pub book: Option<PathBuf>,
}

/// Where a server can be reached, once everything is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Address and port of the control connections.
    pub control: String,
    /// Port for TCP.
    pub tcp_port: u16,
    /// Port for TLS over TCP.
    pub tls_port: u16,
    /// Port for QUIC.
    pub quic_port: u16,
    /// Port for plain UDP.
    pub udp_port: u16,
    /// Servers that it stands for; each after the first has its ports three above those of the one before.
    pub servers: u16,
    /// The certificate's fingerprint.
    pub fingerprint: String,
}

/// A server whose ports are bound.
#[derive(Debug)]
pub struct Server {
    control: TcpListener,
    control_tls: Arc<rustls::ServerConfig>,
    address: SocketAddr,
    /// Of each server.
    listeners: Vec<Listeners>,
    fingerprint: Fingerprint,
    config: ServerConfig,
}

impl Server {
    /// Binds every port. Call it inside a runtime.
    ///
    /// # Errors
    /// When a port is taken, not permitted or does not exist, with the remedy.
    pub fn bind(mut config: ServerConfig) -> Result<Server, TransportError> {
        config.limits.sessions = config.limits.sessions.clamp(1, Semaphore::MAX_PERMITS);
        let identity = Identity::generate()?;
        let all = ports(config.listen.port(), config.servers)?;
        let control = tcp::listen(SocketAddr::new(config.listen.ip(), config.listen.port()))?;
        let listeners = (0..).zip(all).map(|(number, [first, second, third])| {
            let port = |transport| match transport {
                Transport::Quic => first,
                Transport::Tcp | Transport::Udp => second,
                Transport::Tls => third,
            };
            listen(|transport| SocketAddr::new(config.listen.ip(), port(transport)), number, &identity)
        });
        let listeners = listeners.collect::<Result<_, _>>()?;
        Ok(Server {
            address: control.local_addr()?,
            control,
            control_tls: Arc::new(identity.server_config(identity::ALPN_CONTROL)?),
            listeners,
            fingerprint: identity.fingerprint(),
            config,
        })
    }

    /// Where it can be reached.
    pub fn ready(&self) -> Ready {
        let first = &self.listeners.first().expect("it stands for one server at least").ports;
        let port = |transport| first.get(transport).expect("every transport has its port");
        Ready {
            control: self.address.to_string(),
            tcp_port: port(Transport::Tcp),
            tls_port: port(Transport::Tls),
            quic_port: port(Transport::Quic),
            udp_port: port(Transport::Udp),
            servers: self.config.servers,
            fingerprint: self.fingerprint.to_string(),
        }
    }

    /// Address and port of the control connections.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate's fingerprint.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Serves until `shutdown` says otherwise, and `log` what happens, a line each.
    pub async fn serve(self, mut shutdown: watch::Receiver<Shutdown>, log: impl Fn(&str) + Send + Sync + 'static) {
        let (mut all, mut admissions, mut ports) = (Vec::new(), Vec::new(), Vec::new());
        for server in self.listeners {
            let Listeners { tcp, tls, quic, udp, admission, ports: its } = server;
            all.push((tcp, tls, quic, udp));
            admissions.push(admission);
            ports.push(its);
        }
        let registry = Arc::new(Registry::new(admissions));
        let log = Arc::new(Log::new(log));
        let limits = self.config.limits;
        let proof = limits.proof.std();
        let pool = |name, patience| Pool::new(name, patience, log.clone());
        // Dropped with this function, and every listener with it.
        let mut listeners = JoinSet::new();
        for (number, (tcp, tls, quic, udp)) in (0..).zip(all) {
            listeners.spawn(registry.clone().accept(number, tcp, pool("TCP connection", proof)));
            listeners.spawn(registry.clone().accept(number, tls, pool("TLS connection", proof)));
            listeners.spawn(registry.clone().accept(number, quic, pool("QUIC connection", 6 * proof)));
            listeners.spawn(registry.clone().accept_udp(number, udp));
        }
        let summed = log.clone();
        listeners.spawn(async move { summed.keep().await });

        let control = pool("control connection", proof);
        let context = Arc::new(Context {
            token: self.config.token,
            ports,
            limits,
            registry: registry.clone(),
            permits: Arc::new(Semaphore::new(limits.sessions)),
            memory: std::sync::atomic::AtomicU64::new(0),
            book: self.config.book,
            log: log.clone(),
        });
        let mut sessions = JoinSet::new();
        let mut end = None;
        loop {
            let stage = *shutdown.borrow_and_update();
            if stage == Shutdown::Now || (stage == Shutdown::Draining && context.is_idle()) {
                break;
            }
            if stage == Shutdown::Draining && end.is_none() {
                end = Some(Box::pin(sleep(DRAIN_LIMIT)));
            }
            tokio::select! {
                accepted = self.control.accept() => match accepted {
                    Ok((stream, from)) => {
                        let from = tcp::canonical(from);
                        let slot = control.enter(from, 0);
                        let (context, tls, shutdown) =
                            (context.clone(), self.control_tls.clone(), shutdown.clone());
                        sessions.spawn(async move {
                            if let Some((control, asked)) = hear(stream, tls, &context.token, slot).await {
                                session::run(control, asked, from, &context, shutdown).await;
                            }
                        });
                    }
                    Err(error) => control.cannot_accept(&error).await,
                },
                Some(_) = sessions.join_next() => {}
                changed = shutdown.changed() => if changed.is_err() {
                    break;
                },
                () = async { end.as_mut().expect("it is asked for only where it is set").await }, if end.is_some() => {
                    log.say("some sessions did not end in time");
                    break;
                }
            }
        }
        registry.close();
        sessions.shutdown().await;
        log.sum_up();
    }
}

/// The ports of so many servers: the port itself and the next two, the three after those, and so on; where it is 0, the
/// kernel chooses each.
///
/// # Errors
/// When there are not so many above it.
pub(crate) fn ports(first: u16, servers: u16) -> Result<Vec<[u16; 3]>, TransportError> {
    const OF_A_SERVER: u16 = 3;
    if first == 0 {
        return Ok(vec![[0; 3]; usize::from(servers)]);
    }
    let last = u16::MAX - (OF_A_SERVER * servers - 1);
    if first > last {
        return Err(TransportError::NoPortsAbove { port: first, more: OF_A_SERVER * servers - 1, last });
    }
    let of = |server: u16| first + OF_A_SERVER * server;
    Ok((0..servers).map(|server| [of(server), of(server) + 1, of(server) + 2]).collect())
}

/// The handshake of a control connection, and what its client wants. Who has the token is told in words why there is no
/// session; so is whoever gets as far as TLS.
async fn hear(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    token: &str,
    mut slot: Slot,
) -> Option<(ServerControl, Asked)> {
    let _ = stream.set_nodelay(true);
    let mut control = match slot.prove(tls::accept(config, stream), || false).await {
        Ok(Ok(stream)) => match ServerControl::new(stream) {
            Ok(control) => control,
            Err(error) => {
                slot.failed(&error);
                return None;
            }
        },
        Ok(Err(error)) => {
            slot.failed(&error);
            return None;
        }
        Err(left) => {
            slot.left(left);
            return None;
        }
    };
    match slot.prove(control.hear(token), || false).await {
        Ok(Ok(asked)) => return Some((control, asked)),
        Ok(Err(error)) => slot.failed(&error),
        Err(left) => {
            slot.left(left);
            // What the socket takes at once: nobody waits any longer for a peer that has not authenticated.
            let _ = timeout(Duration::ZERO, control.refuse(&left.to_string())).await;
        }
    }
    None
}
