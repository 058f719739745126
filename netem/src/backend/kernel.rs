//! The kernel's own netem as a backend: a router between the ends, with `sch_netem` on its egress.
//!
//! ```text
//! client ── link0 ═ client0 ── near ── core ═ core ── far ── server0 ═ link0 ── server
//!                   ▲ down: second hop  ▲ up: first hop      ▲ up: second hop
//!                                         ▲ down: first hop (far's core)
//! ```
//!
//! Client and server each have a veth pair to the router, with every offload off, so that the
//! router's queueing disciplines see packets of at most the MTU. Where a direction has a rate the
//! router is two namespaces with a pair between them, since the bottleneck's buffer and the delay
//! line are separate things ([`plan`]); else it is one. It forwards by IP: the TTL is lowered at each
//! hop. Everything is made by netlink, without root too.
//!
//! Conditions are changed in place, where packets are under way ([`mod@turn`]). What is drawn begins with the
//! schedule of a trial that has something before it: until then the same disciplines draw nothing ([`mod@onset`]).
//!
//! What became of each packet is read from taps on the router's two outer devices ([`witness`]).
//! Start with [`Router::make`].

mod account;
mod config;
mod error;
mod onset;
mod plan;
mod qdiscs;
mod turn;
mod witness;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;

use samepath_model::link::{Direction, Link};
use samepath_model::record::{DirectionReport, DropCause};
use samepath_model::{VoidKind, VoidReason};

pub(crate) use account::RouterAccount;
use config::{Config, Turn};
pub use error::KernelError;
use onset::{Awaited, LEAD};
use plan::Hops;
pub use plan::{Inexpressible, check};
pub(crate) use qdiscs::probe;
use qdiscs::{CORE, amend, clear, furnish, places, put, queue_drops, take_away};
use turn::Transition;

use super::books::Books;
use super::packet::Tap;
use crate::control::Snapshot;
use crate::device::{self, CLIENT_SIDE, LINK_DEVICE, SERVER_SIDE, make_veth_with};
use crate::link::{Nanos, Onset, packet};
use crate::namespace::{Namespace, Namespaces, cannot};
use crate::nest::{self, Addresses, EVERYWHERE};
use crate::netlink::Netlink;
use crate::sys::{self, monotonic};
use witness::Witness;

/// Ethernet address of the pair between the router's namespaces; see the path's own addresses.
const CORE_MAC: [u8; 6] = [2, 0, 0, 0, 2, 0];

/// The router while it is up. Dropping it leaves the devices to their namespaces.
#[derive(Debug)]
pub(crate) struct Router {
    /// Its second namespace, where it has two.
    pub(crate) far: Option<Namespace>,
    witness: Witness,
    /// What the packets meet.
    hops: RefCell<[Hops; 2]>,
    /// What they meet from the schedule's start on, while that is awaited.
    awaited: RefCell<Option<Awaited>>,
    /// Between which times from the schedule's start that was put in force, where it was.
    draws_began: Cell<Option<[i64; 2]>>,
    seed: u64,
    /// How often that was changed.
    turns: Cell<u64>,
    /// What the queueing disciplines had dropped when they last made way for probes.
    dropped: Cell<Option<[u64; 2]>>,
}

/// What a router is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) link: &'a Link,
    /// Where the kernel's generators start.
    pub(crate) seed: u64,
    /// When they draw.
    pub(crate) onset: Onset,
    /// Whether the conditions may be changed while it is up.
    pub(crate) adjustable: bool,
}

impl Router {
    /// Makes the router in the middle namespace, in which the calling thread is and stays, with a pair
    /// to each end. The ends' devices still want their addresses.
    ///
    /// # Errors
    /// Says which step failed, and the remedy.
    pub(crate) fn make(
        namespaces: &Namespaces,
        macs: [[u8; 6]; 2],
        addresses: &Addresses,
        Task { link, seed, onset, adjustable }: Task<'_>,
        books: Books,
    ) -> Result<Router, KernelError> {
        probe()?;
        let planner = if adjustable { plan::adjustable_hops } else { plan::hops };
        let plan = |direction| planner(link, direction, seed).map_err(KernelError::from);
        let [up, down] = [plan(Direction::Up)?, plan(Direction::Down)?];
        let near = &namespaces.middle;
        let far = if up.first.is_empty() && down.first.is_empty() {
            None
        } else {
            let far = Namespace::make();
            near.enter()?; // making one has left this one
            Some(far?)
        };
        let outer = far.as_ref().unwrap_or(near);

        let treat = treatment(link);
        let pair = |one, other, mac| make_veth_with(one, other, mac, link.mtu, treat);
        pair((&namespaces.client, LINK_DEVICE), (near, CLIENT_SIDE), macs[0])?;
        pair((&namespaces.server, LINK_DEVICE), (outer, SERVER_SIDE), macs[1])?;
        if let Some(far) = &far {
            pair((near, CORE), (far, CORE), CORE_MAC)?;
        }
        let host = |v4, v6| [(IpAddr::V4(v4), 32), (IpAddr::V6(v6), 128)];
        let client = [host(addresses.client, addresses.client6), addresses.beyond_client()].concat();
        let mut server = host(addresses.server, addresses.server6).to_vec();
        if addresses.leads_on() {
            server.extend(EVERYWHERE);
        }
        let (client, server) = (client.as_slice(), server.as_slice());
        let near_exit = if far.is_some() { CORE } else { SERVER_SIDE };
        near.run(|| forward(link.mtu, [(CLIENT_SIDE, client), (near_exit, server)]))??;
        if let Some(far) = &far {
            far.run(|| forward(link.mtu, [(CORE, client), (SERVER_SIDE, server)]))??;
        }
        let (hops, awaited, first) = onset::split([up, down], link, onset);
        furnish(near, far.as_ref(), &hops)?;

        let tap = |namespace: &Namespace, name: &str| -> Result<Tap, KernelError> {
            Ok(namespace.run(|| Tap::open(name, link.mtu))?.map_err(cannot("open a packet socket on the router"))?)
        };
        let taps = [tap(near, CLIENT_SIDE)?, tap(outer, SERVER_SIDE)?];
        let history = Direction::BOTH.map(|direction| Config::of(&first, direction));
        let witness =
            Witness::start(taps, history, books).map_err(cannot("start the thread that watches the router"))?;
        Ok(Router {
            far,
            witness,
            hops: hops.into(),
            awaited: awaited.into(),
            draws_began: Cell::new(None),
            seed,
            turns: Cell::new(0),
            dropped: Cell::new(None),
        })
    }

    /// The devices that were set up before their peers.
    pub(crate) fn first_up<'a>(&'a self, namespaces: &'a Namespaces) -> Vec<(&'a Namespace, &'static str)> {
        let near = &namespaces.middle;
        let outer = self.far.as_ref().unwrap_or(near);
        let core = self.far.as_ref().map(|_| (near, CORE));
        [(near, CLIENT_SIDE), (outer, SERVER_SIDE)].into_iter().chain(core).collect()
    }

    /// Makes way for probes: from now on nothing is in any book, and the disciplines are those of the trial
    /// without what is drawn. What they held is gone; what the kernel still sends of the trial's TCP
    /// connections, which would stand in the probes' way, is swallowed.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(crate) fn set_aside(&self, namespaces: &Namespaces) -> Result<(), KernelError> {
        self.witness.look_away();
        self.dropped.set(Some(queue_drops(self.far.as_ref(), namespaces)?));
        self.swallow_tcp(namespaces, true)?;
        let hops = self.hops.borrow();
        clear(&namespaces.middle, self.far.as_ref(), &hops)?;
        furnish(&namespaces.middle, self.far.as_ref(), &hops.each_ref().map(Hops::bare))
    }

    /// Carries a trial: with fresh disciplines, whose generators begin at the seed.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(crate) fn resume(&self, namespaces: &Namespaces) -> Result<(), KernelError> {
        let hops = self.hops.borrow();
        clear(&namespaces.middle, self.far.as_ref(), &hops)?;
        furnish(&namespaces.middle, self.far.as_ref(), &hops)?;
        self.swallow_tcp(namespaces, false)?;
        self.dropped.set(None);
        self.witness.look_again();
        Ok(())
    }

    /// Puts these conditions in force while packets are inside: each discipline is changed in place and keeps its
    /// packets, with the delay and the transmission that they were given (a bucket goes on at the new rate). Only a
    /// queue that gives way to one of another kind is emptied: what it held is lost. The generators start again, at a
    /// seed of their own, as the kernel has it. Gives back from when on all hold (CLOCK_MONOTONIC).
    ///
    /// # Errors
    /// What the kernel's netem cannot express, or refuses; then what was in force still is.
    pub(crate) fn change(&self, namespaces: &Namespaces, link: &Link) -> Result<Nanos, KernelError> {
        let (near, far) = (&namespaces.middle, self.far.as_ref());
        let turns = self.turns.get() + 1;
        let plan = |direction| {
            plan::adjustable_hops(link, direction, self.seed.wrapping_add(turns)).map_err(KernelError::from)
        };
        let wanted = [plan(Direction::Up)?, plan(Direction::Down)?];
        let transitions: [[Transition; 2]; 2] = std::array::from_fn(|way| {
            let (current, wanted) = (&self.hops.borrow()[way], &wanted[way]);
            [(&current.first, &wanted.first), (&current.second, &wanted.second)]
                .map(|(current, wanted)| Transition::between(current, wanted))
        });
        let begun = self.witness.suspend_judgement();
        if let Err(error) = self.pass(namespaces, link, &transitions) {
            // What was taken away is empty, but there again.
            let _ = clear(near, far, &self.hops.borrow());
            let back = furnish(near, far, &self.hops.borrow());
            self.witness.judge(None);
            return Err(back.err().unwrap_or(error));
        }
        let done = monotonic();
        self.witness.judge(Some(Direction::BOTH.map(|direction| Turn {
            between: [begun, done],
            config: Config::of(link, direction),
            emptied: transitions[direction.index()].iter().any(|transition| transition.empties),
        })));
        *self.hops.borrow_mut() = transitions.map(|[first, second]| Hops { first: first.chain, second: second.chain });
        self.turns.set(turns);
        Ok(done)
    }

    /// Tells the kernel of the transitions of both directions.
    fn pass(&self, namespaces: &Namespaces, link: &Link, [up, down]: &[[Transition; 2]; 2]) -> Result<(), KernelError> {
        let treat = treatment(link);
        for (namespace, name, transition) in
            places(&namespaces.middle, self.far.as_ref(), [up.each_ref(), down.each_ref()])
        {
            namespace.run(|| {
                treat(name).map_err(cannot("switch a device's offloads off"))?;
                if let Some(from) = transition.taken_from {
                    take_away(name, from)?;
                }
                put(name, &transition.chain)
            })??;
        }
        for namespace in [&namespaces.client, &namespaces.server] {
            let treated = namespace.run(|| treat(LINK_DEVICE))?;
            treated.map_err(cannot("switch a device's offloads off"))?;
        }
        Ok(())
    }

    /// Waits until shortly before the schedule's start, and has what is drawn begin.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(crate) fn begin_draws(&self, namespaces: &Namespaces, epoch: Nanos) -> Result<(), KernelError> {
        let Some(Awaited { hops, link }) = self.awaited.take() else { return Ok(()) };
        sys::sleep_until(epoch.saturating_sub(LEAD));
        let begun = self.witness.suspend_judgement();
        let told = self.amend_all(namespaces, &hops);
        let done = monotonic();
        let turn = |direction| Turn { between: [begun, done], config: Config::of(&link, direction), emptied: false };
        self.witness.judge(Some(Direction::BOTH.map(turn)));
        told?;
        self.hops.replace(hops);
        self.draws_began.set(Some([begun, done].map(|at| at as i64 - epoch as i64)));
        Ok(())
    }

    fn amend_all(&self, namespaces: &Namespaces, hops: &[Hops; 2]) -> Result<(), KernelError> {
        let before = self.hops.borrow();
        let [up, down] = std::array::from_fn(|way| {
            let (before, after) = (&before[way], &hops[way]);
            [(&before.first, &after.first), (&before.second, &after.second)]
        });
        for (namespace, name, (before, after)) in places(&namespaces.middle, self.far.as_ref(), [up, down]) {
            namespace.run(|| amend(name, before, after))??;
        }
        Ok(())
    }

    /// Between which times from the schedule's start, in nanoseconds, what is drawn was put in force; none where it
    /// always was.
    pub(crate) fn draws_began(&self) -> Option<[i64; 2]> {
        self.draws_began.get()
    }

    /// How it stands; `None` where the witness does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.witness.snapshot()
    }

    fn swallow_tcp(&self, namespaces: &Namespaces, on: bool) -> Result<(), KernelError> {
        for namespace in [&namespaces.middle].into_iter().chain(&self.far) {
            namespace.run(|| {
                for family in [libc::AF_INET, libc::AF_INET6] {
                    // A kernel without rules for routing has no way to; then the probes tell what they meet.
                    let _ = Netlink::open().and_then(|mut netlink| netlink.swallow(family, packet::TCP, on));
                }
            })?;
        }
        Ok(())
    }

    /// Whether the witness still watches.
    pub(crate) fn is_running(&self) -> bool {
        self.witness.is_running()
    }

    /// Ends the watch and gives account.
    ///
    /// # Errors
    /// Where the ledger could not be written, or the watch failed.
    pub(crate) fn stop(self, namespaces: &Namespaces) -> Result<RouterAccount, KernelError> {
        let Router { far, witness, dropped, .. } = self;
        let mut account = witness.stop()?;
        let drops = match dropped.get() {
            Some(before_the_probes) => before_the_probes,
            None => queue_drops(far.as_ref(), namespaces)?,
        };
        for direction in Direction::BOTH {
            account.doubts.extend(disagreement(
                direction,
                drops[direction.index()],
                &account.directions[direction.index()],
            ));
        }
        Ok(account)
    }
}

/// How the devices of a link's path are treated. Timers of a queueing discipline may fire on any CPU, so the devices
/// must keep the order. But what keeps it also checks each packet's checksum on its way to netem, and then the
/// receiving host, which trusts that, would take a packet with a bit flipped by netem for whole.
fn treatment(link: &Link) -> fn(&str) -> io::Result<()> {
    let corrupts = Direction::BOTH.iter().any(|&direction| !link.direction(direction).corrupt.is_never());
    if corrupts { device::switch_offloads_off } else { device::switch_offloads_off_in_order }
}

/// Makes the calling thread's namespace a router with two devices: the networks that each leads to.
fn forward(mtu: u16, devices: [(&str, &[(IpAddr, u8)]); 2]) -> Result<(), KernelError> {
    for (name, networks) in devices {
        device::configure(name, mtu, &[]).map_err(cannot("set the router's device up"))?;
        nest::add_routes(name, networks).map_err(cannot("add a route to the router"))?;
    }
    // Only now that multicast is off at the devices: a router joins groups, and would say so on the link.
    nest::forward().map_err(cannot("let the router forward packets (/proc/sys/net/ipv4/ip_forward)"))?;
    Ok(())
}

/// Where the kernel's counters and the taps tell different stories. Copies and flipped bits are left
/// out: a copy that is dropped was never seen, and a damaged header may be dropped on the way. Of what was under
/// way at the end nobody saw whether it was dropped.
fn disagreement(direction: Direction, counted: u64, report: &DirectionReport) -> Option<VoidReason> {
    let open = report.dropped.get(DropCause::LinkDown.name()).copied().unwrap_or(0);
    let seen = report.dropped.values().sum::<u64>() - open;
    let comparable = report.duplicated == 0 && report.corrupted == 0;
    // netem counts a mark in place of a loss among its drops; codel does not.
    (comparable && !(seen..=seen + open + report.marked).contains(&counted)).then(|| {
        let words = format!(
            "the router's queues dropped {counted} packets ({direction}), and {seen} were seen not to leave it"
        );
        VoidReason::new(VoidKind::Contradiction, words)
    })
}
