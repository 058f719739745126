//! Configured conditions over time, and a model of the bottleneck's queue to check the kernel against.

use std::collections::VecDeque;

use samepath_model::link::{Aqm, Direction, Link, Loss, Pause, QueueCapacity};

use crate::link::Nanos;

/// A packet that has not left this long after it should have is taken for dropped.
const PATIENCE: Nanos = 1_000_000_000;

/// The conditions of one direction, as the model of its queue needs them.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) direction: Direction,
    /// Bits per second.
    rate: Option<u64>,
    capacity: Option<QueueCapacity>,
    pub(super) delay: Nanos,
    /// How much longer than `delay` the delay line may hold a packet.
    pub(super) spread: Nanos,
    /// The longest pause before a slot, where there are slots: there a packet waits for all before it.
    pause: Option<Nanos>,
    /// Whether each packet's due time follows from the arrivals alone.
    exact: bool,
    pub(super) loses: bool,
    /// Whether the buffer drops before it is full.
    pub(super) manages: bool,
    corrupts: bool,
    mtu: u16,
}

impl Config {
    /// The conditions of `direction` of this link.
    pub(super) fn of(link: &Link, direction: Direction) -> Config {
        let conditions = link.direction(direction);
        Config {
            direction,
            rate: conditions.rate.map(|rate| rate.bits_per_second().max(1)),
            // Of a netem by itself its limit, whose packets may all wait for the rate.
            capacity: link.queue_capacity(direction).or(conditions.limit.map(QueueCapacity::Packets)),
            delay: conditions.delay.as_nanos(),
            spread: conditions.jitter.spread.as_nanos(),
            pause: conditions.slot.as_ref().map(|slot| match &slot.pause {
                Pause::Between { max, .. } => max.as_nanos(),
                // Tables reach four jitters far.
                Pause::Distributed { delay, jitter, .. } => delay.as_nanos() + 4 * jitter.as_nanos(),
            }),
            exact: conditions.jitter.is_none() && conditions.reorder.is_never() && conditions.slot.is_none(),
            loses: conditions.loss != Loss::None,
            manages: matches!(conditions.aqm, Aqm::CoDel { .. }),
            corrupts: !conditions.corrupt.is_never(),
            mtu: link.mtu,
        }
    }

    /// Whether there is a bottleneck.
    pub(super) fn has_rate(&self) -> bool {
        self.rate.is_some()
    }

    /// Nanoseconds that `bytes` take to transmit.
    fn transmission(&self, bytes: u64) -> Nanos {
        self.rate.map_or(0, |rate| {
            u64::try_from(u128::from(bytes) * 8_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX / 4)
        })
    }

    /// The longest time after its arrival at which a packet may still leave.
    fn horizon(&self) -> Nanos {
        let buffer = match self.capacity {
            None => 0,
            Some(QueueCapacity::Bytes(bytes)) => self.transmission(bytes.bytes()),
            Some(QueueCapacity::Packets(n)) => self.transmission(u64::from(n) * u64::from(self.mtu)),
        };
        // A distribution with a tail reaches further than the jitter itself.
        self.delay + 8 * self.spread + buffer + PATIENCE
    }
}

/// New conditions of a link that runs, as one direction meets them.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    /// Between these instants the kernel was told, one queueing discipline after the other.
    pub(super) between: [Nanos; 2],
    /// What holds from then on.
    pub(super) config: Config,
    /// Whether a queue was taken away, with what it held.
    pub(super) emptied: bool,
}

/// The conditions of one direction over time, as far back as packets may still be under way.
#[derive(Debug)]
pub(super) struct ConfigHistory {
    /// The last one holds from the end of the last turn on.
    first: Config,
    /// In order of time.
    turns: VecDeque<Turn>,
}

impl ConfigHistory {
    pub(super) fn new(first: Config) -> ConfigHistory {
        ConfigHistory { first, turns: VecDeque::new() }
    }

    pub(super) fn turn(&mut self, turn: Turn) {
        self.turns.push_back(turn);
    }

    /// Forgets what no packet that came at `arrived` or later can have met.
    fn forget(&mut self, arrived: Nanos) {
        while self.turns.front().is_some_and(|turn| turn.between[1] <= arrived) {
            let turn = self.turns.pop_front().expect("there is a first");
            self.first = turn.config;
        }
    }

    /// What holds for a packet that came at `arrived`. While the kernel was being told, what is new.
    pub(super) fn at(&self, arrived: Nanos) -> &Config {
        self.turns.iter().rev().find(|turn| turn.between[0] <= arrived).map_or(&self.first, |turn| &turn.config)
    }

    fn all(&self) -> impl Iterator<Item = &Config> {
        std::iter::once(&self.first).chain(self.turns.iter().map(|turn| &turn.config))
    }

    /// The longest time after its arrival at which a packet may still leave: what waits for the rate as it changes
    /// goes on at the new one.
    pub(super) fn horizon(&self) -> Nanos {
        self.all().map(Config::horizon).max().unwrap_or(0)
    }

    /// The longest pause before a slot, where there were or are slots.
    pub(super) fn pause(&self) -> Option<Nanos> {
        self.all().filter_map(|config| config.pause).max()
    }

    /// Whether bits may have been flipped.
    pub(super) fn corrupts(&self) -> bool {
        self.all().any(|config| config.corrupts)
    }

    /// Whether what came at `arrived` may have been lost: while the kernel was being told, by either rule.
    pub(super) fn loses(&self, arrived: Nanos) -> bool {
        let of_before = |turn: &Turn| turn.between[0] <= arrived && arrived < turn.between[1];
        let before = self.turns.iter().position(of_before).is_some_and(|at| match at.checked_sub(1) {
            None => self.first.loses,
            Some(before) => self.turns[before].config.loses,
        });
        before || self.at(arrived).loses
    }

    /// Whether a queue was taken away, with what it held, while a packet that came at `arrived` waited for the
    /// transmission that would have ended at `departure`.
    pub(super) fn emptied(&self, arrived: Nanos, departure: Nanos) -> bool {
        self.turns.iter().any(|turn| turn.emptied && arrived < turn.between[1] && departure > turn.between[0])
    }
}

/// The bottleneck's buffer as it must have been, from the packets that passed it, in order of their arrival.
#[derive(Debug)]
pub(super) struct QueueModel {
    pub(super) history: ConfigHistory,
    free_at: Nanos,
    /// End of transmission and size of what has not been transmitted.
    backlog: VecDeque<(Nanos, u32)>,
    backlog_bytes: u64,
    pub(super) max_backlog: u64,
    /// What came earlier may have met two rates.
    settled_from: Nanos,
}

impl QueueModel {
    pub(super) fn new(config: Config) -> QueueModel {
        QueueModel {
            history: ConfigHistory::new(config),
            free_at: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            max_backlog: 0,
            settled_from: 0,
        }
    }

    /// Comes to the instant `arrived`, at which a packet came.
    pub(super) fn come_to(&mut self, arrived: Nanos) {
        while let Some(turn) = self.history.turns.front().filter(|turn| turn.between[1] <= arrived) {
            let [begin, end] = turn.between;
            let (rate, emptied) = (turn.config.rate, turn.emptied);
            self.advance(begin);
            let before = self.free_at;
            self.change_rate(begin, rate, emptied);
            self.settled_from = self.settled_from.max(before).max(self.free_at).max(end);
            self.history.forget(end);
        }
        self.advance(arrived);
    }

    /// Has what waits at `now` go on at another rate.
    fn change_rate(&mut self, now: Nanos, rate: Option<u64>, emptied: bool) {
        let old = self.history.first.rate;
        let (Some(old), Some(new), false) = (old, rate, emptied) else {
            self.backlog.clear();
            self.backlog_bytes = 0;
            self.free_at = now;
            return;
        };
        let (mut begun, mut free_at) = (now, now);
        for (departure, _) in &mut self.backlog {
            let left = u128::from(departure.saturating_sub(begun)) * u128::from(old) / u128::from(new);
            begun = *departure;
            free_at += u64::try_from(left).unwrap_or(u64::MAX / 4);
            *departure = free_at;
        }
        self.free_at = free_at;
    }

    fn advance(&mut self, now: Nanos) {
        while let Some(&(departure, size)) = self.backlog.front()
            && departure <= now
        {
            self.backlog.pop_front();
            self.backlog_bytes -= u64::from(size);
        }
    }

    /// When its transmission ends; nothing changes.
    pub(super) fn peek(&self, now: Nanos, size: u32) -> Nanos {
        self.free_at.max(now) + self.history.at(now).transmission(u64::from(size))
    }

    /// Takes a packet that passed, and says when its transmission ended.
    pub(super) fn admit(&mut self, now: Nanos, size: u32) -> Nanos {
        if !self.history.at(now).has_rate() {
            return now;
        }
        self.free_at = self.peek(now, size);
        self.backlog.push_back((self.free_at, size));
        self.backlog_bytes += u64::from(size);
        self.max_backlog = self.max_backlog.max(self.backlog_bytes);
        self.free_at
    }

    /// Whether the time at which a packet should have left follows from the arrivals alone.
    pub(super) fn is_exact(&self, arrived: Nanos, departure: Nanos) -> bool {
        let turned = self.history.turns.iter().any(|turn| turn.between[0] <= departure);
        self.history.at(arrived).exact && arrived >= self.settled_from && !turned
    }

    /// Whether one more would not have found room: to within a packet of the largest size, since the
    /// kernel's instants are not ours.
    pub(super) fn is_full(&self, now: Nanos, size: u32) -> bool {
        let config = self.history.at(now);
        match config.capacity {
            None => false,
            Some(QueueCapacity::Packets(limit)) => self.backlog.len() + 1 >= limit as usize,
            Some(QueueCapacity::Bytes(limit)) => {
                self.backlog_bytes + u64::from(size) + u64::from(config.mtu) > limit.bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::link::LinkSpec;

    const MS: Nanos = 1_000_000;

    fn config(text: &str) -> Config {
        let link = toml::from_str::<LinkSpec>(text).unwrap().resolve().unwrap();
        Config::of(&link, Direction::Up)
    }

    fn turn(between: [Nanos; 2], text: &str) -> Turn {
        Turn { between, config: config(text), emptied: false }
    }

    #[test]
    fn a_packet_meets_the_conditions_of_its_arrival() {
        let mut history = ConfigHistory::new(config("delay = '5ms'\nloss = '1%'\nloss-key = 'index'"));
        history.turn(turn([10 * MS, 12 * MS], "delay = '9ms'\ncorrupt = '1%'"));
        history.turn(turn([20 * MS, 22 * MS], "delay = '1ms'"));
        let delay = |at: Nanos| history.at(at * MS).delay / MS;
        assert_eq!([0, 9, 10, 19, 20, 99].map(delay), [5, 5, 9, 9, 1, 1]);
        assert_eq!([9, 11, 12].map(|at| history.loses(at * MS)), [true, true, false]);
        assert!(history.corrupts());
        history.forget(22 * MS);
        assert!(!history.corrupts() && history.at(0).delay == MS);
    }

    #[test]
    fn waiting_packets_go_on_at_the_new_rate() {
        // A packet of 1,000 bytes takes a millisecond, and later two.
        let mut queue_model = QueueModel::new(config("rate = '8Mbit'\nqueue = '99p'"));
        for expected in 1..=10 {
            queue_model.come_to(0);
            assert_eq!(queue_model.admit(0, 1000), expected * MS);
        }
        queue_model.history.turn(turn([4 * MS + MS / 2, 5 * MS], "rate = '4Mbit'\nqueue = '99p'"));
        assert!(!queue_model.is_exact(0, 5 * MS), "it met both rates");
        // Half of the fifth and five more are left, and take eleven milliseconds.
        queue_model.come_to(6 * MS);
        assert_eq!(queue_model.admit(6 * MS, 1000), 4 * MS + MS / 2 + 11 * MS + 2 * MS);
        assert!(!queue_model.is_exact(6 * MS, 17 * MS + MS / 2), "it waited for some that met both");
        queue_model.come_to(30 * MS);
        assert_eq!(queue_model.admit(30 * MS, 1000), 32 * MS);
        assert!(queue_model.is_exact(30 * MS, 32 * MS));
    }

    #[test]
    fn packets_in_a_removed_queue_are_counted() {
        let mut queue_model = QueueModel::new(config("rate = '8Mbit'\nqueue = '99kB'"));
        queue_model.come_to(0);
        queue_model.admit(0, 9000);
        let new = Turn { emptied: true, ..turn([5 * MS, 6 * MS], "rate = '8Mbit'\nqueue = '99p'") };
        queue_model.history.turn(new);
        assert!(queue_model.history.emptied(MS, 7 * MS));
        assert!(!queue_model.history.emptied(MS, 4 * MS), "it had left before");
        assert!(!queue_model.history.emptied(6 * MS, 7 * MS), "it came to the new one");
        queue_model.come_to(7 * MS);
        assert_eq!(queue_model.admit(7 * MS, 1000), 8 * MS, "nothing waits before it");
    }
}
