//! What the link core costs a packet: offer and release, with everything on.
//!
//! Runs in virtual time. `cargo bench -p samepath-netem --bench pipe`

use std::hint::black_box;
use std::time::{Duration, Instant};

use samepath_model::link::{Direction, LinkSpec};
use samepath_netem::ledger::{RING_ENTRIES, Spool};
use samepath_netem::link::Pipe;
use samepath_netem::link::entry::Entry;
use samepath_netem::link::packet::PacketInfo;

/// Packets a measurement: as many as the ledger's ring holds even if its writer gets no CPU at all,
/// since packets come here ten times as fast as from any device.
const PACKETS: u64 = RING_ENTRIES as u64 * 9 / 10;
/// Measurements a case, of which the best counts.
const ROUNDS: usize = 10;
/// Time between two packets: 12 µs is a full packet at 1 Gbit/s.
const SPACING: u64 = 12_000;

fn main() {
    let cases = [
        ("transparent", ""),
        ("delay, rate and loss", "rtt = '20ms'\nrate = '1Gbit'\nloss = '1%'"),
        (
            "everything on",
            "rtt = '20ms'\njitter = '2ms'\nrate = '1Gbit'\nqueue = '1bdp'\nloss = 'burst 1% 3'\nduplicate = '0.1%'\n\
             corrupt = '0.1%'\nreorder = '0.1%'\noutage = ['1h..2h']\n[down]\ndrop = ['data 9999999', 'bytes 999999990..999999999']",
        ),
    ];
    for (name, conditions) in cases {
        let spec: LinkSpec = toml::from_str(conditions).expect("the bench's own conditions");
        let link = spec.resolve().expect("the bench's own conditions");
        // In turns, so that what else the machine does falls on both; the best round of each counts.
        let rounds = (0..ROUNDS).map(|_| (measure(&link, false), measure(&link, true)));
        let (bare, spooled) =
            rounds.fold((f64::INFINITY, f64::INFINITY), |(a, b), (bare, spooled)| (a.min(bare), b.min(spooled)));
        println!("{name}: {bare:.0} ns a packet, {:.0} ns more for the ledger", spooled - bare);
    }
    a_million();
}

/// A million packets through the ledger, at a rate that no TUN device carries: what it costs, and whether
/// memory grows with them.
fn a_million() {
    const PACKETS: u64 = 1_000_000;
    const SPACING: Duration = Duration::from_micros(4);
    let path = std::env::temp_dir().join(format!("samepath-bench-million-{}", std::process::id()));
    let info = PacketInfo { size: 1500, protocol: 6, payload: 1448, ..PacketInfo::default() };
    let mut spool = Spool::create(&path).expect("a scratch file");
    let begun = Instant::now();
    let (mut spent, mut settled) = (Duration::ZERO, 0);
    for n in 0..PACKETS {
        if n == RING_ENTRIES as u64 {
            settled = resident(); // each place of the ring has been touched
        }
        let due = begun + SPACING * n as u32;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let before = Instant::now();
        let entry = Entry::new(Direction::Up, n, n, &info);
        spool.append(black_box(entry));
        spent += before.elapsed();
    }
    let grown = resident().saturating_sub(settled) / 1024;
    let report = spool.finish().expect("a scratch file");
    let _ = std::fs::remove_file(&path);
    println!(
        "a million packets, one in {SPACING:?}: {:.0} ns a packet for the ledger (the clock's own cost in it), {} lost, \
         memory grew by {grown} KiB over the last {}",
        spent.as_nanos() as f64 / PACKETS as f64,
        report.lost,
        PACKETS - RING_ENTRIES as u64
    );
}

/// Bytes of this process in memory, by /proc/self/statm; 0 where it cannot be read.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Nanoseconds a packet, in one round.
fn measure(link: &samepath_model::Link, spooled: bool) -> f64 {
    // A full TCP segment from 198.18.0.2:4433 to 198.18.0.1:40000.
    let mut packet = vec![0u8; 1500];
    packet[..10].copy_from_slice(&[0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6]);
    packet[12..24].copy_from_slice(&[198, 18, 0, 2, 198, 18, 0, 1, 0x11, 0x51, 0x9c, 0x40]);
    packet[32..34].copy_from_slice(&[0x50, 0x10]);
    let dir = std::env::temp_dir().join(format!("samepath-bench-{}", std::process::id()));
    let mut spool = spooled.then(|| Spool::create(&dir).expect("a scratch file"));
    let mut pipe: Pipe<Vec<u8>> = Pipe::new(link, Direction::Down, 1);
    pipe.set_epoch(0);
    let mut buffers: Vec<Vec<u8>> = vec![packet.clone(); 4096];
    let start = Instant::now();
    for n in 0..PACKETS {
        let now = n * SPACING;
        let buffer = buffers.pop().unwrap_or_else(|| packet.clone());
        let back = pipe.offer(buffer, now, |entry| {
            if let Some(spool) = &mut spool {
                spool.append(black_box(entry));
            }
        });
        buffers.extend(back);
        while let Some(released) = pipe.release(now) {
            let entry = pipe.left(released.entry, now);
            if let Some(spool) = &mut spool {
                spool.append(black_box(entry));
            }
            buffers.push(released.packet);
        }
    }
    let nanos = start.elapsed().as_nanos() as f64 / PACKETS as f64;
    if let Some(spool) = spool {
        let report = spool.finish().expect("a scratch file");
        // Duplicates come on top; even so the ring holds them all.
        assert_eq!(report.lost, 0, "the ledger lost entries");
        let _ = std::fs::remove_file(&dir);
    }
    nanos
}
