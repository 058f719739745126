//! Records: all that crosses from measuring to showing.
//!
//! Times are nanoseconds from the trial's **epoch**, the start of its schedule, on one monotonic
//! clock; what happened before (handshake, warm-up) has a negative time. Missing is `None`, never 0.
//!
//! [`MessageRecord`], [`PacketRecord`] and [`SeriesPoint`] fill the Parquet files of a trial;
//! [`TrialRecord`] is its line in `trials.jsonl`.

use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::coded::{Coded, CoderReport};
pub use crate::end::End;
use crate::experiment::Trial;
use crate::flow::{FlowId, UNDER_TEST};
use crate::link::Direction;
pub use crate::name_lookup::NameLookup;
pub use crate::percentiles::Percentiles;
use crate::setting::SettingKind;
use crate::start::StartState;
pub use crate::units::Instant;
use crate::void::VoidReason;
use crate::workload::{MessageId, StreamId};

/// The version of the run directory's formats that this program writes.
pub const RECORD_SCHEMA: u32 = 3;

/// One message, as both its ends saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The flow that it belongs to.
    #[serde(default)]
    pub flow: FlowId,
    /// Which way it went.
    pub direction: Direction,
    /// The logical stream.
    pub stream: StreamId,
    /// Its number within the stream and direction.
    pub seq: u32,
    /// Its size in bytes, as they crossed the wire. Where the schedule leaves it open: the datagrams' bytes that were sent, or,
    /// on a reliable transport, the bytes that had arrived when the time was over.
    pub size: u64,
    /// When it was meant to be released. Delay is counted from here.
    pub released: Instant,
    /// The message whose delivery released it; `None` where the clock did.
    pub released_by: Option<MessageId>,
    /// Until when it was of use; `None` where it always is.
    pub deadline: Option<Instant>,
    /// Which attempt at the same thing it was, from 1.
    pub attempt: u32,
    /// When its sender gave it up: withdrew it before any of it was sent, or ended its QUIC stream without the rest; `None`
    /// where it did not.
    pub cancelled: Option<Instant>,
    /// When the sender had handed its last byte to the transport.
    pub sent: Option<Instant>,
    /// When the receiving application held the whole message, every byte verified.
    pub delivered: Option<Instant>,
    /// How many of its bytes arrived.
    pub received: u64,
    /// What its content was, where it was compressed.
    pub coded: Option<Coded>,
}

impl MessageRecord {
    /// The message's name.
    pub const fn id(&self) -> MessageId {
        MessageId { direction: self.direction, stream: self.stream, seq: self.seq }
    }
}

/// What a point of a time series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// Payload bytes that the receiving application read in the bin that starts at this time.
    DeliveredBytes,
    /// The sender's congestion window in bytes (TCP: segments × MSS).
    CongestionWindow,
    /// The sender's smoothed round-trip time in microseconds.
    SmoothedRtt,
    /// Packets or segments the sender has declared lost or retransmitted since the start.
    Retransmissions,
    /// Bytes the sender has in flight, as its transport counts them.
    InFlight,
    /// The rate at which the sender's transport paces its packets, in bytes per second. TCP's alone, the
    /// least of what its kernel computes and what it is told (`tcpi_pacing_rate`): quinn does not tell its
    /// pacer's, which is 1.25 congestion windows in a round trip.
    PacingRate,
    /// The rate at which bytes lately reached the receiver by the sender's estimate, in bytes per
    /// second. TCP's alone (`tcpi_delivery_rate`).
    DeliveryRate,
    /// Whether the sender's congestion window was full: 1 from this instant, 0 from it. QUIC's, where packets are
    /// attributed to messages.
    WindowFull,
    /// Whether a message waited for a stream of its own, as no more may be open at once: 1 from this instant, 0 from
    /// it. QUIC's, likewise.
    StreamsBlocked,
    /// Whether the sender had used up the connection's flow-control credit, as its DATA_BLOCKED frame says: 1 from this
    /// instant, 0 from it. QUIC's, likewise.
    ConnectionBlocked,
    /// A stream that had used up its flow-control credit, as its STREAM_DATA_BLOCKED frame says: its ID and one from
    /// this instant, the same below zero as it goes on. QUIC's, likewise.
    StreamBlocked,
    /// For how long the sender was held by the receiver's window, in microseconds since the start. TCP's
    /// (`tcpi_rwnd_limited`).
    ReceiveWindowLimited,
    /// For how long the sender was held by its send buffer, in microseconds since the start. TCP's
    /// (`tcpi_sndbuf_limited`).
    SendBufferLimited,
    /// Bytes that the sender's transport has and has not sent yet. TCP's (`tcpi_notsent_bytes`).
    Unsent,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 14] = [
        Metric::DeliveredBytes,
        Metric::CongestionWindow,
        Metric::SmoothedRtt,
        Metric::Retransmissions,
        Metric::InFlight,
        Metric::PacingRate,
        Metric::DeliveryRate,
        Metric::WindowFull,
        Metric::StreamsBlocked,
        Metric::ConnectionBlocked,
        Metric::StreamBlocked,
        Metric::ReceiveWindowLimited,
        Metric::SendBufferLimited,
        Metric::Unsent,
    ];

    /// The name in files, with its unit; a count or a state has none.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::DeliveredBytes => "delivered_bytes",
            Metric::CongestionWindow => "congestion_window_bytes",
            Metric::SmoothedRtt => "smoothed_rtt_us",
            Metric::Retransmissions => "retransmissions",
            Metric::InFlight => "in_flight_bytes",
            Metric::PacingRate => "pacing_rate_bytes_per_second",
            Metric::DeliveryRate => "delivery_rate_bytes_per_second",
            Metric::WindowFull => "congestion_window_full",
            Metric::StreamsBlocked => "stream_limit_blocked",
            Metric::ConnectionBlocked => "connection_flow_control_blocked",
            Metric::StreamBlocked => "stream_flow_control_blocked",
            Metric::ReceiveWindowLimited => "receive_window_limited_us",
            Metric::SendBufferLimited => "send_buffer_limited_us",
            Metric::Unsent => "unsent_bytes",
        }
    }
}

/// Width of the bins of [`Metric::DeliveredBytes`], and the interval at which the rest is sampled.
pub const SERIES_BIN_NANOS: i64 = 10_000_000;

/// One point of a time series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// The flow whose end measured it.
    #[serde(default)]
    pub flow: FlowId,
    /// Start of the bin, or instant of the sample.
    pub at: Instant,
    /// Where it was measured.
    pub end: End,
    /// What it measures, and so its unit.
    pub metric: Metric,
    /// The value.
    pub value: f64,
}

/// Why a packet did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropCause {
    /// The loss rule.
    Loss,
    /// A scripted drop.
    Script,
    /// An outage.
    Outage,
    /// The bottleneck's buffer was full.
    Overflow,
    /// The host refused it as it left the link: the trial is void.
    Host,
    /// It was still under way when the link went down.
    LinkDown,
    /// The queue's management dropped it before the buffer was full.
    Aqm,
    /// It was larger than a black hole lets pass.
    Blackhole,
    /// It was for a mapping that the NAT had forgotten.
    Nat,
}

impl DropCause {
    /// Every cause.
    pub const ALL: [DropCause; 9] = [
        DropCause::Loss,
        DropCause::Script,
        DropCause::Outage,
        DropCause::Overflow,
        DropCause::Host,
        DropCause::LinkDown,
        DropCause::Aqm,
        DropCause::Blackhole,
        DropCause::Nat,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            DropCause::Loss => "loss",
            DropCause::Script => "script",
            DropCause::Outage => "outage",
            DropCause::Overflow => "overflow",
            DropCause::Host => "host",
            DropCause::LinkDown => "link-down",
            DropCause::Aqm => "aqm",
            DropCause::Blackhole => "blackhole",
            DropCause::Nat => "nat",
        }
    }

    /// Whether the path lost the packet; what was under way as the link went down was not lost.
    pub fn is_loss(self) -> bool {
        self != DropCause::LinkDown
    }
}

/// What became of one packet that was offered to the link: a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketRecord {
    /// The flow that it belongs to, by its ports; `None` of what serves the network, and where there are no flows.
    #[serde(default)]
    pub flow: Option<FlowId>,
    /// Which way it went.
    pub direction: Direction,
    /// Its number in its direction, from 0, in order of arrival. A duplicate has its original's.
    pub number: u64,
    /// Whether this is the copy that the link itself made.
    pub duplicate: bool,
    /// When it came to the link.
    pub arrived: Instant,
    /// Bytes of the IP packet.
    pub size: u32,
    /// IP protocol number: 6 TCP, 17 UDP, 1 and 58 ICMP.
    pub protocol: u8,
    /// Source port, 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port, 0 where the protocol has none.
    pub destination_port: u16,
    /// Bytes of transport payload.
    pub payload: u32,
    /// TCP sequence number of the first payload byte.
    pub tcp_seq: Option<u32>,
    /// TCP flags (RFC 9293), else 0.
    pub tcp_flags: u8,
    /// What joins the packet to an endpoint's [observation](crate::attribution::ObservationRecord) of it.
    pub tag: Option<crate::attribution::Tag>,
    /// Time spent waiting for the bottleneck and being transmitted, in nanoseconds; of a packet that
    /// was dropped, the time it would have spent.
    pub queued: u64,
    /// Whether one of its bits was flipped.
    pub corrupted: bool,
    /// Whether the link marked it "congestion experienced" (RFC 3168) in place of dropping it.
    pub congestion_marked: bool,
    /// Whether it passed the link's conditions by, as one that their filter does not match.
    pub bypassed: bool,
    /// When it really left the link for the receiving host.
    pub left: Option<Instant>,
    /// Why it never left.
    pub dropped: Option<DropCause>,
}

impl PacketRecord {
    /// Whether it may be a flow's: what belongs to no flow may be any's.
    pub fn is_of(&self, flow: FlowId) -> bool {
        self.flow.is_none_or(|of| of == flow)
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What the link says of its own work in one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DirectionReport {
    /// Packets offered.
    pub packets: u64,
    /// Bytes of IP packets offered.
    pub bytes: u64,
    /// Packets that left, copies included.
    pub delivered_packets: u64,
    /// Bytes of IP packets that left, copies included.
    pub delivered_bytes: u64,
    /// Packets dropped, by cause (the names of [`DropCause`]).
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Copies made.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets marked "congestion experienced".
    #[serde(rename = "congestion_marked")]
    pub marked: u64,
    /// Packets that the filter did not match, which met no condition. They are among those offered and delivered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bypassed: u64,
    /// Packets whose ECN field was cleared.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bleached: u64,
    /// Largest backlog of the bottleneck in bytes.
    pub max_backlog_bytes: u64,
    /// Largest IP packet offered: no more than the MTU, or something was not segmented.
    #[serde(rename = "largest_packet_bytes")]
    pub largest_packet: u32,
}

/// How late something happened, against the instant computed for it; in nanoseconds. Of the link:
/// packets as they left it. Of an end: the ticks of its clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// How many were counted.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// How often which lateness was met, ascending; bins without any are left out.
    pub histogram: Vec<LatenessBin>,
}

/// A bin of a histogram, an octave wide: from half its bound, exclusive, up to its bound, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatenessBin {
    /// The bound: a power of two.
    pub up_to_ns: u64,
    /// How many were counted.
    pub count: u64,
}

/// The precedence of a trial's processes over whatever else runs on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precedence {
    /// Their nice value (setpriority(2)).
    pub nice: i32,
    /// That of their autogroup (sched(7)); `None` where the kernel makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autogroup_nice: Option<i32>,
    /// Whether idle states that a processor takes time to leave were forbidden (CPU latency QoS).
    pub cpu_latency_qos: bool,
}

/// What the link says of its own work in a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// `embedded-tun`, `embedded-packet`, or `none`.
    pub backend: String,
    /// Client to server.
    pub up: DirectionReport,
    /// Server to client.
    pub down: DirectionReport,
    /// Over both directions.
    pub lateness: Lateness,
    /// Packets that a device of the host dropped without telling anyone (TUN or veth `tx_dropped`).
    pub device_drops: u64,
    /// Datagrams dropped because a socket's receive buffer was full, over both ends.
    pub receive_buffer_drops: u64,
    /// Whether the data thread ran under SCHED_FIFO.
    pub realtime: bool,
    /// What the trial's processes run with.
    #[serde(default)]
    pub precedence: Precedence,
    /// CPU time of the data thread.
    pub cpu_ns: u64,
    /// How long the link was up.
    #[serde(rename = "duration_ns")]
    pub up_ns: u64,
    /// Kernel settings of the endpoints' namespaces (sysctls), asked and effective.
    pub settings: Settings,
    /// Share of the machine's CPU time that its hypervisor gave to others while the link was up.
    #[serde(rename = "steal_share", default, skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
    /// Between which times from the schedule's start the kernel's netem was given what it draws, where that begins with
    /// the schedule; the embedded link begins with its first packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws_began_ns: Option<[i64; 2]>,
    /// What the probes met before the trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Calibration>,
    /// What the probes met after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Calibration>,
}

impl LinkReport {
    /// Whether anything stood between the ends that counted packets: a bare cable (`none`) counts nothing, and its
    /// zeros are no counts.
    pub fn counts_packets(&self) -> bool {
        self.backend != "none"
    }
}

/// What probe packets met on the link, apart from the trial's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// Client to server.
    pub up: Probes,
    /// Server to client.
    pub down: Probes,
}

/// What the probes of one direction met. They are exempt from the link's losses, and from every condition
/// but delay, rate and buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Probes sent.
    pub sent: u64,
    /// Probes that did not arrive.
    pub lost: u64,
    /// Delay asked of the link, and the transmission of a probe at the rate asked.
    pub delay_asked_ns: u64,
    /// Median of the delays, from the sender's call to the receiving kernel's stamp.
    pub delay_p50_ns: Option<u64>,
    /// Their 99th percentile.
    pub delay_p99_ns: Option<u64>,
    /// Bits a second asked of the link; `None` where there is no rate, or no train fits its buffer.
    #[serde(rename = "rate_asked_bits_per_second")]
    pub rate_asked: Option<u64>,
    /// Bits a second that a train of packets met.
    #[serde(rename = "rate_bits_per_second")]
    pub rate: Option<u64>,
}

/// What was asked of the host, and what it granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// What was set, as `tcp.congestion-control` or `quic.initial-window`.
    pub name: String,
    /// What it is to a comparison.
    pub kind: SettingKind,
    /// What was asked for; `None` where it was only read.
    pub asked: Option<String>,
    /// What is in force.
    pub effective: String,
}

impl Setting {
    /// The setting of this name, with what was asked for (`None` where it is only read) and what is in force.
    pub fn new(name: impl Into<String>, asked: Option<String>, effective: impl Into<String>) -> Setting {
        let name = name.into();
        Setting { kind: SettingKind::of(&name), name, asked, effective: effective.into() }
    }

    /// What was asked for, where that is not in force.
    pub fn refused(&self) -> Option<&str> {
        self.asked.as_deref().filter(|asked| *asked != self.effective)
    }
}

/// Settings in the order in which they were made; records whose settings are alike may share them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Settings(Arc<[Setting]>);

impl Settings {
    /// Takes the list of an equal one among those known, which these join where there is none.
    fn share(&mut self, known: &mut HashSet<Settings>) {
        match known.get(self) {
            Some(equal) => *self = equal.clone(),
            None => _ = known.insert(self.clone()),
        }
    }
}

impl From<Vec<Setting>> for Settings {
    fn from(settings: Vec<Setting>) -> Settings {
        Settings(settings.into())
    }
}

impl Deref for Settings {
    type Target = [Setting];

    fn deref(&self) -> &[Setting] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Settings {
    type Item = &'a Setting;
    type IntoIter = std::slice::Iter<'a, Setting>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
        Vec::deserialize(deserializer).map(Settings::from)
    }
}

/// What one end says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndReport {
    /// CPU time in user mode, of the process, over the trial.
    pub cpu_user_ns: u64,
    /// CPU time in the kernel, of the process, over the trial.
    pub cpu_system_ns: u64,
    /// Wall-clock time over which the CPU time was spent.
    pub wall_ns: u64,
    /// Segments TCP retransmitted, or packets QUIC declared lost, as a sender.
    pub retransmissions: Option<u64>,
    /// For how long, in microseconds, the connections had nothing to send because a send buffer was full, as TCP
    /// counts it (`tcpi_sndbuf_limited`). `None` where none was TCP's.
    #[serde(rename = "send_buffer_limited_us")]
    pub buffer_limited_us: Option<u64>,
    /// Payload bytes of messages given to the transport; a warm-up is not among them.
    #[serde(rename = "sent_bytes")]
    pub bytes_sent: u64,
    /// Payload bytes of messages received from the transport, all verified; a warm-up is not among them.
    #[serde(rename = "received_bytes")]
    pub bytes_received: u64,
    /// Datagrams sent (`udp`).
    pub datagrams_sent: Option<u64>,
    /// Datagrams received (`udp`).
    pub datagrams_received: Option<u64>,
    /// How late the end's own clock ticks (every 10 ms) were served: what kept it from running kept it
    /// from sending and reading, too. `None` where it was too short for a tick.
    pub wake_lateness: Option<Lateness>,
    /// Effective settings of its sockets and connections.
    pub settings: Settings,
    /// Of a sender, the state from which its schedule started. `None` of a workload that starts with its
    /// connections, and over `udp`.
    pub start: Option<StartState>,
    /// Calls in which it wrote payload.
    pub writes: u64,
    /// Calls in which it read payload: of a byte stream, reads; of datagrams, one each.
    pub reads: u64,
    /// The most sockets of TCP that the kernel counted in its network namespace, where a connection is made for each
    /// exchange.
    pub sockets: Option<Sockets>,
    /// What it compressed, where it compresses what it sends.
    pub compression: Option<CoderReport>,
    /// What it decompressed, where what it receives is compressed.
    pub decompression: Option<CoderReport>,
    /// Connections that could not be made, or broke before the answer was there, by the name of the system's error.
    pub failed_connections: BTreeMap<String, u64>,
    /// How long each sync of the book took, which every payment of it waited for. `None` of an end without a book, and of
    /// one that was killed.
    pub book_sync: Option<Lateness>,
}

/// Sockets of TCP, as the kernel counts them (`/proc/net/sockstat`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// In use.
    pub in_use: u64,
    /// In TIME-WAIT.
    pub time_wait: u64,
    /// The most of both together.
    pub ports: u64,
}

/// How a session broke whose server was killed on purpose, as the application at the client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFailure {
    /// The flow whose session it was.
    pub flow: FlowId,
    /// When the application saw it.
    #[serde(rename = "at_ns")]
    pub at: Instant,
    /// What it saw.
    pub error: String,
}

/// A restart of a server, as it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRecord {
    /// The flow whose server it was.
    pub flow: FlowId,
    /// When its process was killed.
    #[serde(rename = "killed_ns")]
    pub killed: Instant,
    /// When the new one was ready; `None` where its flow was over before.
    #[serde(rename = "ready_ns")]
    pub ready: Option<Instant>,
}

/// What client and server together report of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlayReport {
    /// Start of the schedule on the client's CLOCK_MONOTONIC, in nanoseconds.
    pub epoch_ns: u64,
    /// Error of the clock offset between the ends; 0 where both are on one host and one clock.
    pub clock_error_ns: u64,
    /// The lookup of the server's name, which began with the schedule; `None` where the workload has none.
    pub name_lookup: Option<NameLookup>,
    /// From the start of connecting until the transport's handshake was done (TCP: connected;
    /// TLS, QUIC: handshake complete, at the client). `None` for `udp`, which has none.
    pub handshake_ns: Option<u64>,
    /// When connecting began, after the lookup of a name where there was one.
    pub connecting: Instant,
    /// From the start of connecting, or of the lookup before it, until the client read the first payload byte (down), or
    /// the server did (up).
    pub first_byte_ns: Option<u64>,
    /// Whether everything that the schedule released was delivered.
    pub complete: bool,
    /// How the session broke, where it did and that was asked for: the client's records alone are there then.
    pub failure: Option<SessionFailure>,
    /// One for each message that was released, in the order of their release.
    pub messages: Vec<MessageRecord>,
    /// Time series of both ends.
    pub series: Vec<SeriesPoint>,
    /// Where the messages lie in their ordering domains; empty unless it was asked for.
    pub layout: Vec<crate::attribution::LayoutRecord>,
    /// What the ends saw in their packets; empty unless it was asked for.
    pub observations: Vec<crate::attribution::ObservationRecord>,
    /// What the client says of itself.
    pub client: EndReport,
    /// What the server says of itself.
    pub server: EndReport,
}

impl PlayReport {
    /// The report of a session as that of a flow whose schedule started so many nanoseconds after the epoch of its
    /// trial: its messages and series name the flow, and their times count from that epoch.
    #[must_use]
    pub fn of_flow(mut self, flow: FlowId, start_ns: u64) -> PlayReport {
        let later = |at: &mut Instant| *at = at.saturating_add_unsigned(start_ns);
        self.epoch_ns = self.epoch_ns.saturating_sub(start_ns);
        later(&mut self.connecting);
        if let Some(failure) = &mut self.failure {
            failure.flow = flow;
            later(&mut failure.at);
        }
        for message in &mut self.messages {
            message.flow = flow;
            later(&mut message.released);
            let others = [&mut message.deadline, &mut message.cancelled, &mut message.sent, &mut message.delivered];
            others.into_iter().flatten().for_each(later);
        }
        for point in &mut self.series {
            point.flow = flow;
            later(&mut point.at);
        }
        self
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It counts.
    Done,
    /// Its conditions were not kept: shown, and left out of every statistic.
    Void {
        /// Each broken condition.
        reasons: Vec<VoidReason>,
    },
    /// It did not get to its end.
    Failed {
        /// What it was doing: `set-up`, `server`, `client`, `records`.
        step: String,
        /// What went wrong.
        error: String,
    },
}

impl Lateness {
    /// Of these latenesses, in nanoseconds; percentiles by the nearest-rank method.
    pub fn of(mut all: Vec<u64>) -> Option<Lateness> {
        all.sort_unstable();
        let rank = |q: f64| all[((all.len() as f64 * q).ceil() as usize).clamp(1, all.len()) - 1];
        let max_ns = *all.last()?;
        let histogram = Lateness::bins(all.iter().map(|&late| (late, 1)));
        Some(Lateness { count: all.len() as u64, p50_ns: rank(0.5), p99_ns: rank(0.99), max_ns, histogram })
    }

    /// The histogram of latenesses in nanoseconds, each with how often it was met.
    pub fn bins(all: impl IntoIterator<Item = (u64, u64)>) -> Vec<LatenessBin> {
        let mut bins = BTreeMap::new();
        for (late, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            *bins.entry(late.checked_next_power_of_two().unwrap_or(u64::MAX)).or_default() += count;
        }
        bins.into_iter().map(|(up_to_ns, count)| LatenessBin { up_to_ns, count }).collect()
    }
}

impl Outcome {
    /// Whether the trial counts.
    pub const fn is_done(&self) -> bool {
        matches!(self, Outcome::Done)
    }

    /// Whether it is void for what the machine did, and for nothing else: run again, it may well count.
    pub fn is_voided_by_the_machine(&self) -> bool {
        matches!(self, Outcome::Void { reasons } if reasons.iter().all(|reason| reason.kind.is_by_the_machine()))
    }
}

/// The figures of one trial, computed from its records alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Messages that the schedule released.
    pub messages: u64,
    /// Messages delivered whole.
    pub delivered: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Payload bytes offered.
    pub offered_bytes: u64,
    /// Payload received per second, from the epoch to the last delivery (`bytes`) or over the
    /// workload's duration.
    pub goodput_bits_per_second: Option<f64>,
    /// From the epoch until the last message was delivered; `None` where one was not.
    pub completion_ms: Option<f64>,
    /// Percentiles of the delay of the delivered messages, release to delivery.
    pub delay_ms: Option<Percentiles>,
    /// See [`PlayReport::name_lookup`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_lookup: Option<NameLookup>,
    /// See [`PlayReport::handshake_ns`].
    pub handshake_ms: Option<f64>,
    /// What of that was on the network, and what at the ends; `None` where no ledger told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<HandshakeParts>,
    /// See [`PlayReport::first_byte_ns`].
    pub first_byte_ms: Option<f64>,
    /// The figures of the trial's workload that its messages alone tell, by their metrics' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub score: BTreeMap<String, f64>,
    /// Bytes of IP packets offered to the link, both directions; `None` where nothing counted them.
    pub wire_bytes: Option<u64>,
    /// Packets that the link dropped, for whatever cause, both directions; not those that were still under
    /// way when it went down. `None` where nothing counted them.
    pub packets_dropped: Option<u64>,
    /// See [`EndReport::retransmissions`]; of the sender.
    pub retransmissions: Option<u64>,
    /// See [`EndReport::start`]; of the sender.
    pub start: Option<StartState>,
    /// CPU time of the client per gigabyte (10⁹) of payload carried: what was received, and the warm-up before
    /// it, whose CPU time is in it, too.
    pub client_cpu_s_per_gb: Option<f64>,
    /// CPU time of the server, likewise.
    pub server_cpu_s_per_gb: Option<f64>,
    /// Head-of-line blocking; `None` where packets were not attributed to messages.
    pub blocking: Option<crate::blocking::Blocking>,
    /// How the flow shared the link with those beside it; `None` where there was none of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_share: Option<LinkShare>,
}

/// How the `bulk` flows under congestion control shared the link while all of them were sending, by the payload that
/// their receivers read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkShare {
    /// From when, in milliseconds from the epoch: the start of the flow that started last.
    pub from_ms: f64,
    /// Until when: the end of the flow that ended first.
    pub until_ms: f64,
    /// The flow's part of the payload of all, between 0 and 1.
    pub share: f64,
    /// Jain's fairness index over all flows: 1 where they had equal parts, one over their number where one had all
    /// (Jain, Chiu, Hawe: A Quantitative Measure of Fairness, DEC TR-301, 1984; RFC 5166, section 2.3.1).
    pub jain_index: f64,
}

/// A handshake's time, told apart by the ledger; the parts add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HandshakeParts {
    /// At least one packet was on the link that arrived.
    pub network_ms: f64,
    /// None was, after one that was dropped: a timer was waited for.
    pub recovery_ms: f64,
    /// None was: it was at the ends to go on, by their CPU time and whatever kept them from running.
    pub ends_ms: f64,
}

/// What a competing flow came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// What it is called.
    pub name: String,
    /// Its figures; their times count from the start of its own schedule.
    pub summary: Summary,
    /// What its client says of itself.
    pub client: EndReport,
    /// What its server says of itself.
    pub server: EndReport,
}

/// One trial: a line of `trials.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Version of the format.
    pub schema: u32,
    /// What was to be done.
    pub trial: Trial,
    /// Which attempt at the trial this is, from 1: one that the machine voided is followed by another.
    pub attempt: u32,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When it started: seconds since the Unix epoch.
    #[serde(rename = "started_unix_s")]
    pub started_unix: f64,
    /// Wall-clock time in all, in milliseconds.
    pub wall_ms: f64,
    /// Namespaces, link and server, until the client was started.
    pub set_up_ms: Option<f64>,
    /// From the client's end until everything was gone.
    pub tear_down_ms: Option<f64>,
    /// The figures.
    pub summary: Option<Summary>,
    /// What the link says of itself.
    pub link: Option<LinkReport>,
    /// What the client says of itself.
    pub client: Option<EndReport>,
    /// What the server says of itself.
    pub server: Option<EndReport>,
    /// What the competing flows came to, in the order of the trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub competing: Vec<FlowRecord>,
    /// The restarts of servers, as they were carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<RestartRecord>,
    /// The sessions that broke where servers were to be killed: the trial counts all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_failures: Vec<SessionFailure>,
    /// See [`PlayReport::epoch_ns`].
    pub epoch_ns: Option<u64>,
    /// See [`PlayReport::clock_error_ns`].
    pub clock_error_ns: Option<u64>,
    /// Of a trial that failed: where in the run's directory its last evidence lies (what the ends said,
    /// the link's ledger so far).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl TrialRecord {
    /// How its sessions broke, a sentence each, where its servers were killed on purpose.
    pub fn failures_in_words(&self) -> Vec<String> {
        let words = |failure: &SessionFailure| {
            let killed =
                self.restarts.iter().rfind(|restart| restart.flow == failure.flow && restart.killed <= failure.at);
            let after = killed.map(|restart| {
                let ms = (failure.at - restart.killed) as f64 / 1e6;
                format!(", {ms:.1} ms after its server was killed")
            });
            let (name, at, error) = (self.trial.name_of(failure.flow), failure.at as f64 / 1e9, &failure.error);
            format!("the session of {name} broke at {at:.3} s{}: {error}", after.unwrap_or_default())
        };
        self.session_failures.iter().map(words).collect()
    }

    /// The record as that of one of the trial's flows: its plan, its figures and its ends. `None` where there is no such
    /// flow, or nothing is known of it.
    pub fn of_flow(&self, flow: FlowId) -> Option<TrialRecord> {
        let restarts = self.restarts.iter().filter(|restart| restart.flow == flow);
        let failures = self.session_failures.iter().filter(|failure| failure.flow == flow);
        let alone = TrialRecord {
            trial: self.trial.of_flow(flow),
            competing: Vec::new(),
            restarts: restarts.map(|restart| RestartRecord { flow: UNDER_TEST, ..*restart }).collect(),
            session_failures: failures.map(|failure| SessionFailure { flow: UNDER_TEST, ..failure.clone() }).collect(),
            ..self.clone()
        };
        if flow == UNDER_TEST {
            return Some(alone);
        }
        let FlowRecord { summary, client, server, .. } = self.competing.get(usize::from(flow) - 1)?.clone();
        Some(TrialRecord { summary: Some(summary), client: Some(client), server: Some(server), ..alone })
    }

    /// Has the record's settings share one list with those known that are equal to them.
    pub fn share_settings(&mut self, known: &mut HashSet<Settings>) {
        let competing = self.competing.iter_mut().flat_map(|flow| [&mut flow.client, &mut flow.server]);
        let ends = self.client.iter_mut().chain(&mut self.server).chain(competing).map(|end| &mut end.settings);
        ends.chain(self.link.as_mut().map(|link| &mut link.settings)).for_each(|settings| settings.share(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_share_one_list() {
        let setting = |effective: &str| Setting::new("a", None, effective);
        let mut known = HashSet::new();
        let lists = [["1", "2"], ["1", "2"], ["1", "3"]].map(|values| {
            let mut settings = Settings::from(values.map(setting).to_vec());
            settings.share(&mut known);
            settings
        });
        assert!(Arc::ptr_eq(&lists[0].0, &lists[1].0));
        assert_eq!(lists[2][1].effective, "3");
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn lateness_is_by_nearest_rank() {
        assert_eq!(Lateness::of(Vec::new()), None);
        let all = Lateness::of((1..=200).rev().collect()).unwrap();
        assert_eq!((all.count, all.p50_ns, all.p99_ns, all.max_ns), (200, 100, 198, 200));
        let bins: Vec<_> = all.histogram.iter().map(|bin| (bin.up_to_ns, bin.count)).collect();
        assert_eq!(bins, [(1, 1), (2, 1), (4, 2), (8, 4), (16, 8), (32, 16), (64, 32), (128, 64), (256, 72)]);
        assert_eq!(Lateness::bins([(0, 1), (u64::MAX, 1), (5, 0)]).len(), 2);
    }

    #[test]
    fn a_later_flow_counts_from_the_epoch() {
        let report = PlayReport {
            epoch_ns: 5_000,
            clock_error_ns: 0,
            name_lookup: None,
            handshake_ns: None,
            connecting: -10,
            first_byte_ns: None,
            complete: false,
            failure: Some(SessionFailure { flow: 0, at: 40, error: "gone".into() }),
            messages: vec![MessageRecord {
                flow: 0,
                direction: Direction::Down,
                released_by: None,
                deadline: None,
                attempt: 1,
                cancelled: None,
                stream: 0,
                seq: 0,
                size: 1,
                released: 0,
                sent: Some(1),
                delivered: None,
                received: 0,
                coded: None,
            }],
            series: vec![SeriesPoint { flow: 0, at: 7, end: End::Client, metric: Metric::Unsent, value: 1.0 }],
            layout: Vec::new(),
            observations: Vec::new(),
            client: EndReport::default(),
            server: EndReport::default(),
        };
        let PlayReport { epoch_ns, connecting, failure, messages, series, .. } = report.of_flow(2, 2_000);
        assert_eq!((epoch_ns, connecting), (3_000, 1_990));
        assert_eq!(failure.map(|failure| (failure.flow, failure.at)), Some((2, 2_040)));
        let message = &messages[0];
        assert_eq!((message.flow, message.released, message.sent, message.delivered), (2, 2_000, Some(2_001), None));
        assert_eq!((series[0].flow, series[0].at), (2, 2_007));
    }
}
