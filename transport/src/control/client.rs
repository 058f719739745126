//! Client's end of the control connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use samepath_model::arm::Transport;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::codec::{Raw, Reader, Stream, VERSION, Writer, is_hang_up, parse};
use super::message::{Answer, Request, host};
use super::offset::ClockOffset;
use super::proof::{Prover, binding, is_proven, prove};
use crate::credentials::Secret;
use crate::identity::{self, Fingerprint, Pin};
use crate::plan::Plan;
use crate::ports::Ports;
use crate::report::SessionReport;
use crate::{TransportError, clock, reach, tls};

/// The longest a client reads: the report of the largest workload.
const MAX_REPORT: usize = 512 << 20;

/// How long the other end may take to answer where nothing has to be played first.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

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
    /// Where they go, by server.
    ports: Vec<Ports>,
    /// Whether both ends run on one boot of one kernel.
    pub same_host: bool,
    /// What the server said while something else was asked.
    early: VecDeque<Answer>,
}

/// Opens a session at the first of a host's addresses that answers ([`reach::tcp`]). Where that turns out to be no
/// samepath server, the others are tried in its place.
///
/// # Errors
/// When nobody, another service or an impostor answers, or the server refuses. Where there are several addresses and none
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
    Ok(ClientControl { reader, writer, address, fingerprint, secret, ports, same_host, early: VecDeque::new() })
}

impl ClientControl {
    /// The ports for data connections by this transport, of each server.
    ///
    /// # Errors
    /// When one of them has named none.
    pub fn ports(&self, transport: Transport) -> Result<Vec<u16>, TransportError> {
        let unnamed = || TransportError::Control(format!("the server has named no port for {transport}"));
        self.ports.iter().map(|ports| ports.get(transport).ok_or_else(unnamed)).collect()
    }

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
            let now_ns = timeout(ANSWER_LIMIT, self.pong())
                .await
                .map_err(|_| TransportError::Timeout("the server did not answer a clock ping within 10 s".into()))??;
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

    /// Waits until the server has dealt with whatever was sent before.
    ///
    /// # Errors
    /// When the control connection fails.
    pub async fn settle(&mut self) -> Result<(), TransportError> {
        self.send(&Request::Ping).await?;
        timeout(ANSWER_LIMIT, self.pong())
            .await
            .map_err(|_| TransportError::Timeout("the server did not answer a ping within 10 s".into()))?
            .map(drop)
    }

    /// The server's clock, in its answer to a ping. An end that waits for no connection says meanwhile how far it is.
    async fn pong(&mut self) -> Result<u64, TransportError> {
        loop {
            match self.hear().await? {
                Answer::Pong { now_ns } => return Ok(now_ns),
                answer @ Answer::Reached(_) => self.early.push_back(answer),
                answer => return Err(out_of_turn(answer)),
            }
        }
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
    /// When the control connection is broken, or the server's end failed.
    pub async fn answer(&mut self) -> Result<Answer, TransportError> {
        match self.early.pop_front() {
            Some(answer) => Ok(answer),
            None => self.hear().await,
        }
    }

    async fn hear(&mut self) -> Result<Answer, TransportError> {
        match self.reader.json().await? {
            Answer::Failed { reason } => Err(TransportError::Peer(reason)),
            answer => Ok(answer),
        }
    }

    /// Asks for the server's report, and ends the session.
    ///
    /// # Errors
    /// When the control connection is broken, or the server's end failed.
    pub async fn collect(mut self) -> Result<SessionReport, TransportError> {
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
                    Answer::Reached(_) | Answer::Sent { .. } => {}
                    other => return Err(out_of_turn(other)),
                },
            }
        }
    }
}

fn out_of_turn(answer: Answer) -> TransportError {
    match answer {
        Answer::Refused { reason } => TransportError::Refused(reason),
        other => TransportError::Control(format!("an answer out of turn: {other:?}")),
    }
}
