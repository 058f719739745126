//! A link without conditions whose ledger nobody keeps: packets cross it as the host hands them over,
//! super-packets of up to 64 KiB among them, as between two machines whose network cards segment.
//!
//! It decides nothing, so there is nothing to decide for each wire packet; a link with conditions, or
//! with a ledger, never comes here. Each packet has the header of virtio-net before it
//! (`linux/virtio_net.h`), by which the receiving host knows what it is spared to segment and to sum.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use samepath_model::link::Direction;
use samepath_model::record::{DirectionReport, DropCause, Lateness};

use super::Port;
use super::emulator::{Account, EmulatorError, Orders, become_realtime, failed, wait};
use super::mail::Letter;
use crate::control::Snapshot;
use crate::sys::{monotonic, thread_cpu};

/// Bytes of `struct virtio_net_hdr`.
const HEADER: usize = 10;
/// The largest IP packet and its header.
const ROOM: usize = HEADER + 65_535 + 64;
/// Packets taken from one side before the other has its turn.
const BATCH: usize = 64;

/// Carries packets between the ports until told to stop.
pub(super) fn run(mut ports: [Port; 2], orders: &Orders, waked: &OwnedFd) -> Result<Account, EmulatorError> {
    let realtime = become_realtime();
    let started = monotonic();
    let mut directions = [DirectionReport::default(), DirectionReport::default()];
    let mut buffer = vec![0; ROOM];
    while !orders.stop.load(Ordering::Acquire) {
        for letter in orders.mail.take() {
            answer(letter, &directions);
        }
        let mut busy = false;
        for direction in Direction::BOTH {
            let (from, to) = (direction.index(), direction.opposite().index());
            let report = &mut directions[from];
            for _ in 0..BATCH {
                let taken = ports[from].take(&mut buffer).map_err(|source| failed(from, source))?;
                let Some(length) = taken else { break };
                busy = true;
                let given = ports[to].give(&buffer[..length]).map_err(|source| failed(to, source))?;
                count(report, &Segments::of(&buffer[..length]), given);
            }
        }
        if !busy {
            wait(&ports, waked, None)?;
        }
    }
    Ok(Account {
        directions,
        // Nothing was promised, so nothing can be late.
        lateness: Lateness::default(),
        port_drops: ports.iter().map(Port::drops).sum(),
        realtime,
        cpu: thread_cpu(),
        spun: 0,
        wall: monotonic() - started,
        ledger_lost: 0,
        capture: None,
    })
}

/// Does what a letter asks for. Nobody may be left to hear the answer.
fn answer(letter: Letter, directions: &[DirectionReport; 2]) {
    match letter {
        Letter::Change { answer, .. } => {
            let _ = answer.send(Err("it passes super-packets on whole, since it was started without conditions; \
                                     start it with a --name or a condition, and it can be given any"));
        }
        Letter::Snapshot { answer } => {
            let [up, down] = directions;
            let _ = answer.send(Snapshot { up: up.clone(), down: down.clone(), ..Snapshot::default() });
        }
    }
}

fn count(report: &mut DirectionReport, segments: &Segments, given: bool) {
    report.packets += segments.packets;
    report.bytes += segments.bytes;
    report.largest_packet = report.largest_packet.max(segments.largest);
    if given {
        report.delivered_packets += segments.packets;
        report.delivered_bytes += segments.bytes;
    } else {
        *report.dropped.entry(DropCause::Host.name().to_owned()).or_default() += segments.packets;
    }
}

/// The wire packets that a packet stands for.
#[derive(Debug, PartialEq, Eq)]
struct Segments {
    packets: u64,
    bytes: u64,
    largest: u32,
}

impl Segments {
    /// Of a packet with its virtio-net header: flags, kind of segmentation, header length, segment
    /// size, and where the transport header starts (in the host's byte order).
    fn of(packet: &[u8]) -> Segments {
        let whole = packet.len().saturating_sub(HEADER);
        let one = Segments { packets: 1, bytes: whole as u64, largest: whole as u32 };
        let Some((header, ip)) = packet.split_first_chunk::<HEADER>() else { return one };
        let word = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        let (kind, size, transport) = (header[1] & 0x7f, word(4), word(6));
        const UDP_L4: u8 = 5;
        let transport_header = if kind == UDP_L4 {
            8
        } else {
            // The upper half of this byte is TCP's header length, in words of four bytes.
            ip.get(transport + 12).map_or(20, |offset| usize::from(offset >> 4) * 4)
        };
        let headers = transport + transport_header;
        if kind == 0 || size == 0 || headers >= whole {
            return one;
        }
        let payload = whole - headers;
        let packets = payload.div_ceil(size);
        Segments {
            packets: packets as u64,
            bytes: (payload + packets * headers) as u64,
            largest: (headers + payload.min(size)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, size: u16, transport: u16, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + length];
        bytes[1] = kind;
        bytes[4..6].copy_from_slice(&size.to_ne_bytes());
        bytes[6..8].copy_from_slice(&transport.to_ne_bytes());
        if let Some(offset) = bytes.get_mut(HEADER + usize::from(transport) + 12) {
            *offset = 8 << 4;
        }
        bytes
    }

    #[test]
    fn a_super_packet_counts_as_the_packets_it_stands_for() {
        // TCP over IPv4 with 12 bytes of options: 52 bytes of headers, 1448 of payload a segment.
        let three = Segments::of(&packet(1, 1448, 20, 52 + 2 * 1448 + 100));
        assert_eq!(three, Segments { packets: 3, bytes: 3 * 52 + 2 * 1448 + 100, largest: 1500 });
        // UDP: 28 bytes of headers.
        let two = Segments::of(&packet(5, 1472, 20, 28 + 1472 + 1));
        assert_eq!(two, Segments { packets: 2, bytes: 2 * 28 + 1473, largest: 1500 });
        let one = Segments::of(&packet(0, 0, 0, 84));
        assert_eq!(one, Segments { packets: 1, bytes: 84, largest: 84 });
    }

    #[test]
    fn nonsense_counts_as_one_packet() {
        for bytes in [&[][..], &[0; 5], &packet(1, 0, 20, 60), &packet(1, 1448, 60_000, 60), &packet(4, 9, 0, 3)] {
            assert_eq!(Segments::of(bytes).packets, 1);
        }
    }
}
