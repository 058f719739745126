//! What arithmetic already says: the best that a figure can be on a link, whatever the transport does.
//!
//! Light takes its time, a handshake its round trips (as the arm's row says them), a congestion window doubles no more than once a
//! round trip, and bytes take as long as the link's rate has it. Nothing is lost, queues are empty, jitter is left out. The
//! end's own work is not in it, either. Where even this is beyond what is needed, nothing has to be measured.

use samepath_model::arm::Arm;
use samepath_model::link::Link;
use samepath_model::workload::page::Lookup;
use samepath_model::workload::{Adaptation, CallOrder, JitterBuffer, PACKET_TIME, Page, Workload};
use samepath_model::{Direction, Trial, emodel};

use crate::metric::Metric;

/// The bytes of a full TCP segment over Ethernet, of which an initial window has so many (RFC 6928).
const SEGMENT: f64 = 1448.0;

/// The best value of a figure, in its unit; `None` where arithmetic says nothing of it.
pub(super) fn floor(trial: &Trial, metric: &Metric) -> Option<f64> {
    let path = Path::of(trial);
    let name = metric.name;
    match trial.workload.scored() {
        Workload::Query(query) => match name {
            _ if name.starts_with("latency_p") || name == "latency_max_ms" => Some(path.rtt),
            "latency_above_bound_percent" => Some(all_or_none(path.rtt > query.bound.as_millis_f64())),
            _ => None,
        },
        Workload::Rpc(rpc) if name.starts_with("latency_p") || name == "latency_max_ms" => {
            // Of a cold session those that are released at its start wait for it.
            let waits = rpc.cold && rpc.outstanding.is_some_and(|n| u32::from(n) >= rpc.operations());
            let handshake = if waits { handshake(trial.arm) } else { 0.0 };
            Some((handshake + f64::from(rpc.requests())) * path.rtt)
        }
        Workload::FanOut(fan_out) if name.starts_with("latency_p") || name == "latency_max_ms" => {
            // Of a cold session those that are released at its start wait for it.
            let waits = fan_out.cold && fan_out.outstanding.is_some_and(|n| u32::from(n) >= fan_out.operations());
            let handshake = if waits { handshake(trial.arm) } else { 0.0 };
            let mut ways =
                (0..fan_out.services).map(|server| path.rtt + trial.workload.extra_rtt(server).as_millis_f64());
            Some(match fan_out.order {
                CallOrder::Parallel => (handshake + 1.0) * ways.fold(0.0, f64::max),
                // The other connections are up by then, or soon after.
                CallOrder::Sequence => ways.next().map_or(0.0, |first| (handshake + 1.0) * first) + ways.sum::<f64>(),
            })
        }
        Workload::Bulk(bulk) if name == "completion_ms" => Some(path.transfer(bulk.bytes?.bytes() as f64)),
        Workload::Page(page) if page.cold => match name {
            "name_lookup_ms" if page.lookup == Lookup::Uncached => Some(path.rtt),
            "first_byte_ms" | "html_ms" => Some((lookup(page) + first_byte(trial.arm)) * path.rtt),
            "first_object_ms" | "largest_image_ms" | "page_load_ms" => {
                Some((lookup(page) + first_byte(trial.arm) + 1.0) * path.rtt)
            }
            _ => None,
        },
        Workload::VideoOnDemand(film) if film.cold && name == "playback_start_ms" => {
            let lowest = film.qualities.iter().min().copied().unwrap_or(film.quality);
            let quality = if film.adaptation == Adaptation::Fixed { film.quality } else { lowest };
            let segments = (film.play_from.as_secs_f64() / film.segment.as_secs_f64()).ceil().max(1.0);
            Some(path.transfer(segments * quality.bytes_in(film.segment).bytes() as f64))
        }
        Workload::Voice(voice) if name == "r_factor" => {
            let JitterBuffer::Fixed(buffer) = voice.buffer else { return None };
            let codec = if voice.concealment { emodel::G711_CONCEALED } else { emodel::G711 };
            let mouth_to_ear = PACKET_TIME.as_millis_f64() + path.way + buffer.as_millis_f64();
            Some(emodel::rating(codec, mouth_to_ear, 0.0, 1.0))
        }
        Workload::VideoCall(frames) => {
            path.frames(name, frames.rate.bits_per_second() as f64 / f64::from(frames.fps) / 8.0, frames.deadline)
        }
        Workload::CloudGaming(frames) => {
            path.frames(name, frames.rate.bits_per_second() as f64 / f64::from(frames.fps) / 8.0, frames.deadline)
        }
        Workload::GameState(state) => match name {
            // Even from one update to the next the state grows older, by a period at the end of it.
            "age_p99_ms" => Some(path.way + 0.99 * state.period().as_millis_f64()),
            "age_above_bound_percent" => Some(all_or_none(path.way > state.bound.as_millis_f64())),
            _ => None,
        },
        Workload::Chat(_) if name.starts_with("chat_delay_p") => Some(path.rtt / 2.0),
        _ => None,
    }
}

fn all_or_none(is_all: bool) -> f64 {
    if is_all { 100.0 } else { 0.0 }
}

/// Round trips of the lookup of a page's name.
fn lookup(page: &Page) -> f64 {
    if page.lookup == Lookup::Uncached { 1.0 } else { 0.0 }
}

fn handshake(arm: Arm) -> f64 {
    f64::from(arm.handshake_round_trips.unwrap_or(0))
}

fn first_byte(arm: Arm) -> f64 {
    f64::from(arm.first_byte_round_trips)
}

/// What of a trial's link and arm the floors are made of, in milliseconds.
struct Path<'a> {
    trial: &'a Trial,
    rtt: f64,
    /// One way, in the direction of the payload.
    way: f64,
    /// Bits a millisecond in that direction; `None` without a rate.
    rate: Option<f64>,
}

impl Path<'_> {
    fn of(trial: &Trial) -> Path<'_> {
        let link = &trial.link;
        let direction = trial.workload.scored().direction();
        let rate = link.direction(direction).mean_rate().map(|rate| rate.bits_per_second() as f64 / 1e3);
        let ways = [Direction::Up, Direction::Down].map(|way| least_delay(link, way));
        Path {
            trial,
            rtt: ways.iter().sum(),
            way: least_delay(link, direction),
            rate: rate.map(|r| r.max(most_rate(link, direction))),
        }
    }

    /// A transfer of so many bytes over a new connection: the first byte, then slow start or the link's rate, whichever is
    /// slower.
    fn transfer(&self, bytes: f64) -> f64 {
        let window = SEGMENT * f64::from(self.trial.tuning.initial_window);
        let further_rounds = (bytes / window + 1.0).log2().ceil() - 1.0;
        let by_rate = self.rate.map_or(0.0, |rate| bytes * 8.0 / rate);
        first_byte(self.trial.arm) * self.rtt + (further_rounds * self.rtt).max(by_rate)
    }

    /// Figures of frames of so many bytes.
    fn frames(&self, name: &str, bytes: f64, deadline: samepath_model::Duration) -> Option<f64> {
        let delay = self.way + self.rate.map_or(0.0, |rate| bytes * 8.0 / rate);
        match name {
            "frames_in_time_percent" | "frames_whole_percent" => {
                Some(all_or_none(self.way <= deadline.as_millis_f64()))
            }
            _ if name.starts_with("frame_delay_p") => Some(delay),
            _ => None,
        }
    }
}

/// The least delay that a direction has at any time, in milliseconds.
fn least_delay(link: &Link, direction: Direction) -> f64 {
    let conditions = link.direction(direction);
    let changed = conditions.changes.iter().filter_map(|change| change.set.delay);
    changed.chain([conditions.delay]).min().unwrap_or_default().as_millis_f64()
}

/// The highest rate that its changes set, in bits a millisecond; 0 where they set none.
fn most_rate(link: &Link, direction: Direction) -> f64 {
    let changed = link.direction(direction).changes.iter().filter_map(|change| change.set.rate);
    changed.max().map_or(0.0, |rate| rate.bits_per_second() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use samepath_model::Experiment;

    use super::*;
    use crate::metric;

    /// The floor of each arm, in its metric's unit.
    fn floors(workload: &str, link: &str, arms: &str, key: &str) -> Vec<f64> {
        let text = format!(
            "schema = 1\nname = 'floors'\n[[part]]\nname = 'one'\narms = {arms}\nworkload = {{ {workload} }}\n\
             link = {{ {link} }}\n"
        );
        let experiment = Experiment::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let metric = metric::ALL.iter().find(|metric| metric.key() == key).unwrap();
        experiment.trials().iter().map(|trial| floor(trial, metric).unwrap()).collect()
    }

    const GEOSTATIONARY: &str = "profile = 'geostationary-satellite'";
    const RELIABLE: &str = "['tcp', 'tls', 'quic']";

    /// The rows of the table in the sources, without the round trip of a lookup.
    #[test]
    fn round_trips_are_those_of_the_protocols() {
        let login = "kind = 'rpc', outstanding = 1, count = 1, calls = 3, cold = true";
        assert_eq!(floors(login, GEOSTATIONARY, RELIABLE, "latency-p99"), [2400.0, 3000.0, 2400.0]);
        assert_eq!(floors("kind = 'page'", GEOSTATIONARY, RELIABLE, "first-byte"), [1200.0, 1800.0, 1200.0]);
        assert_eq!(floors("kind = 'page'", GEOSTATIONARY, RELIABLE, "largest-image"), [1800.0, 2400.0, 1800.0]);
        let uncached = "kind = 'page', lookup = 'uncached'";
        assert_eq!(floors(uncached, GEOSTATIONARY, RELIABLE, "first-byte"), [1800.0, 2400.0, 1800.0]);
        assert_eq!(floors(uncached, GEOSTATIONARY, RELIABLE, "name-lookup"), [600.0; 3]);
        let query = "kind = 'query', count = 1";
        assert_eq!(floors(query, GEOSTATIONARY, "['udp', 'tls']", "latency-p99"), [600.0, 600.0]);
        assert_eq!(floors(query, GEOSTATIONARY, "['udp']", "latency-above-bound-percent"), [100.0]);
    }

    /// 22 kB take one round more, 100 kB two, 1.5 MB six and 10 MB nine; where the rate is lower, its time.
    #[test]
    fn a_window_doubles_once_a_round_trip() {
        for (bytes, rounds) in [("14kB", 0.0), ("22kB", 1.0), ("100kB", 2.0), ("1.5MB", 6.0), ("10MB", 9.0)] {
            let found = floors(&format!("kind = 'bulk', bytes = '{bytes}'"), "rtt = '100ms'", "['tcp']", "completion");
            assert_eq!(found, [200.0 + 100.0 * rounds], "{bytes}");
        }
        let slow = floors("kind = 'bulk', bytes = '10MB'", "rtt = '100ms', rate = '10Mbit'", "['tls']", "completion");
        assert_eq!(slow, [300.0 + 8000.0]);
        let film = "kind = 'video-on-demand', segments = 2, segment = '4s', quality = '2850kbit'";
        // 1.425 MB: two round trips, and six more.
        assert_eq!(floors(film, "rtt = '600ms'", "['tcp']", "playback-start"), [8.0 * 600.0]);
    }

    #[test]
    fn distance_decides_calls_and_states() {
        let [rating] = floors("kind = 'voice'", GEOSTATIONARY, "['udp']", "r-factor")[..] else { panic!("one arm") };
        assert!((rating - 70.7).abs() < 0.1, "{rating}");
        let frames = "kind = 'video-call', deadline = '400ms', rate = '1.5Mbit'";
        assert_eq!(floors(frames, "rtt = '600ms', rate = '25Mbit'", "['udp']", "frame-delay-p99"), [300.0 + 2.0]);
        assert_eq!(floors("kind = 'video-call'", "rtt = '60ms'", "['udp']", "frames-in-time-percent"), [100.0]);
        let state = "kind = 'game-state', per-second = 20, count = 1";
        assert_eq!(floors(state, "rtt = '60ms'", "['udp']", "age-p99"), [30.0 + 49.5]);
        assert_eq!(floors("kind = 'chat', duration = '1s'", "rtt = '60ms'", "['tcp']", "chat-delay-p99"), [30.0]);
    }

    /// What changes counts at its best.
    #[test]
    fn the_best_of_a_link_that_changes_counts() {
        let link = "rtt = '80ms', rate = '8Mbit', change = ['1s: delay 10ms, rate 16Mbit', '2s: rate 4Mbit']";
        assert_eq!(floors("kind = 'bulk', bytes = '14kB'", link, "['tcp']", "completion"), [2.0 * 20.0 + 7.0]);
    }
}
