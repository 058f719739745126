//! `game-state`: updates of a state of which only the newest counts, as of a game's world or a vehicle's position.
//!
//! The end that has the state releases an update each period, whatever became of those before. What the other end
//! wants is a young state: the figure is the [age](crate::age) of the newest update that was delivered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::driver::Driver;
use super::messages::Messages;
use super::spec::{Spec, check_rate, clear_count_or_duration};
use super::table::{Block, Table};
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// Most updates a second.
const MOST_PER_SECOND: f64 = 10_000.0;

/// Updates of which only the newest counts. Exactly one of `count` and `duration` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GameState {
    /// Which way the updates go.
    pub direction: Direction,
    /// Updates a second.
    pub per_second: f64,
    /// Size of an update.
    pub size: ByteCount,
    /// Size of the inputs that go the other way, as many a second; absent, there are none.
    pub input: Option<ByteCount>,
    /// The age above which the state is too old to be of use.
    pub bound: Duration,
    /// Updates in all.
    pub count: Option<u32>,
    /// Time for which updates are released.
    pub duration: Option<Duration>,
}

impl Default for GameState {
    fn default() -> Self {
        GameState {
            direction: Direction::Down,
            per_second: 64.0,
            size: ByteCount::new(300),
            input: None,
            bound: Duration::from_millis(100),
            count: None,
            duration: None,
        }
    }
}

impl GameState {
    /// The time from an update to the next.
    pub fn period(&self) -> Duration {
        Duration::from_nanos((1e9 / self.per_second).round() as u64)
    }

    /// The time over which updates are released, a period for each.
    pub fn lasts(&self) -> Duration {
        self.period() * u64::from(self.updates().per_stream())
    }

    /// The updates, as messages on a schedule.
    fn updates(&self) -> Messages {
        Messages {
            direction: self.direction,
            streams: 1,
            size: self.size,
            spacing: self.period(),
            count: self.count,
            duration: self.duration,
            ..Messages::default()
        }
    }

    /// The inputs.
    fn inputs(&self) -> Option<Messages> {
        Some(Messages { direction: self.direction.opposite(), size: self.input?, ..self.updates() })
    }

    /// What goes this way.
    fn messages(&self, direction: Direction) -> Option<Messages> {
        if direction == self.direction { Some(self.updates()) } else { self.inputs() }
    }
}

impl Spec for GameState {
    fn name(&self) -> &'static str {
        "game-state"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["direction", "per-second", "size", "input", "bound", "count", "duration"]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        check_rate(self.per_second, MOST_PER_SECOND)?;
        if self.bound == Duration::ZERO || self.bound > Duration::from_secs(3600) {
            return Err("`bound` must be more than 0s and at most 1h".into());
        }
        self.updates().check()?;
        self.inputs().map_or(Ok(()), |inputs| inputs.check().map_err(|error| error.replace("`size`", "`input`")))
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn streams(&self) -> u16 {
        1
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        self.messages(direction)?.block(direction)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(self.lasts())
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let each = [Some(self.updates()), self.inputs()].into_iter().flatten();
        each.map(|messages| messages.total_bytes().map(ByteCount::bytes)).sum::<Option<u64>>().map(ByteCount::new)
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        self.messages(direction).map_or(0, |messages| messages.most_released_in(direction, time))
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        let messages = self.messages(outgoing.direction()).unwrap_or_else(|| self.updates());
        messages.driver(outgoing, incoming)
    }
}

impl fmt::Display for GameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.updates().per_stream();
        write!(f, "{n} updates of {} {}, {} a second", self.size, self.direction, self.per_second)?;
        if let Some(input) = self.input {
            write!(f, ", inputs of {input} {}", self.direction.opposite())?;
        }
        write!(f, ", too old above {}", self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, both_ends, properties};
    use super::*;
    use crate::age::Age;
    use proptest::prelude::*;

    properties!((any::<bool>(), any::<bool>(), 1u32..200, 1u32..60).prop_map(|(up, both, rate, count)| {
        Workload::GameState(GameState {
            direction: Direction::BOTH[usize::from(!up)],
            per_second: f64::from(rate),
            input: both.then_some(ByteCount::new(40)),
            count: Some(count),
            ..GameState::default()
        })
    }));

    /// A figure as measured, by theory, and what k periods from a delivery to the next add to it.
    type Expected = (f64, f64, fn(f64) -> f64);

    /// Mean over `n` periods, and its standard deviation, of a figure to which `k` periods from a delivery to the next
    /// add `of(k)`, where each update is lost with probability `p`: deliveries are renewals.
    fn expected(p: f64, n: u32, of: impl Fn(f64) -> f64) -> (f64, f64) {
        let over = |f: &dyn Fn(f64) -> f64| (1..200).map(|k| p.powi(k - 1) * (1.0 - p) * f(f64::from(k))).sum::<f64>();
        let length = over(&|k| k);
        let mean = over(&of) / length;
        let variance = over(&|k| (of(k) - mean * k).powi(2));
        (mean, (variance / (f64::from(n) * length)).sqrt())
    }

    #[test]
    fn the_age_is_that_of_theory() {
        let (p, n) = (26.0 / 256.0, 25_000);
        let state = GameState { count: Some(n), ..GameState::default() };
        let workload = Workload::GameState(state.clone());
        workload.check().unwrap();
        let network = Network { lost: 26, ..Network::default() };
        let played = both_ends(&workload, 5, network);
        let age = Age::of(&state, 0..1, network.delay, &played.records());
        let (period, delay) = (state.period().as_nanos() as f64, network.delay.as_nanos() as f64);
        let older = |m: u64| age.share_above(network.delay + state.period() * m).unwrap();
        let figures: [Expected; 3] = [
            (older(1), p, |k| k - 1.0),
            (older(2), p * p, |k| (k - 2.0).max(0.0)),
            ((age.mean().unwrap() - delay) / period, (1.0 + p) / (2.0 * (1.0 - p)), |k| k * k / 2.0),
        ];
        for (measured, closed, of) in figures {
            let (mean, deviation) = expected(p, n, of);
            assert!((mean - closed).abs() < 1e-9, "the renewals give {mean}, the formula {closed}");
            assert!((measured - closed).abs() < 3.9 * deviation, "{measured}, not {closed} ± {}", 3.9 * deviation);
            for wrong in [0.7 * p, 1.3 * p] {
                let (other, spread) = expected(wrong, n, of);
                let apart = (other - mean).abs() - 3.9 * (deviation + spread);
                assert!(apart > 0.0, "a loss of {wrong} would not be told from {p}: {other}, {mean}");
            }
        }
    }

    #[test]
    fn inputs_go_the_other_way_as_often() {
        let state = GameState { input: Some(ByteCount::new(40)), count: Some(5), ..GameState::default() };
        let played = both_ends(&Workload::GameState(state), 1, Network::default());
        let sizes = |way| {
            let of_way = played.released.iter().filter(move |(_, release)| release.id.direction == way);
            of_way.map(|(_, release)| release.length.bytes().unwrap().bytes()).collect::<Vec<_>>()
        };
        assert_eq!((sizes(Direction::Down), sizes(Direction::Up)), (vec![300; 5], vec![40; 5]));
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let some = GameState { count: Some(1), ..GameState::default() };
        let bad = [
            (GameState::default(), "set `count`"),
            (GameState { per_second: 0.0, ..some.clone() }, "`per-second` is 0"),
            (GameState { per_second: f64::NAN, ..some.clone() }, "above 0"),
            (GameState { bound: Duration::ZERO, ..some.clone() }, "`bound` must be more"),
            (GameState { size: ByteCount::ZERO, ..some.clone() }, "`size` must lie"),
            (GameState { input: Some(ByteCount::ZERO), ..some.clone() }, "`input` must lie"),
            (GameState { duration: Some(Duration::from_secs(1)), ..some }, "exclude each other"),
        ];
        for (state, remedy) in bad {
            let said = Workload::GameState(state).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
