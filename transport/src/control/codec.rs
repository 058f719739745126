//! Framing of control messages on a byte stream: the opening bytes, then a kind, a length and JSON or postcard.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::TransportError;

/// The protocol's version: both ends must speak the same.
pub const VERSION: u32 = 5;

pub(super) type Stream = TlsStream<TcpStream>;

const MAGIC: [u8; 8] = *b"samepath";

/// Reads whole messages; cancel-safe, so that it may wait beside other things.
#[derive(Debug)]
pub(super) struct Reader<S> {
    pub(super) stream: S,
    pub(super) buffer: Vec<u8>,
    limit: usize,
}

/// A message as it crossed the wire.
#[derive(Debug, PartialEq)]
pub(super) enum Raw {
    Json(Vec<u8>),
    Report(Vec<u8>),
}

const JSON: u8 = b'J';
pub(super) const REPORT: u8 = b'R';

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(super) fn new(stream: S, limit: usize) -> Self {
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

    pub(super) async fn raw(&mut self) -> Result<Raw, TransportError> {
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

    pub(super) async fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, TransportError> {
        match self.raw().await? {
            Raw::Json(bytes) => parse(&bytes),
            Raw::Report(_) => Err(TransportError::Control("a report where none was asked for".into())),
        }
    }

    /// Reads the peer's opening bytes.
    pub(super) async fn opening(&mut self) -> Result<u32, TransportError> {
        self.fill(12).await?;
        let opening: Vec<u8> = self.buffer.drain(..12).collect();
        if opening[..8] != MAGIC {
            return Err(TransportError::Control("the peer does not speak this protocol".into()));
        }
        Ok(u32::from_be_bytes([opening[8], opening[9], opening[10], opening[11]]))
    }
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, TransportError> {
    serde_json::from_slice(bytes)
        .map_err(|error| TransportError::Control(format!("a message that cannot be read: {error}")))
}

/// Writes whole messages.
#[derive(Debug)]
pub(super) struct Writer<S> {
    pub(super) stream: S,
}

impl<S: AsyncWrite + Unpin> Writer<S> {
    pub(super) async fn raw(&mut self, kind: u8, bytes: &[u8]) -> Result<(), TransportError> {
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

    pub(super) async fn json<T: Serialize>(&mut self, value: &T) -> Result<(), TransportError> {
        let bytes = serde_json::to_vec(value).expect("control messages always have a JSON form");
        self.raw(JSON, &bytes).await
    }

    pub(super) async fn opening(&mut self) -> Result<(), TransportError> {
        self.stream.write_all(&[&MAGIC[..], &VERSION.to_be_bytes()].concat()).await.map_err(broken)?;
        Ok(())
    }
}

/// Whether this says that the other end is gone, rather than that it speaks something else.
pub(super) fn is_hang_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// What the end of the control connection comes to: who was killed did not close it as TLS wants it closed.
fn broken(error: std::io::Error) -> TransportError {
    if is_hang_up(&error) { TransportError::Gone } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::super::message::Request;
    use super::*;

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
}
