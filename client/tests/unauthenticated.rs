//! Whoever has no token: many on every listener, idle, while a client that has it works; and clients that
//! behave badly.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use samepath_client::play;
use samepath_model::arm::{Arm, Transport};
use samepath_model::link::Direction;
use samepath_model::units::Duration;
use samepath_server::Limits;
use samepath_transport::control::{self, Request};
use samepath_transport::credentials::{Preface, Secret};
use samepath_transport::identity::{self, Pin};
use samepath_transport::stack::quinn as quic;
use samepath_transport::{TransportError, tls};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use support::{Running, bytes, plan, serve, serve_with};

/// Far longer than anything here takes; a test that waits so long has failed.
const NEVER: StdDuration = StdDuration::from_secs(60);

/// Unauthenticated connections from one address: more than it has slots of a listener.
const IDLE: usize = 70;

/// Connects from an address of this host.
async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// The preface of a session's first connection.
const fn first(secret: Secret) -> Preface {
    Preface { secret, number: 0 }
}

async fn play_all(server: &Running) {
    for transport in Transport::ALL {
        let played = server.play(&plan(Arm::default_of(transport), bytes(Direction::Down, 1, 100_000))).await;
        assert!(played.report.complete, "{transport}");
    }
}

#[tokio::test]
async fn idle_connections_at_a_door_keep_no_client_out() {
    let server = serve();
    let ip = server.address.ip();
    for port in [server.address.port(), server.ready.tcp_port, server.ready.tls_port] {
        let mut idle = Vec::new();
        // Of the client's own address, and of so many others that the listener is full.
        for address in 1..=4 {
            for _ in 0..IDLE {
                idle.push(connect([127, 0, 0, address].into(), (ip, port).into()).await);
            }
        }
        play_all(&server).await;
        // Somebody gave way, and the log says so, in a few lines.
        let closed = idle.iter().filter(|connection| connection.try_read(&mut [0; 1]).is_ok_and(|n| n == 0)).count();
        assert!(closed >= 4 * IDLE - 192, "port {port}: {closed} of {} were closed", idle.len());
    }
    let log = server.log.lock().unwrap();
    let gave_way = log.iter().filter(|line| line.contains("gave way")).count();
    assert!((1..=10 * 6).contains(&gave_way), "{log:#?}");
}

#[tokio::test]
async fn handshakes_by_udp_and_quic_keep_no_client_out() {
    let server = serve();
    let ip = server.address.ip();
    // Handshakes of those who do not know which first packet is expected.
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 1000));
    let Pin::Exactly(fingerprint) = server.pin else { unreachable!("it pins") };
    let mut handshakes = tokio::task::JoinSet::new();
    for _ in 0..IDLE {
        let plan = plan.clone();
        let to = (ip, server.ready.quic_port).into();
        handshakes
            .spawn(async move { quic::connect(to, &plan, fingerprint, first(identity::random())).await.map(drop) });
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for number in 0..1000 {
        let preface = Preface { secret: identity::random(), number }.encode();
        socket.send_to(&preface, (ip, server.ready.udp_port)).await.unwrap();
        // The query of a name, which no session with such a secret looks up.
        let query = Preface { secret: identity::random(), number: Preface::OF_QUERY }.encode();
        let query = [&query[..], &[0; 66]].concat();
        socket.send_to(&query, (ip, server.ready.udp_port)).await.unwrap();
    }
    play_all(&server).await;
    assert!(handshakes.try_join_next().is_none(), "none has got an answer of any kind");
    assert!(socket.try_recv(&mut [0; 100]).is_err());
}

#[tokio::test]
async fn the_unauthenticated_are_refused_beside_a_long_session() {
    let limits = Limits { proof: Duration::from_millis(100), ..Limits::default() };
    let server = serve_with(limits);
    let ip = server.address.ip();
    let missing = plan(Arm::default_of(Transport::Tls), bytes(Direction::Down, 1, 1000));
    let session = control::connect(&[server.address], server.pin, support::TOKEN, &missing).await.unwrap();
    // On this listener the session still misses a connection, which it could be.
    let mut may_be_it = TcpStream::connect((ip, server.ready.tls_port)).await.unwrap();
    for port in [server.address.port(), server.ready.tcp_port] {
        let mut idle = TcpStream::connect((ip, port)).await.unwrap();
        let read = timeout(NEVER, idle.read(&mut [0; 1])).await.expect("it does not wait for the session");
        assert_eq!(read.unwrap(), 0, "port {port}");
    }
    assert!(may_be_it.try_read(&mut [0; 1]).is_err(), "it came first, and is still there");
    drop(session);
    assert_eq!(timeout(NEVER, may_be_it.read(&mut [0; 1])).await.expect("now nobody expects it").unwrap(), 0);
    // With TLS it can be said in words.
    assert!(farewell(silent(&server).await).await.contains("nothing was proven within 0.1 s"));
    let log = server.log.lock().unwrap();
    for listener in ["control", "TCP", "TLS"] {
        let what = format!("{listener} connection: nothing was proven");
        assert!(log.iter().any(|line| line.contains(&what)), "{listener}: {log:#?}");
    }
}

type Silent = tokio_rustls::client::TlsStream<TcpStream>;

/// A control connection that has TLS, and says nothing.
async fn silent(server: &Running) -> Silent {
    let (config, _) = identity::client_config(Pin::ProvenByToken, identity::ALPN_CONTROL).unwrap();
    tls::handshake(config, TcpStream::connect(server.address).await.unwrap()).await.unwrap()
}

async fn farewell(mut stream: Silent) -> String {
    let mut said = Vec::new();
    timeout(NEVER, stream.read_to_end(&mut said)).await.expect("it ends").unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_gives_way_is_told_where_it_can_be() {
    let server = serve();
    let first = silent(&server).await;
    let mut others = Vec::new();
    for _ in 0..IDLE {
        others.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert!(farewell(first).await.contains("too many connections wait"));
    play_all(&server).await;
}

#[tokio::test]
async fn a_stalled_quic_connection_makes_way() {
    let server = serve_with(Limits { proof: Duration::from_millis(100), ..Limits::default() });
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 1000));
    let control = control::connect(&[server.address], server.pin, support::TOKEN, &plan).await.unwrap();
    let to = (server.address.ip(), control.ports(Transport::Quic).unwrap()[0]).into();
    // It has a connection, but never says whose it is.
    let (stalled, _endpoint) = quic::connect(to, &plan, control.fingerprint, first(control.secret)).await.unwrap();
    timeout(NEVER, stalled.closed()).await.expect("it does not wait for the session");
    let next = timeout(NEVER, quic::connect(to, &plan, control.fingerprint, first(control.secret))).await;
    assert!(next.expect("it gets an answer").is_ok());
    let log = server.log.lock().unwrap();
    assert!(log.iter().any(|line| line.contains("QUIC connection: nothing was proven")), "{log:#?}");
}

/// Passes datagrams on to the server at once, and its answers back after a while. Gives the address to send to.
async fn slow_relay(to: SocketAddr, back: StdDuration) -> SocketAddr {
    let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let address = near.local_addr().unwrap();
    far.connect(to).await.unwrap();
    tokio::spawn(async move {
        let (mut up, mut down, mut client) = ([0; 2000], [0; 2000], None);
        loop {
            tokio::select! {
                got = near.recv_from(&mut up) => {
                    let (size, from) = got.unwrap();
                    client = Some(from);
                    let _ = far.send(&up[..size]).await;
                }
                Ok(size) = far.recv(&mut down) => {
                    let (near, answer, client) = (near.clone(), down[..size].to_vec(), client.expect("it asked"));
                    tokio::spawn(async move {
                        tokio::time::sleep(back).await;
                        let _ = near.send_to(&answer, client).await;
                    });
                }
            }
        }
    });
    address
}

/// Over a path that loses much, the timers of a handshake back off for longer than an unauthenticated peer may wait.
#[tokio::test]
async fn an_open_session_waits_for_slow_quic_handshakes() {
    let server = serve_with(Limits { proof: Duration::from_millis(100), ..Limits::default() });
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 1000));
    let control = control::connect(&[server.address], server.pin, support::TOKEN, &plan).await.unwrap();
    let quic = (server.address.ip(), control.ports(Transport::Quic).unwrap()[0]).into();
    let relay = slow_relay(quic, StdDuration::from_millis(1500)).await;
    let connected = timeout(NEVER, quic::connect(relay, &plan, control.fingerprint, first(control.secret))).await;
    assert!(connected.expect("it ends").is_ok());
    let log = server.log.lock().unwrap();
    assert!(!log.iter().any(|line| line.contains("nothing was proven")), "{log:#?}");
}

/// What follows a slow handshake may be as slow: the client's timer goes on from where the handshake has left it.
#[tokio::test]
async fn a_slow_handshake_may_be_slow_afterwards() {
    let server = serve_with(Limits { proof: Duration::from_millis(50), ..Limits::default() });
    let plan = plan(Arm::default_of(Transport::Quic), bytes(Direction::Down, 1, 1000));
    let control = control::connect(&[server.address], server.pin, support::TOKEN, &plan).await.unwrap();
    let quic = (server.address.ip(), control.ports(Transport::Quic).unwrap()[0]).into();
    let relay = slow_relay(quic, StdDuration::from_millis(700)).await;
    let (slow, _endpoint) = quic::connect(relay, &plan, control.fingerprint, first(control.secret)).await.unwrap();
    // Several times what others get, and a fraction of what it does.
    assert!(timeout(StdDuration::from_secs(2), slow.closed()).await.is_err(), "it was sent away");
    let log = server.log.lock().unwrap();
    assert!(!log.iter().any(|line| line.contains("nothing was proven")), "{log:#?}");
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_session() {
    let server = serve_with(Limits { sessions: 1, slack: Duration::from_secs(6), ..Limits::default() });
    let mut plan = plan(Arm::default_of(Transport::Tcp), bytes(Direction::Down, 1, 1000));
    plan.time_limit = Duration::from_secs(1);
    let mut deaf = control::connect(&[server.address], server.pin, support::TOKEN, &plan).await.unwrap();
    // It asks and asks, and never hears an answer, until the server can say no more and so no longer listens.
    while timeout(StdDuration::from_secs(1), deaf.send(&Request::Ping)).await.is_ok_and(|sent| sent.is_ok()) {}
    let error = play(&server.target(), &plan, |_| {}).await.unwrap_err();
    assert!(matches!(&error, TransportError::Refused(reason) if reason.contains("full")), "it is stuck: {error}");
    // What ends it is its time alone; then the server hangs up.
    while timeout(NEVER, deaf.send(&Request::Ping)).await.expect("it is over some day").is_ok() {}
    assert!(server.log.lock().unwrap().iter().any(|line| line.contains("the session's time is over")));
    assert!(server.play(&plan).await.report.complete);
}
