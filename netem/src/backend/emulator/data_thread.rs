//! The embedded emulator's data thread: both directions, one thread, one clock.
//!
//! It takes packets from the two ports, asks the link core what becomes of them, and gives each to
//! the other side at the instant computed for it. It never waits for the ledger, allocates nothing
//! a packet, and computes no time from another packet's lateness.
//!
//! A TUN device hands over super-packets. They are cut into the packets that the wire would see, and the
//! link core decides on each of those: it knows no others, and all of one super-packet came at one
//! instant, which is how a burst at line rate looks. In exact mode each reaches the host that it is for as a
//! packet of its own; in fast mode neighbours that leave together are joined again, which spares the receiving
//! host most of its work.
//!
//! It has real-time scheduling where the host permits it, so that no busy neighbour and no receiver
//! that it has just woken takes its place, and then spins shortly before each release: a wake-up
//! from sleep costs some ten microseconds.

use hdrhistogram::Histogram;
use nix::sys::prctl::set_timerslack;
use samepath_model::link::{Direction, Link};
use samepath_model::record::{DirectionReport, DropCause};

use super::account::{Account, Work};
use super::command::{Command, Probing, Task, Words};
use super::error::EmulatorError;
use super::sleeper::Sleeper;
use crate::backend::Port;
use crate::backend::books::Books;
use crate::backend::buffer::{Buffer, Pool};
use crate::backend::closing::Closing;
use crate::backend::joining::Joining;
use crate::backend::lateness;
use crate::backend::segment::{self, HEADER, LARGEST, Run, Split, VirtioHeader};
use crate::capture::Capture;
use crate::control::Snapshot;
use crate::ledger::Spool;
use crate::link::nat::{Client, Nat};
use crate::link::{Nanos, Pipe, Released, packet};
use crate::sys::{become_ordinary, become_realtime, monotonic, thread_cpu};

/// Packets taken from one side before the other has its turn.
pub(super) const BATCH: usize = 64;
/// The longest spin before a release.
pub(crate) const SPIN: Nanos = 30_000;
/// The share of its time that the thread may spin, as a divisor: more would starve the endpoints of
/// a small machine.
const SPIN_SHARE: Nanos = 5;

/// What waits while probes are under way.
struct Aside {
    pipes: [Pipe<Buffer>; 2],
    /// The probes' UDP ports.
    ports: [u16; 2],
}

/// All that the data thread owns.
pub(super) struct DataThread {
    pipes: [Pipe<Buffer>; 2],
    /// The pipes of the trial, while probes are under way: what they do is in no book.
    aside: Option<Aside>,
    /// Client's, server's: the port at which a direction's packets come in has its index.
    ports: [Port; 2],
    books: Books,
    /// The client's addresses, for a NAT, and that, where the link has one.
    client: Client,
    nat: Option<Box<Nat>>,
    pool: Pool,
    lateness: Histogram<u64>,
    words: Words,
    sleeper: Sleeper,
    /// Whether hosts get neighbours that leave together as one packet; and when that may be.
    fast: bool,
    joining: Joining,
    run: Run,
    /// The packets of the run; one at most where none are joined.
    together: Vec<Released<Buffer>>,
    /// What a TUN device hands over.
    large: Vec<u8>,
    /// What went by before there were conditions.
    pub(super) earlier: [DirectionReport; 2],
}

impl DataThread {
    pub(super) fn new(
        Task { link, seed, onset, farther, client }: Task<'_>,
        ports: [Port; 2],
        books: Books,
        joining: Joining,
        pool: Pool,
        words: Words,
        sleeper: Sleeper,
    ) -> DataThread {
        let mut ports = ports;
        ports.iter_mut().for_each(|port| port.give_whole_runs(joining.under(link)));
        DataThread {
            pipes: Direction::BOTH
                .map(|direction| Pipe::with_onset(link, direction, seed, onset).with_farther(farther)),
            aside: None,
            ports,
            books,
            pool,
            client,
            nat: nat_of(link, client),
            lateness: lateness::histogram(),
            words,
            sleeper,
            fast: joining.under(link),
            joining,
            run: Run::new(),
            together: Vec::with_capacity(segment::MOST),
            large: vec![0; HEADER + LARGEST],
            earlier: Default::default(),
        }
    }

    /// What each direction has carried in all.
    fn reports(&self) -> [DirectionReport; 2] {
        std::array::from_fn(|at| sum(&self.earlier[at], self.pipes[at].report()))
    }

    pub(super) fn run(mut self) -> Result<Account, EmulatorError> {
        // Timers of a thread under SCHED_FIFO have no slack; this is for where it is not permitted.
        let _ = set_timerslack(1);
        let realtime = become_realtime();
        // What the thread has done so far was to get ready.
        let (started, cpu_before) = (monotonic(), thread_cpu());
        let spun = self.carry(realtime, started)?;
        let (cpu, wall) = (thread_cpu() - cpu_before, monotonic() - started);
        // What is left is paperwork.
        become_ordinary();
        self.settle(realtime, Work { cpu, spun, wall })
    }

    /// Carries packets until told to stop. Gives back the time spun away.
    fn carry(&mut self, realtime: bool, started: Nanos) -> Result<Nanos, EmulatorError> {
        let mut epoch = 0;
        let mut spun = 0;
        let mut spinning_since = None;
        loop {
            let ordered = self.words.epoch.get();
            if ordered != epoch {
                epoch = ordered;
                self.pipes.iter_mut().for_each(|pipe| pipe.set_epoch(epoch));
                if let Some(nat) = &mut self.nat {
                    nat.set_epoch(epoch);
                }
            }
            if self.words.queue.is_stopped() {
                return Ok(spun);
            }

            for command in self.words.queue.take() {
                self.answer(command);
            }
            let mut busy = false;
            for direction in Direction::BOTH {
                busy |= self.take_batch(direction)?;
            }
            let now = monotonic();
            self.release_due(now)?;

            if let Some(since) = spinning_since.take() {
                spun += now - since;
            }
            if busy {
                continue;
            }
            let now = monotonic();
            match self.pipes.iter().filter_map(Pipe::next_release).min() {
                Some(due) if due <= now => {}
                Some(due) => {
                    let may_spin = realtime && spun <= (now - started) / SPIN_SHARE;
                    if may_spin && due - now <= SPIN {
                        spinning_since = Some(now);
                        continue;
                    }
                    self.sleep(Some(if may_spin { due - SPIN } else { due }))?;
                }
                None => self.sleep(None)?,
            }
        }
    }

    fn sleep(&self, until: Option<Nanos>) -> Result<(), EmulatorError> {
        self.sleeper.sleep(&self.ports, until).map_err(EmulatorError::Thread)
    }

    /// Does what a command asks for. Nobody may be left to hear the answer.
    fn answer(&mut self, command: Command) {
        match command {
            Command::Change { link, answer } => {
                let now = monotonic();
                self.pipes.iter_mut().for_each(|pipe| pipe.set_conditions(&link, now));
                self.change_nat(&link, now);
                self.fast = self.joining.under(&link);
                self.ports.iter_mut().for_each(|port| port.give_whole_runs(self.fast));
                if let Some(capture) = &mut self.books.capture {
                    capture.note(&format!("the link from here on: {link:#}"));
                }
                let _ = answer.send(now);
            }
            Command::Probe { probes, answer } => {
                if let Some(aside) = self.aside.take() {
                    self.pipes = aside.pipes;
                }
                if let Some(probes) = probes {
                    let Probing { link, ports } = *probes;
                    let probed = Direction::BOTH.map(|direction| Pipe::new(&link, direction, 0));
                    self.aside = Some(Aside { pipes: std::mem::replace(&mut self.pipes, probed), ports });
                }
                let _ = answer.send(());
            }
            Command::Snapshot { answer } => {
                let [up, down] = self.reports();
                let _ = answer.send(Snapshot {
                    up,
                    down,
                    inside: self.pipes.each_ref().map(Pipe::in_flight),
                    lateness: lateness::report(&self.lateness),
                    ledger_lost: self.books.ledger.as_ref().map_or(0, Spool::lost),
                    capture_missing: self.books.capture.as_ref().map_or(0, Capture::missing),
                });
            }
        }
    }

    /// From `now` on the link's rebindings are these; those whose time is over are not made up for.
    fn change_nat(&mut self, link: &Link, now: Nanos) {
        if self.nat.is_none() {
            self.nat = nat_of(link, self.client);
            if let (Some(nat), epoch @ 1..) = (&mut self.nat, self.words.epoch.get()) {
                nat.set_epoch(epoch);
                nat.skip_to(now);
            }
        } else if let Some(nat) = &mut self.nat {
            nat.change(&link.rebind, now);
        }
    }

    /// Takes what has come in at one side, up to a batch. Tells whether there was anything.
    #[inline]
    fn take_batch(&mut self, direction: Direction) -> Result<bool, EmulatorError> {
        let port = direction.index();
        let mut taken = 0;
        while taken < BATCH {
            let before = taken;
            let now = match self.ports[port] {
                Port::Tun(_) => self.take_large(port, &mut taken)?,
                Port::Packet(_) => self.take_one(port, &mut taken)?,
            };
            if taken == before {
                break;
            }
            self.release_due(now)?;
        }
        Ok(taken > 0)
    }

    /// Takes one packet of the wire.
    #[inline]
    fn take_one(&mut self, port: usize, taken: &mut usize) -> Result<Nanos, EmulatorError> {
        let mut buffer = self.pool.take();
        let length = self.ports[port].take(&mut buffer.bytes).map_err(|cause| EmulatorError::of_port(port, cause))?;
        let now = monotonic();
        match length {
            None => self.pool.give(buffer),
            Some(length) => {
                (buffer.length, buffer.sum) = (length, None);
                self.offer(port, buffer, now);
                *taken += 1;
            }
        }
        Ok(now)
    }

    /// Takes what a TUN device hands over, a super-packet maybe, and cuts it.
    #[inline]
    fn take_large(&mut self, port: usize, taken: &mut usize) -> Result<Nanos, EmulatorError> {
        let length = self.ports[port].take(&mut self.large).map_err(|cause| EmulatorError::of_port(port, cause))?;
        let now = monotonic();
        let Some(length) = length else { return Ok(now) };
        let large = std::mem::take(&mut self.large);
        if let Some((header, packet)) = large[..length].split_first_chunk::<HEADER>() {
            let header = VirtioHeader::read(header);
            match Split::of(&header, packet) {
                None => {
                    let mut buffer = self.pool.take();
                    // One that is too long to be a packet of the wire is cut short, and its length tells.
                    buffer.length = packet.len().min(buffer.bytes.len());
                    buffer.bytes[..buffer.length].copy_from_slice(&packet[..buffer.length]);
                    buffer.sum = header.sum(buffer.as_ref());
                    self.offer(port, buffer, now);
                    *taken += 1;
                }
                Some(mut split) => loop {
                    let mut buffer = self.pool.take();
                    if !split.next_into(&mut buffer) {
                        self.pool.give(buffer);
                        break;
                    }
                    self.offer(port, buffer, now);
                    *taken += 1;
                },
            }
        }
        self.large = large;
        Ok(now)
    }

    /// Asks the link core what becomes of a packet.
    #[inline]
    fn offer(&mut self, port: usize, mut buffer: Buffer, now: Nanos) {
        let (pipe, books) = (&mut self.pipes[port], &mut self.books);
        if let Some(Aside { ports, .. }) = &self.aside {
            // What the ends, or the kernel for them, still send of the trial must not stand in the probes' way.
            let returned =
                if is_probe(buffer.as_ref(), *ports) { pipe.offer(buffer, now, |_| ()) } else { Some(buffer) };
            returned.into_iter().for_each(|buffer| self.pool.give(buffer));
            return;
        }
        let mut is_lost = false;
        if let (Some(nat), Direction::Down) = (&mut self.nat, Direction::BOTH[port]) {
            let pending = buffer.sum.is_some();
            is_lost = !nat.back(buffer.as_mut(), pending, now) && pipe.would_apply(buffer.as_ref());
            tell_capture(nat, books);
        }
        if let Some(capture) = &mut books.capture {
            // Whoever reads it wants to see whole packets.
            segment::make_sum(&mut buffer);
            capture.offered(Direction::BOTH[port], pipe.offered(), buffer.as_ref(), now);
        }
        let returned = if is_lost {
            books.append(pipe.lost_before(buffer.as_ref(), now, DropCause::Nat));
            Some(buffer)
        } else {
            pipe.offer(buffer, now, |entry| books.append(entry))
        };
        if let Some(capture) = &mut books.capture {
            capture.inside(pipe.kept());
        }
        if let Some(buffer) = returned {
            self.pool.give(buffer);
        }
    }

    /// Gives every packet that is due to the host it is for.
    #[inline]
    fn release_due(&mut self, now: Nanos) -> Result<(), EmulatorError> {
        for direction in Direction::BOTH {
            let cuts = self.ports[direction.opposite().index()].cuts();
            let joins = self.fast || cuts;
            while let Some(mut released) = self.pipes[direction.index()].release(now) {
                if released.entry.is_corrupted() {
                    segment::spoil_sum(&mut released.packet);
                }
                if let (Some(nat), Direction::Up, None) = (&mut self.nat, direction, &self.aside)
                    && !released.entry.is_bypassed()
                {
                    let pending = released.packet.sum.is_some();
                    nat.out(released.packet.as_mut(), pending, released.due);
                    tell_capture(nat, &mut self.books);
                }
                if joins {
                    if !self.leaves_with_run(&released, cuts) {
                        self.give_together(direction)?;
                    }
                    self.run.add(&released.packet, self.together.is_empty());
                }
                self.together.push(released);
                if !joins {
                    self.give_together(direction)?;
                }
            }
            self.give_together(direction)?;
        }
        Ok(())
    }

    /// Whether a packet leaves in one with those before it. All of them are due. To a host that gets them joined, each
    /// that has waited in the bottleneck comes at a time of its own, unless two come out to the same; where they are
    /// cut, each comes alone however many are given in one call.
    #[inline]
    fn leaves_with_run(&self, next: &Released<Buffer>, cuts: bool) -> bool {
        let Some(first) = self.together.first() else { return false };
        let at_once = cuts || next.due == first.due || next.entry.queued() == 0;
        at_once && segment::may_follow(&self.run, &next.packet)
    }

    /// Gives the packets of the run to the host they are for, as one.
    #[inline]
    fn give_together(&mut self, direction: Direction) -> Result<(), EmulatorError> {
        let Some(last) = self.together.last() else { return Ok(()) };
        let port = direction.opposite().index();
        let flags = if self.together.len() > 1 { segment::flags_of(&self.run, &last.packet) } else { 0 };
        // Read anew for each: giving the one before to its host took microseconds.
        let leaves = monotonic();
        let given = match self.together.as_mut_slice() {
            [only] => self.ports[port].give(only.packet.as_ref(), only.packet.sum),
            all => {
                let (header, headers) = segment::join(&self.run, &mut all[0].packet, flags);
                let payloads = all[1..].iter().map(|released| &released.packet.as_ref()[headers..]);
                self.ports[port].give_joined(header, all[0].packet.as_ref(), payloads)
            }
        }
        .map_err(|cause| EmulatorError::of_port(port, cause))?;
        let pipe = &mut self.pipes[direction.index()];
        for Released { packet, due, entry } in self.together.drain(..) {
            let entry = if given { pipe.left(entry, leaves) } else { pipe.refused(entry) };
            if self.aside.is_none() {
                self.lateness.saturating_record(leaves.saturating_sub(due));
                self.books.append(entry);
            }
            self.pool.give(packet);
        }
        Ok(())
    }

    /// Empties the pipes, closes ports and ledger, and gives account.
    fn settle(mut self, realtime: bool, work: Work) -> Result<Account, EmulatorError> {
        if let Some(aside) = self.aside.take() {
            self.pipes = aside.pipes;
        }
        let books = &mut self.books;
        for pipe in &mut self.pipes {
            pipe.drain().for_each(|(_, entry)| books.append(entry));
        }
        let directions = self.reports();
        let port_drops = self.ports.iter().map(Port::drops).sum();
        let closing = Closing::of(self.ports);
        let capture = self.books.capture.take().map(Capture::finish);
        let ledger = self.books.ledger.take().map(Spool::finish).transpose()?;
        drop(closing);
        let (ledger_lost, ledger_cut) = ledger.map_or((0, None), |ledger| (ledger.lost, ledger.cut));
        let lateness = lateness::report(&self.lateness);
        Ok(Account { directions, lateness, port_drops, realtime, work, ledger_lost, ledger_cut, capture })
    }
}

/// Whether a packet goes between the probes' UDP ports, either way.
fn is_probe(packet: &[u8], [one, other]: [u16; 2]) -> bool {
    let info = packet::parse(packet);
    let between = (info.source_port, info.destination_port);
    info.protocol == packet::UDP && (between == (one, other) || between == (other, one))
}

/// The NAT that a link's conditions ask for.
fn nat_of(link: &Link, client: Client) -> Option<Box<Nat>> {
    (!link.rebind.is_empty()).then(|| Box::new(Nat::new(&link.rebind, client)))
}

/// A capture knows when the NAT has forgotten its mappings.
fn tell_capture(nat: &mut Nat, books: &mut Books) {
    if let Some(news) = nat.news()
        && let Some(capture) = &mut books.capture
    {
        capture.note(news);
    }
}

/// What one direction carried in two stretches of time.
fn sum(earlier: &DirectionReport, mut report: DirectionReport) -> DirectionReport {
    report.packets += earlier.packets;
    report.bytes += earlier.bytes;
    report.delivered_packets += earlier.delivered_packets;
    report.delivered_bytes += earlier.delivered_bytes;
    report.largest_packet = report.largest_packet.max(earlier.largest_packet);
    for (cause, n) in &earlier.dropped {
        *report.dropped.entry(cause.clone()).or_default() += n;
    }
    report
}
