//! The story of one message: what it waited for, which packets were dropped, and who else waited.

use samepath_model::record::{Instant, MessageRecord};
use samepath_model::workload::StreamId;

use super::analysis::Analysis;
use super::attribution::{Place, Stretch};
use super::packets::{Fate, NEVER, Packet};
use super::parts::{Account, Fault};

/// Everything that is known of a message.
#[derive(Debug, Clone)]
pub struct Story<'a> {
    /// As both its ends saw it.
    pub message: &'a MessageRecord,
    /// The parts of its delay; `None` where it was not delivered, or its records are at fault.
    pub account: Option<&'a Account>,
    /// Why its records contradict each other, where they do.
    pub fault: Option<Fault>,
    /// Of its own bytes, those whose first copy did not reach the receiving host; all that no packet
    /// brought.
    pub own: Vec<Missing>,
    /// The bytes that had not arrived when the last of its own had, in order of their arrival.
    pub blockers: Vec<Missing>,
    /// The packets that first carried its bytes.
    pub carried_by: Vec<Packet>,
    /// Bytes of it that no packet carried to the link.
    pub uncarried: u64,
    /// Messages that waited for the same packet last as it did, the longest wait first; itself left out.
    pub waiting: Vec<Waiting>,
}

/// Bytes that were missing for a time, or for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Offset in the domain of the first of them.
    pub start: u64,
    /// Offset behind the last.
    pub end: u64,
    /// Whose they were; `None` for warm-up and what serves the connection.
    pub of: Vec<Option<(StreamId, u32)>>,
    /// Every packet that carried them, in the order in which they came to the link.
    pub copies: Vec<Copy>,
    /// When they reached the receiving host; [`NEVER`] where they did not.
    pub at: Instant,
    /// Whether they lie behind the message, in the TLS record that its last byte lies in.
    pub follows: bool,
}

/// A packet that carried certain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// The packet.
    pub packet: Packet,
    /// Whether it was the one that brought them.
    pub brought: bool,
}

impl Missing {
    /// The copies that did not get through before the one that did.
    pub fn lost(&self) -> impl Iterator<Item = &Packet> {
        self.copies
            .iter()
            .map(|copy| &copy.packet)
            .filter(|packet| packet.fate != Fate::Delivered && packet.arrived <= self.at)
    }

    /// The packet that brought them.
    pub fn brought(&self) -> Option<&Packet> {
        self.copies.iter().find(|copy| copy.brought).map(|copy| &copy.packet)
    }
}

/// A message that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: u32,
    /// How long it was blocked, in nanoseconds.
    pub blocked: i64,
}

/// A packet that did not get through, and what became of the bytes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The packet.
    pub packet: Packet,
    /// The next packet that carried bytes of it; `None` where none was sent, or needed.
    pub again: Option<Packet>,
}

impl Analysis {
    /// Every packet that carried bytes of the messages' domains and did not get through, in the order
    /// in which they came to the link.
    pub fn losses(&self) -> Vec<Loss> {
        /// Runs looked at before the one that was lost: what overlaps it is a retransmission cut anew.
        const BEFORE: usize = 64;
        let (runs, packets) = (&self.attribution.runs, &self.attribution.packets);
        let mut losses: std::collections::BTreeMap<u32, Option<u32>> = Default::default();
        for (i, run) in runs.iter().enumerate() {
            if packets[run.packet as usize].fate == Fate::Delivered {
                continue;
            }
            let overlaps = runs[i.saturating_sub(BEFORE)..i]
                .iter()
                .filter(|other| other.domain == run.domain && other.end > run.start);
            let after = runs[i + 1..].iter().take_while(|other| other.domain == run.domain && other.start < run.end);
            let next = overlaps.chain(after).map(|other| other.packet).filter(|packet| *packet > run.packet).min();
            let again = losses.entry(run.packet).or_default();
            *again = [*again, next].into_iter().flatten().min();
        }
        let packet = |place: u32| packets[place as usize];
        losses.into_iter().map(|(lost, again)| Loss { packet: packet(lost), again: again.map(packet) }).collect()
    }

    /// The story of the message at this place of the schedule.
    pub fn story(&self, place: usize) -> Option<Story<'_>> {
        let message = self.messages.get(place)?;
        let account = self.account(place);
        let mut story = Story {
            message,
            account,
            fault: self.fault(place),
            own: Vec::new(),
            blockers: Vec::new(),
            carried_by: Vec::new(),
            uncarried: 0,
            waiting: account.map_or_else(Vec::new, |account| self.waiting(place, account)),
        };
        let id = message.id();
        let own =
            |place: &&Place| (place.direction, place.stream, place.seq) == (id.direction, id.stream, Some(id.seq));
        let attribution = &self.attribution;
        let mut places: Vec<_> = attribution.places.iter().filter(own).collect();
        places.sort_unstable_by_key(|place| (place.domain, place.start));
        let Some(domain) = places.first().map(|place| place.domain) else {
            story.uncarried = message.size;
            return Some(story);
        };
        let stretches = attribution.stretches(domain);
        let mut first: Vec<u32> = Vec::new();
        for place in &places {
            let mut covered = 0;
            for stretch in overlapping(&stretches, place.start, place.end) {
                let (start, end) = (stretch.start.max(place.start), stretch.end.min(place.end));
                covered += end - start;
                first.push(stretch.first);
                if attribution.packets[stretch.first as usize].fate != Fate::Delivered || stretch.at == NEVER {
                    self.join(&mut story.own, domain, Stretch { start, end, ..*stretch }, false);
                }
            }
            story.uncarried += place.end - place.start - covered;
        }
        first.sort_unstable();
        first.dedup();
        story.carried_by = first.into_iter().map(|packet| attribution.packets[packet as usize]).collect();
        if let Some(account) = account.filter(|account| account.parts.blocked() > 0) {
            for stretch in overlapping(&stretches, 0, account.unit_end) {
                if stretch.at > account.arrived {
                    self.join(&mut story.blockers, account.domain, *stretch, stretch.start > account.last);
                }
            }
            story.blockers.sort_by_key(|missing| missing.at);
        }
        Some(story)
    }

    /// The packets that brought the last own byte of messages, for those whose own bytes had all
    /// arrived between `from` and `to`; by the messages' places.
    pub fn brought_by(&self, from: Instant, to: Instant) -> Vec<(usize, Packet)> {
        let mut inside: Vec<(usize, &Account)> = self
            .accounts()
            .filter(|(_, _, account)| (from..to).contains(&account.arrived))
            .map(|(place, _, account)| (place, account))
            .collect();
        inside.sort_by_key(|(_, account)| account.domain);
        let mut brought = Vec::new();
        for of_domain in inside.chunk_by(|(_, a), (_, b)| a.domain == b.domain) {
            let stretches = self.attribution.stretches(of_domain[0].1.domain);
            for (place, account) in of_domain {
                brought.extend(
                    overlapping(&stretches, account.last, account.last + 1)
                        .filter(|stretch| stretch.at != NEVER)
                        .map(|stretch| (*place, self.attribution.packets[stretch.by as usize])),
                );
            }
        }
        brought
    }

    /// Adds a stretch to the missing bytes: to the last of them where the same packets carried it.
    fn join(&self, all: &mut Vec<Missing>, domain: u32, stretch: Stretch, follows: bool) {
        let runs = self.attribution.runs_of(domain);
        let mut packets: Vec<u32> = runs
            .iter()
            .take_while(|run| run.start < stretch.end)
            .filter(|run| run.end > stretch.start)
            .map(|run| run.packet)
            .collect();
        packets.sort_unstable();
        let copies: Vec<Copy> = packets
            .into_iter()
            .map(|packet| Copy {
                packet: self.attribution.packets[packet as usize],
                brought: stretch.at != NEVER && packet == stretch.by,
            })
            .collect();
        let mut of: Vec<Option<(StreamId, u32)>> = Vec::new();
        for place in self.attribution.places_of(domain) {
            if place.start < stretch.end && place.end > stretch.start {
                let owner = place.seq.map(|seq| (place.stream, seq));
                if !of.contains(&owner) {
                    of.push(owner);
                }
            }
        }
        match all.last_mut() {
            Some(last) if last.end == stretch.start && last.copies == copies && last.follows == follows => {
                last.end = stretch.end;
                of.retain(|owner| !last.of.contains(owner));
                last.of.append(&mut of);
            }
            _ => all.push(Missing { start: stretch.start, end: stretch.end, of, copies, at: stretch.at, follows }),
        }
    }

    /// The other messages that waited last for what this one waited for last; of one that was not
    /// blocked, for a packet that first carried bytes of its own and was lost.
    fn waiting(&self, place: usize, account: &Account) -> Vec<Waiting> {
        let behind: Vec<u32> = match account.behind {
            Some(packet) => vec![packet],
            None => self.lost_of(place),
        };
        let mut waiting: Vec<Waiting> = self
            .accounts()
            .filter(|(other, _, theirs)| {
                *other != place && theirs.behind.is_some_and(|packet| behind.contains(&packet))
            })
            .map(|(_, message, theirs)| Waiting {
                stream: message.stream,
                seq: message.seq,
                blocked: theirs.parts.blocked(),
            })
            .collect();
        waiting.sort_by_key(|waiting| (std::cmp::Reverse(waiting.blocked), waiting.stream, waiting.seq));
        waiting
    }

    /// Places of the packets that first carried bytes of the message and did not get through.
    fn lost_of(&self, place: usize) -> Vec<u32> {
        let (Some(account), message) = (self.account(place), &self.messages[place]) else { return Vec::new() };
        if account.intact {
            return Vec::new();
        }
        let stretches = self.attribution.stretches(account.domain);
        let mut lost: Vec<u32> = self
            .attribution
            .places_of(account.domain)
            .iter()
            .filter(|place| place.stream == message.stream && place.seq == Some(message.seq))
            .flat_map(|place| overlapping(&stretches, place.start, place.end))
            .map(|stretch| stretch.first)
            .filter(|&packet| self.attribution.packets[packet as usize].fate != Fate::Delivered)
            .collect();
        lost.dedup();
        lost
    }
}

/// The stretches that share a byte with `start..end`.
fn overlapping(stretches: &[Stretch], start: u64, end: u64) -> impl Iterator<Item = &Stretch> {
    let from = stretches.partition_point(|stretch| stretch.end <= start);
    stretches[from..].iter().take_while(move |stretch| stretch.start < end)
}
