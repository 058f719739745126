//! Captures: of a link, and of trials.

use std::path::Path;
use std::process::Command;

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::support::{can_emulate, expect_status, file, has, run, stderr, stdout, test, tolerant};

/// The comment of every packet.
fn comments(path: &Path) -> Vec<String> {
    let mut comments = Vec::new();
    let mut reader = PcapNgReader::new(std::fs::File::open(path).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            let last = packet.options.iter().rev().find_map(|option| match option {
                EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                _ => None,
            });
            comments.push(last.expect("every packet has a comment"));
        }
    }
    comments
}

const PING: &str = "ping -n -i 0.01 -W 1 -c 100 $SAMEPATH_SERVER";

#[test]
fn a_capture_has_every_packet_with_its_fate() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    for backend in ["tun", "packet"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.pcapng");
        let file = path.to_str().unwrap();
        let conditions = ["--rtt", "10ms", "--up-loss", "20%", "--loss-key", "index"];
        let output =
            run(&[&["link", "--backend", backend, "--capture", file], &conditions[..], &["--", "sh", "-c", PING]]
                .concat());
        if backend == "tun" && stderr(&output).contains("/dev/net/tun") {
            samepath_testing::skip_part!("tun", "{}", stderr(&output));
            continue;
        }
        let answered = stdout(&output).matches("icmp_seq=").count();
        let comments = comments(&path);
        let count = |words: &str| comments.iter().filter(|comment| comment.contains(words)).count();
        let pings: Vec<&String> = comments.iter().filter(|comment| comment.starts_with("up ")).collect();
        // The kernel may add packets of its own (neighbour and router discovery of IPv6).
        assert!(pings.len() >= 100, "{comments:?}");
        assert!(count("down ") >= answered && answered >= 60, "{answered}: {comments:?}");
        assert!((5..=40).contains(&count("dropped (loss)")), "{comments:?}");
        for (number, comment) in pings.iter().enumerate() {
            assert!(comment.starts_with(&format!("up packet {}: ", number + 1)), "{comment}");
        }
        // Each packet that was not lost took at least half the round trip.
        for comment in comments.iter().filter(|comment| comment.contains("left after ")) {
            let latency = comment.split("left after ").nth(1).unwrap().split(' ').next().unwrap();
            assert!(latency.parse::<f64>().unwrap() >= 5.0, "{comment}");
        }
    }
}

#[test]
fn wireshark_reads_it_with_comments_and_times() {
    if !can_emulate(test!()) || !has("ping", test!()) || !has("tshark", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("link.pcapng");
    let output = run(&["link", "--rtt", "10ms", "--capture", path.to_str().unwrap(), "--", "sh", "-c", PING]);
    expect_status(&output, 0);
    let fields = ["frame.time_epoch", "frame.interface_name", "ip.src", "icmp.type", "frame.comment"];
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", path.to_str().unwrap(), "-Y", "icmp", "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    expect_status(&output, 0);
    let said = stdout(&output);
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 200, "{said}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let mut before = 0.0;
    for row in &rows {
        let time: f64 = row[0].parse().unwrap();
        assert!(time >= before && (now - 600.0..=now).contains(&time), "{row:?}");
        before = time;
        let (name, source, kind) =
            if row[3] == "8" { ("up", "198.18.0.1", "up ") } else { ("down", "198.18.0.2", "down ") };
        assert_eq!((row[1], row[2]), (name, source), "{row:?}");
        assert!(row[4].starts_with(kind) && row[4].contains("left after"), "{row:?}");
    }
}

#[test]
fn an_unwritable_capture_is_refused_first() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let touch = format!("touch {}", ran.display());
    for file in [dir.path().join("absent/link.pcapng"), dir.path().to_owned()] {
        let output = run(&["link", "--capture", file.to_str().unwrap(), "--", "sh", "-c", &touch]);
        expect_status(&output, 1);
        assert!(stderr(&output).contains("cannot write the capture"), "{}", stderr(&output));
        assert!(!ran.exists());
    }
    let output = run(&["link", "--capture", "c.pcapng", "--backend", "none", "--", "sh", "-c", &touch]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("--capture"), "{}", stderr(&output));
}

#[test]
fn a_full_disk_leaves_whole_packets() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("link.pcapng");
    // 8 KiB is more than the header and less than two hundred packets with their comments.
    let script = format!(
        "ulimit -f 16; exec {} link --quiet --rtt 2ms --capture {} -- sh -c '{PING} >/dev/null'",
        env!("CARGO_BIN_EXE_samepath"),
        path.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    expect_status(&output, 1);
    assert!(stderr(&output).contains("ends before the link did"), "{}", stderr(&output));
    assert!(!comments(&path).is_empty());
}

const TWO: &str = r#"
schema = 1
name = "two"
repeat = 1
[[part]]
name = "transfer"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "20ms", rate = "20Mbit" }
"#;

#[test]
fn a_trial_keeps_its_capture_with_its_records() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = file(dir.path(), "two.toml", &tolerant(TWO));
    expect_status(&run(&["run", &path, "--capture", "--out", out.to_str().unwrap()]), 0);
    let manifest = std::fs::read_to_string(out.join("manifest.json")).unwrap();
    let mut trials = 0;
    for trial in std::fs::read_dir(out.join("trials")).unwrap().flatten() {
        let comments = comments(&trial.path().join("capture.pcapng"));
        assert!(comments.iter().any(|comment| comment.starts_with("down ")), "{comments:?}");
        assert!(manifest.contains(&format!("trials/{}/capture.pcapng", trial.file_name().to_string_lossy())));
        trials += 1;
    }
    assert_eq!(trials, 2);
}
