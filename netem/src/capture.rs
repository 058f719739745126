//! The capture: every packet that was offered to the link, whole, with its fate, as a pcapng file.
//!
//! The data thread copies each packet into a [`Capture`], which never waits; a thread of the lowest
//! priority joins packets and fates and writes them, in order of arrival, as soon as the fate is
//! known. So the file can be read while the link is up, and holds whole blocks even after a crash.
//! Each packet has a comment with its name and its fate. The name is what a scripted drop calls it by, so that
//! what is read in a capture can be typed as it stands; the ledger, a record, counts from 0.
//!
//! ```text
//! up packet 17: queued 1.200000 ms, left after 26.250113 ms
//! down packet 4: dropped (overflow)
//! ```
//!
//! What the writer cannot keep up with is counted, in the file too: as the packets lost before the
//! next one (`epb_dropcount`), and in the interface's statistics at the end. Format: pcapng
//! (draft-ietf-opsawg-pcapng), one interface a direction, raw IP (LINKTYPE_RAW), nanoseconds.

mod file;
mod join;
mod report;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use samepath_model::Link;
use samepath_model::link::Direction;

use crate::link::Nanos;
use crate::link::entry::Entry;
use crate::sys::take_lowest_priority;
use file::CaptureFile;
use join::Join;
pub use report::{CaptureCount, CaptureReport};

/// Bytes of packets that fit between the data thread and the writer: a quarter of a second of a
/// gigabit link.
const RING_BYTES: usize = 32 << 20;
/// Events that fit there: three a packet.
const RING_EVENTS: usize = 1 << 17;
/// This share of the events' ring is kept for the fates of packets taken already, as a divisor.
const FATES_SHARE: usize = 4;
/// How long the writer rests when there is nothing to do: short against what the rings hold, long
/// against the work of waking up.
const WRITER_REST: Duration = Duration::from_millis(10);

/// A capture that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be made.
    #[error("cannot write the capture `{path}`: {cause}; give a file in a directory that you may write to")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the capture's writer thread: {0}; raise the limit on processes (`ulimit -u`)")]
    Thread(io::Error),
}

/// A word from the data thread to the writer.
enum Event {
    /// A packet was offered; its bytes are next in the other ring.
    Packet { direction: Direction, number: u64, arrived: Nanos, length: u32 },
    /// So many of the packet last offered are now inside the link; one of each gets a fate later.
    Inside(u8),
    /// What became of a packet, or of the copy of it.
    Fate(Entry),
    /// Something that happened to the link itself, for the next packet's comments.
    Note(Box<str>),
}

/// The data thread's end. Dropped without [`finish`](Capture::finish), it writes what it has all the
/// same; only nobody learns what is missing.
pub struct Capture {
    events: rtrb::Producer<Event>,
    bytes: rtrb::Producer<u8>,
    /// Whether the packet last offered is on its way to the writer.
    taken: bool,
    missing: u64,
    done: Arc<AtomicBool>,
    writer: Option<JoinHandle<CaptureReport>>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Capture {
    /// Makes the file at `path`, with the link's conditions in its header, and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be made, or the thread cannot be started.
    pub fn create(path: &Path, link: &Link) -> Result<Self, CaptureError> {
        Capture::with_capacity(path, link, RING_BYTES, RING_EVENTS)
    }

    /// As [`create`](Capture::create), with room for so many bytes and events between the data
    /// thread and the writer.
    ///
    /// # Errors
    /// As [`create`](Capture::create).
    pub fn with_capacity(path: &Path, link: &Link, bytes: usize, events: usize) -> Result<Self, CaptureError> {
        let failed = |cause| CaptureError::Create { path: path.to_owned(), cause };
        let file = File::create(path).and_then(|file| CaptureFile::begin(file, link)).map_err(failed)?;
        let (to_bytes, from_bytes) = rtrb::RingBuffer::new(bytes);
        let (to_events, from_events) = rtrb::RingBuffer::new(events);
        let done = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            path: path.to_owned(),
            events: from_events,
            bytes: from_bytes,
            done: done.clone(),
            join: Join::default(),
            file,
            failure: None,
        };
        let writer = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || {
                take_lowest_priority();
                writer.run()
            })
            .map_err(CaptureError::Thread)?;
        let (events, bytes) = (to_events, to_bytes);
        Ok(Capture { events, bytes, taken: false, missing: 0, done, writer: Some(writer) })
    }

    /// Takes a packet as it is offered to the link. Never waits or allocates; where there is no room
    /// the packet is counted as missing.
    #[inline]
    pub fn offered(&mut self, direction: Direction, number: u64, packet: &[u8], now: Nanos) {
        let capacity = self.events.buffer().capacity();
        let has_slots = self.events.slots() >= capacity / FATES_SHARE + 2;
        self.taken = has_slots && self.bytes.push_entire_slice(packet).is_ok();
        if !self.taken {
            self.missing += 1;
            return;
        }
        let event = Event::Packet { direction, number, arrived: now, length: packet.len() as u32 };
        // There is room: it was looked for, and nobody else writes.
        let _ = self.events.push(event);
    }

    /// Says how many of the packet last offered are inside the link now: itself, a copy, both, or
    /// none of them.
    #[inline]
    pub fn inside(&mut self, copies: u64) {
        if self.taken {
            let _ = self.events.push(Event::Inside(copies as u8));
        }
    }

    /// Says what became of a packet or of a copy. Where there is no room, the packet will be written
    /// without its fate, and counted so.
    #[inline]
    pub fn fate(&mut self, entry: Entry) {
        let _ = self.events.push(Event::Fate(entry));
    }

    /// Says what happened to the link itself; it becomes a comment of the next packet.
    pub fn note(&mut self, text: &str) {
        let _ = self.events.push(Event::Note(text.into()));
    }

    /// Packets missing so far because the writer could not keep up.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Waits until everything is in the file.
    pub fn finish(mut self) -> CaptureReport {
        self.stop().unwrap_or_else(|| CaptureReport {
            count: CaptureCount::default(),
            failure: Some("the capture's writer panicked; this is a fault of the program".into()),
        })
    }

    /// Ends the writer thread after it has written all there is.
    fn stop(&mut self) -> Option<CaptureReport> {
        let writer = self.writer.take()?;
        self.done.store(true, Ordering::Release);
        writer.thread().unpark();
        let mut report = writer.join().ok()?;
        // The writer counts what it could not write; this is what never came to it.
        report.count.missing += self.missing;
        Some(report)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Whoever drops an unfinished capture has no use for its report.
        let _ = self.stop();
    }
}

/// The other end of the rings.
struct Writer {
    path: PathBuf,
    events: rtrb::Consumer<Event>,
    bytes: rtrb::Consumer<u8>,
    done: Arc<AtomicBool>,
    join: Join,
    file: CaptureFile,
    /// The first thing that went wrong. From then on everything is thrown away and counted, so that
    /// the rings do not fill up.
    failure: Option<String>,
}

impl Writer {
    fn run(mut self) -> CaptureReport {
        loop {
            // Looked at before the rings: whatever was pushed before `done` was set is still seen.
            let done = self.done.load(Ordering::Acquire);
            while let Ok(event) = self.events.pop() {
                self.take(event);
                while let Some(packet) = self.join.next_known() {
                    self.write(packet);
                }
            }
            if done {
                break;
            }
            let flushed = self.file.flush();
            self.note_failure(flushed);
            std::thread::park_timeout(WRITER_REST);
        }
        while let Some(packet) = self.join.next_of_rest() {
            self.write(packet);
        }
        let ended = self.file.end(self.join.notes());
        self.note_failure(ended);
        CaptureReport { count: self.file.count(), failure: self.failure }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Packet { direction, number, arrived, length } => {
                let mut packet = self.join.empty_buffer();
                if let Ok(chunk) = self.bytes.read_chunk(length as usize) {
                    let (first, second) = chunk.as_slices();
                    packet.extend_from_slice(first);
                    packet.extend_from_slice(second);
                    chunk.commit_all();
                }
                self.join.packet(direction, number, arrived, packet);
            }
            Event::Inside(copies) => self.join.inside(copies),
            Event::Fate(entry) => self.join.fate(&entry),
            Event::Note(text) => self.join.note(text),
        }
    }

    fn write(&mut self, packet: join::Known) {
        let written = self.file.packet(&packet);
        self.note_failure(written);
        self.join.give_back(packet);
    }

    fn note_failure(&mut self, result: io::Result<()>) {
        if let (Err(error), None) = (result, &self.failure) {
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    "free space there, or capture to another place"
                }
                _ => "capture to another place",
            };
            let path = self.path.display();
            self.failure = Some(format!("the capture `{path}` ends before the link did: {error}; {remedy}"));
        }
    }
}

#[cfg(test)]
mod tests;
