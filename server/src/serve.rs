//! The server: its ports, its limits, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use samepath_model::units::ByteCount;
use samepath_transport::control::{Ports, ServerControl};
use samepath_transport::identity::{self, Fingerprint, Identity};
use samepath_transport::{TransportError, quic, tcp, tls, udp};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::doors::Registry;
use crate::session::{self, Context};

/// What a stranger may make the server hold at once, before it has shown anything.
const MAX_STRANGERS: usize = 256;

/// How long a handshake, and what must follow it at once, may take.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long running sessions may go on once the server is told to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What clients may ask of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once.
    pub sessions: usize,
    /// Longest time limit that a client may set itself.
    pub duration: samepath_model::Duration,
    /// Memory for the books of all sessions together.
    pub memory: ByteCount,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sessions: 64, duration: samepath_model::Duration::from_secs(3600), memory: ByteCount::new(1 << 30) }
    }
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address and port of the control connections. The data ports are this one (QUIC, over UDP)
    /// and the next two; all are chosen by the kernel where this is 0.
    pub listen: SocketAddr,
    /// The secret that clients must know.
    pub token: String,
    /// What they may ask.
    pub limits: Limits,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Not at all.
    #[default]
    Running,
    /// No new sessions; those that run may finish, for a bounded time.
    Draining,
    /// At once.
    Now,
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
    /// The certificate's fingerprint.
    pub fingerprint: String,
}

/// A server whose ports are bound.
#[derive(Debug)]
pub struct Server {
    control: TcpListener,
    tcp: TcpListener,
    tls: TcpListener,
    udp: udp::Server,
    quic: Arc<quic::Server>,
    control_tls: Arc<rustls::ServerConfig>,
    data_tls: Arc<rustls::ServerConfig>,
    address: SocketAddr,
    ports: Ports,
    fingerprint: Fingerprint,
    config: ServerConfig,
}

impl Server {
    /// Binds every port. Call it inside a runtime.
    ///
    /// # Errors
    /// When a port is taken or not permitted, with the remedy.
    pub fn bind(config: ServerConfig) -> Result<Server, TransportError> {
        let identity = Identity::generate()?;
        let port = |up: u16| {
            let port = match config.listen.port() {
                0 => 0,
                port => port.checked_add(up).unwrap_or(0),
            };
            SocketAddr::new(config.listen.ip(), port)
        };
        // TCP first: unlike the UDP port, which sessions share, it shows that another server is here.
        let control = tcp::listen(port(0))?;
        let tcp = tcp::listen(port(1))?;
        let tls = tcp::listen(port(2))?;
        let quic = Arc::new(quic::Server::bind(port(0), &identity)?);
        let udp = udp::Server::bind(port(1))?;
        Ok(Server {
            address: control.local_addr()?,
            ports: Ports {
                tcp: tcp.local_addr()?.port(),
                tls: tls.local_addr()?.port(),
                quic: quic.local_addr()?.port(),
                udp: udp.local_addr().port(),
            },
            control,
            tcp,
            tls,
            udp,
            quic,
            control_tls: Arc::new(identity.server_config(identity::ALPN_CONTROL)?),
            data_tls: Arc::new(identity.server_config(identity::ALPN_DATA)?),
            fingerprint: identity.fingerprint(),
            config,
        })
    }

    /// Where it can be reached.
    pub fn ready(&self) -> Ready {
        Ready {
            control: self.address.to_string(),
            tcp_port: self.ports.tcp,
            tls_port: self.ports.tls,
            quic_port: self.ports.quic,
            udp_port: self.ports.udp,
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
        let registry = Arc::new(Registry::new(self.quic.clone()));
        let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
        // Dropped with this function, and every door with it.
        let mut doors = JoinSet::new();
        doors.spawn(registry.clone().tcp_door(self.tcp, None, strangers.clone()));
        doors.spawn(registry.clone().tcp_door(self.tls, Some(self.data_tls), strangers.clone()));
        doors.spawn(registry.clone().quic_door(self.quic.clone(), strangers.clone()));
        doors.spawn(registry.clone().udp_door(self.udp));

        let context = Arc::new(Context {
            token: self.config.token,
            ports: self.ports,
            limits: self.config.limits,
            registry,
            slots: Arc::new(Semaphore::new(self.config.limits.sessions)),
            memory: std::sync::atomic::AtomicU64::new(0),
            log: Box::new(log),
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
                        let Ok(stranger) = strangers.clone().try_acquire_owned() else { continue };
                        let (context, tls, shutdown) =
                            (context.clone(), self.control_tls.clone(), shutdown.clone());
                        sessions.spawn(async move {
                            if let Some((control, asked)) = hear(stream, tls, &context, from).await {
                                drop(stranger);
                                session::run(control, asked, from, &context, shutdown).await;
                            }
                        });
                    }
                    // Out of descriptors, most likely: wait for sessions to give some back.
                    Err(error) => {
                        (context.log)(&format!("cannot accept a connection: {error}"));
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = sessions.join_next() => {}
                changed = shutdown.changed() => if changed.is_err() {
                    break;
                },
                () = async { end.as_mut().expect("it is asked for only where it is set").await }, if end.is_some() => {
                    (context.log)("some sessions did not end in time");
                    break;
                }
            }
        }
        self.quic.close();
        sessions.shutdown().await;
    }
}

/// The handshake of a control connection, and what its client wants.
async fn hear(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    context: &Context,
    from: SocketAddr,
) -> Option<(ServerControl, samepath_transport::control::Asked)> {
    let heard = timeout(HANDSHAKE_LIMIT, async {
        stream.set_nodelay(true)?;
        let stream = tls::accept(config, stream).await?;
        ServerControl::accept(stream, &context.token).await
    })
    .await;
    match heard {
        Ok(Ok(heard)) => return Some(heard),
        Ok(Err(error)) => (context.log)(&format!("{from}: {error}")),
        Err(_) => (context.log)(&format!("{from}: no request within {} s", HANDSHAKE_LIMIT.as_secs())),
    }
    None
}
