//! Counters of the host that tell whether it kept its side of the bargain: packets that a device or
//! a socket dropped without telling anyone.

use std::fs;

/// Counters of one network namespace, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Packets that devices dropped, on the way in or out.
    pub device_drops: u64,
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
    pub fn since(self, before: HostCounters) -> HostCounters {
        HostCounters {
            device_drops: self.device_drops.saturating_sub(before.device_drops),
            receive_buffer_drops: self.receive_buffer_drops.saturating_sub(before.receive_buffer_drops),
        }
    }
}

/// The columns `drop` of /proc/net/dev, both ways, over all devices.
fn device_drops(dev: &str) -> u64 {
    const RECEIVE_DROP: usize = 3;
    const TRANSMIT_DROP: usize = 11;
    dev.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(_, numbers)| {
            let numbers: Vec<u64> = numbers.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
            [RECEIVE_DROP, TRANSMIT_DROP].iter().filter_map(|&column| numbers.get(column)).sum::<u64>()
        })
        .sum()
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
    fn reads_the_kernels_tables() {
        let dev = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                   lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n \
                   link0: 1000      10    0    2    0     0          0         0     2000      20    0    5    0     0       0          0\n";
        assert_eq!(device_drops(dev), 7);
        let snmp = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 10 0 3 9 3 0\n";
        assert_eq!(udp_rcvbuf_errors(snmp), 3);
        assert_eq!(udp6_rcvbuf_errors("Udp6InErrors   \t1\nUdp6RcvbufErrors   \t12\n"), 12);
        assert_eq!(udp_rcvbuf_errors(""), 0);
    }
}
