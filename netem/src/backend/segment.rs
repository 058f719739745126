//! Super-packets, and the wire packets that they stand for.
//!
//! A host whose network card segments hands over packets of up to 64 KiB, each with the header of
//! virtio-net before it (`struct virtio_net_hdr` of `linux/virtio_net.h`) that says where to cut. [`Split`]
//! cuts as the kernel does (`net/ipv4/tcp_offload.c`, `udp_offload.c`): every segment is a whole IP packet
//! with headers of its own. [`may_follow`] and [`join`] are the way back, for neighbours that leave
//! together: what a network card's receive offload does.

use super::buffer::{Buffer, Sum};
use crate::link::packet::{self as header, TCP_FIN, TCP_RST, TCP_SYN};

/// Bytes of `struct virtio_net_hdr`.
pub(super) const HEADER: usize = 10;
/// Room for the largest IP packet that a host hands over.
pub(super) const LARGEST: usize = 65_535 + 64;
/// Segments joined into one packet, at most.
pub(super) const MOST: usize = 63;
/// The largest packet that segments are joined to.
const LARGEST_JOINED: usize = 65_535;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_SUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`, `…_TCPV6`, `…_UDP_L4`, and the bit `…_ECN` beside them.
const TCP4: u8 = 1;
/// See [`TCP4`].
const TCP6: u8 = 4;
/// See [`TCP4`].
const UDP: u8 = 5;
/// See [`TCP4`].
const ECN: u8 = 0x80;

const SYN_RST_URG: u8 = TCP_SYN | TCP_RST | 0x20;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// `struct virtio_net_hdr`, in the host's byte order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct VirtioHeader {
    flags: u8,
    kind: u8,
    headers: u16,
    segment: u16,
    sum: [u16; 2],
}

impl VirtioHeader {
    pub(super) fn read(bytes: &[u8; HEADER]) -> VirtioHeader {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        VirtioHeader { flags: bytes[0], kind: bytes[1], headers: word(2), segment: word(4), sum: [word(6), word(8)] }
    }

    pub(super) fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        (bytes[0], bytes[1]) = (self.flags, self.kind);
        for (at, word) in [(2, self.headers), (4, self.segment), (6, self.sum[0]), (8, self.sum[1])] {
            bytes[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Of a packet that is one on the wire too.
    pub(super) fn of_one(sum: Option<Sum>) -> VirtioHeader {
        match sum {
            None => VirtioHeader::default(),
            Some(sum) => VirtioHeader { flags: NEEDS_SUM, sum: [sum.start, sum.offset], ..VirtioHeader::default() },
        }
    }

    /// The same, of the packet with `step` bytes more before it.
    pub(super) fn moved(self, step: u16) -> VirtioHeader {
        let moved = |place: u16, is_there: bool| if is_there { place.saturating_add(step) } else { place };
        let headers = moved(self.headers, self.headers != 0);
        let start = moved(self.sum[0], self.flags & NEEDS_SUM != 0);
        VirtioHeader { headers, sum: [start, self.sum[1]], ..self }
    }

    /// The checksum of `packet` that is still to be made, where it lies behind an IP header.
    pub(super) fn sum(&self, packet: &[u8]) -> Option<Sum> {
        let sum = Sum { start: self.sum[0], offset: self.sum[1] };
        let start = usize::from(sum.start);
        let ip = if packet.first()? >> 4 == 6 { 40 } else { 20 };
        let fits = start >= ip && start + usize::from(sum.offset) + 2 <= packet.len();
        (self.flags & NEEDS_SUM != 0 && fits).then_some(sum)
    }
}

/// A super-packet on its way into segments.
#[derive(Debug)]
pub(super) struct Split<'a> {
    packet: &'a [u8],
    transport: usize,
    headers: usize,
    is_udp: bool,
    segment: usize,
    /// Bytes of payload cut off so far.
    cut: usize,
    index: u16,
}

impl<'a> Split<'a> {
    /// `None` where the packet is one on the wire too, or is nothing that can be cut.
    pub(super) fn of(header: &VirtioHeader, packet: &'a [u8]) -> Option<Split<'a>> {
        let is_udp = match header.kind & !ECN {
            TCP4 | TCP6 => false,
            UDP => true,
            _ => return None,
        };
        let transport = ip_header(packet)?;
        let headers = transport + transport_header(packet, transport, is_udp)?;
        let segment = usize::from(header.segment);
        if segment == 0 || headers >= packet.len() {
            return None;
        }
        Some(Split { packet, transport, headers, is_udp, segment, cut: 0, index: 0 })
    }

    /// Payload bytes of the whole.
    fn payload(&self) -> usize {
        self.packet.len() - self.headers
    }

    /// How many wire packets, and how many bytes of IP packets, the whole stands for; and the largest.
    pub(super) fn totals(&self) -> (u64, u64, u32) {
        let packets = self.payload().div_ceil(self.segment);
        let bytes = self.payload() + packets * self.headers;
        (packets as u64, bytes as u64, (self.headers + self.payload().min(self.segment)) as u32)
    }

    /// Cuts the next segment off into `into`; `false` where there is none left. What does not fit the
    /// buffer is left out, and the packet's length tells.
    #[inline]
    pub(super) fn next_into(&mut self, into: &mut Buffer) -> bool {
        let left = self.payload() - self.cut;
        if left == 0 {
            return false;
        }
        let size = left.min(self.segment).min(into.bytes.len() - self.headers);
        let (is_first, is_last) = (self.cut == 0, left <= self.segment);
        let from = self.headers + self.cut;
        into.bytes[..self.headers].copy_from_slice(&self.packet[..self.headers]);
        into.bytes[self.headers..self.headers + size].copy_from_slice(&self.packet[from..from + size]);
        into.length = self.headers + size;
        let bytes = &mut into.bytes[..into.length];
        let at = self.transport;
        let sum = if self.is_udp {
            bytes[at + 4..at + 6].copy_from_slice(&((size + 8) as u16).to_be_bytes());
            Sum { start: at as u16, offset: 6 }
        } else {
            add32(&mut bytes[at + 4..at + 8], self.cut as u32);
            let flags = &mut bytes[at + 13];
            *flags &= if is_first { 0xff } else { !CWR } & if is_last { 0xff } else { !(PSH | TCP_FIN) };
            Sum { start: at as u16, offset: 16 }
        };
        set_length(bytes, Some(self.index));
        set_pseudo_sum(bytes, sum);
        into.sum = Some(sum);
        self.cut += left.min(self.segment);
        self.index = self.index.wrapping_add(1);
        true
    }
}

/// Whether `next` may leave in one packet with `run`, which it comes right after: the same flow, the next
/// bytes of it, and headers that differ in nothing but what differs between the segments of one packet.
#[inline]
pub(super) fn may_follow(run: &Run, next: &Buffer) -> bool {
    let (Some(shape), Some(other)) = (run.shape, Shape::of(next)) else { return false };
    let payload = next.length - other.headers;
    if run.closed
        || run.count == MOST
        || shape.transport != other.transport
        || shape.headers != other.headers
        || shape.is_udp != other.is_udp
        || payload > run.segment
        || run.length + payload > LARGEST_JOINED
    {
        return false;
    }
    let (a, b, at) = (&run.headers[..shape.headers], next.as_ref(), shape.transport);
    let same = |from: usize, to: usize| a[from..to] == b[from..to];
    let ip = if a[0] >> 4 == 4 {
        let id = u16::from_be_bytes([a[4], a[5]]).wrapping_add(run.count as u16);
        same(0, 2) && id.to_be_bytes() == [b[4], b[5]] && same(6, 10) && same(12, at)
    } else {
        same(0, 4) && same(6, at)
    };
    if !ip || !same(at, at + 4) {
        return false;
    }
    if shape.is_udp {
        return true;
    }
    let number = u32::from_be_bytes([a[at + 4], a[at + 5], a[at + 6], a[at + 7]]);
    let expected = number.wrapping_add((run.length - shape.headers) as u32).to_be_bytes();
    let flags = (a[at + 13] & !CWR) == (b[at + 13] & !(PSH | TCP_FIN));
    b[at + 4..at + 8] == expected
        && same(at + 8, at + 13)
        && flags
        && same(at + 14, at + 16)
        && same(at + 18, shape.headers)
}

/// The headers of a packet that segments can be joined to.
#[derive(Debug, Clone, Copy)]
struct Shape {
    transport: usize,
    headers: usize,
    is_udp: bool,
}

impl Shape {
    /// `None` of a packet that is always alone: without payload or pending checksum, or that begins or ends
    /// a connection out of turn.
    #[inline]
    fn of(buffer: &Buffer) -> Option<Shape> {
        let sum = buffer.sum?;
        let packet = buffer.as_ref();
        let transport = usize::from(sum.start);
        let protocol = match (packet[0] >> 4, transport) {
            (4, 20..) if packet[0] & 0xf == (transport / 4) as u8 && packet[6] & 0x3f == 0 && packet[7] == 0 => {
                packet[9]
            }
            (6, 40) => packet[6],
            _ => return None,
        };
        let is_udp = match (protocol, sum.offset) {
            (header::TCP, 16) => false,
            (header::UDP, 6) => true,
            _ => return None,
        };
        let headers = transport + transport_header(packet, transport, is_udp)?;
        if headers >= packet.len() || (!is_udp && packet[transport + 13] & SYN_RST_URG != 0) {
            return None;
        }
        Some(Shape { transport, headers, is_udp })
    }
}

/// Neighbours that leave together, as far as they are known.
#[derive(Debug)]
pub(super) struct Run {
    shape: Option<Shape>,
    /// Headers of the first.
    headers: [u8; 128],
    /// Payload of the first, which only the last may fall short of.
    segment: usize,
    /// Of the joined packet.
    length: usize,
    count: usize,
    /// Nothing may follow.
    closed: bool,
}

impl Run {
    /// Of nothing.
    pub(super) const fn new() -> Run {
        Run { shape: None, headers: [0; 128], segment: 0, length: 0, count: 0, closed: false }
    }

    /// Starts anew with this packet, or adds it: [`may_follow`] has been asked.
    #[inline]
    pub(super) fn add(&mut self, packet: &Buffer, is_first: bool) {
        if is_first {
            self.shape = Shape::of(packet).filter(|shape| shape.headers <= self.headers.len());
            let Some(shape) = self.shape else { return };
            self.headers[..shape.headers].copy_from_slice(&packet.as_ref()[..shape.headers]);
            (self.segment, self.length, self.count) = (packet.length - shape.headers, packet.length, 1);
            self.closed = self.ends(packet, shape);
        } else if let Some(shape) = self.shape {
            let payload = packet.length - shape.headers;
            self.length += payload;
            self.count += 1;
            self.closed = payload < self.segment || self.ends(packet, shape);
        }
    }

    fn ends(&self, packet: &Buffer, shape: Shape) -> bool {
        !shape.is_udp && packet.as_ref()[shape.transport + 13] & (PSH | TCP_FIN) != 0
    }
}

/// Makes the first packet's headers those of the joined one. Gives back the virtio header, and how many
/// bytes of headers the packets after the first have, which are left out.
pub(super) fn join(run: &Run, first: &mut Buffer, last_flags: u8) -> (VirtioHeader, usize) {
    let shape = run.shape.expect("a run of more than one has a shape");
    let at = shape.transport;
    let is_v4 = first.bytes[0] >> 4 == 4;
    let kind = match (shape.is_udp, is_v4) {
        (true, _) => UDP,
        (false, true) => TCP4,
        (false, false) => TCP6,
    };
    let mut ecn = 0;
    if shape.is_udp {
        let length = (run.length - at) as u16;
        first.bytes[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
    } else {
        let flags = &mut first.bytes[at + 13];
        ecn = if *flags & CWR != 0 { ECN } else { 0 };
        *flags |= last_flags & (PSH | TCP_FIN);
    }
    let sum = Sum { start: at as u16, offset: if shape.is_udp { 6 } else { 16 } };
    write_length(&mut first.bytes, run.length, None);
    let pseudo = pseudo_sum(&first.bytes, sum, run.length);
    put_sum(&mut first.bytes, sum, pseudo);
    let header = VirtioHeader {
        flags: NEEDS_SUM,
        kind: kind | ecn,
        headers: shape.headers as u16,
        segment: run.segment as u16,
        sum: [sum.start, sum.offset],
    };
    (header, shape.headers)
}

/// The TCP flags of a packet that has been in a run; 0 for UDP.
pub(super) fn flags_of(run: &Run, packet: &Buffer) -> u8 {
    run.shape.filter(|shape| !shape.is_udp).map_or(0, |shape| packet.as_ref()[shape.transport + 13])
}

/// Makes the checksum that the sending host has left to make.
pub(super) fn make_sum(packet: &mut Buffer) {
    let Some(sum) = packet.sum.take() else { return };
    let bytes = packet.as_mut();
    let total = !fold(add_up(&bytes[usize::from(sum.start)..]));
    // A UDP checksum that comes to zero is sent as its other form (RFC 768).
    put_sum(bytes, sum, if total == 0 && sum.offset == 6 { 0xffff } else { total });
}

/// Makes the checksum of a packet of which one bit was flipped on the way, so that the receiver finds it
/// wrong: as it would have with the checksum made before, since one bit always tells in a one's
/// complement sum (RFC 1071).
pub(super) fn spoil_sum(packet: &mut Buffer) {
    let Some(sum) = packet.sum.take() else { return };
    let bytes = packet.as_mut();
    // The flipped bit may have been one of the checksum's own.
    set_pseudo_sum(bytes, sum);
    let total = !fold(add_up(&bytes[usize::from(sum.start)..]));
    // A checksum of zero would mean none to UDP over IPv4.
    put_sum(bytes, sum, if total ^ 1 == 0 { total ^ 2 } else { total ^ 1 });
}

/// Bytes of the IP header, extension headers of IPv6 excluded: such packets are not cut.
fn ip_header(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 if packet.len() >= 20 => Some(usize::from(packet[0] & 0xf) * 4).filter(|&length| length >= 20),
        6 if packet.len() >= 40 && matches!(packet[6], header::TCP | header::UDP) => Some(40),
        _ => None,
    }
}

fn transport_header(packet: &[u8], transport: usize, is_udp: bool) -> Option<usize> {
    if is_udp {
        return (transport + 8 <= packet.len()).then_some(8);
    }
    // The upper half of this byte is TCP's header length, in words of four bytes.
    let length = usize::from(packet.get(transport + 12)? >> 4) * 4;
    (length >= 20 && transport + length <= packet.len()).then_some(length)
}

/// Sets the length field of a packet's IP header to that of the slice, and IPv4's checksum with it.
fn set_length(packet: &mut [u8], id_step: Option<u16>) {
    let length = packet.len();
    write_length(packet, length, id_step);
}

fn write_length(packet: &mut [u8], length: usize, id_step: Option<u16>) {
    if packet[0] >> 4 == 6 {
        packet[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        return;
    }
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    if let Some(step) = id_step {
        let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(step);
        packet[4..6].copy_from_slice(&id.to_be_bytes());
    }
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 0xf) * 4;
    let sum = !fold(add_up(&packet[..header]));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Puts the sum of the pseudo-header where the checksum will be: what a host leaves to its card.
fn set_pseudo_sum(packet: &mut [u8], sum: Sum) {
    let pseudo = pseudo_sum(packet, sum, packet.len());
    put_sum(packet, sum, pseudo);
}

/// Of a packet that is `length` bytes long (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo_sum(packet: &[u8], sum: Sum, length: usize) -> u16 {
    let addresses = if packet[0] >> 4 == 6 { &packet[8..40] } else { &packet[12..20] };
    let protocol = if sum.offset == 6 { header::UDP } else { header::TCP };
    fold(add_up(addresses) + u64::from(protocol) + (length - usize::from(sum.start)) as u64)
}

fn put_sum(packet: &mut [u8], sum: Sum, value: u16) {
    let at = usize::from(sum.start) + usize::from(sum.offset);
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The sum of 16-bit words (RFC 1071), not folded.
fn add_up(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    sum + rest.first().map_or(0, |&last| u64::from(last) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn add32(field: &mut [u8], step: u32) {
    let number = u32::from_be_bytes([field[0], field[1], field[2], field[3]]).wrapping_add(step);
    field.copy_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    const A: [u8; 4] = [198, 18, 0, 1];
    const B: [u8; 4] = [198, 18, 0, 2];

    /// As a host hands it over: the checksum of the transport stands for the pseudo-header alone.
    fn handed_over(mut packet: Vec<u8>, kind: u8, segment: usize) -> (VirtioHeader, Vec<u8>) {
        let start = ip_header(&packet).unwrap();
        let sum = Sum { start: start as u16, offset: if kind == UDP { 6 } else { 16 } };
        set_pseudo_sum(&mut packet, sum);
        let header =
            VirtioHeader { flags: NEEDS_SUM, kind, headers: 0, segment: segment as u16, sum: [sum.start, sum.offset] };
        (header, packet)
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    fn tcp(v6: bool, length: usize, with: impl Fn(TcpHeader) -> TcpHeader) -> Vec<u8> {
        let mut header = TcpHeader::new(1234, 4433, u32::MAX - 2000, 1000);
        (header.ack, header.acknowledgment_number) = (true, 7);
        header.set_options(&[TcpOptionElement::Timestamp(1, 2)]).unwrap();
        let header = with(header);
        let mut packet = Vec::new();
        if v6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp_header(header).write(&mut packet, &payload(length)).unwrap();
        } else {
            PacketBuilder::ipv4(A, B, 64).tcp_header(header).write(&mut packet, &payload(length)).unwrap();
        }
        packet
    }

    fn udp(length: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(A, B, 64).udp(10, 20).write(&mut packet, &payload(length)).unwrap();
        packet
    }

    fn buffer() -> Buffer {
        Buffer { bytes: vec![0xaa; 1564].into_boxed_slice(), length: 0, sum: None }
    }

    fn split(header: &VirtioHeader, packet: &[u8]) -> Vec<Buffer> {
        let mut split = Split::of(header, packet).expect("a super-packet");
        let (packets, bytes, largest) = split.totals();
        let mut all = Vec::new();
        let mut next = buffer();
        while split.next_into(&mut next) {
            all.push(std::mem::replace(&mut next, buffer()));
        }
        assert_eq!(all.len() as u64, packets);
        assert_eq!(all.iter().map(|each| each.length as u64).sum::<u64>(), bytes);
        assert_eq!(all.iter().map(|each| each.length as u32).max(), Some(largest));
        all
    }

    /// Makes the checksum, as the receiving host's card would.
    fn summed(packet: &Buffer) -> Vec<u8> {
        let mut packet = packet.clone();
        make_sum(&mut packet);
        packet.as_ref().to_vec()
    }

    /// Someone else's reading: the headers are whole, and every checksum is right.
    fn read_tcp(bytes: &[u8]) -> (TcpHeader, Vec<u8>) {
        let packet = etherparse::PacketHeaders::from_ip_slice(bytes).unwrap();
        let tcp = packet.transport.clone().unwrap().tcp().unwrap();
        let payload = packet.payload.slice();
        let right = match packet.net.unwrap() {
            etherparse::NetHeaders::Ipv4(ip, _) => {
                assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                assert_eq!(usize::from(ip.total_len), bytes.len());
                tcp.calc_checksum_ipv4(&ip, payload).unwrap()
            }
            etherparse::NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(&ip, payload).unwrap(),
            _ => panic!("neither IPv4 nor IPv6"),
        };
        assert_eq!(tcp.checksum, right);
        (tcp, payload.to_vec())
    }

    /// Joins what may be joined, in order; gives each packet with its header back.
    fn rejoin(all: &[Buffer]) -> Vec<(VirtioHeader, Vec<u8>)> {
        let (mut run, mut together, mut out) = (Run::new(), Vec::<Buffer>::new(), Vec::new());
        let mut give = |run: &Run, together: &mut Vec<Buffer>| {
            let mut all = std::mem::take(together);
            if all.len() == 1 {
                out.push((VirtioHeader::of_one(all[0].sum), all[0].as_ref().to_vec()));
            } else {
                let flags = flags_of(run, all.last().unwrap());
                let (header, headers) = join(run, &mut all[0], flags);
                let mut bytes = all[0].as_ref().to_vec();
                all[1..].iter().for_each(|each| bytes.extend(&each.as_ref()[headers..]));
                out.push((header, bytes));
            }
        };
        for packet in all {
            if !together.is_empty() && !may_follow(&run, packet) {
                give(&run, &mut together);
            }
            run.add(packet, together.is_empty());
            together.push(packet.clone());
        }
        give(&run, &mut together);
        out
    }

    #[test]
    fn a_header_moves_with_the_bytes_before_its_packet() {
        let sum = Sum { start: 20, offset: 16 };
        let one = VirtioHeader::of_one(Some(sum)).moved(14);
        assert_eq!((one.sum, one.headers), ([34, 16], 0));
        let joined = VirtioHeader { kind: TCP4, headers: 52, segment: 1448, ..VirtioHeader::of_one(Some(sum)) };
        assert_eq!(joined.moved(14), VirtioHeader { headers: 66, sum: [34, 16], ..joined });
        assert_eq!(VirtioHeader::of_one(None).moved(14), VirtioHeader::default(), "nothing to move");
    }

    #[test]
    fn tcp_super_packets_are_segmented_as_by_the_kernel() {
        for v6 in [false, true] {
            let whole = tcp(v6, 2 * 1400 + 100, |header| TcpHeader { psh: true, fin: true, cwr: true, ..header });
            let (header, whole) = handed_over(whole, if v6 { TCP6 } else { TCP4 }, 1400);
            let all = split(&header, &whole);
            let read: Vec<_> = all.iter().map(|each| read_tcp(&summed(each))).collect();
            let figures: Vec<_> = read
                .iter()
                .map(|(tcp, payload)| (tcp.sequence_number, payload.len(), tcp.cwr, tcp.psh, tcp.fin))
                .collect();
            let first = u32::MAX - 2000;
            assert_eq!(
                figures,
                [
                    (first, 1400, true, false, false),
                    (first.wrapping_add(1400), 1400, false, false, false),
                    (first.wrapping_add(2800), 100, false, true, true)
                ]
            );
            assert_eq!(read.iter().flat_map(|(_, payload)| payload.clone()).collect::<Vec<u8>>(), payload(2900));
            if !v6 {
                let ids: Vec<u8> = all.iter().map(|each| each.as_ref()[5]).collect();
                assert_eq!(ids, [whole[5], whole[5] + 1, whole[5] + 2]);
            }
        }
    }

    #[test]
    fn a_udp_super_packet_falls_into_datagrams() {
        let (header, whole) = handed_over(udp(2 * 1200 + 7), UDP, 1200);
        let all = split(&header, &whole);
        for (packet, size) in all.iter().zip([1200, 1200, 7]) {
            let bytes = summed(packet);
            let read = etherparse::PacketHeaders::from_ip_slice(&bytes).unwrap();
            let (Some(etherparse::NetHeaders::Ipv4(ip, _)), Some(udp)) = (read.net.clone(), read.transport.clone())
            else {
                panic!("not UDP over IPv4")
            };
            let udp = udp.udp().unwrap();
            assert_eq!((usize::from(udp.length), read.payload.slice().len()), (size + 8, size));
            assert_eq!(udp.checksum, udp.calc_checksum_ipv4(&ip, read.payload.slice()).unwrap());
        }
    }

    #[test]
    fn neighbours_join_to_what_they_were() {
        for (kind, whole) in [
            (TCP4, tcp(false, 60_000, |header| TcpHeader { psh: true, ..header })),
            (TCP6, tcp(true, 60_000, |header| TcpHeader { cwr: true, ..header })),
            (UDP, udp(30_000)),
        ] {
            let (header, whole) = handed_over(whole, kind, 1400);
            let joined = rejoin(&split(&header, &whole));
            assert_eq!(joined.len(), 1);
            assert_eq!(joined[0].1, whole);
            assert_eq!((joined[0].0.kind & !ECN, joined[0].0.segment, joined[0].0.sum), (kind, 1400, header.sum));
        }
    }

    #[test]
    fn what_is_not_a_neighbour_stays_apart() {
        let plain = |length: usize, with: fn(TcpHeader) -> TcpHeader| {
            let (header, packet) = handed_over(tcp(false, length, with), 0, 0);
            let mut one = buffer();
            one.length = packet.len();
            one.bytes[..packet.len()].copy_from_slice(&packet);
            one.sum = header.sum(&packet);
            one
        };
        let first = || plain(1000, |header| header);
        fn after(header: TcpHeader) -> TcpHeader {
            TcpHeader { sequence_number: header.sequence_number.wrapping_add(1000), ..header }
        }
        let next = |with: fn(TcpHeader) -> TcpHeader, length| {
            let mut one = plain(length, with);
            let whole = one.length;
            one.bytes[5] = first().bytes[5] + 1;
            write_length(&mut one.bytes, whole, None);
            one
        };
        let apart = |next: Buffer| rejoin(&[first(), next]).len();
        assert_eq!(apart(next(after, 1000)), 1);
        assert_eq!(apart(next(after, 10)), 1, "the last may be shorter");
        assert_eq!(apart(next(after, 1001)), 2, "but not longer");
        assert_eq!(apart(next(|header| header, 1000)), 2, "a repetition");
        assert_eq!(apart(next(|h| TcpHeader { window_size: 3, ..after(h) }, 1000)), 2);
        assert_eq!(apart(next(|h| TcpHeader { acknowledgment_number: 9, ..after(h) }, 1000)), 2);
        assert_eq!(apart(next(|h| TcpHeader { source_port: 9, ..after(h) }, 1000)), 2);
        assert_eq!(apart(next(|h| TcpHeader { rst: true, ..after(h) }, 1000)), 2);
        assert_eq!(apart(next(after, 0)), 2, "a bare acknowledgement");
        let mut marked = next(after, 1000);
        marked.bytes[1] |= 3;
        assert_eq!(apart(marked), 2, "another ECN mark");
        let mut corrupted = next(after, 1000);
        spoil_sum(&mut corrupted);
        assert_eq!(apart(corrupted), 2);
        // Behind a short one, and behind the end of what was written, nothing follows.
        let second = next(|h| TcpHeader { psh: true, ..after(h) }, 1000);
        let mut third = plain(1000, |h| after(after(h)));
        third.bytes[5] = first().bytes[5] + 2;
        assert_eq!(rejoin(&[first(), second, third]).len(), 2);
    }

    #[test]
    fn a_flipped_bit_is_always_found_by_the_receiver() {
        let (header, whole) = handed_over(tcp(false, 1400, |header| header), TCP4, 700);
        let packet = split(&header, &whole).remove(0);
        for bit in 20 * 8..packet.length * 8 {
            let mut damaged = packet.clone();
            damaged.as_mut()[bit / 8] ^= 1 << (bit % 8);
            spoil_sum(&mut damaged);
            assert_eq!(damaged.sum, None);
            let bytes = damaged.as_ref();
            let pseudo = u64::from(pseudo_sum(bytes, Sum { start: 20, offset: 16 }, bytes.len()));
            assert_ne!(fold(add_up(&bytes[20..]) + pseudo), 0xffff, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_cut_joins_again_and_nothing_panics(
            length in 1usize..65_000, segment in 1usize..1460, lost in proptest::collection::vec(any::<bool>(), 0..64),
        ) {
            let segment = segment.max(length.div_ceil(64)).min(1460);
            let (header, whole) = handed_over(tcp(false, length, |header| header), TCP4, segment);
            let all = split(&header, &whole);
            let kept: Vec<Buffer> = all
                .into_iter()
                .enumerate()
                .filter(|(at, _)| !lost.get(*at).copied().unwrap_or(false))
                .map(|(_, packet)| packet)
                .collect();
            if !kept.is_empty() {
                let again: Vec<Vec<u8>> = rejoin(&kept)
                    .iter()
                    .flat_map(|(header, packet)| match Split::of(header, packet) {
                        Some(_) => split(header, packet).iter().map(|each| each.as_ref().to_vec()).collect(),
                        None => vec![packet.clone()],
                    })
                    .collect();
                prop_assert_eq!(again, kept.iter().map(|each| each.as_ref().to_vec()).collect::<Vec<_>>());
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..7, size in 0u16..300) {
            let header = VirtioHeader { flags: 1, kind, headers: 0, segment: size, sum: [20, 16] };
            if let Some(mut split) = Split::of(&header, &bytes) {
                while split.next_into(&mut buffer()) {}
            }
            let mut one = buffer();
            one.length = bytes.len();
            one.bytes[..bytes.len()].copy_from_slice(&bytes);
            one.sum = header.sum(&bytes);
            let mut run = Run::new();
            run.add(&one, true);
            let _ = may_follow(&run, &one);
            spoil_sum(&mut one);
        }
    }
}
