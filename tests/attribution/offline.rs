//! Reads a QUIC connection from the datagrams that crossed the wire and the key log alone: packet
//! numbers, authentication tags, and the stream bytes in each packet. It shares no code with the
//! endpoints (RFC 9000, sections 17 and 19; RFC 9001, sections 5 and 6).

use std::collections::HashMap;

use crate::protection::{Keys, Opened, Secret, full_number, hex};

/// Who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// A packet as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) sender: Sender,
    /// Whether it is of the application's number space.
    pub(crate) one_rtt: bool,
    pub(crate) number: u64,
    pub(crate) tag: [u8; 16],
    /// Stream, first byte, behind the last: of each STREAM frame with bytes.
    pub(crate) runs: Vec<(u64, u64, u64)>,
}

/// The secrets of a key log (SSLKEYLOGFILE), by the client's random and their label.
pub(crate) struct KeyLog(HashMap<(Vec<u8>, String), Secret>);

impl KeyLog {
    pub(crate) fn parse(text: &str) -> KeyLog {
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
            Some(((hex(random), label.to_owned()), hex(secret).try_into().ok()?))
        };
        KeyLog(text.lines().filter_map(entry).collect())
    }

    fn keys(&self, random: &[u8], label: &str) -> Keys {
        let secret = self.0.get(&(random.to_vec(), label.to_owned()));
        Keys::new(*secret.unwrap_or_else(|| panic!("the key log has no {label} of the connection")))
    }
}

/// The packet numbers of a space run on by themselves.
const SPACES: usize = 3;

/// One direction of a connection.
#[derive(Default)]
struct Side {
    /// Initial, Handshake and 1-RTT.
    keys: [Option<Keys>; SPACES],
    largest: [Option<u64>; SPACES],
    /// Of 1-RTT: the bit of the phase in force, and the keys before and after it.
    phase: bool,
    before: Option<Keys>,
    /// Length of the connection IDs that this side chose, which its peer's short headers carry.
    id_length: usize,
}

/// A connection, read datagram by datagram.
pub(crate) struct Connection<'a> {
    log: &'a KeyLog,
    client: Side,
    server: Side,
    pub(crate) packets: Vec<Packet>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(log: &'a KeyLog) -> Self {
        Connection { log, client: Side::default(), server: Side::default(), packets: Vec::new() }
    }

    /// Reads every packet of a datagram.
    pub(crate) fn read(&mut self, sender: Sender, datagram: &[u8]) {
        let mut rest = datagram;
        while !rest.is_empty() {
            assert_eq!(rest[0] & 0x40, 0x40, "a packet whose fixed bit is not set");
            let length = if rest[0] & 0x80 != 0 { self.long(sender, rest) } else { self.short(sender, rest) };
            rest = &rest[length..];
        }
    }

    /// A packet with a long header; returns its length.
    fn long(&mut self, sender: Sender, bytes: &[u8]) -> usize {
        assert_eq!(bytes[1..5], [0, 0, 0, 1], "version 1");
        let mut at = 5;
        let destination = counted(bytes, &mut at).to_vec();
        let source = counted(bytes, &mut at);
        let (ours, _) = self.sides(sender);
        ours.id_length = source.len();
        let space = match bytes[0] >> 4 & 0x03 {
            0 => {
                let token = varint(bytes, &mut at);
                at += token as usize;
                if self.client.keys[0].is_none() {
                    let [client, server] = Keys::initial(&destination);
                    (self.client.keys[0], self.server.keys[0]) = (Some(client), Some(server));
                }
                0
            }
            2 => 1,
            other => panic!("a long header of type {other} is not of this connection"),
        };
        let end = varint(bytes, &mut at) as usize + at;
        let packet = &bytes[..end];
        let (side, _) = self.sides(sender);
        let keys = side.keys[space].clone().expect("its keys are known before its packets come");
        let (header, truncated, length) = keys.unprotect(packet, at).unwrap();
        let number = full_number(side.largest[space], truncated, length);
        let opened = keys.open(&header, number, &packet[at + length..]).expect("a tag that is right");
        self.keep(sender, space, packet, &opened);
        end
    }

    /// A packet with a short header, which fills the datagram.
    fn short(&mut self, sender: Sender, packet: &[u8]) -> usize {
        let (side, peer) = self.sides(sender);
        let at = 1 + peer.id_length;
        let keys = side.keys[2].clone().expect("the handshake is done");
        let (header, truncated, length) = keys.unprotect(packet, at).unwrap();
        let number = full_number(side.largest[2], truncated, length);
        let phase = header[0] & 0x04 != 0;
        let ciphertext = &packet[at + length..];
        let opened = if phase == side.phase {
            keys.open(&header, number, ciphertext)
        } else if let Some(opened) = side.before.as_ref().and_then(|keys| keys.open(&header, number, ciphertext)) {
            Some(opened)
        } else {
            // The sender has moved on to the next phase.
            let next = keys.next();
            let opened = next.open(&header, number, ciphertext);
            (side.before, side.keys[2], side.phase) = (Some(keys), Some(next), phase);
            opened
        };
        self.keep(sender, 2, packet, &opened.expect("a tag that is right"));
        packet.len()
    }

    fn sides(&mut self, sender: Sender) -> (&mut Side, &mut Side) {
        match sender {
            Sender::Client => (&mut self.client, &mut self.server),
            Sender::Server => (&mut self.server, &mut self.client),
        }
    }

    fn keep(&mut self, sender: Sender, space: usize, packet: &[u8], opened: &Opened) {
        let (side, _) = self.sides(sender);
        side.largest[space] = side.largest[space].max(Some(opened.number));
        let mut contents = contents(&opened.plaintext);
        if let Some(hello) = contents.hello.take().filter(|_| space == 0 && sender == Sender::Client) {
            // Handshake type and length, version, then the random (RFC 8446, section 4.1.2).
            let random = &hello[6..38];
            self.client.keys[1] = Some(self.log.keys(random, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"));
            self.server.keys[1] = Some(self.log.keys(random, "SERVER_HANDSHAKE_TRAFFIC_SECRET"));
            self.client.keys[2] = Some(self.log.keys(random, "CLIENT_TRAFFIC_SECRET_0"));
            self.server.keys[2] = Some(self.log.keys(random, "SERVER_TRAFFIC_SECRET_0"));
        }
        let tag = *packet.last_chunk().unwrap();
        self.packets.push(Packet { sender, one_rtt: space == 2, number: opened.number, tag, runs: contents.runs });
    }
}

/// What is wanted of a packet's frames.
struct Contents {
    runs: Vec<(u64, u64, u64)>,
    /// The start of the TLS messages.
    hello: Option<Vec<u8>>,
}

/// The frames of a packet (RFC 9000, table 3).
fn contents(plaintext: &[u8]) -> Contents {
    let mut contents = Contents { runs: Vec::new(), hello: None };
    let mut at = 0;
    while at < plaintext.len() {
        let kind = varint(plaintext, &mut at);
        let mut numbers = |count: u64| (0..count).map(|_| varint(plaintext, &mut at)).last().unwrap_or(0);
        match kind {
            // The last one is quinn's own extension, IMMEDIATE_ACK (draft-ietf-quic-ack-frequency).
            0x00 | 0x01 | 0x1e | 0x1f => {}
            0x02 | 0x03 => {
                let ranges = numbers(3);
                numbers(1 + 2 * ranges + if kind == 0x03 { 3 } else { 0 });
            }
            0x04 => drop(numbers(3)),
            0x05 | 0x11 | 0x15 => drop(numbers(2)),
            0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => drop(numbers(1)),
            0x06 => {
                let offset = numbers(1);
                let length = numbers(1) as usize;
                if offset == 0 {
                    contents.hello = Some(plaintext[at..at + length].to_vec());
                }
                at += length;
            }
            0x07 => at += numbers(1) as usize,
            0x08..=0x0f => {
                let stream = numbers(1);
                let offset = if kind & 0x04 != 0 { numbers(1) } else { 0 };
                let length = if kind & 0x02 != 0 { numbers(1) as usize } else { plaintext.len() - at };
                if length > 0 {
                    contents.runs.push((stream, offset, offset + length as u64));
                }
                at += length;
            }
            0x18 => {
                numbers(2);
                at += 1 + usize::from(plaintext[at]) + 16;
            }
            0x1a | 0x1b => at += 8,
            0x1c => at += numbers(3) as usize,
            0x1d => at += numbers(2) as usize,
            other => panic!("a frame of type {other:#x}"),
        }
    }
    assert_eq!(at, plaintext.len());
    contents
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let first = bytes[*at];
    let length = 1 << (first >> 6);
    let mut wide = [0; 8];
    wide[8 - length..].copy_from_slice(&bytes[*at..*at + length]);
    wide[8 - length] &= 0x3f;
    *at += length;
    u64::from_be_bytes(wide)
}

fn counted<'b>(bytes: &'b [u8], at: &mut usize) -> &'b [u8] {
    let length = usize::from(bytes[*at]);
    *at += 1 + length;
    &bytes[*at - length..*at]
}
