//! Data connections, whatever their transport, and the byte streams made of them.
//!
//! Invariant: `tcp`, `tls` and `quic/shared` run the very same code above this module.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use samepath_model::record::End;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::TransportError;
use crate::carriage::Place;
use crate::stack::quinn::Below;
use crate::tls::DataStream;
use crate::udp::Datagrams;

/// A data connection that belongs to a session.
#[derive(Debug)]
pub enum Connection {
    /// One TCP connection, and its number among those of the session.
    Tcp(u16, TcpStream),
    /// One TLS connection, and its number.
    Tls(u16, Box<DataStream>),
    /// One QUIC connection, on which streams are opened as the mapping says, and what it does not know
    /// itself.
    Quic(quinn::Connection, Below),
    /// A UDP socket connected to the peer.
    Udp(Datagrams),
}

impl Connection {
    /// The port from which the client connects.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn client_port(&self, end: End) -> io::Result<u16> {
        let of_tcp = |stream: &TcpStream| match end {
            End::Client => stream.local_addr(),
            End::Server => stream.peer_addr(),
        };
        match self {
            Connection::Tcp(_, stream) => of_tcp(stream).map(|address| address.port()),
            Connection::Tls(_, stream) => of_tcp(stream.get_ref().0.inner()).map(|address| address.port()),
            Connection::Quic(_, below) => Ok(below.client_port),
            Connection::Udp(datagrams) => datagrams.client_port(end),
        }
    }
}

/// An ordered byte stream, to be written.
#[derive(Debug)]
pub(crate) struct ByteWriter {
    to: To,
    /// Where its next byte lies, where that is noted.
    pub(crate) place: Option<Place>,
}

/// What carries it.
#[derive(Debug)]
pub(crate) enum To {
    Tcp(TcpStream),
    /// With the most plaintext in a record.
    Tls(Box<DataStream>, usize),
    Quic(quinn::SendStream, quinn::Connection),
}

/// The most chunks handed over at once: a TLS record's worth of small messages.
const VECTORS: usize = 128;

impl ByteWriter {
    pub(crate) const fn new(to: To, place: Option<Place>) -> Self {
        ByteWriter { to, place }
    }

    /// Hands all of `chunks` to the transport, in order, without copying where it can.
    pub(crate) async fn write_all(&mut self, chunks: &mut [Bytes]) -> Result<(), TransportError> {
        match &mut self.to {
            To::Tcp(stream) => write_vectored(stream, chunks, usize::MAX).await?,
            To::Tls(stream, record) => {
                // What rustls is given in one call begins a record of its own. Its own setting of the
                // size is the server's, for all sessions; a session's is known after the handshake.
                write_vectored(stream, chunks, *record).await?;
                // rustls buffers what the socket did not take at once.
                stream.flush().await?;
            }
            To::Quic(stream, _) => stream.write_all_chunks(chunks).await.map_err(io::Error::from)?,
        }
        Ok(())
    }

    /// Whether other writers of the session draw on the same room in the transport.
    pub(crate) const fn shares_window(&self) -> bool {
        matches!(self.to, To::Quic(..))
    }

    /// Keeps what waits in the transport to what keeps it busy: twice the congestion window, as
    /// the kernel's autotuning does for TCP. quinn would buffer its whole send window, and a
    /// transfer for a time would go on for seconds after it on a slow path.
    ///
    /// On a path of unknown rate (`is_known` false) four bandwidth-delay products as measured are
    /// enough, too: where nothing is ever lost, as within a host, the congestion window grows
    /// without end, and only the socket's buffer with it.
    ///
    /// Returns the longest chunk that should be written: quinn counts a chunk until all of it is
    /// acknowledged, so one as long as the window would stop the sender for a round trip.
    pub(crate) fn bound_backlog(&self, most: u64, is_known: bool) -> u64 {
        const LEAST: u64 = 512 << 10;
        const LEAST_UNKNOWN: u64 = 1 << 20;
        if let To::Quic(_, connection) = &self.to {
            let path = connection.stats().path;
            let mut window = path.cwnd.saturating_mul(2).max(LEAST);
            if !is_known {
                let unqueued = path.min_rtt.as_secs_f64() / path.rtt.as_secs_f64().max(1e-9);
                let bdp = path.cwnd as f64 * unqueued.min(1.0);
                window = window.min(((4.0 * bdp) as u64).max(LEAST_UNKNOWN));
            }
            let window = window.min(most);
            connection.set_send_window(window);
            return (window / 16).max(1);
        }
        u64::MAX
    }

    /// Says that nothing more comes, where the transport can say so without ending the connection.
    pub(crate) fn finish(&mut self) {
        if let To::Quic(stream, _) = &mut self.to {
            // It fails only where the stream is closed already.
            let _ = stream.finish();
        }
    }
}

/// A QUIC stream, from its start; `place` is that of its connection.
pub(crate) fn quic_writer(
    stream: quinn::SendStream,
    connection: &quinn::Connection,
    place: Option<&Place>,
) -> ByteWriter {
    let place = place.map(|place| place.stream(quinn::VarInt::from(stream.id()).into_inner()));
    ByteWriter::new(To::Quic(stream, connection.clone()), place)
}

/// Writes all of `chunks`, at most `at_once` bytes in a call.
async fn write_vectored<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut chunks: &mut [Bytes],
    at_once: usize,
) -> io::Result<()> {
    while !chunks.is_empty() {
        let mut slices = [IoSlice::new(&[]); VECTORS];
        let (mut count, mut room) = (0, at_once);
        for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
            *slice = IoSlice::new(&chunk[..chunk.len().min(room)]);
            (count, room) = (count + 1, room - slice.len());
            if room == 0 {
                break;
            }
        }
        let mut written = stream.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = chunks.first_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            chunks = &mut chunks[1..];
        }
    }
    Ok(())
}

/// An ordered byte stream, to be read.
#[derive(Debug)]
pub(crate) enum ByteReader {
    Tcp(TcpStream),
    Tls(Box<DataStream>),
    Quic(quinn::RecvStream),
}

/// Where a reader puts what it reads: reused from read to read.
pub(crate) enum Scratch {
    Buffer(Vec<u8>, usize),
    Chunks(Vec<Bytes>, usize),
}

/// Large enough to take much at once, small enough to stay in the processor's cache.
const BUFFER: usize = 256 << 10;

impl Scratch {
    /// The pieces of the last read, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (buffer, chunks) = match self {
            Scratch::Buffer(buffer, n) => (Some(&buffer[..*n]), None),
            Scratch::Chunks(chunks, n) => (None, Some(&chunks[..*n])),
        };
        buffer.into_iter().chain(chunks.into_iter().flatten().map(|chunk| &chunk[..]))
    }
}

impl ByteReader {
    /// Room for this reader.
    pub(crate) fn scratch(&self) -> Scratch {
        match self {
            ByteReader::Tcp(_) | ByteReader::Tls(_) => Scratch::Buffer(vec![0; BUFFER], 0),
            ByteReader::Quic(_) => Scratch::Chunks(vec![Bytes::new(); 64], 0),
        }
    }

    /// Reads what is there, waiting for at least a byte; `false` at the end of the stream.
    pub(crate) async fn read(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        match (self, &mut *scratch) {
            (ByteReader::Tcp(stream), Scratch::Buffer(buffer, n)) => *n = stream.read(buffer).await?,
            (ByteReader::Tls(stream), Scratch::Buffer(buffer, n)) => *n = stream.read(buffer).await?,
            (ByteReader::Quic(stream), Scratch::Chunks(chunks, n)) => {
                *n = stream.read_chunks(chunks).await?.unwrap_or(0);
            }
            _ => unreachable!("a reader is used with the room it made"),
        }
        Ok(match scratch {
            Scratch::Buffer(_, n) | Scratch::Chunks(_, n) => *n > 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vectored_writes_keep_every_byte(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 1..40),
            room in 1usize..64,
            at_once in 1usize..200,
        ) {
            let expected = chunks.concat();
            let mut chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(room);
                let write = async { write_vectored(&mut near, &mut chunks, at_once).await.unwrap(); drop(near); };
                let mut got = Vec::new();
                let (_, read) = tokio::join!(write, far.read_to_end(&mut got));
                read.unwrap();
                got
            });
            prop_assert_eq!(got, expected);
        }
    }
}
