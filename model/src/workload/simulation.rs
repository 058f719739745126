//! A simulated network between two drivers, for their tests: in virtual time, from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::driver::{Action, Driver, Event};
use super::message::{MessageId, Release};
use super::{Workload, draw};
use crate::book::{Entry, Keeping};
use crate::end::End;
use crate::flow::UNDER_TEST;
use crate::record::MessageRecord;
use crate::units::{BitRate, ByteCount, Duration};

/// What the network does to messages, each as often as it says in 256.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    /// Decides the draws.
    pub(super) seed: u64,
    /// Least delay.
    pub(super) delay: Duration,
    /// What is added to it at most, drawn for each message: so they overtake each other.
    pub(super) jitter: Duration,
    /// Lost, and nobody is told.
    pub(super) lost: u8,
    /// Lost, and the sender is told.
    pub(super) failed: u8,
    /// Told twice to the receiver.
    pub(super) repeated: u8,
    /// What it carries in each direction, one message after the other; absent, any number at once.
    pub(super) rate: Option<BitRate>,
    /// Still given up, of those that were not delivered when their sender said so.
    pub(super) cancelled: u8,
}

impl Default for Network {
    fn default() -> Self {
        let (delay, jitter) = (Duration::from_millis(30), Duration::ZERO);
        Network { seed: 1, delay, jitter, lost: 0, failed: 0, repeated: 0, rate: None, cancelled: 0 }
    }
}

/// What became of a workload.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Played {
    /// Every message, with when it was really released, in order.
    pub(super) released: Vec<(Duration, Release)>,
    /// When each was delivered.
    pub(super) delivered: BTreeMap<MessageId, Duration>,
    /// Those that were given up, and will not be delivered.
    pub(super) cancelled: BTreeSet<MessageId>,
    /// When each end was done: client, server.
    pub(super) done: [Option<Duration>; 2],
    /// What stands in the server's book.
    pub(super) book: Vec<Entry>,
}

impl Played {
    /// The records that its messages would have.
    pub(super) fn records(&self) -> Vec<MessageRecord> {
        let nanos = |time: Duration| time.as_nanos() as i64;
        let record = |(now, release): &(Duration, Release)| {
            let MessageId { direction, stream, seq } = release.id;
            let size = release.length.bytes().map_or(0, ByteCount::bytes);
            let delivered = self.delivered.get(&release.id).copied().map(nanos);
            MessageRecord {
                flow: UNDER_TEST,
                direction,
                stream,
                seq,
                size,
                released: nanos(release.at),
                released_by: release.by,
                deadline: release.deadline.map(nanos),
                attempt: release.attempt,
                cancelled: None,
                sent: Some(nanos(*now)),
                delivered,
                received: delivered.map_or(0, |_| size),
                coded: None,
            }
        };
        self.released.iter().map(record).collect()
    }
}

/// No end wakes more often without anything being released or delivered.
const MOST_WAKES: u32 = 10_000;
/// How long it takes to sync the book.
const SYNC: Duration = Duration::from_millis(2);
/// When whatever was not delivered is lost, after its sender was done.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Start,
    Timer(u64),
    Delivered(MessageId),
    Failed(MessageId),
    Cancelled(MessageId),
    /// The server of this number has written it into the book.
    Written(usize, Entry),
    /// The server is killed, and another is up at once.
    Restart,
    PeerFinished,
}

struct Simulation<'a> {
    workload: &'a Workload,
    seed: u64,
    /// How many servers there were before this one.
    killed: usize,
    network: Network,
    drivers: [Box<dyn Driver>; 2],
    queue: BinaryHeap<Reverse<(u64, u64, usize, Happening)>>,
    counter: u64,
    wakes: [u64; 2],
    idle: u32,
    /// Until when each direction is busy.
    busy: [Duration; 2],
    played: Played,
}

/// Plays a workload between its two ends over a network, until nothing happens any more.
pub(super) fn both_ends(workload: &Workload, seed: u64, network: Network) -> Played {
    through_restarts(workload, seed, network, &[])
}

/// The same, while the server is killed and started again at these times.
pub(super) fn through_restarts(workload: &Workload, seed: u64, network: Network, restarts: &[Duration]) -> Played {
    let mut simulation = Simulation {
        workload,
        seed,
        killed: 0,
        network,
        drivers: [End::Client, End::Server].map(|end| workload.driver(end, seed)),
        queue: BinaryHeap::new(),
        counter: 0,
        wakes: [0; 2],
        idle: 0,
        busy: [Duration::ZERO; 2],
        played: Played {
            released: Vec::new(),
            delivered: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            done: [None; 2],
            book: Vec::new(),
        },
    };
    for end in 0..2 {
        simulation.at(Duration::ZERO, end, Happening::Start);
    }
    for at in restarts {
        simulation.at(*at, SERVER, Happening::Restart);
    }
    while let Some(Reverse((at, _, end, happening))) = simulation.queue.pop() {
        simulation.happen(Duration::from_nanos(at), end, happening);
    }
    simulation.played
}

/// The place of the server among the ends.
const SERVER: usize = 1;

impl Simulation<'_> {
    fn at(&mut self, at: Duration, end: usize, happening: Happening) {
        self.counter += 1;
        self.queue.push(Reverse((at.as_nanos(), self.counter, end, happening)));
    }

    fn happen(&mut self, now: Duration, end: usize, happening: Happening) {
        let event = match happening {
            Happening::Start => Event::Start,
            Happening::Timer(which) if which == self.wakes[end] => Event::Timer,
            Happening::Timer(_) => return,
            Happening::Delivered(id) if self.played.cancelled.contains(&id) => return,
            Happening::Failed(id) if self.played.cancelled.contains(&id) => return,
            Happening::Delivered(id) => {
                self.played.delivered.entry(id).or_insert(now);
                Event::Delivered(id)
            }
            Happening::Failed(id) => Event::Failed(id),
            Happening::Cancelled(id) => Event::Cancelled(id),
            Happening::Written(server, _) if server != self.killed => return,
            Happening::Written(_, entry) => {
                self.played.book.push(entry);
                Event::Recorded(entry)
            }
            Happening::Restart => return self.restart(now),
            Happening::PeerFinished => Event::PeerFinished,
        };
        self.idle = if event == Event::Timer { self.idle + 1 } else { 0 };
        assert!(self.idle < MOST_WAKES, "an end wakes for ever at {now}");
        self.tell(now, end, event);
    }

    fn tell(&mut self, now: Duration, end: usize, event: Event) {
        let mut actions = Vec::new();
        self.drivers[end].on(event, now, &mut actions);
        for action in actions {
            match action {
                Action::Send(release) => self.send(now, end, release),
                Action::Cancel(id) => self.cancel(now, end, id),
                Action::Record(entry) => self.at(now + SYNC, end, Happening::Written(self.killed, entry)),
                Action::WakeAt(at) => {
                    assert!(at > now, "{event:?} at {now} left behind what was due at {at}");
                    self.wakes[end] += 1;
                    self.at(at, end, Happening::Timer(self.wakes[end]));
                }
                Action::Done => {
                    assert_eq!(self.played.done[end], None, "an end is done once");
                    self.played.done[end] = Some(now);
                    let heard = now + self.network.delay + self.network.jitter + GRACE;
                    self.at(heard, 1 - end, Happening::PeerFinished);
                }
            }
        }
    }

    fn restart(&mut self, now: Duration) {
        // A server that is done is killed no more: its session is over.
        if self.played.done[SERVER].is_some() {
            return;
        }
        // It was killed while these were being written: some were.
        let is_under_way = |Reverse((.., happening)): &Reverse<(_, _, _, Happening)>| match happening {
            Happening::Written(server, entry) if *server == self.killed => Some(*entry),
            _ => None,
        };
        let mut under_way: Vec<Entry> = self.queue.iter().filter_map(is_under_way).collect();
        under_way.sort_unstable();
        self.played.book.extend(under_way.iter().filter(|entry| entry.amount % 2 == 0));
        self.killed += 1;
        self.wakes[SERVER] += 1;
        self.drivers[SERVER] = self.workload.driver(End::Server, self.seed);
        if self.workload.book() == Some(Keeping::Memory) {
            self.played.book.clear();
        }
        self.tell(now, SERVER, Event::Start);
        for entry in self.played.book.clone() {
            self.tell(now, SERVER, Event::Recorded(entry));
        }
        if let Some(done) = self.played.done[1 - SERVER] {
            self.at(now.max(done) + GRACE, SERVER, Happening::PeerFinished);
        }
    }

    fn cancel(&mut self, now: Duration, end: usize, id: MessageId) {
        let is_reached = (draw::bits(self.network.seed, id) >> 16) as u8 <= self.network.cancelled;
        let is_here = self.played.delivered.contains_key(&id);
        if self.network.cancelled > 0 && is_reached && !is_here && self.played.cancelled.insert(id) {
            self.at(now, end, Happening::Cancelled(id));
        }
    }

    fn send(&mut self, now: Duration, end: usize, release: Release) {
        self.idle = 0;
        assert_eq!(self.played.done[end], None, "nothing is released by an end that is done");
        let Network { delay, jitter, lost, failed, repeated, .. } = self.network;
        let (id, draw) = (release.id, draw::bits(self.network.seed, release.id));
        self.played.released.push((now, release));
        let busy = &mut self.busy[id.direction.index()];
        if let Some(rate) = self.network.rate {
            *busy = now.max(*busy) + rate.time_for(release.length.bytes().map_or(0, ByteCount::bytes));
        }
        let arrives = now.max(*busy) + delay + Duration::from_nanos((draw >> 32) % (jitter.as_nanos() + 1));
        let [luck, twice, ..] = draw.to_le_bytes();
        if luck < lost {
        } else if u16::from(luck) < u16::from(lost) + u16::from(failed) {
            self.at(arrives + delay, end, Happening::Failed(id));
        } else {
            self.at(arrives, 1 - end, Happening::Delivered(id));
            if twice < repeated {
                self.at(arrives + delay, 1 - end, Happening::Delivered(id));
            }
        }
    }
}

/// Tests that every driver must pass, of workloads by this strategy.
macro_rules! properties {
    ($workloads:expr) => {
        proptest! {
            #[test]
            fn every_driver_copes_with_every_network(workload in $workloads, network in crate::workload::simulation::networks()) {
                workload.check().map_err(|error| TestCaseError::fail(error.to_string()))?;
                crate::workload::simulation::check(&workload, network)?;
            }
        }
    };
}
pub(super) use properties;

/// Networks that deliver, fail, delay, repeat and reorder.
pub(super) fn networks() -> impl proptest::strategy::Strategy<Value = Network> {
    use proptest::prelude::*;
    (any::<u64>(), 1u64..200, 0u64..200, 0u8..80, 0u8..80, 0u8..80, any::<u8>()).prop_map(
        |(seed, delay, jitter, lost, failed, repeated, cancelled)| {
            let (delay, jitter) = (Duration::from_millis(delay), Duration::from_millis(jitter));
            Network { seed, delay, jitter, lost, failed, repeated, rate: None, cancelled }
        },
    )
}

/// What holds of every driver on every network.
pub(super) fn check(workload: &Workload, network: Network) -> Result<(), proptest::test_runner::TestCaseError> {
    use proptest::{prop_assert, prop_assert_eq};
    let played = both_ends(workload, 7, network);
    prop_assert_eq!(&played, &both_ends(workload, 7, network), "the same seeds and events, the same actions");
    let mut known = BTreeSet::new();
    for (now, release) in &played.released {
        prop_assert!(known.insert(release.id), "{:?} was released twice", release.id);
        prop_assert!(release.at <= *now, "{:?} was released before its time", release);
        let table = workload.table(release.id.direction, 7);
        prop_assert_eq!(table.length(release.id.stream, release.id.seq), Some(release.length));
        if let Some(by) = release.by {
            prop_assert!(played.delivered[&by] <= release.at, "{:?} was released before what it answers", release);
        }
    }
    prop_assert!(played.done.iter().all(Option::is_some), "an end is never done: {:?}", played.done);
    Ok(())
}
