//! The control connection: who may, what is to be played, when it starts, what came of it.
//!
//! TLS 1.3 over TCP, beside the measured connections. Both ends open with eight fixed bytes and
//! their protocol version, so that a stranger or another version is told as such. Then messages:
//! a kind byte, a length, and JSON (small things) or postcard (reports).
//!
//! **Token.** Both ends know a shared secret and prove it with an HMAC over a value exported from
//! the TLS session (RFC 5705, RFC 9266's channel binding), a different one for each role. The
//! proof is worth nothing on any other connection, so someone in between cannot pass it on; the
//! server's proof thereby authenticates its certificate where no fingerprint was given. A weak
//! token can be guessed off-line by an impostor whom a client connects to: use the random one that
//! the server makes.
//!
//! ```text
//! client                      server
//!   Hello  ─────────────────▶          proof
//!          ◀─────────────── Proven     proof                            (or Refused)
//!   Open   ─────────────────▶          plan
//!          ◀─────────────── Welcome    secret of the session, ports     (or Refused)
//!   Ping   ─────────────────▶ ◀─ Pong  a few times: the offset of the clocks
//!          ◀─────────────── Reached    the server's half is bound, warm, finished
//!   Start  ─────────────────▶          the epoch, on the server's clock
//!   PeerFinished ───────────▶          the client, as sender, has sent everything
//!   Collect ────────────────▶
//!          ◀─────────────── Report     (or, at any time, Failed)
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::clock;
use crate::credentials::Secret;
use crate::identity::{self, Fingerprint, Pin, random};
use crate::plan::Plan;
use crate::report::{HalfReport, Phase};
use crate::{TransportError, reach, tls};

/// The protocol's version: both ends must speak the same.
pub const VERSION: u32 = 3;

const MAGIC: [u8; 8] = *b"samepath";

/// The longest control message a server reads.
pub const MAX_REQUEST: usize = 64 << 10;
/// The longest a client reads: the report of the largest workload.
const MAX_REPORT: usize = 512 << 20;

/// How long the other end may take to answer where nothing has to be played first.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Where the server takes data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// TCP.
    pub tcp: u16,
    /// TLS over TCP.
    pub tls: u16,
    /// QUIC, over UDP.
    pub quic: u16,
    /// Plain UDP.
    pub udp: u16,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Who speaks. Nothing else is said to a server that has proven nothing yet.
    Hello {
        /// HMAC by the token over the TLS session, as client.
        proof: [u8; 32],
    },
    /// Opens a session.
    Open {
        /// What is to be played.
        plan: Box<Plan>,
        /// Hash of the client's boot id: the same one means the same clock.
        host: [u8; 32],
    },
    /// Asks for the server's clock.
    Ping,
    /// The schedule starts at this instant of the server's clock.
    Start {
        /// CLOCK_MONOTONIC of the server, nanoseconds.
        epoch_ns: u64,
    },
    /// The client, as receiver, has the whole warm-up.
    PeerWarm,
    /// The client, as sender, has handed over everything.
    PeerFinished,
    /// Asks for the server's report, and so ends the session.
    Collect,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Who answers; said to a client alone that has proven itself.
    Proven {
        /// HMAC by the token over the TLS session, as server.
        proof: [u8; 32],
    },
    /// The session is open.
    Welcome {
        /// To be shown by data connections.
        secret: Secret,
        /// Where they go.
        ports: Ports,
        /// Hash of the server's boot id.
        host: [u8; 32],
    },
    /// No session, and why.
    Refused {
        /// For people.
        reason: String,
    },
    /// The server's clock.
    Pong {
        /// CLOCK_MONOTONIC of the server, nanoseconds.
        now_ns: u64,
    },
    /// How far the server's half has come.
    Reached(Phase),
    /// The server's half failed.
    Failed {
        /// For people.
        reason: String,
    },
}

/// Hash of this boot's id: equal at both ends means one host, and so one CLOCK_MONOTONIC.
fn host() -> [u8; 32] {
    match std::fs::read("/proc/sys/kernel/random/boot_id") {
        Ok(id) => Sha256::digest(id).into(),
        // Never equal to anybody's.
        Err(_) => random(),
    }
}

/// Which end proves.
#[derive(Debug, Clone, Copy)]
enum Prover {
    Client,
    Server,
}

/// A TLS session's own value, the same at both of its ends and nowhere else.
type Binding = [u8; 32];

fn mac(token: &str, prover: Prover, binding: &Binding) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(match prover {
        Prover::Client => b"samepath client",
        Prover::Server => b"samepath server",
    });
    mac.update(binding);
    mac
}

fn prove(token: &str, prover: Prover, binding: &Binding) -> [u8; 32] {
    mac(token, prover, binding).finalize().into_bytes().into()
}

/// In constant time.
fn is_proven(token: &str, prover: Prover, binding: &Binding, proof: &[u8; 32]) -> bool {
    mac(token, prover, binding).verify_slice(proof).is_ok()
}

fn binding(stream: &TlsStream<TcpStream>) -> Result<Binding, TransportError> {
    const LABEL: &[u8] = b"EXPORTER-samepath-token";
    Ok(match stream {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None)?,
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None)?,
    })
}

/// Reads whole messages; cancel-safe, so that it may wait beside other things.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
    limit: usize,
}

/// A message as it crossed the wire.
#[derive(Debug, PartialEq)]
enum Raw {
    Json(Vec<u8>),
    Report(Vec<u8>),
}

const JSON: u8 = b'J';
const REPORT: u8 = b'R';

impl<S: AsyncRead + Unpin> Reader<S> {
    fn new(stream: S, limit: usize) -> Self {
        Reader { stream, buffer: Vec::new(), limit }
    }

    async fn fill(&mut self, to: usize) -> Result<(), TransportError> {
        while self.buffer.len() < to {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(TransportError::Gone),
                Ok(_) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }

    async fn raw(&mut self) -> Result<Raw, TransportError> {
        self.fill(5).await?;
        let kind = self.buffer[0];
        let len = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]) as usize;
        if len > self.limit {
            return Err(TransportError::Control(format!(
                "a message of {len} bytes, more than the {} allowed",
                self.limit
            )));
        }
        self.fill(5 + len).await?;
        let rest = self.buffer.split_off(5 + len);
        let mut message = std::mem::replace(&mut self.buffer, rest);
        message.drain(..5);
        match kind {
            JSON => Ok(Raw::Json(message)),
            REPORT => Ok(Raw::Report(message)),
            _ => Err(TransportError::Control("a message of unknown kind".into())),
        }
    }

    async fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, TransportError> {
        match self.raw().await? {
            Raw::Json(bytes) => parse(&bytes),
            Raw::Report(_) => Err(TransportError::Control("a report where none was asked for".into())),
        }
    }

    /// Reads the peer's opening bytes.
    async fn opening(&mut self) -> Result<u32, TransportError> {
        self.fill(12).await?;
        let opening: Vec<u8> = self.buffer.drain(..12).collect();
        if opening[..8] != MAGIC {
            return Err(TransportError::Control("the peer does not speak this protocol".into()));
        }
        Ok(u32::from_be_bytes([opening[8], opening[9], opening[10], opening[11]]))
    }
}

fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, TransportError> {
    serde_json::from_slice(bytes)
        .map_err(|error| TransportError::Control(format!("a message that cannot be read: {error}")))
}

/// Writes whole messages.
#[derive(Debug)]
pub struct Writer<S> {
    stream: S,
}

impl<S: AsyncWrite + Unpin> Writer<S> {
    async fn raw(&mut self, kind: u8, bytes: &[u8]) -> Result<(), TransportError> {
        let len = u32::try_from(bytes.len())
            .map_err(|_| TransportError::Control(format!("a report of {} bytes is too large", bytes.len())))?;
        let mut message = Vec::with_capacity(5 + bytes.len());
        message.push(kind);
        message.extend_from_slice(&len.to_be_bytes());
        message.extend_from_slice(bytes);
        self.stream.write_all(&message).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)?;
        Ok(())
    }

    async fn json<T: Serialize>(&mut self, value: &T) -> Result<(), TransportError> {
        let bytes = serde_json::to_vec(value).expect("control messages always have a JSON form");
        self.raw(JSON, &bytes).await
    }

    async fn opening(&mut self) -> Result<(), TransportError> {
        self.stream.write_all(&[&MAGIC[..], &VERSION.to_be_bytes()].concat()).await.map_err(broken)?;
        Ok(())
    }
}

type Stream = TlsStream<TcpStream>;

/// The client's end of an open session.
#[derive(Debug)]
pub struct ClientControl {
    reader: Reader<ReadHalf<Stream>>,
    writer: Writer<WriteHalf<Stream>>,
    /// Where the server was reached.
    pub address: SocketAddr,
    /// The certificate that data connections must present.
    pub fingerprint: Fingerprint,
    /// To be shown by data connections.
    pub secret: Secret,
    /// Where they go.
    pub ports: Ports,
    /// Whether both ends run on one boot of one kernel.
    pub same_host: bool,
}

/// The offset between two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// The server's clock minus the client's, in nanoseconds.
    pub offset_ns: i64,
    /// Bound of its error: half the best round trip (Cristian 1989).
    pub error_ns: u64,
    /// The best round trip of the control connection.
    pub rtt_ns: u64,
}

impl ClockOffset {
    /// An instant of the client's clock on the server's.
    pub const fn to_server(self, client_ns: u64) -> u64 {
        client_ns.saturating_add_signed(self.offset_ns)
    }

    /// An instant of the server's clock on the client's.
    pub const fn to_client(self, server_ns: u64) -> u64 {
        server_ns.saturating_add_signed(-self.offset_ns)
    }
}

/// Opens a session at the first of a host's addresses that answers ([`reach::tcp`]). Where that turns out to be no
/// samepath server, the others are tried in its place.
///
/// # Errors
/// When nobody, a stranger or an impostor answers, or the server refuses. Where there are several addresses and none
/// leads to a server, each with its cause.
pub async fn connect(
    addresses: &[SocketAddr],
    pin: Pin,
    token: &str,
    plan: &Plan,
) -> Result<ClientControl, TransportError> {
    let mut left = addresses.to_vec();
    let mut tried: Vec<TransportError> = Vec::new();
    loop {
        let (address, tcp) = match reach::tcp(&left).await {
            Ok(reached) => reached,
            Err(failed) => {
                let unreachable = |(address, cause)| TransportError::Unreachable { address, cause };
                tried.extend(failed.into_iter().map(unreachable));
                return Err(if tried.len() == 1 { tried.remove(0) } else { TransportError::NoneOf { tried } });
            }
        };
        left.retain(|other| *other != address);
        match open(address, tcp, pin, token, plan).await {
            Err(error @ (TransportError::NotSamepath { .. } | TransportError::HungUp { .. })) if !left.is_empty() => {
                tried.push(error);
            }
            Err(error) if !tried.is_empty() => {
                tried.push(error);
                return Err(TransportError::NoneOf { tried });
            }
            opened => return opened,
        }
    }
}

/// Opens a session over a connection to this address.
async fn open(
    address: SocketAddr,
    tcp: TcpStream,
    pin: Pin,
    token: &str,
    plan: &Plan,
) -> Result<ClientControl, TransportError> {
    tcp.set_nodelay(true)?;
    let (config, verifier) = identity::client_config(pin, identity::ALPN_CONTROL)?;
    let stream = match timeout(ANSWER_LIMIT, tls::handshake(config, tcp)).await {
        Err(_) => {
            let detail = "no TLS handshake within 10 s".to_owned();
            return Err(TransportError::NotSamepath { address, detail });
        }
        // A server hangs up on whoever has to give way to others, and cannot say so before TLS is there.
        Ok(Err(error)) if verifier.seen().is_none() && is_hang_up(&error) => {
            return Err(TransportError::HungUp { address });
        }
        Ok(Err(error)) => {
            return Err(match (pin, verifier.seen()) {
                (Pin::Exactly(pinned), Some(seen)) if pinned != seen => {
                    TransportError::Fingerprint { pinned: pinned.to_string(), seen: seen.to_string() }
                }
                _ => TransportError::NotSamepath { address, detail: error.to_string() },
            });
        }
        Ok(Ok(stream)) => TlsStream::Client(stream),
    };
    let fingerprint = verifier.seen().ok_or(TransportError::ServerProof)?;
    let binding = binding(&stream)?;
    let (read, write) = tokio::io::split(stream);
    let (mut reader, mut writer) = (Reader::new(read, MAX_REPORT), Writer { stream: write });

    let agreed = async {
        writer.opening().await?;
        writer.json(&Request::Hello { proof: prove(token, Prover::Client, &binding) }).await?;
        let theirs = reader.opening().await?;
        if theirs != VERSION {
            return Err(TransportError::Version { ours: VERSION, theirs });
        }
        match reader.json().await? {
            Answer::Proven { proof } if is_proven(token, Prover::Server, &binding, &proof) => {}
            Answer::Proven { .. } => return Err(TransportError::ServerProof),
            answer => return Err(out_of_turn(answer)),
        }
        let host = host();
        writer.json(&Request::Open { plan: Box::new(plan.clone()), host }).await?;
        match reader.json().await? {
            Answer::Welcome { secret, ports, host: theirs } => Ok((secret, ports, theirs == host)),
            answer => Err(out_of_turn(answer)),
        }
    };
    let (secret, ports, same_host) = timeout(ANSWER_LIMIT, agreed)
        .await
        .map_err(|_| TransportError::Timeout(format!("{address} did not answer the request within 10 s")))?
        .map_err(|error| match error {
            TransportError::Gone => TransportError::HungUp { address },
            error => error,
        })?;
    Ok(ClientControl { reader, writer, address, fingerprint, secret, ports, same_host })
}

impl ClientControl {
    /// Measures the offset of the server's clock from ours.
    ///
    /// # Errors
    /// When the control connection fails.
    pub async fn clock_offset(&mut self) -> Result<ClockOffset, TransportError> {
        const PINGS: u32 = 16;
        // On a long path a few are enough: the error is the path's asymmetry, not noise.
        const ENOUGH: u64 = 400_000_000;
        let started = clock::now();
        let mut best: Option<ClockOffset> = None;
        for _ in 0..PINGS {
            let sent = clock::now();
            self.send(&Request::Ping).await?;
            let answer = timeout(ANSWER_LIMIT, self.answer())
                .await
                .map_err(|_| TransportError::Timeout("the server did not answer a clock ping within 10 s".into()))??;
            let Answer::Pong { now_ns } = answer else { return Err(out_of_turn(answer)) };
            let received = clock::now();
            let rtt_ns = received - sent;
            if best.is_none_or(|b| rtt_ns < b.rtt_ns) {
                let middle = sent + rtt_ns / 2;
                let offset_ns = now_ns as i64 - middle as i64;
                best = Some(ClockOffset { offset_ns, error_ns: rtt_ns.div_ceil(2), rtt_ns });
            }
            if received - started > ENOUGH {
                break;
            }
        }
        let measured = best.unwrap_or_default();
        // One kernel has one CLOCK_MONOTONIC, unless a time namespace shifts it.
        if self.same_host && measured.offset_ns.unsigned_abs() <= measured.error_ns {
            return Ok(ClockOffset { offset_ns: 0, error_ns: 0, ..measured });
        }
        Ok(measured)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn send(&mut self, request: &Request) -> Result<(), TransportError> {
        self.writer.json(request).await
    }

    /// The next thing the server says. Cancel-safe.
    ///
    /// # Errors
    /// When the control connection is broken, or the server's half failed.
    pub async fn answer(&mut self) -> Result<Answer, TransportError> {
        match self.reader.json().await? {
            Answer::Failed { reason } => Err(TransportError::Peer(reason)),
            answer => Ok(answer),
        }
    }

    /// Asks for the server's report, and ends the session.
    ///
    /// # Errors
    /// When the control connection is broken, or the server's half failed.
    pub async fn collect(mut self) -> Result<HalfReport, TransportError> {
        self.send(&Request::Collect).await?;
        loop {
            match self.reader.raw().await? {
                Raw::Report(bytes) => {
                    return postcard::from_bytes(&bytes)
                        .map_err(|error| TransportError::Control(format!("a report that cannot be read: {error}")));
                }
                // What was under way when we asked.
                Raw::Json(bytes) => match parse::<Answer>(&bytes)? {
                    Answer::Failed { reason } => return Err(TransportError::Peer(reason)),
                    Answer::Reached(_) => {}
                    other => return Err(out_of_turn(other)),
                },
            }
        }
    }
}

/// Whether this says that the other end is gone, rather than that it speaks something else.
fn is_hang_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// What the end of the control connection comes to: who was killed did not close it as TLS wants it closed.
fn broken(error: std::io::Error) -> TransportError {
    if is_hang_up(&error) { TransportError::Gone } else { error.into() }
}

fn out_of_turn(answer: Answer) -> TransportError {
    match answer {
        Answer::Refused { reason } => TransportError::Refused(reason),
        other => TransportError::Control(format!("an answer out of turn: {other:?}")),
    }
}

/// The server's end of a control connection.
#[derive(Debug)]
pub struct ServerControl {
    reader: Reader<ReadHalf<Stream>>,
    writer: Writer<WriteHalf<Stream>>,
    binding: Binding,
    has_opened: bool,
}

/// A client that may.
#[derive(Debug)]
pub struct Asked {
    /// What it wants played.
    pub plan: Plan,
    /// Whether both ends run on one boot of one kernel.
    pub same_host: bool,
}

impl ServerControl {
    /// Takes over a connection whose handshake is done.
    ///
    /// # Errors
    /// When the TLS session has nothing to bind proofs to.
    pub fn new(stream: tokio_rustls::server::TlsStream<TcpStream>) -> Result<ServerControl, TransportError> {
        let stream = TlsStream::Server(stream);
        let binding = binding(&stream)?;
        let (read, write) = tokio::io::split(stream);
        let (reader, writer) = (Reader::new(read, MAX_REQUEST), Writer { stream: write });
        Ok(ServerControl { reader, writer, binding, has_opened: false })
    }

    /// Hears who the client is, and what it wants. A client of another version, or without the token, is told so here.
    ///
    /// # Errors
    /// When the client does not speak the protocol, is of another version, or lacks the token.
    pub async fn hear(&mut self, token: &str) -> Result<Asked, TransportError> {
        let theirs = self.reader.opening().await?;
        self.open().await?;
        if theirs != VERSION {
            let error = TransportError::Version { ours: VERSION, theirs };
            self.refuse(&error.to_string()).await?;
            return Err(error);
        }
        let early = || TransportError::Control("a request before its Hello".into());
        let Request::Hello { proof } = self.request().await? else { return Err(early()) };
        if !is_proven(token, Prover::Client, &self.binding, &proof) {
            let reason = "wrong token; give the server's own with --token or SAMEPATH_TOKEN".to_owned();
            self.refuse(&reason).await?;
            return Err(TransportError::Refused(reason));
        }
        self.send(&Answer::Proven { proof: prove(token, Prover::Server, &self.binding) }).await?;
        match self.request().await? {
            Request::Open { plan, host: theirs } => Ok(Asked { plan: *plan, same_host: theirs == host() }),
            _ => Err(early()),
        }
    }

    /// Opens with our version, once.
    async fn open(&mut self) -> Result<(), TransportError> {
        if !std::mem::replace(&mut self.has_opened, true) {
            self.writer.opening().await?;
        }
        Ok(())
    }

    /// Opens the session.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn welcome(&mut self, secret: Secret, ports: Ports) -> Result<(), TransportError> {
        self.send(&Answer::Welcome { secret, ports, host: host() }).await
    }

    /// Says no, and why.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn refuse(&mut self, reason: &str) -> Result<(), TransportError> {
        self.open().await?;
        self.send(&Answer::Refused { reason: reason.to_owned() }).await?;
        // A clean end, so that the reason is not lost to a reset.
        self.writer.stream.shutdown().await?;
        Ok(())
    }

    /// The next thing the client says. Cancel-safe.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn request(&mut self) -> Result<Request, TransportError> {
        self.reader.json().await
    }

    /// Says something.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn send(&mut self, answer: &Answer) -> Result<(), TransportError> {
        self.writer.json(answer).await
    }

    /// Hands over the report.
    ///
    /// # Errors
    /// When the control connection is broken.
    pub async fn report(&mut self, report: &HalfReport) -> Result<(), TransportError> {
        let bytes = postcard::to_stdvec(report)
            .map_err(|error| TransportError::Control(format!("a report that cannot be written: {error}")))?;
        self.writer.raw(REPORT, &bytes).await?;
        self.writer.stream.shutdown().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samepath_model::arm::{Arm, Transport};
    use samepath_model::tuning::Tuning;
    use samepath_model::workload::{Bulk, Workload};

    use super::*;
    use crate::identity::Identity;

    #[test]
    fn proofs_are_bound_to_token_role_and_connection() {
        let (one, other) = ([1; 32], [2; 32]);
        let proof = prove("secret", Prover::Client, &one);
        assert!(is_proven("secret", Prover::Client, &one, &proof));
        assert!(!is_proven("Secret", Prover::Client, &one, &proof));
        assert!(!is_proven("secret", Prover::Server, &one, &proof));
        assert!(!is_proven("secret", Prover::Client, &other, &proof));
    }

    #[tokio::test]
    async fn an_impostor_hears_a_proof_and_nothing_else() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Identity::generate().unwrap().server_config(identity::ALPN_CONTROL).unwrap());
        let impostor = async {
            let stream = tls::accept(config, listener.accept().await.unwrap().0).await.unwrap();
            let mut control = ServerControl::new(stream).unwrap();
            assert_eq!(control.reader.opening().await.unwrap(), VERSION);
            control.open().await.unwrap();
            assert!(matches!(control.request().await, Ok(Request::Hello { .. })));
            // Nothing follows the proof: not before an answer, and not after one without the token.
            assert!(control.reader.buffer.is_empty());
            let proof = prove("a guess", Prover::Server, &control.binding);
            control.send(&Answer::Proven { proof }).await.unwrap();
            let mut rest = Vec::new();
            // An end without TLS's farewell is an end too.
            let _ = control.reader.stream.read_to_end(&mut rest).await;
            assert_eq!(rest, b"");
        };
        let plan = Plan {
            arm: Arm::default_of(Transport::Tcp),
            workload: Workload::Bulk(Bulk {
                duration: Some(samepath_model::Duration::from_secs(1)),
                ..Bulk::default()
            }),
            tuning: Tuning::default(),
            seed: 1,
            mtu: 1500,
            rtt: samepath_model::Duration::ZERO,
            rate: None,
            time_limit: samepath_model::Duration::from_secs(10),
            mapping: false,
        };
        let client = async { connect(&[address], Pin::ProvenByToken, "the token", &plan).await.map(drop) };
        let (refused, ()) = tokio::join!(client, impostor);
        assert!(matches!(refused, Err(TransportError::ServerProof)), "{refused:?}");
    }

    #[tokio::test]
    async fn messages_survive_cutting_and_long_ones_are_refused() {
        let (near, far) = tokio::io::duplex(7);
        let mut writer = Writer { stream: near };
        let mut reader = Reader::new(far, 1000);
        let sent = Request::Start { epoch_ns: 42 };
        let writing = async {
            writer.opening().await.unwrap();
            writer.json(&sent).await.unwrap();
            writer.raw(REPORT, &[0; 1001]).await
        };
        let reading = async {
            assert_eq!(reader.opening().await.unwrap(), VERSION);
            assert_eq!(reader.json::<Request>().await.unwrap(), sent);
            let error = reader.raw().await.unwrap_err().to_string();
            assert!(error.contains("1001 bytes"), "{error}");
            drop(reader);
        };
        let (_broken_by_design, ()) = tokio::join!(writing, reading);
    }

    #[tokio::test]
    async fn garbage_is_an_error_not_a_panic() {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"J\xff\xff\xff\xff", b"J\0\0\0\x04nope", b"Z\0\0\0\0"] {
            let mut reader = Reader::new(garbage, 1000);
            assert!(reader.json::<Request>().await.is_err());
        }
    }

    #[test]
    fn offsets_translate_both_ways() {
        let offset = ClockOffset { offset_ns: -500, error_ns: 10, rtt_ns: 20 };
        assert_eq!(offset.to_client(offset.to_server(10_000)), 10_000);
        assert_eq!(offset.to_server(10_000), 9_500);
    }
}
