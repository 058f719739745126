//! The buffer of a player of video: what was received and not played yet, and when that was nothing.

use crate::units::Duration;

/// A player: it plays from when it has enough, until it has nothing more. Times count from the start of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    /// Media from which it plays at the start, and after a stall.
    play_from: Duration,
    resume_from: Duration,
    /// Media received in all, and whether that is the whole film.
    received: Duration,
    is_whole: bool,
    /// Media that was played by the time from which it plays now, or by which it stopped.
    played: Duration,
    plays_since: Option<Duration>,
    started: Option<Duration>,
    stalls: Vec<Stall>,
}

/// A time in which there was nothing to play, before the film was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When it began.
    pub from: Duration,
    /// When it was over; `None` where it never was.
    pub until: Option<Duration>,
}

impl Player {
    /// A player that has nothing yet, and plays once it has `play_from`, after a stall `resume_from`.
    pub const fn new(play_from: Duration, resume_from: Duration) -> Player {
        Player {
            play_from,
            resume_from,
            received: Duration::ZERO,
            is_whole: false,
            played: Duration::ZERO,
            plays_since: None,
            started: None,
            stalls: Vec::new(),
        }
    }

    /// Media that lies in the buffer at `now`.
    pub fn level(&self, now: Duration) -> Duration {
        let left = self.received - self.played;
        self.plays_since.map_or(left, |since| left.saturating_sub(now.saturating_sub(since)))
    }

    /// Whether it plays at `now`.
    pub fn plays(&self, now: Duration) -> bool {
        self.plays_since.is_some() && self.level(now) > Duration::ZERO
    }

    /// So much more was received at `now`, `is_last` if it was the film's end.
    pub fn receive(&mut self, media: Duration, is_last: bool, now: Duration) {
        self.look(now);
        self.received += media;
        self.is_whole |= is_last;
        let enough = if self.started.is_none() { self.play_from } else { self.resume_from };
        if self.plays_since.is_none() && (self.level(now) >= enough || self.is_whole) {
            self.plays_since = Some(now);
            self.started.get_or_insert(now);
            if let Some(stall) = self.stalls.last_mut() {
                stall.until.get_or_insert(now);
            }
        }
    }

    /// Notes whether it has run out of media by `now`.
    fn look(&mut self, now: Duration) {
        let Some(since) = self.plays_since.filter(|_| !self.is_whole) else { return };
        let empty = since + (self.received - self.played);
        if empty < now {
            (self.played, self.plays_since) = (self.received, None);
            self.stalls.push(Stall { from: empty, until: None });
        }
    }

    /// When it began to play.
    pub const fn started(&self) -> Option<Duration> {
        self.started
    }

    /// The times in which it had nothing to play, by the last time that something was received.
    pub fn stalls(&self) -> &[Stall] {
        &self.stalls
    }

    /// Media received in all.
    pub const fn received(&self) -> Duration {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_stalls_until_it_has_enough_again() {
        let mut player = Player::new(s(1), s(3));
        player.receive(s(2), false, s(5));
        assert_eq!((player.started(), player.level(s(6)), player.plays(s(6))), (Some(s(5)), s(1), true));
        // At the instant at which the last of it is played it is no stall yet.
        player.receive(s(2), false, s(7));
        assert_eq!((player.stalls().len(), player.level(s(7))), (0, s(2)));
        player.receive(s(2), false, s(10));
        assert_eq!(player.stalls(), [Stall { from: s(9), until: None }]);
        assert_eq!((player.level(s(12)), player.plays(s(12))), (s(2), false), "two seconds are not enough");
        player.receive(s(2), false, s(13));
        assert_eq!(player.stalls(), [Stall { from: s(9), until: Some(s(13)) }]);
        assert_eq!(player.level(s(14)), s(3));
    }

    #[test]
    fn the_end_of_the_film_is_no_stall() {
        let mut player = Player::new(s(1), s(3));
        player.receive(s(2), false, s(1));
        player.receive(s(1), true, s(5));
        assert_eq!(player.stalls(), [Stall { from: s(3), until: Some(s(5)) }], "what is there is played");
        player.receive(Duration::ZERO, true, s(20));
        assert_eq!((player.stalls().len(), player.received()), (1, s(3)));
    }
}
