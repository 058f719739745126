//! What an end sees in the packets of one of its connections: which of them carried which bytes, for the attribution of
//! packets to messages, when its flow-control credit was used up, and what the last packets held, for event logs.
//!
//! A QUIC stack need not say which packet carried which bytes. Whoever holds the packet protection (RFC 9001, section 5) sees
//! both, the packet's number, and its authentication tag, by which the packet is found again in the ledger.

use std::sync::{Arc, Mutex, OnceLock};

use samepath_model::attribution::{ObservationRecord, Tag};
use samepath_model::link::Direction;
use samepath_model::record::{End, Metric};

use super::credit::Credit;
use super::frames::{Frame, Frames};
use super::schema::{self, Contents};
use crate::attribution::datagram_run;
use crate::clock;
use crate::frame::{HEADER_LEN, Header};

/// Notes the packets of one connection at one of its ends.
#[derive(Debug)]
pub(crate) struct Observer {
    end: End,
    client: OnceLock<Client>,
    /// Whether packets are attributed to messages.
    attributes: bool,
    /// Whether its events are logged.
    logs: bool,
    notes: Mutex<Notes>,
}

/// What the address from which the client connects says.
#[derive(Debug)]
struct Client {
    port: u16,
    /// The payload of the datagrams that messages are cut into, where they are.
    datagram_capacity: u64,
}

#[derive(Debug, Default)]
struct Notes {
    /// Times are absolute: CLOCK_MONOTONIC, nanoseconds.
    observations: Vec<ObservationRecord>,
    /// Packets whose frames could not be read.
    unread: u64,
    /// What this end's flow-control credit held up.
    credit: Credit,
    /// The packet that passed by last in each direction, until it is logged.
    last: [Option<Contents>; 2],
}

impl Observer {
    /// An observer at this end of a connection. It attributes packets to messages if it `attributes`, and keeps for
    /// event logs what they held if it `logs`.
    pub(crate) fn new(end: End, attributes: bool, logs: bool) -> Arc<Observer> {
        Arc::new(Observer { end, client: OnceLock::new(), attributes, logs, notes: Mutex::default() })
    }

    /// Says the port from which the client connects, and the payload of the datagrams that messages are cut into. Before,
    /// no packet is attributed. What was said first stays.
    pub(crate) fn connects(&self, port: u16, datagram_capacity: u64) {
        let _ = self.client.set(Client { port, datagram_capacity });
    }

    /// What the last packet of this direction held; it is handed over once.
    pub(crate) fn contents(&self, direction: Direction) -> Option<Contents> {
        self.notes.lock().expect("no panic while held").last[direction.index()].take()
    }

    /// What was seen so far, and how many packets could not be read; it is handed over once.
    pub(crate) fn take(&self) -> (Vec<ObservationRecord>, u64) {
        let mut notes = self.notes.lock().expect("no panic while held");
        let unread = std::mem::take(&mut notes.unread);
        (std::mem::take(&mut notes.observations), unread)
    }

    /// When this end had used up its flow-control credit, and when it had more again; it is handed over once.
    pub(crate) fn take_credit(&self) -> Vec<(u64, Metric, f64)> {
        std::mem::take(&mut self.notes.lock().expect("no panic while held").credit.changes)
    }

    /// A packet with this payload is sealed, in place, which gives it its tag; `size` is that of the whole packet.
    pub(crate) fn seal<T: AsRef<[u8]>, E>(
        &self,
        number: u64,
        size: usize,
        payload: &mut [u8],
        seal: impl FnOnce(&mut [u8]) -> Result<T, E>,
    ) -> Result<T, E> {
        // The plaintext is gone once it is sealed, and the tag is not there before.
        let mut notes = self.notes.lock().expect("no panic while held");
        let noted = self.note(&mut notes, self.sent(), number, size, Tag::default(), payload);
        let tag = seal(payload).inspect_err(|_| notes.observations.truncate(noted))?;
        if let Some(tag) = tag.as_ref().last_chunk() {
            notes.observations[noted..].iter_mut().for_each(|observation| observation.tag = *tag);
        }
        Ok(tag)
    }

    /// A packet was opened, which held this plaintext; `size` is that of the whole packet.
    pub(crate) fn opened(&self, number: u64, size: usize, tag: Tag, plaintext: &[u8]) {
        let mut notes = self.notes.lock().expect("no panic while held");
        self.note(&mut notes, self.received(), number, size, tag, plaintext);
    }

    /// Notes a packet; from where on its observations lie.
    fn note(
        &self,
        notes: &mut Notes,
        direction: Direction,
        number: u64,
        size: usize,
        tag: Tag,
        plaintext: &[u8],
    ) -> usize {
        if self.logs {
            notes.last[direction.index()] = Some(Contents { number, size, frames: schema::frames(plaintext) });
        }
        let before = notes.observations.len();
        let Some(client) = self.client.get().filter(|_| self.attributes) else { return before };
        let at = clock::now().cast_signed();
        let none = ObservationRecord {
            end: self.end,
            direction,
            at,
            port: client.port,
            number,
            tag,
            domain: None,
            start: 0,
            end_offset: 0,
        };
        let is_sent = direction == self.sent();
        for frame in Frames::of(plaintext) {
            match frame {
                // A frame that only ends its stream holds no byte of it.
                Ok(Frame::Stream { data: [], .. }) => {}
                Ok(Frame::Stream { id, offset, data, .. }) => {
                    let end_offset = offset + data.len() as u64;
                    notes.observations.push(ObservationRecord { domain: Some(id), start: offset, end_offset, ..none });
                }
                Ok(Frame::Datagram(data)) => {
                    let Some(Ok(header)) = data.first_chunk::<HEADER_LEN>().map(Header::decode) else { continue };
                    let (domain, run) = datagram_run(&header, client.datagram_capacity);
                    let (start, end_offset) = (run.start, run.end);
                    notes.observations.push(ObservationRecord { domain: Some(domain), start, end_offset, ..none });
                }
                Ok(other) => notes.credit.see(at.cast_unsigned(), is_sent, &other),
                Err(_) => notes.unread += 1,
            }
        }
        if notes.observations.len() == before {
            notes.observations.push(none);
        }
        before
    }

    /// The end of the connection at which it is.
    pub(crate) const fn end(&self) -> End {
        self.end
    }

    /// The direction of what this end sends.
    pub(crate) fn sent(&self) -> Direction {
        match self.end {
            End::Client => Direction::Up,
            End::Server => Direction::Down,
        }
    }

    /// The direction of what this end receives.
    pub(crate) fn received(&self) -> Direction {
        match self.end {
            End::Client => Direction::Down,
            End::Server => Direction::Up,
        }
    }
}
