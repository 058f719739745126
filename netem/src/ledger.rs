//! The ledger: what became of every packet that was offered to the link.
//!
//! The data thread appends an [`Entry`] for each packet to a [`Spool`], which costs it some
//! nanoseconds and never waits; a thread of the lowest priority writes them to a file. [`read`]
//! gives them back as [`PacketRecord`]s, one at a time, with times counted from the trial's epoch.
//! The spool is a file of fixed-width lines between the data thread and the trial's Parquet file:
//! it lives as long as a trial and is no format to keep.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use samepath_model::record::PacketRecord;
use serde::{Deserialize, Serialize};

use crate::link::Nanos;
use crate::link::entry::{ENTRY_BYTES, Entry};
use crate::sys::take_lowest_priority;

/// The file starts with this, the version last.
const MAGIC: &[u8; 8] = b"SPLEDGE2";

/// The header: magic, and the number of entries, which is [`UNFINISHED`] until the end.
const HEADER_BYTES: usize = 16;

/// Stands for the number of entries in a file that was not finished.
const UNFINISHED: u64 = u64::MAX;

/// Entries that fit between the data thread and the writer: about a second of small packets at the
/// highest rate a TUN device carries, in 20 MB at most.
pub const RING_ENTRIES: usize = 1 << 18;

/// How long the writer rests when there is nothing to write: short against the second that the
/// ring holds, long against the work of waking up.
const WRITER_REST: Duration = Duration::from_millis(10);

/// The writer takes and writes at most this many entries at a time; their places in the ring are
/// free again before they are written.
const CHUNK_ENTRIES: usize = 2048;

/// A ledger that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The spool file could not be made or written.
    #[error("cannot write the ledger's spool `{path}`: {cause}; free space there, or write to another place")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the ledger's writer thread: {0}; raise the limit on processes (`ulimit -u`)")]
    Thread(io::Error),
    /// The spool file could not be read.
    #[error("cannot read the ledger's spool `{path}`: {cause}; run the trial again")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not a whole spool.
    #[error("`{path}` is not a whole ledger: {problem}; run the trial again")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The writer thread ended by a panic.
    #[error("the ledger's writer thread panicked; this is a bug of samepath, please report it")]
    Panicked,
}

/// What came of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolReport {
    /// Entries in the file.
    pub written: u64,
    /// Entries that found the ring full and are missing from the file. Any voids the trial.
    pub lost: u64,
    /// Why the file ends before the link did, where it does. What it has is whole.
    pub cut: Option<Cut>,
}

/// What the writer brought into the file: so many entries, and what is missing after them.
type Written = (u64, Option<Cut>);

/// What is missing at a ledger's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Entries.
    pub missing: u64,
    /// What the system said.
    pub problem: String,
}

/// The data thread's end of the ledger. Dropped without [`finish`](Spool::finish), it writes what it
/// has and ends its thread all the same; only nobody learns what was lost or went wrong.
#[derive(Debug)]
pub struct Spool {
    ring: rtrb::Producer<Entry>,
    lost: u64,
    done: Arc<AtomicBool>,
    writer: Option<JoinHandle<Result<Written, LedgerError>>>,
}

impl Spool {
    /// Makes the file at `path` and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be made, or the thread cannot be started.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        Spool::with_capacity(path, RING_ENTRIES)
    }

    /// As [`create`](Spool::create), with room for `entries` between the data thread and the writer.
    ///
    /// # Errors
    /// As [`create`](Spool::create).
    pub fn with_capacity(path: &Path, entries: usize) -> Result<Self, LedgerError> {
        let failed = |cause| LedgerError::Write { path: path.to_owned(), cause };
        let mut file = File::create(path).map_err(failed)?;
        file.write_all(&header(UNFINISHED)).map_err(failed)?;
        let (ring, consumer) = rtrb::RingBuffer::new(entries);
        let done = Arc::new(AtomicBool::new(false));
        let writer = Writer { file, path: path.to_owned(), ring: consumer, done: done.clone() };
        let writer = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                take_lowest_priority();
                writer.run()
            })
            .map_err(LedgerError::Thread)?;
        Ok(Spool { ring, lost: 0, done, writer: Some(writer) })
    }

    /// Appends an entry. Never waits, allocates or calls the system; where the ring is full the
    /// entry is counted as lost.
    #[inline]
    pub fn append(&mut self, entry: Entry) {
        if self.ring.push(entry).is_err() {
            self.lost += 1;
        }
    }

    /// Entries lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits until everything is in the file, and marks it whole.
    ///
    /// # Errors
    /// If not even what is in the file can be marked so.
    pub fn finish(mut self) -> Result<SpoolReport, LedgerError> {
        let (written, cut) = self.stop().unwrap_or(Err(LedgerError::Panicked))?;
        Ok(SpoolReport { written, lost: self.lost, cut })
    }

    /// Ends the writer thread after it has written all there is.
    fn stop(&mut self) -> Option<Result<Written, LedgerError>> {
        let writer = self.writer.take()?;
        self.done.store(true, Ordering::Release);
        writer.thread().unpark();
        Some(writer.join().unwrap_or(Err(LedgerError::Panicked)))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Whoever drops an unfinished spool has no use for its errors.
        let _ = self.stop();
    }
}

fn header(entries: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&entries.to_le_bytes());
    header
}

/// The other end of the ring.
struct Writer {
    file: File,
    path: PathBuf,
    ring: rtrb::Consumer<Entry>,
    done: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self) -> Result<Written, LedgerError> {
        let mut failure = None;
        let (mut written, mut missing) = (0, 0);
        let mut portion = Vec::with_capacity(CHUNK_ENTRIES * ENTRY_BYTES);
        loop {
            // Looked at before the ring: whatever was appended before `done` was set is still seen.
            let done = self.done.load(Ordering::Acquire);
            while let Ok(chunk) = self.ring.read_chunk(self.ring.slots().min(CHUNK_ENTRIES))
                && !chunk.is_empty()
            {
                let entries = chunk.len() as u64;
                chunk.into_iter().for_each(|entry| portion.extend_from_slice(&entry.encode()));
                // After an error everything is thrown away, so that the ring does not fill up and the first
                // error is the one that is told.
                if failure.is_none() {
                    failure = self.file.write_all(&portion).err();
                }
                *if failure.is_none() { &mut written } else { &mut missing } += entries;
                portion.clear();
            }
            if done {
                break;
            }
            std::thread::park_timeout(WRITER_REST);
        }
        let cut = failure.map(|error| {
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                // What is made of the spool lies beside it, and needs room, too: half of it is enough for the other.
                (written, missing) = (written / 2, missing + written - written / 2);
            }
            Cut { missing, problem: error.to_string() }
        });
        let mut finish = || {
            if cut.is_some() {
                // Half an entry may be at the end.
                self.file.set_len(HEADER_BYTES as u64 + written * ENTRY_BYTES as u64)?;
            }
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header(written))
        };
        finish().map_err(|cause| LedgerError::Write { path: self.path, cause })?;
        Ok((written, cut))
    }
}

/// Reads a finished spool, one record at a time, with times counted from `epoch`.
///
/// # Errors
/// If the file cannot be opened, is no spool, was not finished, or has another length than its
/// header says; from the iterator, if reading fails later.
pub fn read(
    path: &Path,
    epoch: Nanos,
) -> Result<impl Iterator<Item = Result<PacketRecord, LedgerError>> + use<>, LedgerError> {
    let broken = |problem: &str| LedgerError::Broken { path: path.to_owned(), problem: problem.to_owned() };
    let spool = SpoolFile::open(path)?;
    if spool.announced == UNFINISHED {
        return Err(broken("it was not finished"));
    }
    let (entries, length) = (spool.announced, spool.length);
    let expected = entries.checked_mul(ENTRY_BYTES as u64).and_then(|bytes| bytes.checked_add(HEADER_BYTES as u64));
    if expected != Some(length) {
        return Err(broken(&format!("it should hold {entries} entries and has {length} bytes")));
    }
    spool.records(entries, epoch)
}

/// Reads what there is of a spool, finished or not: of a trial that failed. At most the last
/// `most` entries; the second figure says how many there are before them.
///
/// # Errors
/// As [`read`], but for what is only unfinished.
pub fn read_so_far(
    path: &Path,
    epoch: Nanos,
    most: u64,
) -> Result<(impl Iterator<Item = Result<PacketRecord, LedgerError>> + use<>, u64), LedgerError> {
    let mut spool = SpoolFile::open(path)?;
    let entries = (spool.length - HEADER_BYTES as u64) / ENTRY_BYTES as u64;
    let left_out = entries.saturating_sub(most);
    spool
        .reader
        .seek_relative((left_out * ENTRY_BYTES as u64).cast_signed())
        .map_err(|cause| LedgerError::Read { path: path.to_owned(), cause })?;
    Ok((spool.records(entries - left_out, epoch)?, left_out))
}

/// A spool opened for reading, behind its header.
struct SpoolFile {
    path: PathBuf,
    reader: BufReader<File>,
    /// Entries by the header.
    announced: u64,
    /// Bytes of the file.
    length: u64,
}

impl SpoolFile {
    fn open(path: &Path) -> Result<SpoolFile, LedgerError> {
        let failed = |cause| LedgerError::Read { path: path.to_owned(), cause };
        let broken = |problem: &str| LedgerError::Broken { path: path.to_owned(), problem: problem.to_owned() };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(CHUNK_ENTRIES * ENTRY_BYTES, file);
        let mut head = [0; HEADER_BYTES];
        reader.read_exact(&mut head).map_err(|_| broken("it is too short to be one"))?;
        if &head[..8] != MAGIC {
            return Err(broken("it is no ledger of this version"));
        }
        let announced = u64::from_le_bytes(std::array::from_fn(|i| head[8 + i]));
        Ok(SpoolFile { path: path.to_owned(), reader, announced, length })
    }

    /// The next `entries` entries.
    fn records(
        self,
        entries: u64,
        epoch: Nanos,
    ) -> Result<impl Iterator<Item = Result<PacketRecord, LedgerError>> + use<>, LedgerError> {
        let SpoolFile { path, mut reader, .. } = self;
        Ok((0..entries).map(move |at| {
            let mut line = [0; ENTRY_BYTES];
            reader.read_exact(&mut line).map_err(|cause| LedgerError::Read { path: path.clone(), cause })?;
            let entry = Entry::decode(&line).ok_or_else(|| LedgerError::Broken {
                path: path.clone(),
                problem: format!("entry {at} makes no sense"),
            })?;
            Ok(entry.record(epoch))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::packet::PacketInfo;
    use samepath_model::link::Direction;
    use samepath_model::record::DropCause;

    fn entry(number: u64, arrived: Nanos) -> Entry {
        let info = PacketInfo { size: 1500, protocol: 17, payload: 1472, ..PacketInfo::default() };
        Entry::new(Direction::Down, number, arrived, &info)
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.spool");
        (dir, path)
    }

    #[test]
    fn a_spool_keeps_the_order() {
        let (_dir, path) = scratch();
        let mut spool = Spool::create(&path).unwrap();
        let entries: Vec<Entry> = (0..20_000)
            .map(|n| {
                let entry = entry(n, 1_000 + n);
                if n % 3 == 0 { entry.finish_dropped(DropCause::Overflow) } else { entry.finish_left(2_000 + n) }
            })
            .collect();
        for entry in &entries {
            spool.append(*entry);
        }
        assert_eq!(spool.finish().unwrap(), SpoolReport { written: 20_000, lost: 0, cut: None });
        let records: Vec<PacketRecord> = read(&path, 5_000).unwrap().collect::<Result<_, _>>().unwrap();
        let expected: Vec<PacketRecord> = entries.iter().map(|entry| entry.record(5_000)).collect();
        assert_eq!(records, expected);
        assert_eq!(records[0].arrived, -4_000);
        assert_eq!(records[0].dropped, Some(DropCause::Overflow));
        assert_eq!(records[1].left, Some(-2_999));
    }

    #[test]
    fn what_does_not_fit_the_ring_is_counted() {
        let (_dir, path) = scratch();
        let mut spool = Spool::with_capacity(&path, 4).unwrap();
        for n in 0..100_000 {
            spool.append(entry(n, n).finish_left(n));
        }
        let lost = spool.lost();
        let report = spool.finish().unwrap();
        assert_eq!(report.written + report.lost, 100_000);
        assert_eq!(report.lost, lost);
        assert_eq!(read(&path, 0).unwrap().count() as u64, report.written);
    }

    #[test]
    fn truncated_ledger_is_refused() {
        let (_dir, path) = scratch();
        let mut spool = Spool::create(&path).unwrap();
        spool.append(entry(0, 0).finish_left(1));
        drop(spool);
        assert!(read(&path, 0).is_ok(), "a dropped spool still writes what it had");
        let whole = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path, 0).err().map(|error| error.to_string())
        };
        let mut unfinished = whole.clone();
        unfinished[8..16].fill(0xff);
        assert!(refused(&unfinished).unwrap().contains("not finished"));
        // The file is the unfinished one now, which a failed trial leaves.
        let (records, before) = read_so_far(&path, 0, 10).unwrap();
        assert_eq!((records.count(), before), (1, 0));
        assert_eq!(read_so_far(&path, 0, 0).map(|(records, before)| (records.count(), before)).unwrap(), (0, 1));
        assert!(refused(&whole[..whole.len() - 1]).unwrap().contains("1 entries"));
        assert!(refused(&whole[..9]).unwrap().contains("too short"));
        assert!(refused(&[b'x'; 68]).unwrap().contains("no ledger of this version"));
        let mut senseless = whole.clone();
        senseless[HEADER_BYTES + 51] = 200;
        std::fs::write(&path, &senseless).unwrap();
        assert!(matches!(read(&path, 0).unwrap().next(), Some(Err(LedgerError::Broken { .. }))));
        assert!(matches!(read(&path.with_extension("absent"), 0).err(), Some(LedgerError::Read { .. })));
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            samepath_testing::skip!("there is no /dev/full here");
            return;
        }
        assert!(matches!(Spool::create(full), Err(LedgerError::Write { .. })));
        let nowhere = Path::new("/nonexistent/ledger.spool");
        assert!(Spool::create(nowhere).unwrap_err().to_string().contains("/nonexistent/ledger.spool"));
    }
}
