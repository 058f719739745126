//! Vectored writes of chunks to a byte stream.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The most chunks handed over at once: a TLS record's worth of small messages.
const VECTORS: usize = 128;

/// Writes all of `chunks`, at most `at_once` bytes in a call.
pub(crate) async fn write_vectored<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut chunks: &mut [Bytes],
    at_once: usize,
) -> io::Result<()> {
    while !chunks.is_empty() {
        let mut slices = [IoSlice::new(&[]); VECTORS];
        let (mut count, mut left) = (0, at_once);
        for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
            *slice = IoSlice::new(&chunk[..chunk.len().min(left)]);
            (count, left) = (count + 1, left - slice.len());
            if left == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    proptest! {
        #[test]
        fn vectored_writes_keep_every_byte(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 1..40),
            capacity in 1usize..64,
            at_once in 1usize..200,
        ) {
            let expected = chunks.concat();
            let mut chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(capacity);
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
