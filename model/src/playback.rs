//! How a film was played, from the records of `video-on-demand`.

use std::ops::Range;

use crate::link::Direction;
use crate::record::MessageRecord;
use crate::units::{BitRate, Duration};
use crate::workload::{Player, Stall, StreamId, VideoOnDemand};

/// The playback of a trial, or of a session between two machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Playback {
    /// The segments that came, in order.
    pub segments: Vec<Segment>,
    /// The player as the last of them had come.
    pub player: Player,
    /// Whether it is the whole film.
    pub is_whole: bool,
    lowest: Option<BitRate>,
}

/// A segment that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When, from the start of the schedule.
    pub at: Duration,
    /// Its quality.
    pub quality: BitRate,
    /// Media in the buffer just before and just after.
    pub level: [Duration; 2],
}

impl Playback {
    /// That of the film on these streams.
    pub fn of(video: &VideoOnDemand, streams: Range<StreamId>, messages: &[MessageRecord]) -> Playback {
        let own = |m: &&MessageRecord| m.direction == Direction::Down && streams.contains(&m.stream);
        let came = |m: &MessageRecord| Some((m.delivered?, video.segment_of(m.id()).1));
        let mut all: Vec<_> = messages.iter().filter(own).filter_map(came).collect();
        all.sort_unstable();
        let mut player = video.player();
        let mut segments = Vec::with_capacity(all.len());
        for (at, quality) in all {
            let at = Duration::from_nanos(u64::try_from(at).unwrap_or(0));
            let before = player.level(at);
            let is_last = segments.len() + 1 == video.segments as usize;
            player.receive(video.segment, is_last, at);
            let level = [before, player.level(at)];
            segments.push(Segment { at, quality: video.qualities[quality], level });
        }
        let is_whole = segments.len() == video.segments as usize;
        Playback { segments, player, is_whole, lowest: video.qualities.first().copied() }
    }

    /// Time in which it stalled; a stall without an end, where the player gave up, is left out.
    pub fn stalled(&self) -> Duration {
        self.player.stalls().iter().filter_map(|Stall { from, until }| Some((*until)? - *from)).sum()
    }

    /// Share of 1 of the time from its start to its end in which it stalled; `None` where nothing was played.
    pub fn stalled_share(&self) -> Option<f64> {
        let (stalled, played) = (self.stalled().as_secs_f64(), self.player.received().as_secs_f64());
        (played > 0.0).then(|| stalled / (stalled + played))
    }

    /// Mean rate of what was played, in bits a second.
    pub fn mean_quality(&self) -> Option<f64> {
        let sum: f64 = self.segments.iter().map(|segment| segment.quality.bits_per_second() as f64).sum();
        (!self.segments.is_empty()).then(|| sum / self.segments.len() as f64)
    }

    /// How often the quality changed from one segment to the next.
    pub fn switches(&self) -> usize {
        self.segments.windows(2).filter(|pair| pair[0].quality != pair[1].quality).count()
    }

    /// Share of 1 of what was played that had the lowest quality.
    pub fn lowest_share(&self) -> Option<f64> {
        let lowest = self.segments.iter().filter(|segment| Some(segment.quality) == self.lowest).count();
        (!self.segments.is_empty()).then(|| lowest as f64 / self.segments.len() as f64)
    }
}
