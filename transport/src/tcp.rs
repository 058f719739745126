//! TCP, both ends: one socket, tuned, and what it says of itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use samepath_model::record::Setting;
use samepath_model::shortage;
use samepath_model::units::ByteCount;
use samepath_model::workload::Class;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::probe::Sample;
use crate::{Plan, TransportError};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The address that takes connections of both families where this host has both: `::`, else `0.0.0.0`.
pub fn any_address() -> IpAddr {
    let both = || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())
    };
    if both().is_ok() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// An address as its peer wrote it: one of IPv4 in IPv6's clothes (RFC 4291, section 2.5.5.2), as a socket of both
/// families tells it, is one of IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match (address, address.ip().to_canonical()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.into(), address.port()),
        // An IPv6 address stays whole: a link-local one is nothing without its interface.
        _ => address,
    }
}

/// Listens; `[::]` takes IPv4 too.
///
/// # Errors
/// When the port is taken or not permitted, with the remedy.
pub fn listen(address: SocketAddr) -> Result<TcpListener, TransportError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restarted server must not wait for connections of its predecessor to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.listen(BACKLOG)
    };
    listen().map_err(|cause| cannot_bind("TCP", address, cause))
}

/// Why a port could not be bound, and what to do.
pub(crate) fn cannot_bind(protocol: &str, address: SocketAddr, cause: io::Error) -> TransportError {
    let remedy = match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has it; end that one, or give another port with --listen: the server takes that one and the next two"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; give a higher one with --listen",
        io::ErrorKind::AddrNotAvailable => "this host does not have that address; give one of its own with --listen",
        _ => shortage::remedy(&cause).unwrap_or("give another address with --listen"),
    };
    TransportError::Host { what: format!("cannot listen on {protocol} {address} ({remedy})"), cause }
}

/// A socket to connect to this address, with segments of at most so many bytes of payload either way: the peer is told
/// as the connection begins (RFC 9293, section 3.7.1).
pub(crate) fn socket(address: SocketAddr, segment: Option<u32>) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(segment) = segment {
        SockRef::from(&socket).set_tcp_mss(segment)?;
    }
    Ok(socket)
}

/// Connects, tuned before the first packet where that matters.
///
/// # Errors
/// When a setting is refused, or nobody answers.
pub async fn connect(address: SocketAddr, plan: &Plan) -> Result<TcpStream, TransportError> {
    let socket = socket(address, plan.tcp_segment(address.is_ipv6()))?;
    tune(&SockRef::from(&socket), plan)?;
    if plan.attribution && plan.workload.servers() > 1 {
        // A connection is known in the ledger by the client's port. To each of several servers the kernel would choose one
        // by itself, and may choose the same; what is bound is nobody else's.
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        socket.bind((any, 0).into())?;
    }
    socket.connect(address).await.map_err(|error| TransportError::Connection {
        transport: "TCP",
        address,
        detail: error.to_string(),
        errno: error.raw_os_error(),
    })
}

/// Sets what the plan says.
///
/// # Errors
/// When the kernel refuses, with the remedy.
pub fn tune(socket: &SockRef<'_>, plan: &Plan) -> Result<(), TransportError> {
    let tuning = &plan.tuning;
    let host = |what: String| move |cause| TransportError::Host { what, cause };
    let name = tuning.controller.name();
    socket.set_tcp_congestion(name.as_bytes()).map_err(host(format!(
        "the kernel refuses the congestion controller `{name}` (load its module, tcp_{name}, or allow it in net.ipv4.tcp_allowed_congestion_control)"
    )))?;
    socket.set_tcp_nodelay(tuning.no_delay).map_err(host("TCP_NODELAY".into()))?;
    if let Some(lowat) = tuning.notsent_lowat.filter(|_| plan.workload.has(Class::Latency)) {
        let lowat = u32::try_from(lowat.bytes()).unwrap_or(u32::MAX);
        socket.set_tcp_notsent_lowat(lowat).map_err(host("TCP_NOTSENT_LOWAT".into()))?;
    }
    // How much of a buffer the kernel advertises depends on how well the packets fill its memory, so the
    // buffer is made ample, which also ends its autotuning, and the window is bounded by itself.
    if let Some(window) = tuning.receive_window {
        let ample = usize::try_from(window.bytes().saturating_mul(2)).unwrap_or(usize::MAX);
        socket.set_recv_buffer_size(ample).map_err(host("SO_RCVBUF".into()))?;
        clamp_window(&**socket, window).map_err(host("TCP_WINDOW_CLAMP".into()))?;
    }
    Ok(())
}

/// Bounds the window that is advertised to the peer. The kernel forgets it whenever a larger segment
/// comes than any before (`tcp_measure_rcv_mss` in net/ipv4/tcp_input.c), so it has to be said again.
///
/// # Errors
/// When the descriptor is no TCP socket.
#[allow(unsafe_code, reason = "neither std, socket2 nor nix wraps TCP_WINDOW_CLAMP")]
pub(crate) fn clamp_window<S: AsRawFd>(socket: &S, window: ByteCount) -> io::Result<()> {
    let bytes = libc::c_int::try_from(window.bytes()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `bytes` outlives the call and is as large as the length says; the kernel only reads it.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The bound that is in force.
#[allow(unsafe_code, reason = "neither std, socket2 nor nix wraps TCP_WINDOW_CLAMP")]
fn window_clamp(socket: &SockRef<'_>) -> io::Result<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `bytes` is as large as `len` says, and the kernel writes no more than that.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
            (&raw mut bytes).cast(),
            &raw mut len,
        )
    };
    if status == 0 { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

/// What is in force on a socket, beside what was asked.
pub fn settings(socket: &SockRef<'_>, plan: &Plan) -> Vec<Setting> {
    let tuning = &plan.tuning;
    let lowat = tuning.notsent_lowat.filter(|_| plan.workload.has(Class::Latency));
    let read = |name: &str, asked: Option<String>, effective: io::Result<String>| {
        effective.ok().map(|effective| Setting::new(name, asked, effective))
    };
    let controller = socket
        .tcp_congestion()
        .map(|name| String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned());
    [
        read("tcp.congestion-control", Some(tuning.controller.to_string()), controller),
        read("tcp.initial-window", Some(tuning.initial_window.to_string()), Ok(initial_window(socket).to_string())),
        read("tcp.no-delay", Some(tuning.no_delay.to_string()), socket.tcp_nodelay().map(|on| on.to_string())),
        read(
            "tcp.notsent-lowat",
            lowat.map(|bytes| bytes.bytes().to_string()),
            // 0 stands for the system's default, which is no limit.
            socket.tcp_notsent_lowat().map(|n| if n == 0 { "unlimited".into() } else { n.to_string() }),
        ),
        read(
            "tcp.window-clamp",
            tuning.receive_window.map(|window| window.bytes().to_string()),
            window_clamp(socket).map(|n| n.to_string()),
        ),
        read("tcp.receive-buffer", None, socket.recv_buffer_size().map(|n| n.to_string())),
        read("tcp.send-buffer", None, socket.send_buffer_size().map(|n| n.to_string())),
        read("tcp.mss", None, socket.tcp_mss().map(|n| n.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Segments of a connection's first window. It cannot be set on a socket, only on a route; the window tells as long as
/// nothing was acknowledged or sent again (after lost SYNs it is one segment, by RFC 5681, section 3.1, whatever the
/// setting), and else it is what the kernel has without a route's word (`TCP_INIT_CWND`).
fn initial_window(socket: &SockRef<'_>) -> u32 {
    const USUAL: u32 = 10;
    match raw_info(&**socket) {
        Ok(info) if info.tcpi_bytes_acked <= 1 && info.tcpi_total_retrans == 0 => info.tcpi_snd_cwnd,
        _ => USUAL,
    }
}

/// The reading side of a connection.
pub(crate) type Reader = OwnedReadHalf;

/// The writing side of a connection. Its end says nothing to the peer: the connection ends when both sides are gone.
#[derive(Debug)]
pub(crate) struct Writer(Option<OwnedWriteHalf>);

/// Both sides of a connection.
pub(crate) fn split(stream: TcpStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (reader, Writer(Some(writer)))
}

impl Deref for Writer {
    type Target = OwnedWriteHalf;

    fn deref(&self) -> &OwnedWriteHalf {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut OwnedWriteHalf {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            // Else it would send a FIN.
            writer.forget();
        }
    }
}

/// A second handle on a connection's socket, which outlives the stream, so that its counters can
/// still be read after the last byte.
///
/// # Errors
/// When the process has no file descriptors left.
pub fn watch(stream: &TcpStream) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// Bytes that were handed to the kernel and not acknowledged by the peer (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// When the descriptor is no TCP socket.
#[allow(unsafe_code, reason = "neither std, socket2 nor nix wraps SIOCOUTQ")]
pub fn unacknowledged(socket: &OwnedFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `bytes` outlives the call, which writes an int there. SIOCOUTQ is TIOCOUTQ (linux/sockios.h).
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if status == 0 { Ok(u64::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// What `TCP_INFO` says (`struct tcp_info`, include/uapi/linux/tcp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Bytes of payload in a full segment.
    pub segment: u64,
    /// Congestion window in bytes.
    pub window: u64,
    /// Smoothed round-trip time in microseconds.
    pub srtt_us: u64,
    /// Segments retransmitted since the connection began.
    pub retransmissions: u64,
    /// For how long it had nothing to send because its send buffer was full, in microseconds.
    pub buffer_limited_us: u64,
    /// Bytes in flight by the kernel's estimate (unacknowledged − selectively acknowledged − lost
    /// + retransmitted, RFC 6675's pipe).
    pub in_flight: u64,
    /// Pacing rate in bytes per second; `None` where there is no limit.
    pub pacing_rate: Option<u64>,
    /// Rate of delivery by the kernel's latest estimate, in bytes per second; `None` before the first.
    pub delivery_rate: Option<u64>,
    /// Bytes that it was given and has not sent yet.
    pub unsent: u64,
    /// How often in a row its timer has run out without an acknowledgement (RFC 6298, section 5.5).
    pub timeouts: u8,
    /// For how long the receiver's window held it, in microseconds since it began.
    pub receive_window_limited_us: u64,
    /// Whether the peer's FIN has come, and this end has not sent its own (CLOSE-WAIT).
    pub peer_has_closed: bool,
}

/// Reads `TCP_INFO`.
///
/// # Errors
/// When the descriptor is no TCP socket.
pub fn info(socket: &OwnedFd) -> io::Result<Info> {
    let info = raw_info(socket)?;
    let segments = (info.tcpi_unacked + info.tcpi_retrans).saturating_sub(info.tcpi_sacked + info.tcpi_lost);
    Ok(Info {
        segment: u64::from(info.tcpi_snd_mss),
        window: u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss),
        srtt_us: u64::from(info.tcpi_rtt),
        retransmissions: u64::from(info.tcpi_total_retrans),
        buffer_limited_us: info.tcpi_sndbuf_limited,
        in_flight: u64::from(segments) * u64::from(info.tcpi_snd_mss),
        pacing_rate: Some(info.tcpi_pacing_rate).filter(|rate| *rate != u64::MAX),
        delivery_rate: Some(info.tcpi_delivery_rate).filter(|rate| *rate != 0),
        unsent: info.tcpi_notsent_bytes.into(),
        timeouts: info.tcpi_backoff,
        receive_window_limited_us: info.tcpi_rwnd_limited,
        peer_has_closed: info.tcpi_state == CLOSE_WAIT,
    })
}

/// The state CLOSE-WAIT (`include/net/tcp_states.h`).
const CLOSE_WAIT: u8 = 8;

/// What a connection says of itself; `None` where it could not be asked.
pub(crate) fn sample(socket: &OwnedFd) -> Option<Sample> {
    let info = info(socket).ok()?;
    Some(Sample {
        segment: info.segment,
        window: Some(info.window),
        srtt_us: Some(info.srtt_us),
        retransmissions: Some(info.retransmissions),
        in_flight: Some(info.in_flight),
        buffer_limited_us: Some(info.buffer_limited_us),
        pacing_rate: info.pacing_rate,
        delivery_rate: info.delivery_rate,
        receive_window_limited_us: Some(info.receive_window_limited_us),
        unsent: Some(info.unsent),
    })
}

#[allow(unsafe_code, reason = "neither std, socket2 nor nix wraps TCP_INFO")]
fn raw_info<S: AsRawFd>(socket: &S) -> io::Result<libc::tcp_info> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` is as large as `len` says and the kernel writes no more than that; every bit
    // pattern, zeros included, is a valid `tcp_info`.
    unsafe {
        let status = libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        );
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(info.assume_init())
    }
}
