//! Credentials of a data connection: the secret of its session, and the preface that shows it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The secret of one session, shown by each of its data connections.
pub type Secret = [u8; 16];

/// The first bytes of a data connection: whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preface {
    /// The session's secret.
    pub secret: Secret,
    /// The connection's number within the session.
    pub number: u16,
}

impl Preface {
    /// Length on the wire.
    pub const LEN: usize = 32;

    /// The number of one that stands before the query of a name, which is no data connection's.
    pub const OF_QUERY: u16 = u16::MAX - 1;

    /// As a frame this would be one with impossible flags, so a datagram that repeats it late is
    /// never taken for payload.
    const MAGIC: [u8; 8] = *b"SPdata01";

    /// As written.
    pub fn encode(&self) -> [u8; Preface::LEN] {
        let mut bytes = [0; Preface::LEN];
        bytes[..8].copy_from_slice(&Preface::MAGIC);
        bytes[8..24].copy_from_slice(&self.secret);
        bytes[24..26].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Reads one and gives back what stands behind it; `None` where the bytes begin with anything else.
    pub fn split(bytes: &[u8]) -> Option<(Preface, &[u8])> {
        let (preface, behind) = bytes.split_at_checked(Preface::LEN)?;
        Some((Preface::decode(preface)?, behind))
    }

    /// Reads one; `None` where the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Option<Preface> {
        let bytes: &[u8; Preface::LEN] = bytes.try_into().ok()?;
        let secret = bytes[8..24].try_into().ok()?;
        (bytes[..8] == Preface::MAGIC).then_some(Preface { secret, number: u16::from_be_bytes([bytes[24], bytes[25]]) })
    }

    /// Writes it on a byte stream.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S) -> io::Result<()> {
        stream.write_all(&self.encode()).await?;
        stream.flush().await
    }

    /// Reads one from a byte stream.
    ///
    /// # Errors
    /// When the stream ends, or starts with anything else.
    pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Preface> {
        let mut bytes = [0; Preface::LEN];
        stream.read_exact(&mut bytes).await?;
        Preface::decode(&bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a samepath data connection"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_preface_round_trips_and_is_no_frame() {
        let preface = Preface { secret: [7; 16], number: 3 };
        let bytes = preface.encode();
        assert_eq!(Preface::decode(&bytes), Some(preface));
        assert_eq!(Preface::decode(&bytes[1..]), None);
        assert_eq!(Preface::split(&[&bytes[..], b"more"].concat()), Some((preface, &b"more"[..])));
        assert!(crate::frame::Header::decode(bytes.first_chunk().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_no_preface(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(Preface::decode(&bytes), None);
        }
    }
}
