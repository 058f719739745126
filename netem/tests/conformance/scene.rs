//! One link, one flood of numbered datagrams across it, and all that both ends and the ledger saw.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use samepath_model::link::{Direction, LinkSpec};
use samepath_model::record::PacketRecord;
use samepath_netem::ledger;

/// Bytes of IPv4 and UDP headers before the payload.
pub(crate) const HEADERS: usize = 28;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) count: u64,
    /// Bytes of payload.
    pub(crate) bytes: usize,
    /// Microseconds from one to the next; 0: all at once.
    pub(crate) micros: u64,
}

/// A datagram that came, as the receiving application saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    /// When it was given to the socket (CLOCK_MONOTONIC).
    pub(crate) sent: u64,
    /// When it was read.
    pub(crate) received: u64,
    pub(crate) whole: bool,
}

/// What came of a scene.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) backend: &'static str,
    pub(crate) flood: Flood,
    /// In order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
    /// The ledger's lines of the flood, copies too, in order of number.
    pub(crate) packets: Vec<PacketRecord>,
    /// What the program said.
    pub(crate) said: String,
}

fn standin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_standin"))
}

/// The backends that this machine can run, found out by running them.
pub(crate) fn backends() -> Vec<&'static str> {
    static BACKENDS: OnceLock<Vec<&str>> = OnceLock::new();
    let try_each = || {
        let runs = |backend: &&str| {
            let tried =
                Command::new(standin()).args(["link", backend, "--", "true"]).output().expect("it can be started");
            if !tried.status.success() {
                samepath_testing::skip_part!(backend, "{}", String::from_utf8_lossy(&tried.stderr).trim());
            }
            tried.status.success()
        };
        ["tun", "packet", "netem"].into_iter().filter(runs).collect()
    };
    BACKENDS.get_or_init(try_each).clone()
}

/// Plays the flood up a link of these conditions.
pub(crate) fn play(backend: &'static str, conditions: &str, seed: u64, flood: Flood) -> Scene {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (seen, spool) = (dir.path().join("seen"), dir.path().join("spool"));
    let spec: LinkSpec = toml::from_str(conditions).unwrap_or_else(|error| panic!("{conditions}: {error}"));
    let spec = serde_json::to_string(&spec).expect("a spec has a text form");
    let program = standin().display();
    let Flood { count, bytes, micros } = flood;
    let script = format!(
        "{program} flood $SAMEPATH_SERVER {count} {bytes} {micros}; while ! [ -s {} ]; do sleep 0.01; done",
        seen.display()
    );
    let output = Command::new(standin())
        .args(["link", backend, "--spec", &spec, "--seed", &seed.to_string()])
        .args(["--server", &format!("exec {program} gather {}", seen.display())])
        .args(["--ledger", spool.to_str().expect("plain"), "--", "timeout", "60", "sh", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{backend}: {}: {said}", output.status);
    let scene = Scene {
        backend,
        flood,
        arrivals: read_arrivals(&fs::read_to_string(&seen).expect("the receiver wrote it")),
        packets: read_packets(&spool, flood),
        said,
    };
    // Other traffic on the link would have its share of the draws.
    assert!(!scene.said.contains("not seen to arrive"), "{backend}: {}", scene.said);
    scene.must_agree();
    scene
}

fn read_arrivals(text: &str) -> Vec<Arrival> {
    let rows = text.strip_suffix("end\n").expect("the receiver came to its end").lines();
    rows.map(|row| {
        let numbers: Vec<u64> = row.split(' ').map(|word| word.parse().expect("a number")).collect();
        Arrival { number: numbers[0], sent: numbers[1], received: numbers[2], whole: numbers[3] == 1 }
    })
    .collect()
}

/// The flood is the first that goes up, and all of it UDP; what follows says its end.
fn read_packets(spool: &Path, flood: Flood) -> Vec<PacketRecord> {
    let records = ledger::read(spool, 0).expect("a ledger").map(|record| record.expect("a whole line"));
    let mut packets: Vec<PacketRecord> =
        records.filter(|record| record.direction == Direction::Up && record.number < flood.count).collect();
    packets.sort_by_key(|record| (record.number, record.duplicate));
    packets
}

impl Scene {
    /// Conservation: every packet that was offered has one fate, every copy too, and what the ledger
    /// says left is what the receiver got. Flipped bits are left out: what they do is the receiver's.
    fn must_agree(&self) {
        let (backend, packets) = (self.backend, &self.packets);
        let originals = packets.iter().filter(|packet| !packet.duplicate).count() as u64;
        let sole_copies = packets.iter().filter(|packet| packet.duplicate && self.is_alone(packet)).count() as u64;
        assert!(
            originals == self.flood.count || originals + sole_copies >= self.flood.count,
            "{backend}: {originals} of {} packets are in the ledger; {}",
            self.flood.count,
            self.said
        );
        let size = (self.flood.bytes + HEADERS) as u32;
        assert!(packets.iter().all(|packet| packet.size == size), "{backend}: the ledger tells the sizes");
        for packet in packets {
            assert!(
                packet.left.is_some() != packet.dropped.is_some(),
                "{backend}: a packet leaves, or is dropped for a reason: {packet:?}"
            );
            assert!(packet.left.is_none_or(|left| left >= packet.arrived), "{backend}: {packet:?}");
        }
        let mut left = BTreeMap::<u64, i64>::new();
        for packet in packets.iter().filter(|packet| packet.left.is_some() && !packet.corrupted) {
            *left.entry(packet.number).or_default() += 1;
        }
        let damaged = packets.iter().filter(|packet| packet.corrupted).count();
        if damaged == 0 {
            let mut came = BTreeMap::<u64, i64>::new();
            self.arrivals.iter().for_each(|arrival| *came.entry(arrival.number).or_default() += 1);
            let differ = came.keys().chain(left.keys()).filter(|number| came.get(number) != left.get(number)).count();
            assert_eq!(differ, 0, "{backend}: the receiver got other than what the ledger says left; {}", self.said);
        }
    }

    fn is_alone(&self, packet: &PacketRecord) -> bool {
        self.packets.iter().filter(|other| other.number == packet.number).count() == 1
    }

    /// The numbers of the packets of which nothing came.
    pub(crate) fn lost(&self) -> Vec<u64> {
        let mut came = vec![false; self.flood.count as usize];
        self.arrivals.iter().for_each(|arrival| came[arrival.number as usize] = true);
        (0..self.flood.count).filter(|&number| !came[number as usize]).collect()
    }

    /// The numbers of the packets that came twice.
    pub(crate) fn doubled(&self) -> Vec<u64> {
        let mut came = vec![0u8; self.flood.count as usize];
        self.arrivals.iter().for_each(|arrival| came[arrival.number as usize] += 1);
        assert!(came.iter().all(|&times| times <= 2), "{}: more than one copy of a packet came", self.backend);
        (0..self.flood.count).filter(|&number| came[number as usize] == 2).collect()
    }

    /// How long each packet that left was in the link, in milliseconds, by the ledger.
    pub(crate) fn delays(&self) -> Vec<f64> {
        let inside = |packet: &PacketRecord| Some((packet.left? - packet.arrived) as f64 / 1e6);
        self.packets.iter().filter(|packet| !packet.duplicate).filter_map(inside).collect()
    }
}
