//! The path as it stands: namespaces, devices and the emulator between them, from up to down.

use std::cell::Cell;
use std::path::Path;

use samepath_model::link::{Direction, Link, Rebound};
use samepath_model::record::{LinkReport, Setting};
use samepath_model::setting::OF_SERVER;
use samepath_model::{Mode, Tolerance, VoidReason};

use crate::backend::books::Books;
use crate::backend::emulator::{self, Account, Emulator, Probing};
use crate::backend::joining::Joining;
use crate::backend::kernel::{Router, Task};
use crate::backend::{ActiveBackend, Backend};
use crate::capture::{Capture, CaptureReport};
use crate::control::Snapshot;
use crate::device;
use crate::host::{CpuTimes, HostCounters};
use crate::ledger::{Cut, Spool};
use crate::link::{Farther, Nanos, Onset};
use crate::namespace::{NamespaceError, Namespaces};
use crate::nest::{self, Addresses, Outer};
use crate::sys::monotonic;
use crate::sysctl;

mod carrier;
mod devices;
mod error;
mod verdict;

use carrier::{Carrier, Stopped};
use devices::{Delivery, await_addresses, await_carriers, lay_wires, lead_on, make_control, make_devices};
pub use error::PathError;
use verdict::{emulator_verdict, host_verdict, onset_verdict, steal_verdict};

/// Where what is kept of the packets goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep<'a> {
    /// The spool of the packets' fates, for [`crate::ledger::read`].
    pub ledger: Option<&'a Path>,
    /// The capture.
    pub capture: Option<&'a Path>,
}

impl Keep<'_> {
    /// Whether nothing needs single packets.
    fn is_nothing(&self) -> bool {
        self.ledger.is_none() && self.capture.is_none()
    }
}

/// What is around a path.
#[derive(Debug, Clone, Copy)]
pub enum Around<'a> {
    /// A trial: an unimpaired pair of devices beside the link, and nothing beyond.
    Trial {
        /// When what the link draws begins.
        onset: Onset,
        /// Which servers stand farther away than the link is long; embedded links alone can have such.
        farther: &'a [Farther],
    },
    /// Nothing. Other links may be started in it.
    Nothing,
    /// Another link, through which the server's end leads on.
    Link(&'a Outer),
}

/// What the path says of its work, in the record's terms and its own.
#[derive(Debug)]
pub struct PathReport {
    /// For the record.
    pub link: LinkReport,
    /// What carried its packets last.
    pub backend: ActiveBackend,
    /// Broken conditions, in words with the figure.
    pub void: Vec<VoidReason>,
    /// What is missing at the ledger's end, where that comes before the link's.
    pub ledger_cut: Option<Cut>,
    /// What came of the capture, if there was one.
    pub capture: Option<CaptureReport>,
}

/// A path that is up. Dropping it takes everything down.
#[derive(Debug)]
pub struct LivePath {
    /// The namespaces of its ends.
    pub namespaces: Namespaces,
    /// The addresses of its ends.
    pub addresses: Addresses,
    /// Whether the ends have IPv6 addresses.
    pub ipv6: bool,
    carrier: Carrier,
    backend: Cell<ActiveBackend>,
    /// Whether neighbours are joined; only TUN devices can.
    joining: Option<Joining>,
    settings: Vec<Setting>,
    /// Of the directions whose packets leave together.
    deliveries: Vec<(Direction, Delivery)>,
    not_granted: Option<String>,
    /// Whether it had conditions at any time.
    shaped: Cell<bool>,
    mtu: u16,
    before: HostCounters,
    cpu_before: Option<CpuTimes>,
    up_since: Nanos,
}

impl LivePath {
    /// Makes namespaces, devices and emulator. The process must have one thread, and is left in a
    /// namespace of its own. `keep` says what is kept of the packets, and where.
    ///
    /// # Errors
    /// Says which step failed, and the remedy. Nothing is left behind.
    pub fn up(
        link: &Link,
        seed: u64,
        backend: Backend,
        mode: Mode,
        keep: Keep<'_>,
        around: Around<'_>,
    ) -> Result<LivePath, PathError> {
        let backend = match backend {
            Backend::Auto if device::open_tun_node().is_ok() => Backend::Tun,
            Backend::Auto => Backend::Packet,
            chosen => chosen,
        };
        let joining = match mode {
            Mode::Fast if backend != Backend::Tun => return Err(PathError::NotFast(backend)),
            Mode::Fast => Joining::Always,
            Mode::Exact => Joining::Never,
            // A capture is of single packets, too.
            Mode::Auto if keep.capture.is_some() || backend != Backend::Tun => Joining::Never,
            Mode::Auto => Joining::WhereNothingShows,
        };
        let namespaces = Namespaces::make()?;
        let addresses = match around {
            Around::Link(outer) => outer.join(&namespaces)?,
            Around::Trial { .. } | Around::Nothing => Addresses::OUTERMOST,
        };
        refuse_crowded(link, &addresses)?;
        let is_trial = matches!(around, Around::Trial { .. });
        let (onset, farther) = match around {
            Around::Trial { onset, farther } => (onset, farther),
            Around::Nothing | Around::Link(_) => (Onset::AtOnce, &[][..]),
        };
        if !farther.is_empty() && backend.has_one_delay() {
            return Err(PathError::Equidistant(backend));
        }
        let (mut settings, not_granted) = apply_settings(&namespaces, link, is_trial)?;
        // Where nothing is decided and nothing is kept there is nothing to cut and join either; but a trial
        // (which has the control pair) is always measured.
        let passes_through = joining.under(link) && link.is_transparent() && keep.is_nothing() && !is_trial;
        let books = || -> Result<Books, PathError> {
            Ok(Books {
                ledger: keep.ledger.map(Spool::create).transpose()?,
                capture: keep.capture.map(|file| Capture::create(file, link)).transpose()?,
            })
        };
        let router = match backend {
            Backend::Netem => {
                let task = Task { link, seed, onset, adjustable: !is_trial };
                Some(Router::make(&namespaces, [devices::CLIENT_MAC, devices::SERVER_MAC], &addresses, task, books()?)?)
            }
            _ => None,
        };
        let (mut ports, ipv6) = make_devices(&namespaces, backend, &addresses, link.mtu)?;
        if let Some(router) = &router {
            await_carriers(&router.first_up(&namespaces))?;
        }
        let deliveries = match &mut ports {
            Some(ports) if !joining.under(link) => lay_wires(&namespaces, ports, link),
            _ => Vec::new(),
        };
        settings.extend(deliveries.iter().map(|(direction, delivery)| delivery.setting(*direction)));
        if is_trial {
            make_control(&namespaces)?;
        } else {
            lead_on(&namespaces, &addresses)?;
        }
        let before = counters(&namespaces, router.as_ref())?;
        let carrier = match (router, ports) {
            (Some(router), _) => Carrier::Router(Box::new(router)),
            (None, None) => Carrier::Cable,
            (None, Some(ports)) if passes_through => {
                Carrier::Emulator(Emulator::pass_through(link, seed, ports, joining, addresses.of_client())?)
            }
            (None, Some(ports)) => {
                let task = emulator::Task { link, seed, onset, farther, client: addresses.of_client() };
                Carrier::Emulator(Emulator::start(task, ports, books()?, joining)?)
            }
        };
        // Last, for the kernel gets there by itself meanwhile.
        if ipv6 {
            await_addresses(&namespaces, &addresses)?;
        }
        Ok(LivePath {
            namespaces,
            addresses,
            ipv6,
            carrier,
            backend: Cell::new(match backend {
                Backend::Tun if passes_through => ActiveBackend::TunWhole,
                Backend::Tun => between_tun_devices(joining, link),
                Backend::Packet => ActiveBackend::Packet,
                Backend::Netem => ActiveBackend::Netem,
                Backend::None | Backend::Auto => ActiveBackend::None,
            }),
            joining: (backend == Backend::Tun).then_some(joining),
            settings,
            deliveries,
            not_granted,
            shaped: Cell::new(!link.is_transparent()),
            mtu: link.mtu,
            before,
            cpu_before: CpuTimes::read(),
            up_since: monotonic(),
        })
    }

    /// Tells the link when the schedule starts (CLOCK_MONOTONIC). With the kernel's netem this takes until then, if
    /// what is drawn begins with it.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn set_epoch(&self, epoch: Nanos) -> Result<(), PathError> {
        self.carrier.set_epoch(&self.namespaces, epoch)
    }

    /// Puts these conditions in force, and gives back since when they are (CLOCK_MONOTONIC): with an emulator
    /// both directions at that instant, with the kernel's netem one after the other, up to then. The link's
    /// largest packet and what its losses are keyed by stay.
    ///
    /// # Errors
    /// Why they cannot be, in words; then what was in force still is.
    pub fn change(&self, link: &Link) -> Result<Nanos, String> {
        refuse_crowded(link, &self.addresses).map_err(|error| error.to_string())?;
        if self.is_emulated() {
            // First the room that the endpoints may need: a buffer that is too large harms nobody.
            apply_settings(&self.namespaces, link, false).map_err(|error| error.to_string())?;
        }
        let since = self.carrier.change(&self.namespaces, link)?;
        self.shaped.set(self.shaped.get() || !link.is_transparent());
        if let Some(joining) = self.joining {
            self.backend.set(between_tun_devices(joining, link));
        }
        Ok(since)
    }

    /// How it stands; `None` where nothing is emulated, or who counts does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.carrier.snapshot()
    }

    /// Which kernel settings of its ends are not as they were asked for, in words.
    pub(crate) fn not_granted(&self) -> Option<&str> {
        self.not_granted.as_deref()
    }

    /// Has more kernel settings at the client's end.
    ///
    /// # Errors
    /// When its namespace cannot be entered.
    pub(crate) fn set_at_client(&mut self, wanted: &[(&'static str, String)]) -> Result<(), NamespaceError> {
        let set = || wanted.iter().map(|(name, value)| sysctl::set(name, value)).collect::<Vec<_>>();
        self.settings.extend(self.namespaces.client.run(set)?);
        Ok(())
    }

    /// The congestion controller that TCP sockets of its ends begin with; `wanted`, where the user wants another than
    /// the host's.
    ///
    /// # Errors
    /// Why it cannot be had, with the remedy.
    pub(crate) fn begin_with(&self, wanted: Option<&str>) -> Result<String, String> {
        let set = || wanted.map_or(Ok(()), sysctl::set_congestion_control);
        for end in [&self.namespaces.client, &self.namespaces.server] {
            end.run(set).map_err(|error| error.to_string())??;
        }
        self.namespaces.client.run(sysctl::congestion_control).map_err(|error| error.to_string())
    }

    /// How packets that leave together reach their host, where each needs a call although none would have to.
    pub(crate) fn apart(&self) -> Option<String> {
        let mut deliveries = self.deliveries.iter().map(|(_, delivery)| delivery);
        deliveries.find(|delivery| matches!(delivery, Delivery::Apart(_))).map(Delivery::to_string)
    }

    /// Whether something keeps the link's conditions; a bare pair of devices has none.
    pub(crate) fn is_emulated(&self) -> bool {
        self.carrier.is_emulated()
    }

    /// Makes way for probes, which are in no book; tells whether it could.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn set_aside(&self, probes: &Probing) -> Result<bool, PathError> {
        self.carrier.set_aside(&self.namespaces, probes)
    }

    /// Whether probes that are under way meet nothing else that an end sends. The kernel's disciplines take all.
    pub(crate) fn keeps_probes_apart(&self) -> bool {
        self.carrier.keeps_probes_apart()
    }

    /// Carries the trial's packets again, as if there had been no probes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn resume(&self) -> Result<(), PathError> {
        self.carrier.resume(&self.namespaces)
    }

    /// The backend, which the record names.
    pub fn backend(&self) -> ActiveBackend {
        self.backend.get()
    }

    /// Since when it is up (CLOCK_MONOTONIC).
    pub fn up_since(&self) -> Nanos {
        self.up_since
    }

    /// Whether everything still runs; if not, [`LivePath::down`] says why.
    pub fn is_running(&self) -> bool {
        self.carrier.is_running()
    }

    /// Takes the emulator down and gives account. The devices and namespaces go when their last
    /// user goes.
    ///
    /// # Errors
    /// Where the emulator failed, now or before.
    pub fn down(self, tolerance: &Tolerance) -> Result<PathReport, PathError> {
        let up_ns = monotonic() - self.up_since;
        if self.addresses.leads_on() {
            nest::leave(&self.namespaces);
        }
        let host = counters(&self.namespaces, self.carrier.router())?.since(&self.before);
        let draws_began = self.carrier.router().and_then(Router::draws_began);
        let Stopped { account, doubts, cpu } = self.carrier.stop(&self.namespaces)?;
        let steal = cpu.zip(self.cpu_before).and_then(|(now, before)| now.stolen_since(&before));
        let mut void = host_verdict(&host, account.as_ref());
        if self.shaped.get() {
            void.extend(steal.and_then(|steal| steal_verdict(steal, tolerance)));
        }
        void.extend(draws_began.and_then(|[_, done]| onset_verdict(done, tolerance)));
        void.extend(doubts);
        if let Some(account) = &account {
            void.extend(emulator_verdict(account, self.shaped.get(), self.mtu, tolerance));
        }
        let account = account.unwrap_or_else(Account::of_nothing);
        let [up, down] = account.directions;
        let link = LinkReport {
            backend: self.backend.get().to_string(),
            up,
            down,
            lateness: account.lateness,
            device_drops: host.device_drops.values().sum::<u64>() + account.port_drops,
            receive_buffer_drops: host.receive_buffer_drops,
            realtime: account.realtime,
            // The link's own alone.
            precedence: Default::default(),
            cpu_ns: account.work.cpu,
            up_ns,
            settings: self.settings.into(),
            steal,
            draws_began_ns: draws_began,
            before: None,
            after: None,
        };
        let backend = self.backend.get();
        Ok(PathReport { link, backend, void, ledger_cut: account.ledger_cut, capture: account.capture })
    }
}

/// Refuses other addresses where the link's block has none.
fn refuse_crowded(link: &Link, addresses: &Addresses) -> Result<(), PathError> {
    let moves = link.rebind.iter().any(|rebind| rebind.what == Rebound::Address);
    if moves && addresses.of_client().spare == 0 { Err(PathError::Crowded) } else { Ok(()) }
}

/// The emulator between TUN devices, in its mode under these conditions.
fn between_tun_devices(joining: Joining, link: &Link) -> ActiveBackend {
    if joining.under(link) { ActiveBackend::TunFast } else { ActiveBackend::TunExact }
}

/// Four bandwidth-delay products and four buffers, of the direction that has more of them, in bytes.
fn buffer_for(link: &Link) -> u64 {
    Direction::BOTH
        .iter()
        .filter_map(|&direction| {
            let rate = link.direction(direction).rate?;
            let queue = match link.queue_capacity(direction)? {
                samepath_model::link::QueueCapacity::Bytes(bytes) => bytes.bytes(),
                samepath_model::link::QueueCapacity::Packets(n) => u64::from(n) * u64::from(link.mtu),
            };
            Some(4 * (rate.bytes_in(link.rtt()).bytes() + queue))
        })
        .max()
        .unwrap_or(64 << 20) // no rate: what the kernel's own limits usually come to on fast paths
}

/// Sets what the ends' namespaces are to have. Gives back what is in force, and in words what is not.
fn apply_settings(
    namespaces: &Namespaces,
    link: &Link,
    is_trial: bool,
) -> Result<(Vec<Setting>, Option<String>), PathError> {
    // QUIC always asks for ECN. Where the link marks, TCP must, or the arms would not meet the same link; where it
    // does not, a trial has no use for it, and programs across a link have what the kernel gives them.
    let marks = link.up.may_mark() || link.down.may_mark();
    let ecn = (marks || is_trial).then_some(marks);
    let wish = sysctl::Wish { buffer: buffer_for(link), ecn, for_programs: !is_trial };
    let at_client = namespaces.client.run(|| sysctl::apply(wish))?;
    let at_server = namespaces.server.run(|| sysctl::apply(wish))?;
    // The same at both ends, unless the host is strange; then both are told.
    let mut settings = at_client.settings.clone();
    for (server, client) in at_server.settings.into_iter().zip(&at_client.settings) {
        if server != *client {
            settings.push(Setting { name: format!("{OF_SERVER}{}", server.name), ..server });
        }
    }
    Ok((settings, at_client.lacking.or(at_server.lacking)))
}

fn counters(namespaces: &Namespaces, router: Option<&Router>) -> Result<HostCounters, NamespaceError> {
    let mut all = HostCounters::default();
    let middle = if router.is_some() { "router" } else { "emulator" };
    let ours = [("client", &namespaces.client), ("server", &namespaces.server), (middle, &namespaces.middle)];
    let far = router.and_then(|router| router.far.as_ref()).map(|far| ("router's far side", far));
    for (name, namespace) in ours.into_iter().chain(far) {
        all.add(name, namespace.run(HostCounters::read)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_hold_four_bandwidth_delay_products() {
        use samepath_model::link::LinkSpec;
        let spec = LinkSpec { rtt: "100ms".parse().ok(), rate: "100Mbit".parse().ok(), ..LinkSpec::default() };
        let link = spec.resolve().expect("a link that can be");
        assert!(buffer_for(&link) >= 4 * 1_250_000);
    }
}
