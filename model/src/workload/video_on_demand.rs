//! `video-on-demand`: segments of a film into the buffer of its player, in a closed loop.
//!
//! The player asks for one segment after the other, each in a quality that it chooses, and the server answers with the
//! segment; while the buffer is full it waits. Every segment has each quality as a message of its own, of which one is
//! released: the number of a request and of its answer is that of the segment times the number of qualities, and that of
//! the quality. A segment has exactly its quality's rate times its length in bytes; what decoding takes is not modelled.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::{Answerer, OfTheSameNumber};
use super::driver::{Action, Driver, Event};
use super::message::{Class, MessageId, Release};
use super::player::Player;
use super::spec::{MAX_DURATION, MAX_MESSAGES, MOST_WARMUP, Spec, check_timeout};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::Arm;
use crate::link::{Direction, Link};
use crate::units::{BitRate, ByteCount, Duration};

/// A film and its player. Qualities and segments are those of Pensieve (Mao, SIGCOMM 2017), as is the buffer; what is
/// needed to play, that of Media3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct VideoOnDemand {
    /// Segments of the film.
    pub segments: u32,
    /// Media in each.
    pub segment: Duration,
    /// The qualities that there are, by their rate of media, from the lowest.
    pub qualities: Vec<BitRate>,
    /// How the player chooses among them.
    pub adaptation: Adaptation,
    /// The quality that it asks for where that is `fixed`.
    pub quality: BitRate,
    /// Buffered media below which `bba-0` asks for the lowest quality.
    pub reservoir: Duration,
    /// What is buffered above the reservoir as `bba-0` asks for the highest.
    pub cushion: Duration,
    /// The most media that is buffered: a segment that would not fit is not asked for yet.
    pub buffer: Duration,
    /// Buffered media from which it plays at the start.
    pub play_from: Duration,
    /// The same after a stall.
    pub resume_from: Duration,
    /// Size of a request.
    pub request: ByteCount,
    /// How long a segment is waited for: after that the player gives up.
    pub timeout: Duration,
    /// Whether it starts with its connections, so that the start of playback waits for the handshake.
    pub cold: bool,
    /// Bytes sent for warm-up in each direction where it is not cold, as for `messages`. Absent: the smaller of the
    /// link's two bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

/// How a player chooses the quality of the next segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adaptation {
    /// The same for all.
    #[default]
    Fixed,
    /// By the buffer alone (BBA-0: Huang et al., SIGCOMM 2014, algorithm 1).
    #[serde(rename = "bba-0")]
    Bba0,
}

impl Default for VideoOnDemand {
    fn default() -> Self {
        let kbit = |n: u64| BitRate::new(n * 1000);
        VideoOnDemand {
            segments: 15,
            segment: Duration::from_secs(4),
            qualities: [300, 750, 1200, 1850, 2850, 4300].map(kbit).to_vec(),
            adaptation: Adaptation::Fixed,
            quality: kbit(1850),
            reservoir: Duration::from_secs(5),
            cushion: Duration::from_secs(10),
            buffer: Duration::from_secs(60),
            play_from: Duration::from_secs(1),
            resume_from: Duration::from_secs(2),
            request: ByteCount::new(400),
            timeout: Duration::from_secs(60),
            cold: true,
            warmup: None,
        }
    }
}

impl VideoOnDemand {
    /// A player that has nothing yet.
    pub const fn player(&self) -> Player {
        Player::new(self.play_from, self.resume_from)
    }

    /// The segment that a request or its answer is about, and its quality, by its place among the qualities.
    pub fn segment_of(&self, message: MessageId) -> (u32, usize) {
        let n = self.qualities.len().max(1) as u32;
        (message.seq / n, (message.seq % n) as usize)
    }

    /// Media in all.
    fn film(&self) -> Duration {
        self.segment * u64::from(self.segments)
    }

    /// Bytes of a segment of this quality.
    fn bytes(&self, quality: BitRate) -> ByteCount {
        quality.bytes_in(self.segment)
    }

    /// Most messages in a direction.
    fn messages(&self) -> u64 {
        u64::from(self.segments) * self.qualities.len() as u64
    }

    /// The place among the qualities of the next segment's, where so much is buffered and the one before had quality
    /// `last`.
    fn choose(&self, last: Option<usize>, level: Duration) -> usize {
        let highest = self.qualities.len() - 1;
        match self.adaptation {
            Adaptation::Fixed => self.qualities.iter().position(|q| *q == self.quality).unwrap_or(0),
            Adaptation::Bba0 if level <= self.reservoir => 0,
            Adaptation::Bba0 if level >= self.reservoir + self.cushion => highest,
            Adaptation::Bba0 => {
                let rate = |place: usize| self.qualities[place].bits_per_second() as f64;
                let share = (level - self.reservoir).as_secs_f64() / self.cushion.as_secs_f64();
                let fits = rate(0) + share * (rate(highest) - rate(0));
                let last = last.unwrap_or(0);
                if last < highest && fits >= rate(last + 1) {
                    (0..=highest).rfind(|place| rate(*place) <= fits).unwrap_or(0)
                } else if last > 0 && fits <= rate(last - 1) {
                    (0..=highest).find(|place| rate(*place) >= fits).unwrap_or(highest)
                } else {
                    last
                }
            }
        }
    }
}

impl Spec for VideoOnDemand {
    fn name(&self) -> &'static str {
        "video-on-demand"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "segments",
            "segment",
            "adaptation",
            "quality",
            "reservoir",
            "cushion",
            "buffer",
            "play-from",
            "resume-from",
            "request",
            "timeout",
            "cold",
            "warmup",
        ]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(problem.to_owned());
        if self.segments == 0 {
            return fail("`segments` must be at least 1");
        }
        if self.segment == Duration::ZERO || self.film() > MAX_DURATION {
            return fail("`segment` must be more than 0s, and the film at most 24h long");
        }
        let rises = self.qualities.windows(2).all(|pair| pair[0] < pair[1]);
        if self.qualities.is_empty() || !rises || self.qualities[0] == BitRate::new(0) {
            return fail(
                "`qualities` must name at least one rate, each higher than the one before (as 300kbit, 750kbit)",
            );
        }
        if let Some(quality) = self.qualities.iter().find(|q| !(1..=1 << 30).contains(&self.bytes(**q).bytes())) {
            return Err(format!("a segment of quality {quality} would not have between 1B and 1GiB"));
        }
        if self.adaptation == Adaptation::Fixed && !self.qualities.contains(&self.quality) {
            let known: Vec<String> = self.qualities.iter().map(BitRate::to_string).collect();
            return Err(format!("`quality` is {}; it must be one of {}", self.quality, known.join(", ")));
        }
        if self.adaptation == Adaptation::Bba0 && self.cushion == Duration::ZERO {
            return fail("`cushion` must be more than 0s");
        }
        if self.buffer < self.segment + self.play_from.max(self.resume_from) {
            return Err(format!(
                "`buffer` is {}; it must hold a segment beside what is needed to play, at least {}",
                self.buffer,
                self.segment + self.play_from.max(self.resume_from)
            ));
        }
        if !(1..=1 << 30).contains(&self.request.bytes()) {
            return fail("`request` must lie between 1B and 1GiB");
        }
        check_timeout(self.timeout)?;
        if self.cold && self.warmup.is_some() {
            return fail("`warmup` is for connections that are up before; leave it out, or set `cold = false`");
        }
        let all = 2 * self.messages();
        if all > MAX_MESSAGES {
            return Err(format!("it makes up to {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn is_cold(&self) -> bool {
        self.cold
    }

    fn streams(&self) -> u16 {
        1
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let lengths = match direction {
            Direction::Up => Lengths::Fixed(self.request),
            Direction::Down => Lengths::InTurn(self.qualities.iter().map(|quality| self.bytes(*quality)).collect()),
        };
        Some(Block { streams: 1, per_stream: self.messages() as u32, class: Class::Latency, lengths })
    }

    fn nominal_duration(&self) -> Option<Duration> {
        None
    }

    fn patience(&self, rtt: Duration) -> Duration {
        // Segments are asked for as fast as the film is played, or as they come.
        self.film() + rtt * (4 * u64::from(self.segments)) + self.timeout
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let most = match self.adaptation {
            Adaptation::Fixed => self.quality,
            Adaptation::Bba0 => *self.qualities.last()?,
        };
        let each = self.bytes(most).bytes() + self.request.bytes();
        Some(ByteCount::new(each.saturating_mul(self.segments.into())))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        if self.cold {
            return;
        }
        let bdp = |way| link.direction(way).mean_rate().map(|rate| rate.bytes_in(link.rtt()));
        let least = Direction::BOTH.into_iter().filter_map(bdp).min().unwrap_or(MOST_WARMUP);
        self.warmup.get_or_insert(least.min(MOST_WARMUP));
    }

    fn check_on(&self, arm: Arm, _link: &Link) -> Result<(), String> {
        match arm.is_reliable {
            true => Ok(()),
            false => Err(format!(
                "on `{arm}` a lost datagram loses its segment, which nothing sends again; leave the arm out, or take a \
                 reliable one (`tcp`, `tls`, `quic`)"
            )),
        }
    }

    fn most_released_in(&self, _direction: Direction, _time: Duration) -> u64 {
        // One at a time.
        self.segments.min(4).into()
    }

    fn begins(&self, message: MessageId) -> bool {
        message.direction == Direction::Up
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                player: self.player(),
                spec: self.clone(),
                stream: outgoing.streams() - 1,
                next: 0,
                quality: None,
                asked: None,
                due: Duration::ZERO,
                is_done: false,
            }),
            Direction::Down => Box::new(Answerer::new(outgoing, OfTheSameNumber)),
        }
    }
}

impl fmt::Display for VideoOnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, quality) = (self.segments, self.quality);
        write!(f, "video, {n} segments of {}, ", self.segment)?;
        match (self.adaptation, &self.qualities[..]) {
            (Adaptation::Bba0, [lowest, .., highest]) => write!(f, "{lowest} to {highest} by BBA-0"),
            _ => write!(f, "{quality}"),
        }
    }
}

/// The driver of the end that plays.
#[derive(Debug)]
struct Client {
    spec: VideoOnDemand,
    player: Player,
    stream: StreamId,
    /// The segment that is asked for next, and the quality of the one before.
    next: u32,
    quality: Option<usize>,
    /// What was asked for and has not come, and until when it is waited for.
    asked: Option<(MessageId, Duration)>,
    /// When the next fits the buffer, where it does not yet.
    due: Duration,
    is_done: bool,
}

impl Client {
    /// Asks for the next segment once it fits the buffer; `by` is what has just come.
    fn go_on(&mut self, now: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        if self.next == self.spec.segments {
            self.end(actions);
            return;
        }
        let level = self.player.level(now);
        let too_much = (level + self.spec.segment).saturating_sub(self.spec.buffer);
        if too_much > Duration::ZERO {
            self.due = now + too_much;
            actions.push(Action::WakeAt(self.due));
            return;
        }
        let quality = self.spec.choose(self.quality, level);
        let seq = self.next * self.spec.qualities.len() as u32 + quality as u32;
        let id = MessageId { direction: Direction::Up, stream: self.stream, seq };
        let length = super::Length::Bytes(self.spec.request);
        actions.push(Action::Send(Release { by, ..Release::by_the_clock(id, length, now) }));
        let until = now + self.spec.timeout;
        actions.push(Action::WakeAt(until));
        (self.asked, self.quality) = (Some((id, until)), Some(quality));
    }

    fn end(&mut self, actions: &mut Vec<Action>) {
        self.is_done = true;
        actions.push(Action::Done);
    }
}

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match (event, self.asked) {
            (Event::Start, _) => self.go_on(now, None, actions),
            (Event::Delivered(id), Some((asked, _))) if id.seq == asked.seq => {
                self.next += 1;
                self.asked = None;
                self.player.receive(self.spec.segment, self.next == self.spec.segments, now);
                self.go_on(now, Some(id), actions);
            }
            (Event::Failed(id), Some((asked, _))) if id == asked => self.end(actions),
            (Event::Timer, Some((_, until))) if now >= until => self.end(actions),
            (Event::Timer, None) => self.go_on(self.due.min(now), None, actions),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, Played, both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    fn videos() -> impl Strategy<Value = Workload> {
        (1u32..40, 1u64..5, any::<bool>(), 0usize..6, 6u64..60, any::<bool>()).prop_map(
            |(segments, segment, adapts, quality, buffer, cold)| {
                let all = VideoOnDemand::default();
                Workload::VideoOnDemand(VideoOnDemand {
                    segments,
                    segment: Duration::from_secs(segment),
                    adaptation: if adapts { Adaptation::Bba0 } else { Adaptation::Fixed },
                    quality: all.qualities[quality],
                    buffer: Duration::from_secs(buffer),
                    cold,
                    ..all
                })
            },
        )
    }

    properties!(videos());

    /// Plays it where the link has this capacity, in kbit/s.
    fn play(video: &VideoOnDemand, capacity: u64) -> Played {
        let workload = Workload::VideoOnDemand(video.clone());
        workload.check().unwrap();
        let rate = Some(BitRate::new(capacity * 1000));
        both_ends(&workload, 1, Network { rate, delay: Duration::from_micros(1), ..Network::default() })
    }

    /// When each segment came, and in which quality.
    fn segments(video: &VideoOnDemand, played: &Played) -> Vec<(Duration, usize)> {
        let down = played.delivered.iter().filter(|(id, _)| id.direction == Direction::Down);
        let all: Vec<_> = down.map(|(id, at)| (*at, video.segment_of(*id))).collect();
        assert!(all.iter().enumerate().all(|(n, (_, (segment, _)))| n == *segment as usize), "one of each, in order");
        all.into_iter().map(|(at, (_, quality))| (at, quality)).collect()
    }

    fn watched(video: &VideoOnDemand, segments: &[(Duration, usize)]) -> Player {
        let mut player = video.player();
        for (n, (at, _)) in segments.iter().enumerate() {
            player.receive(video.segment, n + 1 == segments.len(), *at);
        }
        player
    }

    /// By BBA-0, with requests that take no time: ten minutes of film.
    fn bba(segment: u64) -> VideoOnDemand {
        let (segments, segment, request) = ((600 / segment) as u32, Duration::from_secs(segment), ByteCount::new(1));
        VideoOnDemand { adaptation: Adaptation::Bba0, segment, segments, request, ..VideoOnDemand::default() }
    }

    /// The mean quality of the second half, in kbit/s.
    fn settled(video: &VideoOnDemand, segments: &[(Duration, usize)]) -> f64 {
        let half = &segments[segments.len() / 2..];
        let rate = |(_, quality): &(Duration, usize)| video.qualities[*quality].bits_per_second() as f64 / 1e3;
        half.iter().map(rate).sum::<f64>() / half.len() as f64
    }

    const LOWEST: u64 = 300;
    const HIGHEST: u64 = 4300;

    #[test]
    fn below_its_quality_a_fifth_of_the_time_stalls() {
        for quality in VideoOnDemand::default().qualities {
            let request = ByteCount::new(1);
            let video = VideoOnDemand { segments: 200, quality, request, ..VideoOnDemand::default() };
            let all = segments(&video, &play(&video, quality.bits_per_second() * 8 / 10_000));
            let player = watched(&video, &all);
            // A segment of 4 s takes 5 s: so long until the start, and a second of stall before each that follows.
            assert_eq!((player.started().unwrap().as_millis_f64() / 10.0).round(), 500.0);
            let stalled = |stall: &super::super::Stall| (stall.until.unwrap() - stall.from).as_secs_f64();
            let stalled: f64 = player.stalls().iter().map(stalled).sum();
            let share = stalled / (stalled + player.received().as_secs_f64());
            assert!((share - 0.2).abs() < 0.002, "{quality}: {share} was stalled");
            // With more than its rate nothing stalls.
            let all = segments(&video, &play(&video, quality.bits_per_second() * 102 / 100_000));
            assert_eq!(watched(&video, &all).stalls(), [], "{quality}");
        }
    }

    #[test]
    fn with_short_segments_nothing_stalls_above_the_lowest() {
        let video = bba(1);
        for capacity in (LOWEST + 20..6 * HIGHEST / 5).step_by(60) {
            let all = segments(&video, &play(&video, capacity));
            assert_eq!(watched(&video, &all).stalls(), [], "{capacity} kbit/s");
            let (mean, fits) = (settled(&video, &all), capacity.min(HIGHEST) as f64);
            assert!((0.97..=1.02).contains(&(mean / fits)), "{mean} kbit/s at {capacity} kbit/s");
        }
        // BBA-0 is stated for segments that take no time: one of 4 s in the second quality outlasts a reservoir of 5 s
        // where the capacity is below 4/5 of its rate.
        let video = bba(4);
        for (capacity, stalls) in [(LOWEST + 50, true), (700, false), (1500, false), (HIGHEST, false)] {
            let all = segments(&video, &play(&video, capacity));
            assert_eq!(!watched(&video, &all).stalls().is_empty(), stalls, "{capacity} kbit/s");
        }
    }

    #[test]
    fn it_leaves_the_lowest_as_the_reservoir_fills() {
        let video = bba(1);
        for capacity in [350, 400, 450, 500, 600, 800] {
            let all = segments(&video, &play(&video, capacity));
            let first = all.iter().position(|(_, quality)| *quality > 0).unwrap();
            let left = (all[first - 1].0 - all[0].0).as_secs_f64();
            // Each segment of 1 s adds 1 - ρ; the second quality takes 1.125 s above the reservoir, of which 1 s is there
            // as playback starts.
            let taken = LOWEST as f64 / capacity as f64;
            let exact = (5.125 / (1.0 - taken)).ceil() * taken;
            assert!((left / exact - 1.0).abs() < 0.02, "{left} s at {capacity} kbit/s, not {exact} s");
            let about = 5.0 / (1.0 / taken - 1.0);
            assert!((0.95..1.25).contains(&(left / about)), "{left} s at {capacity} kbit/s, not about {about} s");
        }
    }

    #[test]
    fn a_full_buffer_waits() {
        let video = VideoOnDemand { segments: 20, buffer: Duration::from_secs(12), ..VideoOnDemand::default() };
        let played = play(&video, 100_000);
        let requests: Vec<_> = played.released.iter().map(|(_, release)| release).collect();
        let requests: Vec<_> = requests.into_iter().filter(|r| r.id.direction == Direction::Up).collect();
        // Three fill it; then one each 4 s, by the clock.
        for (n, pair) in requests.windows(2).enumerate().skip(3) {
            assert_eq!((pair[1].at - pair[0].at, pair[1].by), (Duration::from_secs(4), None), "{n}");
        }
        assert!(requests[2].by.is_some() && requests.len() == 20);
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let video = VideoOnDemand::default();
        let quality = BitRate::new(2_000_000);
        let short = Duration::from_secs(5);
        let bad = [
            (VideoOnDemand { segments: 0, ..video.clone() }, "`segments` must be at least 1"),
            (VideoOnDemand { quality, ..video.clone() }, "it must be one of 300kbit, 750kbit"),
            (VideoOnDemand { qualities: vec![quality, quality], ..video.clone() }, "each higher than the one before"),
            (VideoOnDemand { buffer: short, ..video.clone() }, "at least 6s"),
            (VideoOnDemand { warmup: Some(ByteCount::new(1)), ..video.clone() }, "set `cold = false`"),
            (VideoOnDemand { timeout: Duration::ZERO, ..video.clone() }, "`timeout` must be more than 0s"),
        ];
        for (video, remedy) in bad {
            let said = Workload::VideoOnDemand(video).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
        let link: crate::LinkSpec = toml::from_str("rtt = '20ms'").unwrap();
        let (link, workload) = (link.resolve().unwrap(), Workload::VideoOnDemand(video));
        let refused = workload.check_on("udp".parse().unwrap(), &link).unwrap_err().to_string();
        assert!(refused.contains("take a reliable one"), "{refused}");
        assert_eq!(workload.check_on("quic".parse().unwrap(), &link), Ok(()));
    }
}
