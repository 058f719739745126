//! What this machine can and cannot do, and the remedy for each lack: the engine of `samepath doctor`.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use hdrhistogram::Histogram;
use nix::sys::prctl::set_timerslack;
use samepath_model::{Link, Mode};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::backend::emulator::SPIN;
use crate::backend::kernel;
use crate::device::{self, LINK_DEVICE};
use crate::limits;
use crate::link::Nanos;
use crate::namespace::{Namespace, NamespaceError, OnTerminate, contain};
use crate::path::{Around, Keep, LivePath};
use crate::precedence::{self, CPU_LATENCY, LEAST_NICE};
use crate::sys::{self, become_realtime, monotonic};
use crate::sysctl;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, with less accuracy or speed, or without something optional.
    Warn,
    /// The main job cannot be done.
    Lack,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How serious it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(name: &str, found: impl Into<String>) -> Finding {
        Finding { name: name.into(), status: Status::Ok, found: found.into(), remedy: None }
    }

    fn bad(name: &str, status: Status, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { name: name.into(), status, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Buffers of this size or more are what the endpoints ask for.
const GOOD_BUFFER: u64 = 4 << 20;
/// So many files are enough for the lab's largest trials.
const GOOD_FILES: u64 = 1024;
/// Sleeps of the timer probe, and how long each is.
const SLEEPS: u32 = 100;
const SLEEP: u64 = 1_000_000;
/// A median lateness up to this is good, in nanoseconds.
const GOOD_LATENESS: u64 = 100_000;

/// Looks at everything; takes about half a second. The process should have one thread, and may be
/// in a user namespace of its own afterwards.
pub fn all() -> Vec<Finding> {
    let mut findings = vec![build(), cores(), governor(), clock_source()];
    findings.extend(buffers());
    findings.push(open_files());
    findings.push(nice());
    // As in a trial, while the timers are watched.
    let (latency, _held) = cpu_latency();
    findings.push(latency);
    match contain(OnTerminate::Kill, || serde_json::to_vec(&inside()).expect("findings always have a text form")) {
        Ok(bytes) => match serde_json::from_slice::<Vec<Finding>>(&bytes) {
            Ok(inside) => findings.extend(inside),
            Err(error) => findings.push(Finding::bad(
                NAMESPACES,
                Status::Lack,
                format!("the probe in the namespace gave no sense: {error}"),
                "report this: it is a fault of the program",
            )),
        },
        Err(error) => {
            findings.push(no_namespaces(error));
            findings.push(congestion_control());
            findings.extend(timers());
        }
    }
    findings
}

/// What can only be found out inside namespaces.
fn inside() -> Vec<Finding> {
    let mut findings = vec![namespaces()];
    if findings[0].status == Status::Ok {
        let tun = tun();
        let there_is_tun = tun.status == Status::Ok;
        findings.push(tun);
        findings.extend(there_is_tun.then(one_call));
        findings.extend([packet_sockets(), netem(), settings()]);
    }
    // In a namespace of our own a socket may choose what is not allowed to every user outside.
    findings.push(congestion_control());
    findings.extend(timers());
    findings
}

fn build() -> Finding {
    if cfg!(debug_assertions) {
        let found = "debug: several times slower than a release build";
        Finding::bad("build", Status::Warn, found, "build with `cargo build --release` before measuring")
    } else {
        Finding::ok("build", "release")
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => Finding::bad(
            "cores",
            Status::Warn,
            "1",
            "client, server and link share it: expect void trials at high rates; two or more are better",
        ),
        n => Finding::ok("cores", n.to_string()),
    }
}

fn governor() -> Finding {
    match fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        Err(_) => Finding::ok("cpu-governor", "not visible (usual in virtual machines)"),
        Ok(text) if text.trim() == "powersave" => Finding::bad(
            "cpu-governor",
            Status::Warn,
            "powersave: the clock speed changes while measuring",
            "run `sudo cpupower frequency-set --governor performance`",
        ),
        Ok(text) => Finding::ok("cpu-governor", text.trim()),
    }
}

fn clock_source() -> Finding {
    let source = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    match source.as_deref().map(str::trim) {
        Ok(slow @ ("hpet" | "acpi_pm" | "refined-jiffies" | "jiffies")) => Finding::bad(
            "clock-source",
            Status::Warn,
            format!("{slow}: reading the time is slow"),
            "boot with `clocksource=tsc`, where the CPU has a constant TSC",
        ),
        Ok(source) => Finding::ok("clock-source", source),
        Err(_) => Finding::ok("clock-source", "not visible"),
    }
}

fn buffers() -> impl Iterator<Item = Finding> {
    ["rmem_max", "wmem_max"].into_iter().map(|name| {
        let setting = format!("net.core.{name}");
        let value =
            fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok().and_then(|t| t.trim().parse::<u64>().ok());
        match value {
            None => Finding::bad(&setting, Status::Warn, "not visible", "look at it outside of the container"),
            Some(value) if value < GOOD_BUFFER => Finding::bad(
                &setting,
                Status::Warn,
                format!("{value} bytes: UDP sockets get no more than that"),
                format!("run `sudo sysctl {setting}={}`", 2 * GOOD_BUFFER),
            ),
            Some(value) => Finding::ok(&setting, format!("{value} bytes")),
        }
    })
}

/// How many files a process may have open; each connection of an end is one.
fn open_files() -> Finding {
    const NAME: &str = "open-files";
    match limits::raise_open_files() {
        few if few < GOOD_FILES => Finding::bad(
            NAME,
            Status::Warn,
            format!("{few} a process: an end with as many connections cannot hold them"),
            format!(
                "raise the hard limit to {GOOD_FILES} (`ulimit -Hn`; as root `prlimit --nofile=`, `LimitNOFILE=` of a \
                 systemd unit, `--ulimit nofile=` of a container)"
            ),
        ),
        many => Finding::ok(NAME, format!("{many} a process (the soft limit is raised to the hard one)")),
    }
}

/// Which congestion controller is the default, and which a socket may choose.
fn congestion_control() -> Finding {
    const NAME: &str = "congestion-control";
    let available = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap_or_default();
    let usable: Vec<&str> = available.split_whitespace().filter(|name| may_choose(name).is_ok()).collect();
    // Programs across a link have the host's default; the lab's own ends choose.
    let begins = format!("TCP across a link begins with {}; ", sysctl::congestion_control());
    if !usable.contains(&"cubic") {
        return Finding::bad(
            NAME,
            Status::Warn,
            format!("{begins}a socket may choose: {}; cubic is not among them", usable.join(", ")),
            "run `sudo modprobe tcp_cubic` and `sudo sysctl net.ipv4.tcp_allowed_congestion_control=\"reno cubic\"`",
        );
    }
    if !usable.contains(&"bbr") {
        return Finding::bad(
            NAME,
            Status::Warn,
            format!("{begins}a socket may choose: {}; bbr, which is optional, is not among them", usable.join(", ")),
            "for TCP with BBR run `sudo modprobe tcp_bbr`, and allow it by `sudo sysctl net.ipv4.tcp_allowed_congestion_control=\"reno cubic bbr\"`",
        );
    }
    Finding::ok(NAME, format!("{begins}a socket may choose: {}", usable.join(", ")))
}

#[allow(unsafe_code)] // nix's type for this option needs another of its features
fn may_choose(controller: &str) -> io::Result<()> {
    let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    // SAFETY: the name is valid for reads of its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            controller.as_ptr().cast(),
            controller.len() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The finding's name.
const NAMESPACES: &str = "namespaces";

fn no_namespaces(error: NamespaceError) -> Finding {
    let (found, remedy) = error.parted();
    Finding { name: NAMESPACES.into(), status: Status::Lack, found, remedy }
}

fn namespaces() -> Finding {
    match Namespace::make() {
        Ok(_)
            if fs::read_to_string("/proc/self/uid_map")
                .is_ok_and(|map| !map.trim_start().starts_with("0          0 ")) =>
        {
            Finding::ok(NAMESPACES, "user, PID and network namespaces can be made, without root")
        }
        Ok(_) => Finding::ok(NAMESPACES, "PID and network namespaces can be made, as root"),
        Err(error) => no_namespaces(error),
    }
}

/// Whether the kernel settings of a namespace can be what comparisons ask for.
fn settings() -> Finding {
    const NAME: &str = "kernel-settings";
    let wish = sysctl::Wish { buffer: 0, ecn: Some(false), for_programs: false };
    let tried = Namespace::make().map(|_| sysctl::apply(wish));
    let (status, found) = match tried.map(|granted| (granted.locked, granted.lacking)) {
        Ok((_, None)) => return Finding::ok(NAME, "the ends of a link get those that comparisons ask for"),
        Ok((true, Some(lacking))) => (Status::Lack, format!("they cannot be set: {lacking}")),
        Ok((false, Some(lacking))) => (Status::Warn, lacking),
        Err(error) => (Status::Lack, error.to_string()),
    };
    Finding::bad(NAME, status, found, sysctl::REMEDY)
}

fn tun() -> Finding {
    const NAME: &str = "backend-tun";
    match device::make_tun(LINK_DEVICE) {
        Ok(_) => Finding::ok(NAME, "TUN devices can be made"),
        Err(error) => Finding::bad(
            NAME,
            Status::Warn,
            format!("no TUN device: {error}; packet sockets are used instead"),
            "run `sudo modprobe tun` and give yourself access to /dev/net/tun (in a container: `--device /dev/net/tun`)",
        ),
    }
}

/// Whether exact mode may hand packets that leave together to their host in one call.
fn one_call() -> Finding {
    const NAME: &str = "exact-mode";
    let path = LivePath::up(&Link::transparent(), 0, Backend::Tun, Mode::Exact, Keep::default(), Around::Nothing);
    let found = match path.map(|path| path.apart()) {
        Ok(None) => {
            return Finding::ok(NAME, "packets that leave together reach the host in one call, each by itself");
        }
        Ok(Some(found)) => format!("packets that leave together reach the host {found}: half as many a second"),
        Err(error) => error.to_string(),
    };
    let remedy = "run `sudo modprobe -a veth sch_ingress cls_u32 act_mirred`; without these no packet is less exact";
    Finding::bad(NAME, Status::Warn, found, remedy)
}

fn packet_sockets() -> Finding {
    const NAME: &str = "backend-packet";
    let crosses = || -> Result<(), String> {
        let path = LivePath::up(&Link::transparent(), 0, Backend::Packet, Mode::Auto, Keep::default(), Around::Nothing)
            .map_err(|e| e.to_string())?;
        let bind = |address: std::net::Ipv4Addr| UdpSocket::bind((address, 0));
        let io = |error: io::Error| error.to_string();
        let receiver =
            path.namespaces.server.run(|| bind(device::SERVER_V4)).map_err(|e| e.to_string())?.map_err(io)?;
        let sender = path.namespaces.client.run(|| bind(device::CLIENT_V4)).map_err(|e| e.to_string())?.map_err(io)?;
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(1))).map_err(io)?;
        sender.send_to(b"across", receiver.local_addr().map_err(io)?).map_err(io)?;
        let mut buffer = [0u8; 16];
        let (n, _) = receiver.recv_from(&mut buffer).map_err(|e| format!("a datagram did not cross: {e}"))?;
        if &buffer[..n] == b"across" { Ok(()) } else { Err("a datagram crossed changed".into()) }
    };
    match crosses() {
        Ok(()) => Finding::ok(NAME, "packet sockets on veth pairs carry packets"),
        Err(error) => {
            Finding::bad(NAME, Status::Warn, error, "run `sudo modprobe veth`; with TUN devices it is not needed")
        }
    }
}

/// Whether the kernel has the queueing discipline netem.
fn netem() -> Finding {
    const NAME: &str = "kernel-netem";
    // On the loopback, which every network namespace has; this one is ours.
    match kernel::probe() {
        Ok(()) => Finding::ok(NAME, "the kernel has sch_netem, with a seed: `--backend netem` can be asked for"),
        Err(error) => Finding::ok(NAME, format!("not needed, the emulator is our own; {error}")),
    }
}

/// Whether a trial's processes run before others.
fn nice() -> Finding {
    const NAME: &str = "nice";
    let before = sys::nice();
    sys::set_nice(LEAST_NICE);
    let permitted = sys::nice() == LEAST_NICE;
    sys::set_nice(before);
    if permitted {
        Finding::ok(NAME, format!("a trial's processes run before others, at nice {LEAST_NICE}"))
    } else {
        Finding::bad(
            NAME,
            Status::Warn,
            "a trial's processes may not run before others: busy neighbours may make its ends late",
            format!("run as root, or permit it with a line `YOU - nice {LEAST_NICE}` in /etc/security/limits.conf"),
        )
    }
}

/// Whether a trial may keep the processors from idle states that they take time to leave; and that, held.
fn cpu_latency() -> (Finding, Option<fs::File>) {
    const NAME: &str = "cpu-latency";
    match precedence::limit_cpu_latency() {
        Ok(held) => {
            (Finding::ok(NAME, "processors are kept ready to wake while a trial runs (CPU latency QoS)"), Some(held))
        }
        Err(error) => {
            let found = format!("processors may take time to wake: cannot write {CPU_LATENCY}: {error}");
            let remedy =
                format!("run as root, or permit {CPU_LATENCY}: `chmod o+w` until the next start, a udev rule for good");
            (Finding::bad(NAME, Status::Warn, found, remedy), None)
        }
    }
}

/// How late a thread wakes up, as an ordinary one and under SCHED_FIFO.
fn timers() -> Vec<Finding> {
    let measure = |realtime: bool| {
        let watch = move || {
            let _ = set_timerslack(1);
            (!realtime || become_realtime()).then(|| lateness(if realtime { SPIN } else { 0 }))
        };
        // Where the first process of our PID namespace has died there can be no more threads.
        std::thread::Builder::new().spawn(watch).ok()?.join().ok().flatten()
    };
    let told = |histogram: &Histogram<u64>| {
        let micros = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        format!("wakes {:.0} µs late (median), {:.0} µs (p99), {:.0} µs (most)", micros(0.5), micros(0.99), micros(1.0))
    };
    let mut findings = Vec::new();
    if let Some(ordinary) = measure(false) {
        findings.push(if ordinary.value_at_quantile(0.5) <= GOOD_LATENESS {
            Finding::ok("timer", told(&ordinary))
        } else {
            Finding::bad(
                "timer",
                Status::Warn,
                told(&ordinary),
                "stop what else runs here, or permit real-time scheduling",
            )
        });
    }
    findings.push(match measure(true) {
        Some(realtime) => Finding::ok("timer-realtime", told(&realtime)),
        None => Finding::bad(
            "timer-realtime",
            Status::Warn,
            "SCHED_FIFO is not permitted: busy neighbours may make the link late",
            "run as root, or permit it with a line `YOU - rtprio 10` in /etc/security/limits.conf",
        ),
    });
    findings
}

/// How late the calling thread is after short sleeps, slept as the link's data thread does: to an instant, and
/// under real-time scheduling with a short spin at the end.
fn lateness(spin: Nanos) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are sound");
    let mut due = monotonic();
    for _ in 0..SLEEPS {
        due = due.max(monotonic()) + SLEEP;
        sys::sleep_until(due - spin);
        while monotonic() < due {
            std::hint::spin_loop();
        }
        histogram.saturating_record(monotonic().saturating_sub(due));
    }
    histogram
}
