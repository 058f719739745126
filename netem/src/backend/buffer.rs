//! Packet buffers of the data thread, made beforehand and used again.

/// Buffers made beforehand.
const POOL: usize = 1024;

/// Where a transport checksum lies that is still to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Where the summed part starts: the transport header.
    pub(super) start: u16,
    /// Where in it the checksum lies.
    pub(super) offset: u16,
}

/// A packet's buffer, of the size of the largest packet.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    pub(super) bytes: Box<[u8]>,
    pub(super) length: usize,
    /// The transport checksum that the sending host has left to its network card: it stands for the
    /// pseudo-header alone.
    pub(super) sum: Option<Sum>,
}

impl AsRef<[u8]> for Buffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

/// Buffers that are not in use.
#[derive(Debug)]
pub(super) struct Pool {
    free: Vec<Buffer>,
    size: usize,
}

impl Pool {
    /// For packets of this MTU.
    pub(super) fn new(mtu: usize) -> Pool {
        // Room to notice a packet larger than the MTU, which would void the trial.
        let size = mtu + 64;
        Pool { free: (0..POOL).map(|_| Pool::make(size)).collect(), size }
    }

    fn make(size: usize) -> Buffer {
        Buffer { bytes: vec![0; size].into_boxed_slice(), length: 0, sum: None }
    }

    /// A buffer whose content is whatever was in it.
    #[inline]
    pub(super) fn take(&mut self) -> Buffer {
        self.free.pop().unwrap_or_else(|| Pool::make(self.size))
    }

    #[inline]
    pub(super) fn give(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }
}
