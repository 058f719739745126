//! Where TLS records lie in the bytes of a connection: a shim between TLS and the socket that reads
//! the record headers (RFC 8446, section 5.1) as they are written.
//!
//! A record can be read only when its last byte has arrived, and TLS alone decides where one ends.
//! The ciphers of the lab keep the length (AES-GCM): byte `p` of a record's plaintext is byte `5 + p`
//! of the record, behind its header.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a record's header.
pub(crate) const HEADER: u64 = 5;

/// Bytes behind the plaintext: its content type and the tag (RFC 8446, section 5.2; AES-GCM).
const TRAILER: u64 = 1 + 16;

/// Content type of what is protected (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 23;

/// A record in its connection's ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where its header starts.
    pub(crate) start: u64,
    /// Where it ends.
    pub(crate) end: u64,
}

impl Record {
    /// How much plaintext it holds.
    pub(crate) const fn plaintext(&self) -> u64 {
        (self.end - self.start).saturating_sub(HEADER + TRAILER)
    }
}

/// The records that one end has written, from the end of its handshake on.
#[derive(Debug, Default)]
pub(crate) struct Records {
    header: [u8; HEADER as usize],
    have: usize,
    /// Bytes of the record under way that are still to come.
    left: u64,
    /// Bytes of the connection so far.
    at: u64,
    written: Vec<Record>,
    stopped: bool,
}

impl Records {
    /// Bytes that went to the socket.
    fn wrote(&mut self, mut bytes: &[u8]) {
        if self.stopped {
            return;
        }
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(bytes.len() as u64);
                (self.left, self.at) = (self.left - skip, self.at + skip);
                bytes = &bytes[skip as usize..];
                continue;
            }
            let take = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            (self.have, self.at) = (self.have + take, self.at + take as u64);
            bytes = &bytes[take..];
            if self.have == self.header.len() {
                let [kind, _, _, high, low] = self.header;
                self.have = 0;
                self.left = u64::from(u16::from_be_bytes([high, low]));
                if kind == APPLICATION_DATA {
                    self.written.push(Record { start: self.at - HEADER, end: self.at + self.left });
                }
            }
        }
    }
}

/// A handle on the records, for when the stream belongs to a writer.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Mutex<Records>>);

impl Tap {
    /// Forgets the records of the handshake, which are protected, too, but hold no plaintext of ours.
    pub(crate) fn handshake_done(&self) {
        self.0.lock().expect("no panic while held").written.clear();
    }

    /// Looks no longer: nobody will ask.
    pub fn stop(&self) {
        let mut records = self.0.lock().expect("no panic while held");
        *records = Records { stopped: true, ..Records::default() };
    }

    /// The records so far; they are handed over once.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().expect("no panic while held").written)
    }
}

/// A stream whose written records are noted.
#[derive(Debug)]
pub struct Tapped<S> {
    inner: S,
    tap: Tap,
}

impl<S> Tapped<S> {
    /// Around this stream, from its first byte on.
    pub(crate) fn new(inner: S) -> Self {
        Tapped { inner, tap: Tap::default() }
    }

    /// The stream itself.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// What is noted.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.tap.0.lock().expect("no panic while held").wrote(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        let mut records = self.tap.0.lock().expect("no panic while held");
        let mut left = written;
        for buf in bufs {
            let part = left.min(buf.len());
            records.wrote(&buf[..part]);
            left -= part;
        }
        drop(records);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_found_however_they_are_written(
            sizes in proptest::collection::vec((20u8..24, 0u16..400), 1..20),
            cut in 1usize..50,
        ) {
            let (mut wire, mut expected) = (Vec::new(), Vec::new());
            for (kind, size) in sizes {
                let start = wire.len() as u64;
                wire.extend([kind, 3, 3]);
                wire.extend(size.to_be_bytes());
                // The content looks like headers, too.
                wire.extend([23, 3, 3, 0, 1].iter().cycle().take(size.into()));
                if kind == APPLICATION_DATA {
                    expected.push(Record { start, end: wire.len() as u64 });
                }
            }
            let mut records = Records::default();
            for piece in wire.chunks(cut) {
                records.wrote(piece);
            }
            prop_assert_eq!(records.written, expected);
        }
    }
}
