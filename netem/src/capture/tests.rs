//! What is read back is what was offered, by another reader of the format.

use std::collections::HashMap;

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use samepath_model::record::DropCause;

use super::*;
use crate::link::Pipe;

struct Read {
    direction: u32,
    packet: Vec<u8>,
    comments: Vec<String>,
    lost_before: u64,
    time: u128,
}

/// Packets, and by interface what was received and dropped.
fn read(path: &Path) -> (Vec<Read>, HashMap<u32, (u64, u64)>) {
    let (mut packets, mut statistics) = (Vec::new(), HashMap::new());
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::EnhancedPacket(packet) => {
                assert_eq!(packet.original_len as usize, packet.data.len());
                let mut read = Read {
                    direction: packet.interface_id,
                    packet: packet.data.to_vec(),
                    comments: Vec::new(),
                    lost_before: 0,
                    time: packet.timestamp.as_nanos(),
                };
                for option in &packet.options {
                    match option {
                        EnhancedPacketOption::Comment(text) => read.comments.push(text.to_string()),
                        EnhancedPacketOption::DropCount(count) => read.lost_before = *count,
                        _ => {}
                    }
                }
                packets.push(read);
            }
            Block::InterfaceStatistics(block) => {
                let mut counts = (0, 0);
                for option in &block.options {
                    match option {
                        InterfaceStatisticsOption::IsbIfRecv(count) => counts.0 = *count,
                        InterfaceStatisticsOption::IsbIfDrop(count) => counts.1 = *count,
                        _ => {}
                    }
                }
                statistics.insert(block.interface_id, counts);
            }
            _ => {}
        }
    }
    (packets, statistics)
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.pcapng");
    (dir, path)
}

/// Offers packets of this many bytes to a pipe and the capture, as the data thread does.
fn play(capture: &mut Capture, pipe: &mut Pipe<Vec<u8>>, direction: Direction, packets: u64) {
    for n in 0..packets {
        let now = 1_000_000 + n * 100_000;
        let packet = vec![n as u8; 100 + n as usize % 7];
        let inside = pipe.in_flight();
        capture.offered(direction, pipe.offered(), &packet, now);
        pipe.offer(packet, now, |entry| capture.fate(entry));
        capture.inside(pipe.in_flight() - inside);
        while let Some(released) = pipe.release(now) {
            let entry = pipe.left(released.entry, released.due + 7);
            capture.fate(entry);
        }
    }
    pipe.drain().for_each(|(_, entry)| capture.fate(entry));
}

fn link(toml: &str) -> Link {
    toml::from_str::<samepath_model::LinkSpec>(toml).unwrap().resolve().unwrap()
}

#[test]
fn every_packet_is_captured_with_its_fate() {
    let (_dir, path) = scratch();
    let link = link("delay = '5ms'\nloss = '20%'\nduplicate = '20%'\ncorrupt = '20%'\nloss-key = 'index'");
    let mut capture = Capture::create(&path, &link).unwrap();
    let mut pipe = Pipe::new(&link, Direction::Up, 3);
    play(&mut capture, &mut pipe, Direction::Up, 500);
    let report = capture.finish();
    assert_eq!(report.count, CaptureCount { packets: 500, missing: 0, unknown: 0 });
    assert_eq!(report.complaint(), None);

    let (packets, statistics) = read(&path);
    assert_eq!(statistics[&0], (500, 0));
    assert_eq!(packets.len(), 500);
    for (n, packet) in packets.iter().enumerate() {
        assert_eq!(packet.packet, vec![n as u8; 100 + n % 7], "as it was offered, whatever was flipped later");
        assert!(packet.comments[0].starts_with(&format!("up packet {}: ", n + 1)), "{:?}", packet.comments);
        assert_eq!(packet.time - packets[0].time, n as u128 * 100_000);
    }
    let with = |words: &str| packets.iter().filter(|packet| packet.comments[0].contains(words)).count() as u64;
    let told = pipe.report();
    assert_eq!(with("dropped (loss)"), told.dropped[DropCause::Loss.name()]);
    assert_eq!(with("copy "), told.duplicated);
    assert!(with("left after 5.000007 ms") > 200);
    assert!(with("corrupted") > 0 && with("dropped (link-down)") > 0);
    assert_eq!(with("not known"), 0);
}

#[test]
fn packets_beyond_the_limit_are_counted() {
    let (_dir, path) = scratch();
    let link = Link::transparent();
    let mut capture = Capture::with_capacity(&path, &link, 1 << 12, 64).unwrap();
    let mut pipe = Pipe::new(&link, Direction::Down, 1);
    play(&mut capture, &mut pipe, Direction::Down, 100_000);
    let report = capture.finish();
    assert!(report.count.missing > 0 && report.complaint().unwrap().contains("lacks"));
    assert_eq!(report.count.packets + report.count.missing, 100_000);
    let (packets, _) = read(&path);
    assert_eq!(packets.len() as u64, report.count.packets);
    let lost: u64 = packets.iter().map(|packet| packet.lost_before).sum();
    assert!(lost <= report.count.missing);
    let unknown = packets.iter().filter(|packet| packet.comments[0].contains("not known")).count() as u64;
    assert_eq!(unknown, report.count.unknown);
    assert!(packets.iter().all(|packet| packet.direction == 1));
}

#[test]
fn both_directions_are_in_one_order_of_time() {
    let (_dir, path) = scratch();
    let link = link("up = { delay = '50ms' }");
    let mut capture = Capture::create(&path, &link).unwrap();
    let mut pipes = Direction::BOTH.map(|direction| Pipe::new(&link, direction, 1));
    for n in 0..100u64 {
        let direction = Direction::BOTH[(n % 2) as usize];
        let pipe = &mut pipes[direction.index()];
        capture.offered(direction, pipe.offered(), &[n as u8; 60], n * 1_000);
        pipe.offer(vec![n as u8; 60], n * 1_000, |entry| capture.fate(entry));
        capture.inside(1);
        while let Some(released) = pipe.release(n * 1_000) {
            capture.fate(pipe.left(released.entry, n * 1_000));
        }
    }
    capture.note("the last word");
    for pipe in &mut pipes {
        pipe.drain().for_each(|(_, entry)| capture.fate(entry));
    }
    capture.finish();
    let (packets, _) = read(&path);
    let order: Vec<u8> = packets.iter().map(|packet| packet.packet[0]).collect();
    assert_eq!(order, (0..100).collect::<Vec<u8>>());
}

#[test]
fn a_note_is_a_comment_of_the_next_packet() {
    let (_dir, path) = scratch();
    let link = Link::transparent();
    let mut capture = Capture::create(&path, &link).unwrap();
    let mut pipe = Pipe::new(&link, Direction::Up, 1);
    play(&mut capture, &mut pipe, Direction::Up, 1);
    capture.note("the rate changed");
    capture.offered(Direction::Up, 1, &[1; 40], 9_000_000);
    capture.inside(0);
    capture.finish();
    let (packets, _) = read(&path);
    assert_eq!(packets[0].comments.len(), 1);
    assert_eq!(packets[1].comments[0], "the rate changed");
}

#[test]
fn a_full_disk_is_said_and_counted() {
    let (_dir, path) = scratch();
    if !Path::new("/dev/full").exists() {
        samepath_testing::skip!("there is no /dev/full here");
        return;
    }
    let link = Link::transparent();
    assert!(matches!(Capture::create(Path::new("/dev/full"), &link), Err(CaptureError::Create { .. })));
    let nowhere = path.with_file_name("absent").join("capture.pcapng");
    let error = Capture::create(&nowhere, &link).unwrap_err().to_string();
    assert!(error.contains("absent") && error.contains("directory"), "{error}");
}
