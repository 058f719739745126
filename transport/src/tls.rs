//! TLS 1.3 over TCP, both ends.

pub(crate) mod records;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use samepath_model::record::Setting;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub use records::{Tap, Tapped};

use crate::identity::{self, Fingerprint, Pin};
use crate::{Plan, TransportError, tcp};

/// The client's side of a handshake on a connected socket.
///
/// # Errors
/// When the peer does not speak TLS 1.3, or its certificate is not accepted.
pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: ClientConfig,
    tcp: S,
) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
    let name = ServerName::try_from(identity::SERVER_NAME).expect("it is a valid name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The server's side of a handshake.
///
/// # Errors
/// When the peer does not speak TLS 1.3.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ServerConfig>,
    tcp: S,
) -> std::io::Result<tokio_rustls::server::TlsStream<S>> {
    TlsAcceptor::from(config).accept(tcp).await
}

/// A TLS data connection, whose records are noted as they are written.
pub type DataStream = TlsStream<Tapped<TcpStream>>;

/// The server's side of a data connection's handshake.
///
/// # Errors
/// When the peer does not speak TLS 1.3.
pub async fn accept_data(config: Arc<ServerConfig>, tcp: TcpStream) -> std::io::Result<DataStream> {
    let stream = accept(config, Tapped::new(tcp)).await?;
    // Both sides of the handshake flush it before they are done, and no tickets follow.
    stream.get_ref().0.tap().handshake_done();
    Ok(TlsStream::Server(stream))
}

/// Connects a data connection: TCP, then TLS with the pinned certificate.
///
/// # Errors
/// When either handshake fails.
pub async fn connect(address: SocketAddr, plan: &Plan, fingerprint: Fingerprint) -> Result<DataStream, TransportError> {
    let (config, _) = identity::client_config(Pin::Exactly(fingerprint), identity::ALPN_DATA)?;
    let tcp = tcp::connect(address, plan).await?;
    let stream = handshake(config, Tapped::new(tcp)).await.map_err(|error| TransportError::Connection {
        transport: "TLS",
        address,
        detail: error.to_string(),
        errno: error.raw_os_error(),
    })?;
    stream.get_ref().0.tap().handshake_done();
    Ok(TlsStream::Client(stream))
}

/// The writing side of a data connection.
#[derive(Debug)]
pub(crate) enum Writer {
    /// Nothing is read.
    Whole(Box<DataStream>),
    /// A [`Reader`] reads it.
    Shared(WriteHalf<DataStream>),
}

/// The reading side of a data connection.
#[derive(Debug)]
pub(crate) enum Reader {
    /// Nothing is written.
    Whole(Box<DataStream>),
    /// A [`Writer`] writes it.
    Shared(ReadHalf<DataStream>),
}

/// The sides of a connection that are used. Both share one state, behind a lock; one alone has it for itself.
pub(crate) fn split(stream: Box<DataStream>, writes: bool, reads: bool) -> (Option<Reader>, Option<Writer>) {
    match (writes, reads) {
        (true, true) => {
            let (reader, writer) = tokio::io::split(*stream);
            (Some(Reader::Shared(reader)), Some(Writer::Shared(writer)))
        }
        (true, false) => (None, Some(Writer::Whole(stream))),
        (false, true) => (Some(Reader::Whole(stream)), None),
        (false, false) => (None, None),
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pinned<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Reader::Whole(stream) => Pinned::new(stream).poll_read(cx, to),
            Reader::Shared(stream) => Pinned::new(stream).poll_read(cx, to),
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pinned<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Writer::Whole(stream) => Pinned::new(stream).poll_write(cx, bytes),
            Writer::Shared(stream) => Pinned::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pinned<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Writer::Whole(stream) => Pinned::new(stream).poll_write_vectored(cx, slices),
            Writer::Shared(stream) => Pinned::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Writer::Whole(stream) => stream.is_write_vectored(),
            Writer::Shared(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Writer::Whole(stream) => Pinned::new(stream).poll_flush(cx),
            Writer::Shared(stream) => Pinned::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Writer::Whole(stream) => Pinned::new(stream).poll_shutdown(cx),
            Writer::Shared(stream) => Pinned::new(stream).poll_shutdown(cx),
        }
    }
}

/// The socket below.
pub(crate) fn socket(stream: &DataStream) -> &TcpStream {
    stream.get_ref().0.inner()
}

/// The most plaintext that a sender puts into a record.
pub(crate) fn record_size(plan: &Plan) -> Setting {
    let asked = plan.tuning.tls_record_size.map(|size| size.bytes().to_string());
    Setting::new("tls.record-size", asked, plan.tls_record().unwrap_or(1 << 14).to_string())
}

/// What was agreed in the handshake.
pub fn settings(stream: &DataStream) -> Vec<Setting> {
    let (_, tls) = stream.get_ref();
    let read = |name: &str, asked: &str, effective: Option<String>| {
        effective.map(|effective| Setting::new(name, Some(asked.to_owned()), effective))
    };
    // Each is the only one that both ends offer.
    [
        read("tls.version", "TLSv1_3", tls.protocol_version().map(|v| format!("{v:?}"))),
        read(
            "tls.cipher-suite",
            "TLS13_AES_128_GCM_SHA256",
            tls.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())),
        ),
        read("tls.key-exchange", "X25519", tls.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name()))),
    ]
    .into_iter()
    .flatten()
    .collect()
}
