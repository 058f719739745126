//! The attribution of QUIC packets to messages, checked a second way: what the endpoints saw through their
//! packet protection against what the wire and the key log say to somebody else.
//!
//! - `protection`: RFC 9001 once more, with its vectors
//! - `offline`: a connection read from its datagrams and the key log
//! - `relay`: the wire

mod offline;
mod protection;
mod relay;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use offline::{Connection, KeyLog, Packet, Sender};
use relay::Relay;
use samepath_model::attribution::Tag;
use samepath_model::record::{End, PlayReport};
use samepath_model::{Direction, Experiment};

const TOKEN: &str = "a token for this test";

/// The lab's commands, with a key log.
fn samepath(keys: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samepath"));
    command.env("SAMEPATH_TOKEN", TOKEN).env("SSLKEYLOGFILE", keys).stdin(Stdio::null());
    command
}

/// Ends the server with the test, however that ends.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays a trial through the relay: the ends' report, what was on the wire, the key log.
fn play(part: &str, drop_each: usize) -> (PlayReport, Vec<(Sender, Vec<u8>)>, KeyLog) {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.log");
    let text = format!("schema = 1\nname = 'wire'\n[[part]]\nname = 'wire'\nattribution = true\n{part}");
    let trial = Experiment::parse(&text).unwrap().trials()[0].clone();
    let (order, report) = (dir.path().join("trial.json"), dir.path().join("report"));
    std::fs::write(&order, serde_json::to_vec(&trial).unwrap()).unwrap();

    let mut server = samepath(&keys);
    server.args(["server", "--listen", "127.0.0.1:0", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Ends(server.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = u16::try_from(ready["quic_port"].as_u64().unwrap()).unwrap();

    let relayed = |host: u8| SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), port));
    let relay = Relay::start(relayed(2), relayed(1), drop_each).unwrap();
    let played = samepath(&keys)
        .args(["client", ready["control"].as_str().unwrap(), "--via", "127.0.0.2"])
        .args(["--fingerprint", ready["fingerprint"].as_str().unwrap()])
        .arg("--trial")
        .arg(&order)
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let wire = relay.finish();
    let report = postcard::from_bytes(&std::fs::read(report).unwrap()).unwrap();
    (report, wire, KeyLog::parse(&std::fs::read_to_string(keys).unwrap()))
}

/// What an end saw of a packet: its number, and the stream bytes in it.
type Seen = (u64, Vec<(u64, u64, u64)>);

/// The packets that this end saw in this direction, by tag.
fn seen(report: &PlayReport, end: End, direction: Direction) -> HashMap<Tag, Seen> {
    let mut seen: HashMap<Tag, Seen> = HashMap::new();
    for observation in report.observations.iter().filter(|s| s.end == end && s.direction == direction) {
        let (_, runs) = seen.entry(observation.tag).or_insert((observation.number, Vec::new()));
        runs.extend(observation.domain.map(|domain| (domain, observation.start, observation.end_offset)));
    }
    seen
}

/// Holds what the ends saw against what was on the wire; how many packets were compared.
fn agree(report: &PlayReport, wire: &[(Sender, Vec<u8>)], log: &KeyLog) -> usize {
    let mut connection = Connection::new(log);
    wire.iter().for_each(|(sender, datagram)| connection.read(*sender, datagram));
    let mut compared = 0;
    for (sender, end, peer, direction) in [
        (Sender::Client, End::Client, End::Server, Direction::Up),
        (Sender::Server, End::Server, End::Client, Direction::Down),
    ] {
        let (sent, received) = (seen(report, end, direction), seen(report, peer, direction));
        let packets: Vec<&Packet> = connection.packets.iter().filter(|p| p.sender == sender).collect();
        // Both ends hand over their notes before the connection is closed: only what follows the last
        // packet that was noted may be missing from them.
        let last = sent.values().map(|(number, _)| *number).max().unwrap();
        for packet in &packets {
            match sent.get(&packet.tag) {
                Some((number, runs)) => assert_eq!((*number, runs), (packet.number, &packet.runs), "{packet:?}"),
                None => assert!(packet.one_rtt && packet.number > last && packet.runs.is_empty(), "{packet:?}"),
            }
        }
        let on_wire: HashMap<Tag, &Packet> = packets.iter().map(|p| (p.tag, *p)).collect();
        assert_eq!(on_wire.len(), packets.len(), "a tag names one packet");
        for (tag, (number, runs)) in &received {
            let packet = on_wire.get(tag).expect("what was received was on the wire");
            assert_eq!((*number, runs), (packet.number, &packet.runs), "{packet:?}");
        }
        assert!(received.len() > packets.len() * 9 / 10, "{} of {}", received.len(), packets.len());
        compared += packets.iter().filter(|packet| sent.contains_key(&packet.tag)).count();
    }
    compared
}

#[test]
fn both_methods_agree_on_fifty_thousand_packets() {
    let part = "arms = ['quic']\nworkload = { kind = 'bulk', bytes = '80MB', streams = 3 }";
    let (report, wire, log) = play(part, 101);
    let compared = agree(&report, &wire, &log);
    println!("{compared} packets, {} on the wire, {} lines of observations", wire.len(), report.observations.len());
    assert!(compared >= 50_000, "{compared}");
    assert!(report.server.retransmissions.unwrap() > 100, "the relay's drops make retransmissions");
}

#[test]
fn both_ways_agree_on_messages_in_either_direction() {
    for arm in ["quic", "quic/shared", "quic/per-message"] {
        for direction in ["up", "down"] {
            let part = format!(
                "arms = ['{arm}']\nworkload = {{ kind = 'messages', direction = '{direction}', streams = 5, \
                 size = '4000B', spacing = '2ms', count = 40 }}"
            );
            let (report, wire, log) = play(&part, 13);
            let compared = agree(&report, &wire, &log);
            assert!(compared > 500, "{arm} {direction}: {compared}");
        }
    }
}
