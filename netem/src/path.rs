//! The path as it stands: namespaces, devices and the emulator between them, from up to down.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::net::if_::if_nametoindex;
use samepath_model::link::{Direction, Link};
use samepath_model::record::{DirectionReport, DropCause, Lateness, LinkReport, Setting};
use samepath_model::{Mode, Tolerance};

use crate::backend::emulator::{Account, Books, Emulator, EmulatorError, Joining, is_shaped};
use crate::backend::kernel::{KernelError, Router, RouterAccount, Task};
use crate::backend::packet::PacketPort;
use crate::backend::tun::TunPort;
use crate::backend::wire::Wire;
use crate::backend::{Backend, Port};
use crate::capture::{Capture, CaptureError, CaptureReport};
use crate::control::Snapshot;
use crate::device::{self, CONTROL_DEVICE, DELIVERY_DEVICE, LINK_DEVICE};
use crate::host::{CpuTimes, HostCounters};
use crate::ledger::{LedgerError, Spool};
use crate::link::Nanos;
use crate::namespace::{Namespace, NamespaceError, Namespaces, StepError};
use crate::nest::{self, Addresses, EVERYWHERE, NestError, Outer};
use crate::netlink::{Netlink, VethEnd};
use crate::sys::monotonic;
use crate::sysctl;

/// A path that could not be set up, or failed.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// A step that the kernel refused.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A device.
    #[error("cannot {what}: {source}{}", hint(what, source))]
    Device {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Super-packets are asked of a backend that has none.
    #[error(
        "fast mode needs TUN devices, and `{0}` has none; choose `--mode exact`, or `--backend tun` with access to \
         /dev/net/tun"
    )]
    NotFast(Backend),
    /// The emulator.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The router with the kernel's netem.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The outer link.
    #[error("the link around it: {0}")]
    Nest(#[from] NestError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

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

/// How an end gets packets that leave together.
const TOGETHER: &str = "single packets, neighbours in one call";
/// How each is delivered where that cannot be had.
const APART: &str = "each in a call of its own";
const MAKE_TUN: &str = "make a TUN device";
const MAKE_VETH: &str = "make a veth pair";

/// The remedy for a device that the kernel refuses.
fn hint(what: &str, source: &io::Error) -> &'static str {
    match what {
        MAKE_TUN => "; choose `--backend packet`, or give access to /dev/net/tun (load the module `tun`)",
        MAKE_VETH if source.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            "; the kernel has no veth devices: load the module `veth`"
        }
        _ => "",
    }
}

/// What is around a path.
#[derive(Debug, Clone, Copy)]
pub enum Around<'a> {
    /// A trial: an unimpaired pair of devices beside the link, and nothing beyond.
    Trial,
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
    /// Broken conditions, in words with the figure.
    pub void: Vec<String>,
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
    emulator: Option<Emulator>,
    router: Option<Router>,
    backend: Cell<&'static str>,
    /// Whether neighbours are joined; only TUN devices can.
    joining: Option<Joining>,
    settings: Vec<Setting>,
    /// Whether it had conditions at any time.
    shaped: Cell<bool>,
    mtu: u16,
    before: HostCounters,
    cpu_before: Option<CpuTimes>,
    up_since: Nanos,
}

/// Ethernet addresses, locally administered. Both ends of a pair have the same one: with no address
/// resolution on the devices, every frame is sent to the sender's own.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CONTROL_MAC: [u8; 6] = [2, 0, 0, 0, 1, 0];

/// Prefix length of the control pair's network.
const CONTROL_PREFIX: u8 = 24;

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
            Around::Trial | Around::Nothing => Addresses::OUTERMOST,
        };
        let is_trial = matches!(around, Around::Trial);
        let mut settings = apply_settings(&namespaces, link)?;
        // Where nothing is decided and nothing is kept there is nothing to cut and join either; but a trial
        // (which has the control pair) is always measured.
        let passes_through = joining.under(link) && !is_shaped(link) && keep.is_nothing() && !is_trial;
        let books = || -> Result<Books, PathError> {
            Ok(Books {
                ledger: keep.ledger.map(Spool::create).transpose()?,
                capture: keep.capture.map(|file| Capture::create(file, link)).transpose()?,
            })
        };
        let router = match backend {
            Backend::Netem => {
                let task = Task { link, seed, adjustable: !is_trial };
                Some(Router::make(&namespaces, [CLIENT_MAC, SERVER_MAC], &addresses, task, books()?)?)
            }
            _ => None,
        };
        let (mut ports, ipv6) = make_devices(&namespaces, backend, &addresses, link.mtu)?;
        router.as_ref().map_or(Ok(()), |router| await_carriers(&router.first_up(&namespaces)))?;
        if let (Some(ports), false) = (&mut ports, joining.under(link)) {
            settings.extend(lay_wires(&namespaces, ports, link));
        }
        if is_trial {
            make_control(&namespaces)?;
        } else {
            lead_on(&namespaces, &addresses)?;
        }
        let before = counters(&namespaces, router.as_ref())?;
        let emulator = match ports {
            None => None,
            Some(ports) if passes_through => Some(Emulator::pass_through(link, seed, ports, joining)?),
            Some(ports) => Some(Emulator::start(link, seed, ports, books()?, joining)?),
        };
        Ok(LivePath {
            namespaces,
            addresses,
            ipv6,
            emulator,
            router,
            backend: Cell::new(match backend {
                Backend::Tun if passes_through => "embedded-tun, super-packets",
                Backend::Tun => name_of(joining, link),
                Backend::Packet => "embedded-packet",
                Backend::Netem => "netem",
                Backend::None | Backend::Auto => "none",
            }),
            joining: (backend == Backend::Tun).then_some(joining),
            settings,
            shaped: Cell::new(is_shaped(link)),
            mtu: link.mtu,
            before,
            cpu_before: CpuTimes::read(),
            up_since: monotonic(),
        })
    }

    /// Tells the link when the schedule starts (CLOCK_MONOTONIC).
    pub fn set_epoch(&self, epoch: Nanos) {
        if let Some(emulator) = &self.emulator {
            emulator.set_epoch(epoch);
        }
    }

    /// Puts these conditions in force, and gives back since when they are (CLOCK_MONOTONIC): with an emulator
    /// both directions at that instant, with the kernel's netem one after the other, up to then. The link's
    /// largest packet and what its losses are keyed by stay.
    ///
    /// # Errors
    /// Why they cannot be, in words; then what was in force still is.
    pub fn change(&self, link: &Link) -> Result<Nanos, String> {
        // First the room that the endpoints may need: a buffer that is too large harms nobody.
        let make_room = || apply_settings(&self.namespaces, link).map(drop).map_err(|error| error.to_string());
        let since = match (&self.emulator, &self.router) {
            (Some(emulator), _) => make_room().and_then(|()| Ok(emulator.change(link)?))?,
            (_, Some(router)) => {
                make_room()?;
                router.change(&self.namespaces, link).map_err(|error| error.to_string())?
            }
            (None, None) => {
                return Err(
                    "a bare cable has no conditions that could be changed; start the link with `--backend auto`".into(),
                );
            }
        };
        self.shaped.set(self.shaped.get() || is_shaped(link));
        if let Some(joining) = self.joining {
            self.backend.set(name_of(joining, link));
        }
        Ok(since)
    }

    /// How it stands; `None` where nothing is emulated, or who counts does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let of_router = || self.router.as_ref().and_then(Router::snapshot);
        self.emulator.as_ref().and_then(Emulator::snapshot).or_else(of_router)
    }

    /// How packets that leave together reach their host, where each needs a call although none would have to.
    pub(crate) fn apart(&self) -> Option<String> {
        self.settings.iter().map(|setting| &setting.effective).find(|told| told.starts_with(APART)).cloned()
    }

    /// Whether something keeps the link's conditions; a bare pair of devices promises nothing.
    pub(crate) fn is_emulated(&self) -> bool {
        self.emulator.is_some() || self.router.is_some()
    }

    /// Makes way for probes, which meet these conditions and are in no book; tells whether it could.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn set_aside(&self, link: &Link) -> Result<bool, PathError> {
        match (&self.emulator, &self.router) {
            (Some(emulator), _) => Ok(emulator.probe(Some(link))),
            (_, Some(router)) => router.set_aside(&self.namespaces).map(|()| true),
            // Nothing counts and nothing waits, so nothing is in the way.
            (None, None) => Ok(true),
        }
    }

    /// Carries the trial's packets again, as if there had been no probes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn resume(&self) -> Result<(), PathError> {
        if let Some(emulator) = &self.emulator {
            emulator.probe(None);
        }
        self.router.as_ref().map_or(Ok(()), |router| router.resume(&self.namespaces))
    }

    /// The backend's name, as in the record.
    pub fn backend(&self) -> &'static str {
        self.backend.get()
    }

    /// Since when it is up (CLOCK_MONOTONIC).
    pub fn up_since(&self) -> Nanos {
        self.up_since
    }

    /// Whether everything still runs; if not, [`LivePath::down`] says why.
    pub fn is_running(&self) -> bool {
        self.emulator.as_ref().is_none_or(Emulator::is_running) && self.router.as_ref().is_none_or(Router::is_running)
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
        let host = counters(&self.namespaces, self.router.as_ref())?.since(&self.before);
        let mut account = self.emulator.map(Emulator::stop).transpose()?;
        let steal = CpuTimes::read().zip(self.cpu_before).and_then(|(now, before)| now.stolen_since(&before));
        let mut void = host_verdict(&host, account.as_ref());
        if self.shaped.get() {
            void.extend(steal.and_then(|steal| steal_verdict(steal, tolerance)));
        }
        if let Some(router) = self.router {
            let told = router.stop(&self.namespaces)?;
            void.extend(told.doubts.iter().cloned());
            account = Some(Account::of_router(told));
        }
        if let Some(account) = &account {
            void.extend(emulator_verdict(account, self.shaped.get(), self.mtu, tolerance));
        }
        let account = account.unwrap_or_else(Account::of_nothing);
        let [up, down] = account.directions;
        let link = LinkReport {
            backend: self.backend.get().to_owned(),
            up,
            down,
            lateness: account.lateness,
            device_drops: host.device_drops.values().sum::<u64>() + account.port_drops,
            receive_buffer_drops: host.receive_buffer_drops,
            realtime: account.realtime,
            cpu_ns: account.cpu,
            up_ns,
            settings: self.settings.into(),
            steal,
            before: None,
            after: None,
        };
        Ok(PathReport { link, void, capture: account.capture })
    }
}

/// The name of the emulator between TUN devices, with its mode.
fn name_of(joining: Joining, link: &Link) -> &'static str {
    if joining.under(link) { "embedded-tun, fast" } else { "embedded-tun" }
}

impl Account {
    /// Of a link that the kernel carries: nothing of ours moved the packets, so nothing waited or spun.
    fn of_router(told: RouterAccount) -> Account {
        let RouterAccount { directions, lateness, cpu, ledger_lost, capture, doubts: _ } = told;
        Account { directions, lateness, cpu, spun: cpu, ledger_lost, capture, ..Account::of_nothing() }
    }

    /// Of a link without an emulator.
    fn of_nothing() -> Account {
        Account {
            directions: [DirectionReport::default(), DirectionReport::default()],
            lateness: Lateness::default(),
            port_drops: 0,
            realtime: false,
            cpu: 0,
            spun: 0,
            wall: 0,
            ledger_lost: 0,
            capture: None,
        }
    }
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

fn apply_settings(namespaces: &Namespaces, link: &Link) -> Result<Vec<Setting>, PathError> {
    let buffer = buffer_for(link);
    let at_client = namespaces.client.run(|| sysctl::apply(buffer))?;
    let at_server = namespaces.server.run(|| sysctl::apply(buffer))?;
    // The same at both ends, unless the host is strange; then both are told.
    let mut settings = at_client.clone();
    for (server, client) in at_server.into_iter().zip(&at_client) {
        if server != *client {
            settings.push(Setting { name: format!("server {}", server.name), ..server });
        }
    }
    Ok(settings)
}

/// Makes the link's devices. Gives back the emulator's ports, if the backend has one, and whether
/// there is IPv6.
fn make_devices(
    namespaces: &Namespaces,
    backend: Backend,
    addresses: &Addresses,
    mtu: u16,
) -> Result<(Option<[Port; 2]>, bool), PathError> {
    let device = |what| move |source| PathError::Device { what, source };
    let ends = [(&namespaces.client, CLIENT_MAC), (&namespaces.server, SERVER_MAC)];
    let ports = match backend {
        Backend::Tun => {
            let make = |namespace: &Namespace| -> Result<Port, PathError> {
                let port = namespace.run(|| TunPort::make(LINK_DEVICE))?;
                Ok(Port::Tun(port.map_err(device(MAKE_TUN))?))
            };
            Some([make(&namespaces.client)?, make(&namespaces.server)?])
        }
        Backend::Packet => {
            let make = |(namespace, mac): (&Namespace, [u8; 6]), name: &str| -> Result<Port, PathError> {
                make_veth((namespace, LINK_DEVICE), (&namespaces.middle, name), mac, mtu)?;
                device::configure(name, mtu, &[]).map_err(device("set a middle device up"))?;
                let port = PacketPort::open(name, mac, mtu).map_err(device("open a packet socket"))?;
                Ok(Port::Packet(port))
            };
            Some([make(ends[0], "client0")?, make(ends[1], "server0")?])
        }
        Backend::Netem => None, // the router has made them
        Backend::None | Backend::Auto => {
            make_veth((&namespaces.client, LINK_DEVICE), (&namespaces.server, LINK_DEVICE), CLIENT_MAC, mtu)?;
            None
        }
    };
    let (v4, v6) = addresses.prefixes;
    let mut ipv6 = true;
    for (namespace, addresses) in [
        (&namespaces.client, [(IpAddr::V4(addresses.client), v4), (IpAddr::V6(addresses.client6), v6)]),
        (&namespaces.server, [(IpAddr::V4(addresses.server), v4), (IpAddr::V6(addresses.server6), v6)]),
    ] {
        ipv6 &= namespace
            .run(|| device::configure(LINK_DEVICE, mtu, &addresses))?
            .map_err(device("set the link's device up"))?;
    }
    let first_up: &[(&Namespace, &str)] = match backend {
        Backend::Packet => &[(&namespaces.middle, "client0"), (&namespaces.middle, "server0")],
        Backend::None | Backend::Auto => &[(&namespaces.client, LINK_DEVICE)],
        Backend::Tun | Backend::Netem => &[], // has no peer; the router knows its own
    };
    await_carriers(first_up)?;
    Ok((ports, ipv6))
}

/// Tells each end what is beyond the other: from the client's, all that is not inside; from the server's, the links
/// inside the client's end.
fn lead_on(namespaces: &Namespaces, addresses: &Addresses) -> Result<(), PathError> {
    let failed = |source| PathError::Device { what: "add a route over the link", source };
    if addresses.leads_on() {
        namespaces.client.run(|| nest::add_routes(LINK_DEVICE, &EVERYWHERE))?.map_err(failed)?;
        let failed = |source| PathError::Device { what: "let the server's end forward packets", source };
        namespaces.server.run(nest::forward)?.map_err(failed)?;
    } else {
        let inside = addresses.beyond_client();
        namespaces.server.run(|| nest::add_routes(LINK_DEVICE, &inside))?.map_err(failed)?;
    }
    Ok(())
}

/// Has the kernel cut what is given to a TUN device, where packets of its direction may leave together: the end
/// gets single packets, and the emulator gives those that leave together in one call. Behind a bottleneck, or with
/// jitter, each leaves alone, and the device itself is the shorter way. Tells what came of it.
fn lay_wires(namespaces: &Namespaces, ports: &mut [Port; 2], link: &Link) -> Vec<Setting> {
    let ends = [(&namespaces.client, CLIENT_MAC, "client0"), (&namespaces.server, SERVER_MAC, "server0")];
    let mut told = Vec::new();
    for direction in Direction::BOTH {
        let (end, conditions) = (direction.opposite().index(), link.direction(direction));
        let Port::Tun(port) = &mut ports[end] else { continue };
        if conditions.rate.is_some() || conditions.rate_trace.is_some() || !conditions.jitter.is_none() {
            continue;
        }
        let effective = match lay_wire(namespaces, ends[end], link.mtu) {
            Ok(wire) => {
                port.deliver_by(wire);
                TOGETHER.to_owned()
            }
            Err(error) => format!("{APART} ({error})"),
        };
        told.push(Setting { name: format!("delivery {direction}"), asked: Some(TOGETHER.into()), effective });
    }
    told
}

/// A way into one end's namespace that ends at its link device.
fn lay_wire(
    namespaces: &Namespaces,
    (namespace, address, name): (&Namespace, [u8; 6], &str),
    mtu: u16,
) -> Result<Wire, PathError> {
    let device = |what| move |source| PathError::Device { what, source };
    make_veth_with((namespace, DELIVERY_DEVICE), (&namespaces.middle, name), address, mtu, |name| {
        device::switch_segmentation_off(name)
    })?;
    device::configure(name, mtu, &[]).map_err(device("set a middle device up"))?;
    let redirect = || -> io::Result<()> {
        device::configure(DELIVERY_DEVICE, mtu, &[])?;
        let (from, to) = (if_nametoindex(DELIVERY_DEVICE)?, if_nametoindex(LINK_DEVICE)?);
        Netlink::open()?.redirect_incoming(from, to)
    };
    if let Err(source) = namespace.run(redirect)? {
        // A device that leads nowhere is of no use to anybody.
        let _ = Netlink::open().and_then(|mut netlink| netlink.remove_device(if_nametoindex(name)?));
        return Err(PathError::Device { what: "redirect packets to the link's device", source });
    }
    await_carriers(&[(&namespaces.middle, name)])?;
    Wire::open(name, address).map_err(device("open a packet socket"))
}

/// The unimpaired pair beside the link.
fn make_control(namespaces: &Namespaces) -> Result<(), PathError> {
    let (client, server) = (&namespaces.client, &namespaces.server);
    make_veth((client, CONTROL_DEVICE), (server, CONTROL_DEVICE), CONTROL_MAC, 1500)?;
    for (namespace, address) in [(client, device::CLIENT_CONTROL), (server, device::SERVER_CONTROL)] {
        namespace
            .run(|| device::configure(CONTROL_DEVICE, 1500, &[(IpAddr::V4(address), CONTROL_PREFIX)]))?
            .map_err(|source| PathError::Device { what: "set the control device up", source })?;
    }
    await_carriers(&[(client, CONTROL_DEVICE)])
}

/// Waits for the devices that were set up before their peers: those set up after them send at once.
fn await_carriers(first_up: &[(&Namespace, &str)]) -> Result<(), PathError> {
    for (namespace, name) in first_up {
        namespace
            .run(|| device::await_carrier(name))?
            .map_err(|source| PathError::Device { what: "wait for a device's carrier", source })?;
    }
    Ok(())
}

/// A veth pair with its offloads off at both ends.
fn make_veth(one: (&Namespace, &str), other: (&Namespace, &str), address: [u8; 6], mtu: u16) -> Result<(), PathError> {
    make_veth_with(one, other, address, mtu, device::switch_offloads_off)
}

/// A veth pair, each end of which is treated by `treat`.
pub(crate) fn make_veth_with(
    one: (&Namespace, &str),
    other: (&Namespace, &str),
    address: [u8; 6],
    mtu: u16,
    treat: fn(&str) -> io::Result<()>,
) -> Result<(), PathError> {
    use std::os::fd::AsFd;
    let device = |what| move |source| PathError::Device { what, source };
    let end = |(namespace, name)| VethEnd { name, namespace: Namespace::as_fd(namespace), address };
    Netlink::open()
        .and_then(|mut netlink| netlink.make_veth([&end(one), &end(other)], mtu))
        .map_err(device(MAKE_VETH))?;
    for (namespace, name) in [one, other] {
        namespace.run(|| treat(name))?.map_err(device("switch a device's offloads off"))?;
    }
    Ok(())
}

fn counters(namespaces: &Namespaces, router: Option<&Router>) -> Result<HostCounters, NamespaceError> {
    let mut all = HostCounters::default();
    let middle = if router.is_some() { "router" } else { "emulator" };
    let ours = [("client", &namespaces.client), ("server", &namespaces.server), (middle, &namespaces.middle)];
    let far = router.and_then(|router| router.far.as_ref()).map(|far| ("router's far half", far));
    for (name, namespace) in ours.into_iter().chain(far) {
        all.add(name, namespace.run(HostCounters::read)?);
    }
    Ok(all)
}

/// What the host's counters say against the trial.
fn host_verdict(host: &HostCounters, account: Option<&Account>) -> Vec<String> {
    let mut void: Vec<String> = host
        .device_drops
        .iter()
        .map(|(device, drops)| format!("the {device} dropped {drops} packets, outside the link's rules"))
        .collect();
    let port_drops = account.map_or(0, |account| account.port_drops);
    if port_drops > 0 {
        void.push(format!("{port_drops} packets were dropped on their way to the emulator, outside the link's rules"));
    }
    if host.receive_buffer_drops > 0 {
        void.push(format!(
            "{} datagrams were dropped because an endpoint's receive buffer was full",
            host.receive_buffer_drops
        ));
    }
    void
}

/// What the hypervisor took, if it was too much.
fn steal_verdict(steal: f64, tolerance: &Tolerance) -> Option<String> {
    (steal > tolerance.steal.fraction()).then(|| {
        format!("the hypervisor gave {:.1} % of the CPU time to others (bound {})", steal * 100.0, tolerance.steal)
    })
}

/// What the emulator's account says against the trial.
fn emulator_verdict(account: &Account, shaped: bool, mtu: u16, tolerance: &Tolerance) -> Vec<String> {
    let mut void = Vec::new();
    if shaped && account.lateness.p99_ns > tolerance.lateness.as_nanos() {
        void.push(format!(
            "the link was late: 1 % of packets by more than {:.3} ms (bound {:.3} ms)",
            account.lateness.p99_ns as f64 / 1e6,
            tolerance.lateness.as_nanos() as f64 / 1e6
        ));
    }
    if account.ledger_lost > 0 {
        void.push(format!("the ledger lost {} packets, because its writer could not keep up", account.ledger_lost));
    }
    let refused: u64 = account.directions.iter().filter_map(|report| report.dropped.get(DropCause::Host.name())).sum();
    if refused > 0 {
        void.push(format!("the host refused {refused} packets as they left the link"));
    }
    let largest = account.directions.iter().map(|report| report.largest_packet).max().unwrap_or(0);
    if largest > u32::from(mtu) {
        void.push(format!("a packet of {largest} bytes crossed the link, more than its MTU of {mtu}"));
    }
    let share = account.cpu.saturating_sub(account.spun) as f64 / account.wall.max(1) as f64;
    if shaped && share > tolerance.link_cpu.fraction() {
        void.push(format!(
            "the link's data thread was on the CPU for {:.0} % of the time (bound {:.0} %)",
            share * 100.0,
            tolerance.link_cpu.fraction() * 100.0
        ));
    }
    void
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account { cpu: 500, wall: 1_000, ..Account::of_nothing() }
    }

    #[test]
    fn a_link_that_kept_its_promise_is_not_void() {
        assert_eq!(emulator_verdict(&account(), true, 1500, &Tolerance::default()), Vec::<String>::new());
        assert_eq!(host_verdict(&HostCounters::default(), Some(&account())), Vec::<String>::new());
    }

    #[test]
    fn each_broken_condition_is_named_with_its_figure() {
        let verdict =
            |account: Account, shaped| emulator_verdict(&account, shaped, 1500, &Tolerance::default()).join("; ");
        let late = || Account { lateness: Lateness { p99_ns: 1_500_000, ..Lateness::default() }, ..account() };
        assert!(verdict(late(), true).contains("1.500 ms"));
        assert_eq!(verdict(late(), false), "", "nothing was promised");
        assert!(verdict(Account { ledger_lost: 3, ..account() }, true).contains("lost 3 packets"));
        assert!(verdict(Account { cpu: 900, ..account() }, true).contains("90 %"));
        assert_eq!(verdict(Account { cpu: 900, spun: 200, ..account() }, true), "", "waiting is not work");
        let mut large = account();
        large.directions[1].largest_packet = 1501;
        assert!(verdict(large, false).contains("1501 bytes"));
        let mut refused = account();
        refused.directions[0].dropped.insert(DropCause::Host.name().to_owned(), 2);
        assert!(verdict(refused, true).contains("refused 2 packets"));
        let device_drops = [("client's link0 transmitting".to_owned(), 4)].into();
        let host = HostCounters { device_drops, receive_buffer_drops: 5 };
        let told = host_verdict(&host, Some(&Account { port_drops: 1, ..account() })).join("; ");
        for words in ["the client's link0 transmitting dropped 4 packets", "1 packets were dropped on", "5 datagrams"] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn buffers_hold_four_bandwidth_delay_products() {
        use samepath_model::link::LinkSpec;
        let spec = LinkSpec { rtt: "100ms".parse().ok(), rate: "100Mbit".parse().ok(), ..LinkSpec::default() };
        let link = spec.resolve().expect("a link that can be");
        assert!(buffer_for(&link) >= 4 * 1_250_000);
    }
}
