//! Probes: whether the link really gives the delay, the rate and the losslessness that its conditions say, before a
//! trial and again after it.
//!
//! Probe packets cross the very devices that carry the trial. In the embedded emulator they cross the very data
//! thread, in pipes of their own: the trial's pipes are set aside meanwhile and meet no probe, so no draw, no count and no line of
//! the ledger moves. The probes' pipes have the link's delay, rate and buffer, and nothing else: a probe
//! that is lost was lost outside the link's rules. (How often the rules themselves strike is no matter
//! of measuring: their draws are a function of the seed, and the ledger has each.)
//!
//! On the kernel's netem they cross the same chain of queueing disciplines, without what is drawn. The trial
//! gets a fresh one, whose generator begins at the seed. A bare pair of devices (`none`) has no conditions:
//! there the probes say what there is, and only their loss counts against it.
//!
//! Each way, spaced single packets measure the delay, and a train of packets sent at once the rate.
//! They are stamped by the sender before it calls the kernel, and by the kernel as the receiving host takes
//! them in (SO_TIMESTAMPNS), so that no wake-up of ours is measured.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_timerslack;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt,
    sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns},
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use samepath_model::link::{Conditions, Direction, Link, QueueCapacity};
use samepath_model::record::{Calibration, Probes};
use samepath_model::{Duration as Time, Tolerance, VoidKind, VoidReason};

use crate::backend::emulator::Probing;
use crate::device::{self, DeviceError, DeviceStep};
use crate::link::Nanos;
use crate::path::{LivePath, PathError};
use crate::sys::{self, monotonic};

/// Single probes each way; of so few the 99th percentile is the largest.
const SINGLES: u32 = 20;
/// Fewer where the rate is so low that they would take long.
const FEWEST_SINGLES: u32 = 5;
/// Bytes of a single probe's IP packet: header, and a number.
const SINGLE: u64 = HEADERS + 4;
/// How long the single probes may take, where they are not fewest.
const SINGLES_TIME: Nanos = 6_000_000;
/// How long the train may take.
const TRAIN_TIME: Nanos = 10_000_000;
/// Packets of a train. Of fewer than the least nothing is concluded.
const TRAIN: std::ops::RangeInclusive<u64> = 4..=200;
/// The smallest packet of a train.
const SMALLEST: u64 = 100;
/// IPv4 and UDP.
const HEADERS: u64 = 28;
/// How long beyond its expected delay a probe is waited for. Only one that is lost costs this time.
const PATIENCE: Nanos = 200_000_000;
/// Receive buffer asked for: a train fits.
const BUFFER: usize = 1 << 20;

/// Sends probes across the path before a trial; it must carry nothing else meanwhile. `None` where the link
/// cannot make way for them.
///
/// # Errors
/// Where no socket can be made at an end, or the kernel does not make way.
pub fn before(path: &LivePath, link: &Link) -> Result<Option<Calibration>, PathError> {
    let measured = after(path, link);
    path.resume()?;
    measured
}

/// The same after a trial, when the path is about to be taken down: what was still under way stays where
/// it is. Carried on after the probes it would leave late, and be taken for the link's lateness.
///
/// # Errors
/// Where no socket can be made at an end, or the kernel does not make way.
pub fn after(path: &LivePath, link: &Link) -> Result<Option<Calibration>, PathError> {
    let bare = match path.is_emulated() {
        true => Link { up: expected(&link.up), down: expected(&link.down), ..link.clone() },
        false => Link { mtu: link.mtu, ..Link::transparent() },
    };
    let failed = DeviceError::at(DeviceStep::Other("open the probes' sockets"));
    let at = |address| SocketAddrV4::new(address, 0);
    let client = path.namespaces.client.run(|| open(at(device::CLIENT_V4)))?.map_err(failed)?;
    let server = path.namespaces.server.run(|| open(at(device::SERVER_V4)))?.map_err(failed)?;
    let ports = connect(&client, &server).map_err(failed)?;
    let probing = Probing { link: bare, ports };
    if !path.set_aside(&probing)? {
        return Ok(None);
    }
    let failed = DeviceError::at(DeviceStep::Other("send probes across the link"));
    Ok(Some(probe(&client, &server, &probing.link).map_err(failed)?))
}

/// The conditions that a probe is expected to meet.
fn expected(conditions: &Conditions) -> Conditions {
    Conditions { delay: conditions.delay, rate: conditions.rate, queue: conditions.queue, ..Conditions::transparent() }
}

/// Has each send to the other. Gives back their ports.
fn connect(client: &UdpSocket, server: &UdpSocket) -> io::Result<[u16; 2]> {
    let [at_client, at_server] = [client.local_addr()?, server.local_addr()?];
    client.connect(at_server)?;
    server.connect(at_client)?;
    Ok([at_client.port(), at_server.port()])
}

/// The calling thread's timers are not late on purpose, as long as this lives (PR_SET_TIMERSLACK): else each pause
/// between probes would be longer by 50 µs. What it starts later has the usual slack.
struct Punctual;

impl Punctual {
    fn from_now_on() -> Punctual {
        let _ = set_timerslack(1);
        Punctual
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        let _ = set_timerslack(0); // the usual
    }
}

fn probe(client: &UdpSocket, server: &UdpSocket, link: &Link) -> io::Result<Calibration> {
    let _punctual = Punctual::from_now_on();
    let mut ways = [Way::new(client, server, link, Direction::Up), Way::new(server, client, link, Direction::Down)];
    let spacing = ways.iter().map(|way| way.spacing).max().unwrap_or(0);
    let mut due = monotonic();
    for number in 0..ways.iter().map(|way| way.singles).max().unwrap_or(0) {
        ways.iter_mut().filter(|way| number < way.singles).try_for_each(|way| way.send(SINGLE))?;
        ways.iter_mut().try_for_each(Way::collect)?;
        // Paced, so that no probe waits for the one before it, nor does the next after one that was late.
        due = (due + spacing).max(monotonic() + spacing / 2);
        sys::sleep_until(due);
    }
    for way in &mut ways {
        (0..way.train).try_for_each(|_| way.send(way.train_size))?;
    }
    while let Some(deadline) = ways.iter().filter_map(Way::deadline).max() {
        let left = deadline.saturating_sub(monotonic());
        if left == 0 {
            break;
        }
        let fds = ways.each_ref().map(|way| way.to.as_fd());
        sys::wait_readable(&fds, Instant::now() + Duration::from_nanos(left))?;
        ways.iter_mut().try_for_each(Way::collect)?;
    }
    let [up, down] = ways.each_ref().map(Way::report);
    Ok(Calibration { up, down })
}

fn open(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    if setsockopt(&socket, RcvBufForce, &BUFFER).is_err() {
        setsockopt(&socket, RcvBuf, &BUFFER)?;
    }
    Ok(socket)
}

/// The probes of one direction.
struct Way<'a> {
    from: &'a UdpSocket,
    to: &'a UdpSocket,
    delay: Nanos,
    rate: Option<u64>,
    singles: u32,
    spacing: Nanos,
    train: u64,
    train_size: u64,
    /// When each left (CLOCK_MONOTONIC), by its number.
    sent: Vec<Nanos>,
    /// When each came in.
    came: Vec<Option<Nanos>>,
    /// CLOCK_REALTIME, in which the kernel stamps, less CLOCK_MONOTONIC.
    offset: i128,
}

impl<'a> Way<'a> {
    fn new(from: &'a UdpSocket, to: &'a UdpSocket, link: &Link, direction: Direction) -> Way<'a> {
        let conditions = link.direction(direction);
        let rate = conditions.rate.map(|rate| rate.bits_per_second().max(1));
        let spacing = (SINGLES_TIME / u64::from(SINGLES)).max(2 * transmission(SINGLE, rate));
        let singles = (SINGLES_TIME / spacing).clamp(FEWEST_SINGLES.into(), SINGLES.into()) as u32;
        // A train of full packets, or of smaller ones where those would take too long.
        let in_time = rate.map_or(0, |rate| rate.saturating_mul(TRAIN_TIME) / 8_000_000_000);
        let train_size = (in_time / (2 * TRAIN.start())).clamp(SMALLEST, u64::from(link.mtu).max(SMALLEST));
        let fits = match link.queue_capacity(direction) {
            None => u64::MAX,
            Some(QueueCapacity::Packets(packets)) => packets.into(),
            Some(QueueCapacity::Bytes(bytes)) => bytes.bytes() / train_size,
        };
        let train = (in_time / train_size).clamp(*TRAIN.start(), *TRAIN.end()).min(fits);
        let train = if rate.is_some() && TRAIN.contains(&train) { train } else { 0 };
        let all = singles as usize + train as usize;
        Way {
            from,
            to,
            delay: conditions.delay.as_nanos(),
            rate,
            singles,
            spacing,
            train,
            train_size,
            sent: Vec::with_capacity(all),
            came: Vec::with_capacity(all),
            offset: clock_offset(),
        }
    }

    fn send(&mut self, size: u64) -> io::Result<()> {
        let mut payload = vec![0; (size - HEADERS) as usize];
        payload[..4].copy_from_slice(&(self.sent.len() as u32).to_be_bytes());
        self.sent.push(monotonic());
        self.came.push(None);
        match self.from.send(&payload) {
            Ok(_) => Ok(()),
            // The sending host dropped it: one more that does not come.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Notes what has come in.
    fn collect(&mut self) -> io::Result<()> {
        let mut payload = [0u8; 4];
        let mut space = nix::cmsg_space!(TimeSpec);
        loop {
            let mut slices = [IoSliceMut::new(&mut payload)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = match recvmsg::<SockaddrIn>(self.to.as_raw_fd(), &mut slices, Some(&mut space), flags) {
                Ok(message) => message,
                Err(nix::errno::Errno::EAGAIN) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let stamp = message.cmsgs()?.find_map(|each| match each {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(nanos_of(stamp) - self.offset),
                _ => None,
            });
            let came = stamp.and_then(|at| u64::try_from(at).ok()).unwrap_or_else(monotonic);
            if let Some(place) = self.came.get_mut(u32::from_be_bytes(payload) as usize) {
                *place = Some(came);
            }
        }
    }

    /// Until when the last probe is waited for; `None` when all have come.
    fn deadline(&self) -> Option<Nanos> {
        let last = self.sent.last()?;
        let busy = transmission(self.train_size, self.rate) * self.train + transmission(SINGLE, self.rate);
        self.came.contains(&None).then_some(last + self.delay + busy + PATIENCE)
    }

    fn report(&self) -> Probes {
        let singles = self.singles as usize;
        let mut delays: Vec<Nanos> = std::iter::zip(&self.sent[..singles], &self.came[..singles])
            .filter_map(|(sent, came)| Some(came.as_ref()?.saturating_sub(*sent)))
            .collect();
        delays.sort_unstable();
        let rank = |q: f64| delays.get(((delays.len() as f64 * q).ceil() as usize).saturating_sub(1)).copied();
        Probes {
            sent: self.sent.len() as u64,
            lost: self.came.iter().filter(|came| came.is_none()).count() as u64,
            delay_asked_ns: self.delay + transmission(SINGLE, self.rate),
            delay_p50_ns: rank(0.5),
            delay_p99_ns: rank(0.99),
            rate_asked: self.rate.filter(|_| self.train > 0),
            rate: self.train_rate(),
        }
    }

    /// What came in over the time it took: the median over all pairs of packets that are half a train apart,
    /// so that one packet which the host took in late does not speak for the link.
    fn train_rate(&self) -> Option<u64> {
        let train = &self.came[self.singles as usize..];
        let middle = train.len() / 2;
        let pairs = std::iter::zip(train, train.get(middle..)?);
        let mut times: Vec<Nanos> = pairs.filter_map(|(from, to)| (*to)?.checked_sub((*from)?)).collect();
        times.sort_unstable();
        let time = times.get(times.len() / 2).copied().filter(|&time| time > 0)?;
        let bits = middle as u64 * self.train_size * 8;
        Some((bits as f64 * 1e9 / time as f64).round() as u64)
    }
}

/// Nanoseconds on the wire.
fn transmission(bytes: u64, rate: Option<u64>) -> Nanos {
    rate.map_or(0, |rate| (bytes * 8_000_000_000).div_ceil(rate))
}

fn nanos_of(time: TimeSpec) -> i128 {
    i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
}

fn clock_offset() -> i128 {
    let real = || clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, nanos_of);
    // The reading that was least disturbed counts.
    (0..5)
        .map(|_| {
            let (before, real, after) = (monotonic(), real(), monotonic());
            (after - before, real - i128::from(before + (after - before) / 2))
        })
        .min_by_key(|(time, _)| *time)
        .map_or(0, |(_, offset)| offset)
}

/// What the probes say against a trial on a link without conditions, which loses nothing.
pub(crate) fn verdict_on_loss(calibration: &Calibration, when: &str, tolerance: &Tolerance) -> Vec<VoidReason> {
    let ways = [("up", &calibration.up), ("down", &calibration.down)];
    ways.into_iter()
        .filter_map(|(way, probes)| loss(probes, &format!("probes {when} the trial, {way}"), tolerance))
        .collect()
}

/// That too many probes were lost, if they were.
fn loss(probes: &Probes, said: &str, tolerance: &Tolerance) -> Option<VoidReason> {
    let (lost, sent, bound) = (probes.lost, probes.sent, tolerance.loss);
    let share = lost as f64 / sent.max(1) as f64;
    (share > bound.fraction()).then(|| {
        let words = format!("{said}: {lost} of {sent} were lost outside the link's rules (bound {bound})");
        VoidReason::new(VoidKind::ProbeLoss, words)
    })
}

/// What the probes say against the trial; `when` is `before` or `after`.
pub(crate) fn verdict(calibration: &Calibration, when: &str, tolerance: &Tolerance) -> Vec<VoidReason> {
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let mut void = Vec::new();
    for (way, probes) in [("up", &calibration.up), ("down", &calibration.down)] {
        let said = format!("probes {when} the trial, {way}");
        let asked = probes.delay_asked_ns;
        void.extend(loss(probes, &said, tolerance));
        if let Some(p50) = probes.delay_p50_ns.filter(|p50| p50.abs_diff(asked) > tolerance.delay.as_nanos()) {
            let (p50, asked, bound) = (millis(p50), millis(asked), tolerance.delay);
            let words =
                format!("{said}: a delay of {p50:.3} ms in the median, {asked:.3} ms were asked (bound ± {bound})");
            void.push(VoidReason::new(VoidKind::ProbeDelay, words));
        }
        if let Some(p99) =
            probes.delay_p99_ns.filter(|&p99| Time::from_nanos(p99) > Time::from_nanos(asked) + tolerance.delay_p99)
        {
            let (p99, asked, bound) = (millis(p99), millis(asked), tolerance.delay_p99);
            let words = format!("{said}: 1 % took {p99:.3} ms, {asked:.3} ms were asked (bound + {bound})");
            void.push(VoidReason::new(VoidKind::ProbeDelay, words));
        }
        // A train that was held up as a whole comes at once, at any multiple of the rate.
        if let (Some(asked), Some(rate)) = (probes.rate_asked, probes.rate)
            && tolerance.rate.fraction() < 1.0
            && (rate as f64 / asked as f64 - 1.0).abs() > tolerance.rate.fraction()
        {
            let (rate, asked, bound) = (rate as f64 / 1e6, asked as f64 / 1e6, tolerance.rate);
            let words = format!("{said}: a rate of {rate:.3} Mbit/s, {asked:.3} Mbit/s were asked (bound ± {bound})");
            void.push(VoidReason::new(VoidKind::ProbeRate, words));
        }
    }
    void
}

#[cfg(test)]
mod tests {
    use samepath_model::units::Probability;
    use samepath_model::void::in_words;

    use super::*;

    fn kept() -> Probes {
        Probes {
            sent: 30,
            lost: 0,
            delay_asked_ns: 10_000_000,
            delay_p50_ns: Some(10_020_000),
            delay_p99_ns: Some(10_900_000),
            rate_asked: Some(20_000_000),
            rate: Some(20_100_000),
        }
    }

    #[test]
    fn met_conditions_are_not_void() {
        let calibration = Calibration { up: kept(), down: Probes { rate_asked: None, rate: None, ..kept() } };
        assert_eq!(verdict(&calibration, "before", &Tolerance::default()), Vec::new());
    }

    #[test]
    fn each_unmet_condition_is_told_with_its_figure() {
        let told = |down: Probes| {
            let calibration = Calibration { up: kept(), down };
            in_words(&verdict(&calibration, "after", &Tolerance::default()))
        };
        let late = told(Probes { delay_p50_ns: Some(11_500_000), ..kept() });
        assert_eq!(
            late,
            "probes after the trial, down: a delay of 11.500 ms in the median, 10.000 ms were asked (bound ± 1ms)"
        );
        assert!(
            told(Probes { delay_p50_ns: Some(8_500_000), ..kept() }).contains("8.500 ms"),
            "too early is wrong too"
        );
        assert!(told(Probes { delay_p99_ns: Some(15_500_000), ..kept() }).contains("1 % took 15.500 ms"));
        assert!(told(Probes { lost: 1, ..kept() }).contains("1 of 30 were lost"));
        assert!(told(Probes { rate: Some(18_000_000), ..kept() }).contains("18.000 Mbit/s, 20.000 Mbit/s were asked"));
        let bare = Calibration { up: kept(), down: Probes { lost: 1, delay_p50_ns: Some(99_000_000), ..kept() } };
        let told = in_words(&verdict_on_loss(&bare, "before", &Tolerance::default()));
        assert_eq!(told, "probes before the trial, down: 1 of 30 were lost outside the link's rules (bound 0%)");
        let wide = Tolerance { delay: Time::from_micros(2_000), ..Tolerance::default() };
        let late = Calibration { up: kept(), down: Probes { delay_p50_ns: Some(11_500_000), ..kept() } };
        assert_eq!(verdict(&late, "after", &wide), Vec::new(), "the tolerance is the experiment's");
        let any = |rate| Tolerance { rate: Probability::new(rate).unwrap(), ..Tolerance::default() };
        let bunched = Calibration { up: kept(), down: Probes { rate: Some(2_600_000_000), ..kept() } };
        assert_eq!(verdict(&bunched, "after", &any(0.99)).len(), 1);
        assert_eq!(verdict(&bunched, "after", &any(1.0)), Vec::new(), "100 % takes any rate");
    }
}
