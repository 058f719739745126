//! A link without conditions whose ledger nobody keeps: packets cross it as the host hands them over,
//! super-packets of up to 64 KiB among them, as between two machines whose network cards segment.
//!
//! It decides nothing, so there is nothing to decide for each wire packet; a link with a ledger never comes here,
//! and one that is given conditions goes on in the emulator's own way, from the same ports, with the same counts. Each
//! packet has the header of virtio-net before it (`linux/virtio_net.h`), by which the receiving host knows what it
//! is spared to segment and to sum.

use samepath_model::link::Direction;
use samepath_model::record::{DirectionReport, DropCause, Lateness};

use super::account::{Account, Work};
use super::command::Command;
use super::data_thread::BATCH;
use super::error::EmulatorError;
use super::sleeper::Sleeper;
use crate::backend::Port;
use crate::backend::segment::{HEADER, LARGEST, Split, VirtioHeader};
use crate::backend::worker::CommandQueue;
use crate::control::Snapshot;
use crate::sys::{become_realtime, monotonic, thread_cpu};

/// How it ended.
pub(super) enum Passed {
    /// It was told to stop.
    Stopped(Account),
    /// The next command has conditions: others must go on.
    UntilConditions { ports: [Port; 2], sleeper: Sleeper, directions: [DirectionReport; 2] },
}

/// Carries packets between the ports until told to stop, or given conditions.
pub(super) fn run(
    mut ports: [Port; 2],
    queue: &CommandQueue<Command>,
    sleeper: Sleeper,
) -> Result<Passed, EmulatorError> {
    let realtime = become_realtime();
    let (started, cpu_before) = (monotonic(), thread_cpu());
    let mut directions = [DirectionReport::default(), DirectionReport::default()];
    let mut buffer = vec![0; HEADER + LARGEST];
    while !queue.is_stopped() {
        let mut commands = queue.take().into_iter();
        for command in commands.by_ref() {
            if matches!(command, Command::Change { .. }) {
                std::iter::once(command).chain(commands).for_each(|command| queue.put(command));
                return Ok(Passed::UntilConditions { ports, sleeper, directions });
            }
            answer(command, &directions);
        }
        let mut busy = false;
        for direction in Direction::BOTH {
            let (from, to) = (direction.index(), direction.opposite().index());
            let report = &mut directions[from];
            for _ in 0..BATCH {
                let taken = ports[from].take(&mut buffer).map_err(|cause| EmulatorError::of_port(from, cause))?;
                let Some(length) = taken else { break };
                busy = true;
                let given =
                    ports[to].give_whole(&buffer[..length]).map_err(|cause| EmulatorError::of_port(to, cause))?;
                count(report, segments(&buffer[..length]), given);
            }
        }
        if !busy {
            sleeper.sleep(&ports, None).map_err(EmulatorError::Thread)?;
        }
    }
    Ok(Passed::Stopped(Account {
        directions,
        // No release time was set, so nothing can be late.
        lateness: Lateness::default(),
        port_drops: ports.iter().map(Port::drops).sum(),
        realtime,
        work: Work { cpu: thread_cpu() - cpu_before, spun: 0, wall: monotonic() - started },
        ledger_lost: 0,
        ledger_cut: None,
        capture: None,
    }))
}

/// Does what a command asks for. Nobody may be left to hear the answer.
fn answer(command: Command, directions: &[DirectionReport; 2]) {
    match command {
        // Without an answer: of these the first is left to others, and there is nothing to set aside.
        Command::Change { .. } | Command::Probe { .. } => {}
        Command::Snapshot { answer } => {
            let [up, down] = directions;
            let _ = answer.send(Snapshot { up: up.clone(), down: down.clone(), ..Snapshot::default() });
        }
    }
}

fn count(report: &mut DirectionReport, (packets, bytes, largest): (u64, u64, u32), given: bool) {
    report.packets += packets;
    report.bytes += bytes;
    report.largest_packet = report.largest_packet.max(largest);
    if given {
        report.delivered_packets += packets;
        report.delivered_bytes += bytes;
    } else {
        *report.dropped.entry(DropCause::Host.name().to_owned()).or_default() += packets;
    }
}

/// The wire packets that a packet stands for, and their bytes; and the largest.
fn segments(packet: &[u8]) -> (u64, u64, u32) {
    let Some((header, ip)) = packet.split_first_chunk::<HEADER>() else { return (1, 0, 0) };
    let one = (1, ip.len() as u64, ip.len() as u32);
    Split::of(&VirtioHeader::read(header), ip).map_or(one, |split| split.totals())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the kernel's kind, over IPv4: `length` bytes with `headers` behind the IP header.
    fn packet(kind: u8, size: u16, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + length];
        bytes[1] = kind;
        bytes[4..6].copy_from_slice(&size.to_ne_bytes());
        if let Some(ip) = bytes.get_mut(HEADER..HEADER + 33) {
            (ip[0], ip[32]) = (0x45, 8 << 4);
        }
        bytes
    }

    #[test]
    fn a_super_packet_counts_its_segments() {
        // TCP over IPv4 with 12 bytes of options: 52 bytes of headers, 1448 of payload a segment.
        assert_eq!(segments(&packet(1, 1448, 52 + 2 * 1448 + 100)), (3, 3 * 52 + 2 * 1448 + 100, 1500));
        // UDP: 28 bytes of headers.
        assert_eq!(segments(&packet(5, 1472, 28 + 1472 + 1)), (2, 2 * 28 + 1473, 1500));
        assert_eq!(segments(&packet(0, 0, 84)), (1, 84, 84));
    }

    #[test]
    fn nonsense_counts_as_one_packet() {
        for bytes in [&[][..], &[0; 5], &packet(1, 0, 60), &packet(1, 1448, 30), &packet(4, 9, 0)] {
            assert_eq!(segments(bytes).0, 1);
        }
    }
}
