//! Content codings (RFC 9110, section 8.4.1): bytes in, bytes out, and the CPU time of a thread.

use std::io::{self, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use nix::time::{ClockId, clock_gettime};
use samepath_model::workload::{Codec, Coding};

/// Compresses a whole content; a coder is made for it, as servers make one for each response.
///
/// # Errors
/// Where the coder has no memory.
pub fn compress(Coding { codec, level }: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Codec::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(level.into()));
            encoder.write_all(content)?;
            encoder.finish()
        }
        Codec::Zstd => zstd::bulk::compress(content, level.into()),
    }
}

/// Decompresses what [`compress`] made of `len` bytes.
///
/// # Errors
/// Where it is no such thing: damaged, cut off, of another length, or followed by something else.
pub fn decompress(codec: Codec, coded: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let (content, rest) = match codec {
        Codec::Gzip => {
            let mut decoder = GzDecoder::new(coded);
            let mut content = Vec::with_capacity(len);
            // One byte more than there may be, so that a longer one shows, and the sum at the end is compared.
            decoder.by_ref().take(len as u64 + 1).read_to_end(&mut content)?;
            (content, decoder.into_inner().len())
        }
        Codec::Zstd => (zstd::bulk::decompress(coded, len)?, 0),
    };
    if content.len() != len || rest != 0 {
        let said = format!("it is of {} bytes, not {len}, and {rest} bytes follow it", content.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    Ok(content)
}

/// The most bytes that a coder makes of a content: where it finds nothing, it adds a header to each block.
pub(crate) const fn most_coded(content: u64) -> u64 {
    content + content / 64 + 128
}

/// Nanoseconds of CPU time that `work` takes of the thread that calls this (CLOCK_THREAD_CPUTIME_ID).
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> io::Result<(T, u64)> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(std::time::Duration::from);
    let before = now()?;
    let done = work();
    Ok((done, (now()? - before).as_nanos() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use samepath_model::link::Direction;
    use samepath_model::workload::{Compression, Rpc, Workload};

    const CODECS: [Codec; 2] = [Codec::Gzip, Codec::Zstd];

    fn text(len: usize) -> Vec<u8> {
        let compression = Some(Compression::None);
        let rpc = Rpc { outstanding: Some(1), count: Some(1), compression, ..Rpc::default() };
        Payload::new(9, &Workload::Rpc(rpc).table(Direction::Down, 9)).whole(0, 0, len)
    }

    #[test]
    fn contents_come_back_whatever_their_length() {
        for codec in CODECS {
            for level in [1, codec.default_level(), codec.highest_level()] {
                for len in [0, 1, 2, 1000, 300_000] {
                    let content = text(len);
                    let coded = compress(Coding { codec, level }, &content).unwrap();
                    assert_eq!(coded, compress(Coding { codec, level }, &content).unwrap(), "the same bytes again");
                    assert!(coded.len() as u64 <= most_coded(len as u64), "{codec} {level}: {} of {len}", coded.len());
                    assert_eq!(decompress(codec, &coded, len).unwrap(), content);
                }
            }
        }
    }

    #[test]
    fn the_text_is_as_compressible_as_real_ones() {
        for codec in CODECS {
            let ratio = |len: usize| {
                let coding = Coding { codec, level: codec.default_level() };
                len as f64 / compress(coding, &text(len)).unwrap().len() as f64
            };
            // As `payload::text` has it.
            for (len, low, high) in [(1_000, 1.9, 2.6), (10_000, 3.8, 5.0), (100_000, 5.0, 6.3), (1_000_000, 5.2, 7.5)]
            {
                assert!((low..high).contains(&ratio(len)), "{codec} of {len}: {}", ratio(len));
            }
        }
    }

    #[test]
    fn random_bytes_become_a_few_more() {
        let content = Payload::new(1, &samepath_model::workload::Table::new(Direction::Down, 1)).whole(0, 0, 60_000);
        for codec in CODECS {
            let coded = compress(Coding { codec, level: codec.default_level() }, &content).unwrap();
            assert!(coded.len() > content.len() && coded.len() as u64 <= most_coded(60_000), "{}", coded.len());
        }
    }

    #[test]
    fn damage_and_other_lengths_are_errors() {
        let content = text(20_000);
        for codec in CODECS {
            let coded = compress(Coding { codec, level: codec.default_level() }, &content).unwrap();
            for at in (0..coded.len()).step_by(7) {
                let mut damaged = coded.clone();
                damaged[at] ^= 0x40;
                // What gzip's header says of its maker and flags of Zstandard's may change nothing.
                let same = decompress(codec, &damaged, content.len()).is_ok_and(|got| got == content);
                assert!(!same || at < 10, "{codec}: a flipped bit in byte {at} was not found");
            }
            assert!(decompress(codec, &coded[..coded.len() - 1], content.len()).is_err(), "cut off");
            assert!(decompress(codec, &[&coded[..], b"and more"].concat(), content.len()).is_err(), "followed");
            for len in [0, content.len() - 1, content.len() + 1] {
                assert!(decompress(codec, &coded, len).is_err(), "{codec}: taken for {len} bytes");
            }
        }
    }

    #[test]
    fn cpu_time_is_that_of_the_work() {
        let (_, none) = timed(|| std::thread::park_timeout(std::time::Duration::from_millis(20))).unwrap();
        let content = text(1_000_000);
        let (_, some) = timed(|| compress(Coding { codec: Codec::Gzip, level: 6 }, &content).unwrap()).unwrap();
        assert!(some > none && none < 20_000_000, "{some} ns of work, {none} ns of waiting");
    }
}
