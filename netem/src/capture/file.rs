//! The pcapng file: which blocks, with which options, and the words of the comments.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};
use samepath_model::Link;
use samepath_model::link::{Direction, ScriptedDrop};
use samepath_model::record::PacketRecord;

use super::join::Known;
use super::report::CaptureCount;
use crate::link::Nanos;
use crate::sys::monotonic;

/// Bytes of blocks that are gathered before they are written.
const GATHER: usize = 1 << 18;
/// `if_tsresol`: nanoseconds.
const NANOSECONDS: u8 = 9;
/// `epb_flags`, bits 0 and 1: seen from the client, what goes up goes out.
const OUTBOUND: u32 = 2;
/// See [`OUTBOUND`].
const INBOUND: u32 = 1;

/// The file as it grows, whole blocks at a time.
pub(super) struct CaptureFile {
    file: File,
    /// Blocks that are not yet in the file.
    blocks: PcapNgWriter<Vec<u8>>,
    /// Bytes in the file.
    length: u64,
    /// Packets in `blocks`.
    gathered: u64,
    /// Packets in the file, and seen but not in it.
    count: CaptureCount,
    /// By direction: packets taken so far, the number that comes next, and how many were missing.
    next: [u64; 2],
    taken: [u64; 2],
    missing: [u64; 2],
    /// What turns CLOCK_MONOTONIC into the time since 1970.
    offset: u64,
    failed: bool,
}

impl CaptureFile {
    /// Writes the header.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn begin(file: File, link: &Link) -> io::Result<CaptureFile> {
        let offset = offset();
        let about = format!(
            "Every packet offered to the link, when it was, with its fate. Packets are counted from 1 in their \
             direction, as `--drop 'up packet N'` counts them; in the ledger their `number` is one less. Times are \
             CLOCK_MONOTONIC and {offset} ns. The link: {link:#}"
        );
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![
                SectionHeaderOption::UserApplication(Cow::Borrowed(concat!("samepath ", env!("CARGO_PKG_VERSION")))),
                SectionHeaderOption::Comment(Cow::Owned(about)),
            ],
            ..SectionHeaderBlock::default()
        };
        let mut blocks =
            PcapNgWriter::with_section_header(Vec::with_capacity(2 * GATHER), section).map_err(io_error)?;
        for direction in Direction::BOTH {
            let way = match direction {
                Direction::Up => "client to server",
                Direction::Down => "server to client",
            };
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Owned(direction.to_string())),
                    InterfaceDescriptionOption::IfDescription(Cow::Borrowed(way)),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            blocks.write_pcapng_block(interface).map_err(io_error)?;
        }
        let mut capture = CaptureFile {
            file,
            blocks,
            length: 0,
            gathered: 0,
            count: CaptureCount::default(),
            next: [0; 2],
            taken: [0; 2],
            missing: [0; 2],
            offset,
            failed: false,
        };
        capture.flush()?;
        Ok(capture)
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// Where the file cannot be written; the packet, and all after it, are then counted as missing.
    pub(super) fn packet(&mut self, known: &Known) -> io::Result<()> {
        let interface = known.direction.index();
        let missed = known.number.saturating_sub(self.next[interface]);
        self.next[interface] = known.number + 1;
        self.missing[interface] += missed;
        self.taken[interface] += 1;
        if self.failed {
            self.count.missing += 1;
            return Ok(());
        }
        self.count.unknown += u64::from(!known.complete);
        let flags = if known.direction == Direction::Up { OUTBOUND } else { INBOUND };
        let mut options = vec![EnhancedPacketOption::Flags(flags)];
        if missed > 0 {
            options.push(EnhancedPacketOption::DropCount(missed));
        }
        options.extend(known.notes.iter().map(|note| EnhancedPacketOption::Comment(Cow::Borrowed(note))));
        options.push(EnhancedPacketOption::Comment(Cow::Owned(comment(known))));
        let block = EnhancedPacketBlock {
            interface_id: interface as u32,
            timestamp: Duration::from_nanos(self.since_1970(known.arrived)),
            original_len: known.packet.len() as u32,
            data: Cow::Borrowed(&known.packet),
            options,
        };
        self.blocks.write_pcapng_block(block).map_err(io_error)?;
        self.gathered += 1;
        if self.blocks.get_ref().len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// Writes the statistics, and what happened after the last packet.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn end(&mut self, notes: &[Box<str>]) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let now = self.since_1970(monotonic());
        for direction in Direction::BOTH {
            let interface = direction.index();
            let mut options = vec![
                InterfaceStatisticsOption::IsbIfRecv(self.taken[interface] + self.missing[interface]),
                InterfaceStatisticsOption::IsbIfDrop(self.missing[interface]),
            ];
            options.extend(notes.iter().map(|note| InterfaceStatisticsOption::Comment(Cow::Borrowed(note))));
            // The format has the upper half of a time first, and the library writes it as one number.
            let timestamp = now.rotate_left(32);
            let block = InterfaceStatisticsBlock { interface_id: interface as u32, timestamp, options };
            self.blocks.write_pcapng_block(block).map_err(io_error)?;
        }
        self.flush()
    }

    /// Brings what was gathered into the file, whole or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let blocks = self.blocks.get_mut();
        if self.failed || blocks.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(blocks);
        match &written {
            Ok(()) => {
                self.length += blocks.len() as u64;
                self.count.packets += self.gathered;
            }
            Err(_) => {
                // Half a block would spoil the file for its readers. A pipe cannot be cut, and need not be.
                let _ = self.file.set_len(self.length);
                self.count.missing += self.gathered;
                self.failed = true;
            }
        }
        blocks.clear();
        self.gathered = 0;
        written
    }

    /// Packets in the file; those that came here and are not in it; those whose fate is not in it.
    pub(super) fn count(&self) -> CaptureCount {
        self.count
    }

    fn since_1970(&self, at: Nanos) -> u64 {
        at.wrapping_add(self.offset)
    }
}

/// What became of the packet, in words.
fn comment(known: &Known) -> String {
    let mut text = format!("{} {}: ", known.direction, ScriptedDrop::Packet(known.number + 1));
    for (at, record) in known.fates.iter().enumerate() {
        if at > 0 {
            text.push_str("; ");
        }
        fate(record, &mut text);
    }
    if !known.complete {
        text.push_str(if known.fates.is_empty() { "fate not known" } else { "; the rest is not known" });
    }
    text
}

fn fate(record: &PacketRecord, text: &mut String) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    if record.duplicate {
        text.push_str("copy ");
    }
    let _ = match (record.dropped, record.left) {
        (Some(cause), _) => write!(text, "dropped ({})", cause.name()),
        (None, Some(left)) => {
            let (queued, latency) = (Millis(record.queued), Millis((left - record.arrived).unsigned_abs()));
            write!(text, "queued {queued}, left after {latency}")
        }
        (None, None) => write!(text, "still in the link"),
    };
    if record.corrupted {
        text.push_str(", corrupted");
    }
    if record.congestion_marked {
        text.push_str(", marked CE");
    }
    if record.bypassed {
        text.push_str(", not filtered");
    }
}

/// Nanoseconds, shown as milliseconds to the last digit.
struct Millis(u64);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06} ms", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// What is to be added to CLOCK_MONOTONIC now to get nanoseconds since 1970.
fn offset() -> u64 {
    let before = monotonic();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let after = monotonic();
    wall.wrapping_sub(before + (after - before) / 2)
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
