//! What the link core costs a packet: offer and release, with everything on.
//!
//! Runs in virtual time. `cargo bench -p samepath-netem --bench pipe`

use std::hint::black_box;
use std::time::Instant;

use samepath_model::link::{Direction, LinkSpec};
use samepath_netem::ledger::{RING_ENTRIES, Spool};
use samepath_netem::link::Pipe;

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
        for spooled in [false, true] {
            let nanos = measure(&link, spooled);
            println!("{name}{}: {nanos:.0} ns a packet", if spooled { ", with the ledger's spool" } else { "" });
        }
    }
}

/// Nanoseconds a packet.
fn measure(link: &samepath_model::Link, spooled: bool) -> f64 {
    // A full TCP segment from 198.18.0.2:4433 to 198.18.0.1:40000.
    let mut packet = vec![0u8; 1500];
    packet[..10].copy_from_slice(&[0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6]);
    packet[12..24].copy_from_slice(&[198, 18, 0, 2, 198, 18, 0, 1, 0x11, 0x51, 0x9c, 0x40]);
    packet[32..34].copy_from_slice(&[0x50, 0x10]);
    let dir = std::env::temp_dir().join(format!("samepath-bench-{}", std::process::id()));
    (0..ROUNDS)
        .map(|_| {
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
        })
        .fold(f64::INFINITY, f64::min)
}
