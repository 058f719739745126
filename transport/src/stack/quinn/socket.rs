//! UDP socket of a server's endpoint, which sends to proven addresses alone.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::credentials::Secret;

/// A socket that sends to proven addresses alone.
#[derive(Debug)]
pub(super) struct GuardedSocket {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) proven: Mutex<HashMap<SocketAddr, Secret>>,
}

impl GuardedSocket {
    /// Lets datagrams out to this address, and of the same session's to no other: an attempt that failed leaves
    /// nothing behind.
    pub(super) fn prove(&self, address: SocketAddr, secret: Secret) {
        let mut proven = self.proven.lock().expect("no panic while held");
        proven.retain(|_, owner| *owner != secret);
        proven.insert(address, secret);
    }
}

impl AsyncUdpSocket for GuardedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.proven.lock().expect("no panic while held").contains_key(&transmit.destination) {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
