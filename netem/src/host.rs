//! Counters of the host that tell whether it kept its side of the bargain: packets that a device or
//! a socket dropped without telling anyone.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::device::CONTROL_DEVICE;

/// Counters of one network namespace, since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Packets that devices of the link dropped, by device and way (`link0 receiving`).
    pub device_drops: BTreeMap<String, u64>,
    /// Datagrams dropped because a socket's receive buffer was full, over IPv4 and IPv6.
    pub receive_buffer_drops: u64,
}

impl HostCounters {
    /// Reads them in the calling thread's network namespace. What cannot be read counts nothing.
    pub fn read() -> HostCounters {
        let text = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        HostCounters {
            device_drops: device_drops(&text("dev")),
            receive_buffer_drops: udp_rcvbuf_errors(&text("snmp")) + udp6_rcvbuf_errors(&text("snmp6")),
        }
    }

    /// What was added since `before`.
    pub fn since(mut self, before: &HostCounters) -> HostCounters {
        for (device, drops) in &mut self.device_drops {
            *drops -= before.device_drops.get(device).copied().unwrap_or(0).min(*drops);
        }
        self.device_drops.retain(|_, drops| *drops > 0);
        self.receive_buffer_drops = self.receive_buffer_drops.saturating_sub(before.receive_buffer_drops);
        self
    }

    /// Adds another namespace's, whose devices are told apart by its name.
    pub fn add(&mut self, namespace: &str, other: HostCounters) {
        let named = other.device_drops.into_iter().map(|(device, drops)| (format!("{namespace}'s {device}"), drops));
        self.device_drops.extend(named);
        self.receive_buffer_drops += other.receive_buffer_drops;
    }
}

/// What the machine's CPUs have done since it started, in ticks, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTimes {
    total: u64,
    stolen: u64,
}

impl CpuTimes {
    /// `None` where it cannot be read.
    pub fn read() -> Option<CpuTimes> {
        CpuTimes::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The line `cpu` of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal; what
    /// guests used is in user and nice already.
    fn parse(stat: &str) -> Option<CpuTimes> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|number| number.parse().ok()).collect();
        Some(CpuTimes { total: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// Share of the time since `before` that a hypervisor gave to other machines; `None` where no time has
    /// passed.
    pub fn stolen_since(&self, before: &CpuTimes) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|&total| total > 0)?;
        Some(self.stolen.saturating_sub(before.stolen) as f64 / total as f64)
    }
}

/// Share of its CPU time that the machine loses to others while it asks for all of it, which it does for this long on
/// every CPU: from a machine that sleeps a hypervisor takes nothing. `None` where it cannot be read.
pub fn steal_when_busy(time: Duration) -> Option<f64> {
    let before = CpuTimes::read()?;
    let end = Instant::now() + time;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cpus {
            scope.spawn(|| {
                // Whatever else runs here must not feel it.
                crate::sys::become_idle();
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            });
        }
    });
    CpuTimes::read()?.stolen_since(&before)
}

/// The columns `drop` of /proc/net/dev, of the devices that carry the link's packets: the loopback
/// and the control device carry none of them.
fn device_drops(dev: &str) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for (name, numbers) in dev.lines().filter_map(|line| line.split_once(':')) {
        let name = name.trim();
        if name == "lo" || name == CONTROL_DEVICE {
            continue;
        }
        let numbers: Vec<u64> = numbers.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
        for (way, column) in [("receiving", 3), ("transmitting", 11)] {
            drops.insert(format!("{name} {way}"), numbers.get(column).copied().unwrap_or(0));
        }
    }
    drops
}

/// The field `RcvbufErrors` of UDP in /proc/net/snmp: a line of names, then one of numbers.
fn udp_rcvbuf_errors(snmp: &str) -> u64 {
    let mut rows = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(numbers)) = (rows.next(), rows.next()) else { return 0 };
    names
        .split_whitespace()
        .zip(numbers.split_whitespace())
        .find(|(name, _)| *name == "RcvbufErrors")
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

/// The row `Udp6RcvbufErrors` of /proc/net/snmp6.
fn udp6_rcvbuf_errors(snmp6: &str) -> u64 {
    snmp6
        .lines()
        .find_map(|line| line.strip_prefix("Udp6RcvbufErrors"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_all_time() {
        let at = |stat| CpuTimes::parse(stat).expect("a line of all CPUs");
        let before = at("cpu  10 0 10 70 5 1 1 3 9 0\ncpu0 1 2 3\n");
        assert_eq!(before, CpuTimes { total: 100, stolen: 3 });
        let after = at("cpu  50 0 10 120 5 1 1 13 9 0\n");
        assert_eq!(after.stolen_since(&before), Some(0.1));
        assert_eq!(before.stolen_since(&before), None);
        assert_eq!(CpuTimes::parse("intr 1 2"), None);
    }

    #[test]
    fn reads_the_kernels_tables() {
        let dev = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                   lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n \
                   link0: 1000      10    0    2    0     0          0         0     2000      20    0    5    0     0       0          0\n";
        let drops = device_drops(dev);
        assert_eq!((drops["link0 receiving"], drops["link0 transmitting"], drops.len()), (2, 5, 2));
        let snmp = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 10 0 3 9 3 0\n";
        assert_eq!(udp_rcvbuf_errors(snmp), 3);
        assert_eq!(udp6_rcvbuf_errors("Udp6InErrors   \t1\nUdp6RcvbufErrors   \t12\n"), 12);
        assert_eq!(udp_rcvbuf_errors(""), 0);
    }
}
