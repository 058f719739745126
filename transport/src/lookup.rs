//! The lookup of a name before the first connection, both ends: its datagrams across the link, in clear as those of plain
//! UDP are.
//!
//! A query is the session's preface, by which the server knows whose it is, and one frame, a try of the workload's query;
//! the response is one frame. Both ends know every byte of both. When it is asked again and when no more, the workload's
//! [`StubResolver`](samepath_model::workload::StubResolver) says.

use std::io;
use std::net::SocketAddr;

use samepath_model::link::Direction;
use samepath_model::name_lookup::NameLookup;
use samepath_model::units::Duration;
use samepath_model::workload::{Event, Length, MessageId, NameQuery};
use tokio::net::UdpSocket;

use crate::credentials::{Preface, Secret};
use crate::frame::{FrameError, HEADER_LEN, Header, Kind};
use crate::payload::Payload;
use crate::{Plan, TransportError, clock, udp};

/// A name's lookup, at either end.
#[derive(Debug)]
pub struct Lookup {
    query: NameQuery,
    seed: u64,
}

impl Lookup {
    /// That with which a session of this plan begins; `None` where it begins with none.
    pub fn of(plan: &Plan) -> Option<Lookup> {
        plan.name_query().map(|query| Lookup { query, seed: plan.seed })
    }

    /// Asks the server's resolver, from `began` on (CLOCK_MONOTONIC, nanoseconds), until it has answered or is given up.
    ///
    /// # Errors
    /// When there is no socket, or what comes is not the response.
    pub async fn resolve(self, server: SocketAddr, secret: Secret, began: u64) -> Result<NameLookup, TransportError> {
        let socket = UdpSocket::from_std(udp::connected(server)?)?;
        let preface = Preface { secret, number: Preface::OF_QUERY }.encode();
        let mut resolver = self.query.stub_resolver(self.seed);
        let mut timer = clock::Timer::new()?;
        let mut event = Event::Start;
        loop {
            let now = Duration::from_nanos(clock::now().saturating_sub(began));
            for query in resolver.on(event, now) {
                send(&socket, &[&preface[..], &self.frame(query.id)?].concat()).await?;
            }
            if let Some(outcome) = resolver.outcome() {
                return Ok(outcome);
            }
            event = tokio::select! {
                biased;
                response = receive(&socket) => Event::Delivered(self.verify(Direction::Down, &response?)?),
                waited = timer.until(began + resolver.wakes_at().as_nanos()) => {
                    waited?;
                    Event::Timer
                }
            };
        }
    }

    /// The resolver's response to what stands behind a preface; to what is none of the queries, byte for byte, that preface
    /// alone.
    pub fn answer(&self, preface: Preface, query: &[u8]) -> Vec<u8> {
        let query = self.verify(Direction::Up, query);
        let response = query.and_then(|id| self.frame(MessageId { direction: Direction::Down, ..id }));
        response.unwrap_or_else(|_| preface.encode().to_vec())
    }

    /// A message as it is sent.
    fn frame(&self, id: MessageId) -> Result<Vec<u8>, TransportError> {
        let len = self.length(id)?;
        let header = Header { kind: Kind::Data, stream: id.stream, len: len as u32, seq: id.seq, offset: 0 };
        let mut bytes = header.encode().to_vec();
        self.payload(id.direction).append(id.stream, id.seq, 0, len, &mut bytes);
        Ok(bytes)
    }

    /// Which message a datagram is, every byte of it.
    fn verify(&self, direction: Direction, datagram: &[u8]) -> Result<MessageId, TransportError> {
        if Preface::decode(datagram).is_some() {
            return Err(TransportError::Peer(
                "the query of a name reached it altered; the trial does not count".into(),
            ));
        }
        let (header, payload) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(FrameError::SHORT)?;
        let Header { kind, stream, len, seq, offset } = Header::decode(header)?;
        let id = MessageId { direction, stream, seq };
        let length = self.length(id)?;
        if (kind, offset, len as usize, payload.len()) != (Kind::Data, 0, length, length) {
            return Err(TransportError::Unexpected { stream, seq, offset });
        }
        match self.payload(direction).mismatch(stream, seq, 0, payload) {
            Some(offset) => Err(TransportError::Mismatch { stream, seq, offset }),
            None => Ok(id),
        }
    }

    fn payload(&self, direction: Direction) -> Payload {
        Payload::new(self.seed, &self.query.table(direction, self.seed))
    }

    fn length(&self, MessageId { direction, stream, seq }: MessageId) -> Result<usize, TransportError> {
        match self.query.table(direction, self.seed).length(stream, seq) {
            Some(Length::Bytes(bytes)) => Ok(bytes.bytes() as usize),
            _ => Err(TransportError::Unexpected { stream, seq, offset: 0 }),
        }
    }
}

/// Sends a datagram; what the host does not take is as good as lost.
async fn send(socket: &UdpSocket, datagram: &[u8]) -> Result<(), TransportError> {
    match socket.send(datagram).await {
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) || is_refused(&error) => Ok(()),
        Err(cause) if cause.raw_os_error() == Some(libc::EMSGSIZE) => {
            Err(TransportError::TooLarge { size: datagram.len(), cause })
        }
        sent => Ok(sent.map(drop)?),
    }
}

/// The next datagram. Cancel-safe.
async fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    /// More than any response has, so that one too long shows.
    const CAPACITY: usize = 2048;
    let mut buffer = vec![0; CAPACITY];
    loop {
        match socket.recv(&mut buffer).await {
            Err(error) if is_refused(&error) => {}
            received => {
                buffer.truncate(received?);
                return Ok(buffer);
            }
        }
    }
}

/// Whether ICMP has told that a datagram found its port closed (RFC 1122, section 4.1.3.3): a stub resolver tries again.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use samepath_model::Workload;
    use samepath_model::workload::{Page, page};

    use super::*;

    fn lookup(seed: u64) -> Lookup {
        let workload = Workload::Page(Page { lookup: page::Lookup::Uncached, ..Page::default() });
        Lookup { query: workload.name_query().unwrap(), seed }
    }

    const PREFACE: Preface = Preface { secret: [3; 16], number: Preface::OF_QUERY };
    const UP: MessageId = MessageId { direction: Direction::Up, stream: 0, seq: 1 };

    #[test]
    fn a_query_is_answered_by_its_response() {
        let query = lookup(5).frame(UP).unwrap();
        let response = lookup(5).answer(PREFACE, &query);
        assert_eq!((query.len(), response.len()), (16 + 50, 16 + 200));
        let id = lookup(5).verify(Direction::Down, &response).unwrap();
        assert_eq!(id, MessageId { direction: Direction::Down, ..UP });
    }

    #[test]
    fn what_is_not_the_response_is_told() {
        let response = lookup(5).answer(PREFACE, &lookup(5).frame(UP).unwrap());
        let refused = |bytes: &[u8]| lookup(5).verify(Direction::Down, bytes).unwrap_err();
        let mut altered = response.clone();
        altered[100] ^= 1;
        assert!(matches!(refused(&altered), TransportError::Mismatch { stream: 0, seq: 1, offset: 84 }));
        let mut another = response.clone();
        another[9] = 2;
        // The GNU C library tries twice.
        assert!(matches!(refused(&another), TransportError::Unexpected { seq: 2, .. }));
        assert!(matches!(refused(&response[..150]), TransportError::Unexpected { .. }));
        assert!(matches!(refused(&response[..15]), TransportError::Frame(_)));
        assert!(lookup(6).verify(Direction::Down, &response).is_err(), "of another seed");
        let altered = lookup(5).answer(PREFACE, &response);
        assert!(refused(&altered).to_string().contains("altered"), "a response is no query");
    }
}
