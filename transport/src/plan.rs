//! What both ends must agree on before anything is sent.

use std::ops::Range;

use samepath_model::arm::{Arm, Connections};
use samepath_model::experiment::Trial;
use samepath_model::link::{Direction, MIN_MTU};
use samepath_model::record::{End, Metric};
use samepath_model::streams;
use samepath_model::tuning::Tuning;
use samepath_model::units::{BitRate, ByteCount, Duration};
use samepath_model::workload::{Bulk, Class, MOST_TEXT, NameQuery, StreamId, Table, Workload};
use serde::{Deserialize, Serialize};

use crate::frame;

/// Bytes of a full TCP segment at an MTU of 1500, the unit of the initial window.
pub(crate) const SEGMENT: u64 = 1448;

/// Headers of IPv4 and UDP.
const V4_HEADERS: u16 = 28;
/// Headers of IPv6 and UDP.
const V6_HEADERS: u16 = 48;

/// The largest UDP payload (RFC 768, over IPv4).
pub(crate) const MAX_DATAGRAM: usize = 65_507;

/// The least UDP payload that a path must carry for QUIC (RFC 9000, section 14).
pub const QUIC_LEAST: u16 = 1200;

/// What a QUIC packet takes around a datagram of it: the header with a connection ID of 8 bytes and a packet number of
/// 4, the tag of 16, and at most 9 for the frame's type and length (RFC 9000, section 17.3.1; RFC 9221, section 4).
const QUIC_DATAGRAM_OVERHEAD: u16 = 1 + 8 + 4 + 16 + 9;

/// Windows are at least this large where the path's BDP is not known: what the kernel's autotuning
/// allows TCP by default (`net.ipv4.tcp_rmem`), and small enough for the processor's cache.
const MIN_WINDOW: u64 = 6 << 20;
/// Windows are at most this large, whatever path is claimed: they are memory.
const MAX_WINDOW: u64 = 1 << 30;

/// A session of a workload, as client and server agree on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Transport and mapping.
    pub arm: Arm,
    /// What is sent.
    pub workload: Workload,
    /// What is set on both ends.
    pub tuning: Tuning,
    /// Decides the payload.
    pub seed: u64,
    /// Largest IP packet of the path.
    pub mtu: u16,
    /// Round-trip time of the path without queueing, where it is known; of several servers, to the farthest.
    pub rtt: Duration,
    /// The path's rate in the direction of the payload, where it is known.
    pub rate: Option<BitRate>,
    /// Longest time the whole may take.
    pub time_limit: Duration,
    /// Whether both ends note which packets carry which messages.
    pub attribution: bool,
}

/// A plan that cannot be played, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The workload makes no sense.
    #[error(transparent)]
    Workload(#[from] samepath_model::workload::WorkloadError),
    /// A tuning that the arm cannot take.
    #[error(transparent)]
    Tuning(#[from] samepath_model::tuning::TuningError),
    /// More streams at once than there can be.
    #[error(transparent)]
    Streams(#[from] streams::TooManyStreams),
    /// A value that the transports cannot take.
    #[error("{0}")]
    Value(String),
}

impl Plan {
    /// The plan of a trial.
    pub fn of(trial: &Trial) -> Plan {
        Plan {
            arm: trial.arm,
            workload: trial.workload.clone(),
            tuning: trial.tuning.clone(),
            seed: trial.seed,
            mtu: trial.link.mtu,
            rtt: trial.link.rtt() + trial.workload.farthest(),
            rate: trial.link.direction(trial.workload.direction()).rate,
            time_limit: trial.time_limit,
            attribution: trial.attribution,
        }
    }

    /// When a session is over whose every message is bounded by time, from the epoch. A reliable transport has more
    /// under way then, in buffers whose size is no figure of merit: that is left out. Datagrams are not held back, so
    /// their stragglers count.
    pub fn cut_off(&self) -> Option<u64> {
        let is_cut = self.arm.is_reliable && self.workload.is_open_ended();
        self.workload.nominal_duration().filter(|_| is_cut).map(Duration::as_nanos)
    }

    /// Refuses what cannot be played; both ends ask.
    ///
    /// # Errors
    /// Says which value is wrong and what to write instead.
    pub fn check(&self) -> Result<(), PlanError> {
        self.workload.check()?;
        self.workload.check_for(self.arm)?;
        self.tuning.check(self.arm)?;
        streams::check(self.arm, &self.workload, self.rtt)?;
        let fail = |text: String| Err(PlanError::Value(text));
        let least = self.arm.least_mtu.max(MIN_MTU);
        if self.mtu < least {
            return fail(format!("an MTU of {} is too small for {}; give at least {least}", self.mtu, self.arm));
        }
        if let Some(Err(problem)) = self.name_query().map(|query| query.check_mtu(self.mtu)) {
            return fail(problem);
        }
        if self.time_limit == Duration::ZERO {
            return fail("the time limit must be more than 0s".into());
        }
        if self.connections() > MAX_CONNECTIONS {
            return fail(format!(
                "{} would open {} connections; at most {MAX_CONNECTIONS} are possible: use fewer streams or `{}`",
                self.arm,
                self.connections(),
                self.arm.transport
            ));
        }
        Ok(())
    }

    /// Whether the client goes on with a server that was killed and started again.
    pub fn outlives_its_server(&self) -> bool {
        self.workload.outlives_its_server(self.arm)
    }

    /// The messages that may go in this direction.
    pub fn table(&self, direction: Direction) -> Table {
        self.workload.table(direction, self.seed)
    }

    /// Whether this end sends messages.
    pub fn sends(&self, end: End) -> bool {
        self.workload.carries(end.outgoing())
    }

    /// Whether this end receives messages.
    pub fn receives(&self, end: End) -> bool {
        self.workload.carries(end.outgoing().opposite())
    }

    /// Whether a connection is made for each message of the client, as it is released.
    pub fn connects_as_released(&self) -> bool {
        self.arm.connections == Connections::PerMessage
    }

    /// Connections of the transport that carry the payload, and are made before anything is sent.
    pub fn connections(&self) -> u16 {
        self.workload.connections(self.arm)
    }

    /// The server that the connection of this number leads to. One that is made for a message has its server's number.
    pub fn server_of_connection(&self, number: u16) -> u16 {
        self.workload.server_of(number)
    }

    /// The streams that the connection of this number carries, of those that are made before anything is sent.
    pub(crate) fn streams_of(&self, number: u16) -> Range<StreamId> {
        let is_shared = self.arm.connections == Connections::One && self.workload.servers() == 1;
        if is_shared { 0..self.workload.streams() } else { number..number + 1 }
    }

    /// Whether any of the messages is compressed.
    pub fn has_compressed(&self) -> bool {
        Direction::BOTH.into_iter().any(|direction| self.table(direction).has_compressed())
    }

    /// Bytes of warm-up over all streams, in each direction that carries messages.
    pub fn warmup(&self) -> u64 {
        self.workload.warmup(self.arm).bytes()
    }

    /// Whether the workload starts with its connections, whose set-up then belongs to it.
    pub fn is_cold(&self) -> bool {
        self.workload.is_cold()
    }

    /// The lookup of the server's name with which the session begins, before its connections.
    pub fn name_query(&self) -> Option<NameQuery> {
        self.workload.name_query()
    }

    /// Bytes a flow-control window must hold so as not to limit: four bandwidth-delay products, or
    /// exactly what the tuning says.
    pub fn window(&self) -> u64 {
        match self.tuning.receive_window {
            Some(window) => window.bytes().max(1),
            None => {
                let bdp = self.rate.map_or(0, |rate| rate.bytes_in(self.rtt).bytes());
                bdp.saturating_mul(4).clamp(MIN_WINDOW, MAX_WINDOW)
            }
        }
    }

    /// The most that waits in a sender by QUIC. It must not limit where the receiver's window is the subject.
    pub(crate) fn send_window(&self) -> u64 {
        const LEAST: u64 = 6 << 20;
        self.window().max(LEAST)
    }

    /// Payload of the largest UDP datagram that fits one packet.
    pub const fn max_datagram(&self, ipv6: bool) -> u16 {
        self.mtu - if ipv6 { V6_HEADERS } else { V4_HEADERS }
    }

    /// UDP payload of a QUIC packet, at the start where the path's MTU is to be discovered: then what every path that
    /// carries QUIC takes.
    pub fn quic_mtu(&self, ipv6: bool) -> u16 {
        let full = self.max_datagram(ipv6);
        self.tuning.quic_mtu.unwrap_or(if self.tuning.quic_mtu_discovery { QUIC_LEAST.min(full) } else { full })
    }

    /// The most that discovery of the path's MTU comes to.
    pub fn most_quic_mtu(&self, ipv6: bool) -> u16 {
        self.max_datagram(ipv6).max(self.quic_mtu(ipv6))
    }

    /// The most payload in a TCP segment, where the path is said to take less than is usual: what the kernel takes from
    /// the device's MTU does not hold for the path.
    pub fn tcp_segment(&self, ipv6: bool) -> Option<u32> {
        const HEADERS: [u16; 2] = [40, 60];
        (self.mtu < 1500).then(|| u32::from(self.mtu - HEADERS[usize::from(ipv6)]))
    }

    /// The most plaintext in a TLS record, where it is set; else rustls fills records of 16 KiB
    /// (RFC 8446, section 5.1) with what it is given.
    pub fn tls_record(&self) -> Option<usize> {
        self.tuning.tls_record_size.map(|size| size.bytes() as usize)
    }

    /// Whether many UDP packets may be handed to the kernel at once.
    pub fn offload(&self) -> bool {
        self.tuning.quic_gso.unwrap_or(self.workload.has(Class::Throughput))
    }

    /// Payload of a datagram of this workload, frame header included: of UDP, or of QUIC where that carries it.
    pub fn datagram(&self, ipv6: bool) -> usize {
        let (full, most) = match self.arm.is_congestion_controlled {
            true => {
                let full = usize::from(self.quic_mtu(ipv6).saturating_sub(QUIC_DATAGRAM_OVERHEAD));
                (full, full)
            }
            false => (usize::from(self.max_datagram(ipv6)), MAX_DATAGRAM),
        };
        let asked = self.workload.bulk().and_then(|bulk| bulk.datagram).map(|d| d.bytes() as usize);
        asked.unwrap_or(full).clamp(frame::HEADER_LEN + 1, most)
    }

    /// The rate at which `udp` offers UDP payload (frame headers included), so that the IP packets
    /// fit the path; `None` for as fast as the host, or congestion control, can.
    pub fn udp_rate(&self, ipv6: bool) -> Option<BitRate> {
        if self.arm.is_congestion_controlled {
            return None;
        }
        let bulk: &Bulk = self.workload.bulk()?;
        bulk.udp_rate.or_else(|| {
            let size = self.datagram(ipv6) as u64;
            let headers = u64::from(if ipv6 { V6_HEADERS } else { V4_HEADERS });
            self.rate.map(|rate| {
                let bits = u128::from(rate.bits_per_second()) * u128::from(size) / u128::from(size + headers);
                BitRate::new(bits as u64)
            })
        })
    }

    /// Messages that there may be, both directions.
    pub fn message_count(&self) -> usize {
        Direction::BOTH.into_iter().map(|direction| self.table(direction).len()).sum()
    }

    /// Bytes of memory in which one end records what it sends or receives.
    pub fn memory(&self) -> u64 {
        let seconds = self.time_limit.as_nanos() / 1_000_000_000 + 1;
        // A slot of each message, and a hundred samples of each series a second.
        let series = seconds * 100 * Metric::ALL.len() as u64 * 32;
        let attributed = if self.attribution { self.memory_of_attribution() } else { 0 };
        let compressed = if self.has_compressed() { self.memory_of_compression() } else { 0 };
        self.message_count() as u64 * 112
            + series
            + u64::from(self.connections()) * (512 << 10)
            + attributed
            + compressed
    }

    /// The part of it that compression takes: the text, and what waits to be sent, or to be whole; a quarter of all content
    /// where none was sent before the last was compressed.
    fn memory_of_compression(&self) -> u64 {
        let content = self.workload.total_bytes().map_or(0, ByteCount::bytes);
        2 * MOST_TEXT.bytes() + content / 4 + 48 * self.message_count() as u64
    }

    /// The part of it that the attribution of packets takes: a place for each message and each TLS record,
    /// and a line for each packet that QUIC sends or receives.
    fn memory_of_attribution(&self) -> u64 {
        const LINE: u64 = 80;
        let rate = self.rate.unwrap_or(BitRate::new(1_000_000_000));
        let bytes = match (self.workload.total_bytes(), &self.workload) {
            (Some(bytes), _) => bytes.bytes(),
            (None, workload) => rate.bytes_in(workload.nominal_duration().unwrap_or(self.time_limit)).bytes(),
        };
        // A third of the packets may be retransmitted, and every second one is acknowledged.
        let packets = 2 * (bytes.saturating_add(self.warmup()) / 1200).saturating_add(self.message_count() as u64);
        packets.saturating_mul(LINE)
    }
}

/// More connections than this are no workload but an attack.
pub const MAX_CONNECTIONS: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::arm::Transport;
    use samepath_model::workload::{Bulk, Messages};

    fn plan(workload: Workload) -> Plan {
        Plan {
            arm: Arm::default_of(Transport::Udp),
            workload,
            tuning: Tuning::default(),
            seed: 1,
            mtu: 1500,
            rtt: Duration::from_millis(60),
            rate: Some(BitRate::new(20_000_000)),
            time_limit: Duration::from_secs(10),
            attribution: false,
        }
    }

    #[test]
    fn datagrams_fill_the_packet_and_fit_the_rate() {
        let plan = plan(Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() }));
        assert_eq!(plan.datagram(false), 1472);
        // 20 Mbit/s of 1500-byte packets is 20 × 1472/1500 Mbit/s of payload.
        assert_eq!(plan.udp_rate(false), Some(BitRate::new(19_626_666)));
    }

    #[test]
    fn every_message_has_its_own_place() {
        let workload = Workload::Messages(Messages { streams: 3, count: Some(5), ..Messages::default() });
        let plan = plan(workload.clone());
        let table = plan.table(Direction::Down);
        let released = workload.released_by_the_clock(End::Server, 1);
        let places: Vec<_> = released.iter().map(|r| table.index(r.id.stream, r.id.seq).unwrap()).collect();
        assert_eq!(places, (0..15).collect::<Vec<_>>());
        assert_eq!((table.index(3, 0), table.index(0, 5)), (None, None));
        assert!(plan.sends(End::Server) && !plan.receives(End::Server));
        assert_eq!(plan.warmup(), 0);
    }

    #[test]
    fn packets_are_as_large_as_the_path_takes() {
        let mut plan = plan(Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() }));
        // In the lab: equal segments, 1448 bytes of TCP's payload and 52 of headers.
        assert_eq!((plan.quic_mtu(false), plan.quic_mtu(true), plan.tcp_segment(false)), (1472, 1452, None));
        plan.tuning.quic_mtu_discovery = true;
        assert_eq!((plan.quic_mtu(false), plan.most_quic_mtu(false), plan.most_quic_mtu(true)), (1200, 1472, 1452));
        plan.mtu = 1420;
        assert_eq!((plan.most_quic_mtu(false), plan.tcp_segment(false)), (1392, Some(1380)));
        plan.tuning.quic_mtu_discovery = false;
        assert_eq!((plan.quic_mtu(false), plan.tcp_segment(true)), (1392, Some(1360)));
    }

    #[test]
    fn windows_never_limit_unless_asked_to() {
        let mut plan = plan(Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() }));
        assert!(plan.window() >= 4 * 150_000);
        plan.tuning.receive_window = Some(ByteCount::new(65_536));
        assert_eq!(plan.window(), 65_536);
    }
}
