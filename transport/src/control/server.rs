//! Server's end of the control connection.

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::codec::{REPORT, Reader, Stream, VERSION, Writer};
use super::message::{Answer, Request, host};
use super::proof::{Binding, Prover, binding, is_proven, prove};
use crate::TransportError;
use crate::credentials::Secret;
use crate::plan::Plan;
use crate::ports::Ports;
use crate::report::SessionReport;

/// The longest control message a server reads.
pub const MAX_REQUEST: usize = 64 << 10;

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
    pub async fn welcome(&mut self, secret: Secret, ports: Vec<Ports>) -> Result<(), TransportError> {
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
    pub async fn report(&mut self, report: &SessionReport) -> Result<(), TransportError> {
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
    use tokio::io::AsyncReadExt;

    use super::super::client::connect;
    use super::*;
    use crate::identity::{self, Identity, Pin};
    use crate::tls;

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
            attribution: false,
        };
        let client = async { connect(&[address], Pin::ProvenByToken, "the token", &plan).await.map(drop) };
        let (refused, ()) = tokio::join!(client, impostor);
        assert!(matches!(refused, Err(TransportError::ServerProof)), "{refused:?}");
    }
}
