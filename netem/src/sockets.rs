//! Which sockets of a network namespace wait for somebody, by the kernel's own tables (proc(5), /proc/net/tcp).

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// A port of a protocol, written `tcp:5201`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Which.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol, self.port)
    }
}

impl std::str::FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Service, String> {
        let wrong = || format!("`{text}` is no port: write tcp:PORT or udp:PORT, as tcp:5201");
        let (protocol, port) = text.split_once(':').ok_or_else(wrong)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(wrong()),
        };
        Ok(Service { protocol, port: port_of(port).ok_or_else(wrong)? })
    }
}

/// A port that can be had: a number from 1 to 65535, in digits alone.
pub(crate) fn port_of(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// A TCP socket that listens, or a UDP socket that is bound and takes datagrams from anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) service: Service,
    /// At which of the namespace's addresses.
    pub(crate) address: IpAddr,
}

/// All of the calling thread's network namespace. What cannot be read has none.
pub(crate) fn waiting() -> Vec<Waiting> {
    let tables = [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)];
    let table = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    tables.iter().flat_map(|&(file, protocol)| rows(protocol, &table(file))).collect()
}

/// The rows of a table: number, local address, remote address, state, …
fn rows(protocol: Protocol, table: &str) -> Vec<Waiting> {
    // `TCP_LISTEN` and `TCP_CLOSE` of `net/tcp_states.h`; a UDP socket with a peer is in the state of a connection.
    let state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    let row = |row: &str| {
        let mut columns = row.split_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (columns.nth(1)? == state).then_some(())?;
        Some(Waiting { service: Service { protocol, port }, address: address_of(address)? })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// An address as the kernel writes it: words of 32 bits as they lie in memory, each read as a number.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (n, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(8 * n)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_wait_are_found_in_both_families() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        taken.connect(udp.local_addr().unwrap()).unwrap();
        let all = waiting();
        let is_there = |protocol, address: std::net::SocketAddr| {
            all.contains(&Waiting { service: Service { protocol, port: address.port() }, address: address.ip() })
        };
        assert!(is_there(Protocol::Tcp, tcp.local_addr().unwrap()));
        assert!(is_there(Protocol::Udp, udp.local_addr().unwrap()));
        assert!(!is_there(Protocol::Udp, taken.local_addr().unwrap()), "it takes from its peer alone");
        if let Ok(v6) = std::net::TcpListener::bind("[::1]:0") {
            let found = waiting();
            let port = v6.local_addr().unwrap().port();
            assert!(found.iter().any(|w| w.service.port == port && w.address == Ipv6Addr::LOCALHOST), "{found:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_kernels_tables() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
                   1: 020012C6:1451 010012C6:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n";
        let found = rows(Protocol::Tcp, tcp);
        let service = Service { protocol: Protocol::Tcp, port: 8080 };
        assert_eq!(found, [Waiting { service, address: Ipv4Addr::LOCALHOST.into() }]);
        assert_eq!(address_of("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address_of("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()), "mapped");
        assert_eq!(address_of("0"), None);
    }

    #[test]
    fn ports_are_read_as_people_write_them() {
        assert_eq!("tcp:5201".parse(), Ok(Service { protocol: Protocol::Tcp, port: 5201 }));
        assert_eq!("udp:53".parse::<Service>().unwrap().to_string(), "udp:53");
        for wrong in ["", "5201", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:+1", "sctp:9", "tcp:1:2"] {
            let said = wrong.parse::<Service>().unwrap_err();
            assert!(said.contains(&format!("`{wrong}`")) && said.contains("tcp:5201"), "{said}");
        }
    }
}
