//! What held a message at its sender: the hold of its delay, taken apart by the states that the sender's transport told
//! of itself while it lasted.
//!
//! QUIC tells each change of a state as it happens: no stream to be had for a message (RFC 9000, section 4.6), credit of
//! the connection or of a stream at its end (section 4.1; its own DATA_BLOCKED and STREAM_DATA_BLOCKED frames, until the
//! limit is moved), the congestion window full. What a cold session began with, the lookup of a name and the set-up of its
//! connections, held what was released before. TCP is sampled every 10 ms: of the time between two samples the receiver's
//! window and the send buffer have the share that the kernel says (`tcpi_rwnd_limited`, `tcpi_sndbuf_limited`), and where
//! bytes waited in the kernel at both (`tcpi_notsent_bytes`), the rest is the congestion window's, unless the controller
//! paces. Whatever no state accounts for is the application's until the message
//! was handed over, and afterwards nobody's: pacing, or the sender's own time, which no stack tells apart.

use std::collections::HashMap;

use samepath_model::record::{End, Instant, Metric, NameLookup, SeriesPoint};

/// The parts of a hold, in nanoseconds, in the order of [`HoldParts`](samepath_model::blocking::HoldParts); they add up
/// to it exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Before it was handed over, while nothing else held it.
    pub application: i64,
    /// The lookup of the server's name.
    pub lookup: i64,
    /// The set-up of its connection.
    pub setup: i64,
    /// The number of streams that may be open at once.
    pub streams: i64,
    /// The connection's flow control, or of TCP the receiver's window.
    pub connection: i64,
    /// The stream's flow control.
    pub stream: i64,
    /// The transport's send buffer.
    pub buffer: i64,
    /// The congestion window.
    pub window: i64,
    /// After it was handed over, while nothing told held it.
    pub unknown: i64,
}

impl Held {
    /// The same of a message that has a connection of its own, which is made once it is released: until it is handed over,
    /// that is what holds it.
    #[must_use]
    pub const fn with_own_connection(mut self) -> Held {
        (self.setup, self.application) = (self.application, 0);
        self
    }

    /// Each part of both together.
    #[must_use]
    pub const fn plus(self, other: &Held) -> Held {
        Held {
            application: self.application + other.application,
            lookup: self.lookup + other.lookup,
            setup: self.setup + other.setup,
            streams: self.streams + other.streams,
            connection: self.connection + other.connection,
            stream: self.stream + other.stream,
            buffer: self.buffer + other.buffer,
            window: self.window + other.window,
            unknown: self.unknown + other.unknown,
        }
    }

    /// In the order of [`HoldParts::NAMES`](samepath_model::blocking::HoldParts::NAMES).
    pub const fn values(&self) -> [i64; 9] {
        [
            self.application,
            self.lookup,
            self.setup,
            self.streams,
            self.connection,
            self.stream,
            self.buffer,
            self.window,
            self.unknown,
        ]
    }
}

/// How a cold session began: when what came before its first message was over, from the start of its schedule in
/// nanoseconds. Of one whose connections were up before, nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opening {
    /// The lookup of the server's name, with which it began, and no connection did before.
    pub looked_up: Instant,
    /// The handshake of every connection.
    pub up: Instant,
}

impl Opening {
    /// Of a session whose lookup and handshakes took so many nanoseconds.
    pub fn of(is_cold: bool, lookup: Option<NameLookup>, handshake_ns: Option<u64>) -> Opening {
        if !is_cold {
            return Opening::default();
        }
        let looked_up = lookup.map_or(0, |lookup| lookup.took_ns.cast_signed());
        Opening { looked_up, up: looked_up + handshake_ns.unwrap_or(0).cast_signed() }
    }
}

/// A time, its end not included.
type Span = (Instant, Instant);

/// The times in which a sender's transport could not send, by its own account.
#[derive(Debug, Clone, Default)]
pub(super) struct States {
    lookup: Vec<Span>,
    setup: Vec<Span>,
    streams: Vec<Span>,
    connection: Vec<Span>,
    stream: HashMap<u64, Vec<Span>>,
    window: Vec<Span>,
    /// Of TCP: between two samples, the shares of the receiver's window and of the send buffer.
    bins: Vec<Bin>,
}

#[derive(Debug, Clone, Copy)]
struct Bin {
    span: Span,
    receiver: f64,
    buffer: f64,
}

impl States {
    /// From the time series of this end, in any order. `is_window_alone`: what waits in the kernel's TCP waits for a window.
    pub(super) fn of(series: &[SeriesPoint], sender: End, is_window_alone: bool) -> States {
        let mut of: HashMap<Metric, Vec<(Instant, f64)>> = HashMap::new();
        for point in series.iter().filter(|point| point.end == sender) {
            of.entry(point.metric).or_default().push((point.at, point.value));
        }
        of.values_mut().for_each(|points| points.sort_by_key(|(at, _)| *at));
        let points = |metric| of.get(&metric).map_or(&[][..], Vec::as_slice);
        let mut by_stream: HashMap<u64, Vec<(Instant, f64)>> = HashMap::new();
        for &(at, value) in points(Metric::StreamBlocked) {
            // The stream's ID and one, negative where it goes on.
            by_stream.entry(value.abs() as u64 - 1).or_default().push((at, value.signum().max(0.0)));
        }
        let mut window = spans(points(Metric::WindowFull));
        if window.is_empty() && is_window_alone {
            window = sampled(points(Metric::Unsent));
        }
        States {
            streams: spans(points(Metric::StreamsBlocked)),
            connection: spans(points(Metric::ConnectionBlocked)),
            stream: by_stream.into_iter().map(|(stream, points)| (stream, spans(&points))).collect(),
            window,
            lookup: Vec::new(),
            setup: Vec::new(),
            bins: bins(points(Metric::ReceiveWindowLimited), points(Metric::SendBufferLimited)),
        }
    }

    /// The same of a session that began so.
    #[must_use]
    pub(super) fn opened(mut self, Opening { looked_up, up }: Opening) -> States {
        (self.lookup, self.setup) = (vec![(0, looked_up)], vec![(looked_up, up)]);
        self
    }

    /// What held the message of this stream from its release until its last byte came to the link; `handed` is when the
    /// transport had all of it.
    pub(super) fn split(&self, released: Instant, left: Instant, handed: Option<Instant>, stream: u64) -> Held {
        let handed = handed.unwrap_or(left).clamp(released, left);
        let mut held = Held::default();
        let mut before = vec![(released, handed)];
        held.lookup = take(&mut before, &self.lookup);
        held.setup = take(&mut before, &self.setup);
        held.streams = take(&mut before, &self.streams);
        // Once a stream was opened for it, those that others wait for hold it no longer.
        let mut rest = [before, vec![(handed, left)]].concat();
        rest.retain(|(from, to)| from < to);
        held.connection = take(&mut rest, &self.connection);
        held.stream = self.stream.get(&stream).map_or(0, |spans| take(&mut rest, spans));
        let in_window = taken(&mut rest, &self.window);
        for (from, to) in in_window {
            let (receiver, buffer) = self.shares(from, to);
            held.connection += receiver;
            held.buffer += buffer;
            held.window += to - from - receiver - buffer;
        }
        for (from, to) in rest {
            let (receiver, buffer) = self.shares(from, to);
            held.connection += receiver;
            held.buffer += buffer;
            let left = to - from - receiver - buffer;
            let of_application = (handed.min(to) - from).clamp(0, left);
            held.application += of_application;
            held.unknown += left - of_application;
        }
        held
    }

    /// What the receiver's window and the send buffer have of this time.
    fn shares(&self, from: Instant, to: Instant) -> (i64, i64) {
        let (mut receiver, mut buffer) = (0, 0);
        let first = self.bins.partition_point(|bin| bin.span.1 <= from);
        for bin in self.bins[first..].iter().take_while(|bin| bin.span.0 < to) {
            let both = (to.min(bin.span.1) - from.max(bin.span.0)) as f64;
            receiver += (both * bin.receiver) as i64;
            buffer += (both * bin.buffer) as i64;
        }
        (receiver, buffer)
    }
}

/// The times in which a state that is told by its changes was on; one that did not end lasts for ever.
fn spans(changes: &[(Instant, f64)]) -> Vec<Span> {
    let (mut spans, mut since) = (Vec::new(), None);
    for &(at, value) in changes {
        match (since, value > 0.0) {
            (None, true) => since = Some(at),
            (Some(from), false) => {
                spans.push((from, at));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|from| (from, Instant::MAX)));
    spans
}

/// The times between two samples at both of which bytes waited to be sent.
fn sampled(unsent: &[(Instant, f64)]) -> Vec<Span> {
    let pairs = unsent.windows(2).filter(|pair| pair.iter().all(|(_, bytes)| *bytes > 0.0));
    pairs.map(|pair| (pair[0].0, pair[1].0)).collect()
}

/// The shares of each time between two samples, from what the kernel has counted by then, in microseconds.
fn bins(receiver: &[(Instant, f64)], buffer: &[(Instant, f64)]) -> Vec<Bin> {
    let pairs = receiver.windows(2).zip(buffer.windows(2));
    pairs
        .filter(|(receiver, buffer)| receiver[0].0 == buffer[0].0 && receiver[1].0 == buffer[1].0)
        .map(|(receiver, buffer)| {
            let span = (receiver[0].0, receiver[1].0);
            let all = ((span.1 - span.0) as f64).max(1.0);
            let share = |pair: &[(Instant, f64)]| ((pair[1].1 - pair[0].1) * 1000.0 / all).clamp(0.0, 1.0);
            let of_receiver = share(receiver);
            Bin { span, receiver: of_receiver, buffer: share(buffer).min(1.0 - of_receiver) }
        })
        .filter(|bin| bin.receiver > 0.0 || bin.buffer > 0.0)
        .collect()
}

/// Takes away what of `rest` lies in `spans`, both in order; how much it was.
fn take(rest: &mut Vec<Span>, spans: &[Span]) -> i64 {
    taken(rest, spans).into_iter().map(|(from, to)| to - from).sum()
}

/// Takes away what of `rest` lies in `spans`, both in order; what it was.
fn taken(rest: &mut Vec<Span>, spans: &[Span]) -> Vec<Span> {
    let (mut left, mut taken) = (Vec::with_capacity(rest.len()), Vec::new());
    for &(from, to) in rest.iter() {
        let mut at = from;
        let first = spans.partition_point(|span| span.1 <= from);
        for &(start, end) in spans[first..].iter().take_while(|span| span.0 < to) {
            let (start, end) = (start.max(at), end.min(to));
            if at < start {
                left.push((at, start));
            }
            if start < end {
                taken.push((start, end));
            }
            at = end.max(at);
        }
        if at < to {
            left.push((at, to));
        }
    }
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    fn point(at_ms: i64, metric: Metric, value: f64) -> SeriesPoint {
        SeriesPoint { flow: 0, at: at_ms * MS, end: End::Server, metric, value }
    }

    fn sum(held: &Held) -> i64 {
        held.values().iter().sum()
    }

    #[test]
    fn each_hold_is_named_by_its_state() {
        let series = [
            point(10, Metric::StreamsBlocked, 1.0),
            point(30, Metric::StreamsBlocked, 0.0),
            point(25, Metric::WindowFull, 1.0),
            point(60, Metric::WindowFull, 0.0),
            point(60, Metric::ConnectionBlocked, 1.0),
            point(65, Metric::ConnectionBlocked, 0.0),
            point(65, Metric::StreamBlocked, 8.0),
            point(75, Metric::StreamBlocked, -8.0),
            // Another stream, another end: none of its business.
            point(0, Metric::StreamBlocked, 12.0),
            SeriesPoint { end: End::Client, ..point(0, Metric::WindowFull, 1.0) },
        ];
        let states = States::of(&series, End::Server, true);
        let held = states.split(0, 90 * MS, Some(35 * MS), 7);
        let ms = |n: i64| n * MS;
        let expected = Held {
            application: ms(10),
            lookup: 0,
            setup: 0,
            streams: ms(20),
            connection: ms(5),
            stream: ms(10),
            buffer: 0,
            window: ms(30),
            unknown: ms(15),
        };
        assert_eq!(held, expected);
        assert_eq!(sum(&held), ms(90));
        // One that has its stream already does not wait for those of others.
        let held = states.split(0, 90 * MS, Some(5 * MS), 7);
        assert_eq!((held.streams, held.application, sum(&held)), (0, ms(5), ms(90)));
    }

    #[test]
    fn tcp_is_told_by_its_samples() {
        let mut series = Vec::new();
        for (at, unsent, receiver, buffer) in [
            (0, 5000.0, 0.0, 0.0),
            (10, 100.0, 2000.0, 0.0),
            (20, 0.0, 2000.0, 0.0),
            (30, 5000.0, 6000.0, 1000.0),
            (40, 0.0, 6000.0, 1000.0),
        ] {
            series.push(point(at, Metric::Unsent, unsent));
            series.push(point(at, Metric::ReceiveWindowLimited, receiver));
            series.push(point(at, Metric::SendBufferLimited, buffer));
        }
        let held = States::of(&series, End::Server, true).split(0, 40 * MS, Some(15 * MS), 0);
        // Bytes wait at 0 and at 10 ms, for 2 of which the kernel blames the receiver; of 20 to 30 ms it says 4 and 1.
        assert_eq!((held.window, held.connection, held.buffer), (8 * MS, 6 * MS, MS));
        assert_eq!((held.application, held.unknown), (5 * MS, 20 * MS));
        assert_eq!(sum(&held), 40 * MS);
    }

    #[test]
    fn where_nothing_is_told_nothing_is_claimed() {
        let held = States::of(&[], End::Client, true).split(5, 25, Some(10), 3);
        assert_eq!(held, Held { application: 5, unknown: 15, ..Held::default() });
        let held = States::of(&[], End::Client, true).split(5, 25, None, 3);
        assert_eq!(held, Held { application: 20, ..Held::default() });
    }

    #[test]
    fn what_a_session_begins_with_holds_its_first_message() {
        let lookup = Some(NameLookup { took_ns: 60 * MS as u64, tries: 1, answered: true });
        let opening = Opening::of(true, lookup, Some(120 * MS as u64));
        assert_eq!((opening.looked_up, opening.up), (60 * MS, 180 * MS));
        let states = States::of(&[], End::Client, true).opened(opening);
        let held = states.split(0, 182 * MS, Some(181 * MS), 0);
        let expected = Held { lookup: 60 * MS, setup: 120 * MS, application: MS, unknown: MS, ..Held::default() };
        assert_eq!((held, sum(&held)), (expected, 182 * MS));
        // On a connection that was up before the others nothing held it any longer; later nothing does.
        assert_eq!(states.split(0, 130 * MS, Some(130 * MS), 0).setup, 70 * MS);
        assert_eq!(states.split(190 * MS, 191 * MS, Some(191 * MS), 0), Held { application: MS, ..Held::default() });
        assert_eq!(Opening::of(false, None, Some(5)), Opening::default());
    }

    proptest! {
        #[test]
        fn the_parts_add_up_and_none_is_negative(
            changes in proptest::collection::vec((0i64..1000, 0usize..4, 0u8..2, 1u8..4), 0..60),
            samples in proptest::collection::vec((0f64..3e4, 0f64..2e4, 0f64..2e4), 0..30),
            released in 0i64..900, lasts in 0i64..400, handed in proptest::option::of(0i64..1300), stream in 0u64..4,
            looked_up in 0i64..500, handshake in 0i64..500,
        ) {
            let mut series: Vec<SeriesPoint> = changes
                .into_iter()
                .map(|(at, which, on, of)| {
                    let on = f64::from(on);
                    match which {
                        0 => point(at, Metric::StreamsBlocked, on),
                        1 => point(at, Metric::ConnectionBlocked, on),
                        2 => point(at, Metric::WindowFull, on),
                        _ => point(at, Metric::StreamBlocked, f64::from(of) * (2.0 * on - 1.0)),
                    }
                })
                .collect();
            for (n, (unsent, receiver, buffer)) in samples.into_iter().enumerate() {
                let at = n as i64 * 10;
                series.push(point(at, Metric::Unsent, unsent - 1e4));
                series.push(point(at, Metric::ReceiveWindowLimited, receiver));
                series.push(point(at, Metric::SendBufferLimited, buffer));
            }
            let (from, to) = (released * MS, (released + lasts) * MS);
            let opening = Opening { looked_up: looked_up * MS, up: (looked_up + handshake) * MS };
            let states = States::of(&series, End::Server, true).opened(opening);
            let held = states.split(from, to, handed.map(|at| at * MS), stream);
            prop_assert_eq!(sum(&held), to - from);
            prop_assert!(held.values().iter().all(|part| *part >= 0), "{:?}", held);
        }
    }
}
