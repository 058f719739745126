//! Bytes in flight, which quinn counts but does not tell: its congestion controller hears of all that
//! changes them, so that is wrapped. Every call goes on to the controller inside, and nothing is changed but
//! one word, before the schedule starts.
//!
//! quinn does not open its window for acknowledgements that come while it has nothing to send (RFC 9002, section
//! 7.8). Linux goes by the largest flight: in slow start the window opens up to twice that (`tcp_is_cwnd_limited`).
//! Of the same warm-up, the last round of which leaves the sender with nothing to send, the window so comes out half
//! as large. So that all arms start equal, quinn's controller hears of no want of data [until the warm-up's bytes are
//! acknowledged](Flight::open). From then on it hears what quinn says.
//!
//! quinn's count is handed over as acknowledgements are dealt with (RFC 9002, appendix B.2); from there on
//! what is sent is added, and what is declared lost is taken off. Between two acknowledgements the count
//! so has the bytes of packets that only acknowledge, too, which quinn leaves out: some 40 bytes each.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

use crate::clock;

/// The count of one connection, for whoever samples it.
#[derive(Debug, Clone, Default)]
pub(super) struct Flight(Arc<Shared>, Arc<Full>);

/// What the controller and whoever holds the connection tell each other.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    /// Of these, bytes of packets that surely only acknowledge, which nobody acknowledges in turn.
    acks: AtomicU64,
    /// Whether a warm-up is under way, which is to open the window.
    opening: AtomicBool,
}

/// When the congestion window was full, and when it was not any more.
#[derive(Debug, Default)]
struct Full {
    is_noted: AtomicBool,
    now: AtomicBool,
    /// CLOCK_MONOTONIC, nanoseconds.
    changes: Mutex<Vec<(u64, bool)>>,
}

impl Flight {
    /// Bytes in flight now.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of which word is still to come: an end that has nothing to send but acknowledgements waits for none.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.bytes().saturating_sub(self.0.acks.load(Ordering::Relaxed))
    }

    /// Says whether a warm-up is under way: then every acknowledgement opens the window, as Linux has it.
    pub(super) fn open(&self, opening: bool) {
        self.0.opening.store(opening, Ordering::Relaxed);
    }

    fn is_opening(&self) -> bool {
        self.0.opening.load(Ordering::Relaxed)
    }

    /// From now on it is noted when the window is full.
    pub(super) fn note_full(&self) {
        self.1.is_noted.store(true, Ordering::Relaxed);
    }

    /// Each change since it is noted; handed over once.
    pub(super) fn take_full(&self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.1.changes.lock().expect("no panic while held"))
    }

    /// Looks whether the window is full: quinn then sends no packet of full size any more.
    fn look(&self, window: u64, mtu: u16) {
        let full = &*self.1;
        if !full.is_noted.load(Ordering::Relaxed) {
            return;
        }
        let now = self.bytes().saturating_add(mtu.into()) >= window;
        if full.now.swap(now, Ordering::Relaxed) != now {
            full.changes.lock().expect("no panic while held").push((clock::now(), now));
        }
    }

    fn set(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The largest packet that is taken for one that only acknowledges: a header, an ACK frame of a range or two, and the tag.
const ACK_ALONE: u64 = 64;

/// Makes controllers whose bytes in flight are told.
pub(super) struct Told<F> {
    pub(super) factory: Arc<F>,
    pub(super) flight: Flight,
}

impl<F: ControllerFactory + Send + Sync + 'static> ControllerFactory for Told<F> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let controller = self.factory.clone().build(now, current_mtu);
        Box::new(Telling { controller, flight: self.flight.clone(), mtu: current_mtu })
    }
}

struct Telling {
    controller: Box<dyn Controller>,
    flight: Flight,
    mtu: u16,
}

impl Telling {
    fn look(&self) {
        self.flight.look(self.controller.window(), self.mtu);
    }
}

impl Controller for Telling {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.flight.set(self.flight.bytes() + bytes);
        if bytes <= ACK_ALONE {
            self.flight.0.acks.fetch_add(bytes, Ordering::Relaxed);
        }
        self.controller.on_sent(now, bytes, last_packet_number);
        self.look();
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.controller.on_ack(now, sent, bytes, app_limited && !self.flight.is_opening(), rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.flight.set(in_flight);
        self.flight.0.acks.store(0, Ordering::Relaxed);
        self.controller.on_end_acks(now, in_flight, app_limited && !self.flight.is_opening(), largest_acked);
        self.look();
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.flight.set(self.flight.bytes().saturating_sub(lost_bytes));
        self.controller.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        self.look();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.controller.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.controller.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.controller.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Telling { controller: self.controller.clone_box(), flight: self.flight.clone(), mtu: self.mtu })
    }

    fn initial_window(&self) -> u64 {
        self.controller.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self.controller.into_any()
    }
}

#[cfg(test)]
mod tests {
    use quinn::congestion::NewRenoConfig;

    use super::*;

    /// A controller that notes whether it heard that there was nothing to send.
    #[derive(Clone, Default)]
    struct Spy(Arc<AtomicBool>);

    impl Controller for Spy {
        fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}
        fn on_mtu_update(&mut self, _: u16) {}
        fn on_end_acks(&mut self, _: Instant, _: u64, app_limited: bool, _: Option<u64>) {
            self.0.store(app_limited, Ordering::Relaxed);
        }
        fn window(&self) -> u64 {
            0
        }
        fn clone_box(&self) -> Box<dyn Controller> {
            Box::new(self.clone())
        }
        fn initial_window(&self) -> u64 {
            0
        }
        fn into_any(self: Box<Self>) -> Box<dyn Any> {
            self
        }
    }

    #[test]
    fn a_warm_up_is_never_application_limited() {
        let (flight, spy) = (Flight::default(), Spy::default());
        let mut controller =
            Telling { controller: Box::new(spy.clone()), flight: flight.clone(), mtu: 1472 }.clone_box();
        let mut heard = |app_limited| {
            controller.on_end_acks(Instant::now(), 0, app_limited, None);
            spy.0.load(Ordering::Relaxed)
        };
        assert!(heard(true) && !heard(false), "as quinn has it");
        flight.open(true);
        assert!(!heard(true) && !heard(false));
        flight.open(false);
        assert!(heard(true), "and as quinn has it again");
    }

    #[test]
    fn the_window_is_full_without_a_packets_space() {
        let flight = Flight::default();
        let mut config = NewRenoConfig::default();
        config.initial_window(14_480);
        let now = Instant::now();
        let mut controller = Arc::new(Told { factory: Arc::new(config), flight: flight.clone() }).build(now, 1472);
        controller.on_sent(now, 14_000, 1);
        controller.on_end_acks(now, 0, false, Some(0));
        assert!(flight.take_full().is_empty(), "it is not noted unless it is asked for");
        flight.note_full();
        controller.on_sent(now, 13_007, 2);
        controller.on_sent(now, 1, 3);
        controller.on_sent(now, 1, 4);
        controller.on_end_acks(now, 13_007, false, Some(0));
        let full: Vec<bool> = flight.take_full().into_iter().map(|(_, full)| full).collect();
        assert_eq!(full, [true, false]);
    }

    #[test]
    fn word_of_an_acknowledgement_is_not_waited_for() {
        let flight = Flight::default();
        let mut config = NewRenoConfig::default();
        config.initial_window(14_480);
        let now = Instant::now();
        let mut controller = Arc::new(Told { factory: Arc::new(config), flight: flight.clone() }).build(now, 1472);
        controller.on_sent(now, 1472, 1);
        controller.on_sent(now, 40, 2);
        assert_eq!((flight.bytes(), flight.unacknowledged()), (1512, 1472));
        controller.on_end_acks(now, 0, false, Some(1));
        controller.on_sent(now, 40, 3);
        assert_eq!((flight.bytes(), flight.unacknowledged()), (40, 0), "there is none to come");
    }

    #[test]
    fn the_count_follows_what_is_sent_acknowledged_and_lost() {
        let flight = Flight::default();
        let mut config = NewRenoConfig::default();
        config.initial_window(14_480);
        let now = Instant::now();
        let told = Arc::new(Told { factory: Arc::new(config), flight: flight.clone() });
        let mut controller = told.build(now, 1472);
        assert_eq!((controller.window(), controller.initial_window(), flight.bytes()), (14_480, 14_480, 0));
        controller.on_sent(now, 2944, 1);
        controller.on_sent(now, 1472, 2);
        assert_eq!(flight.bytes(), 4416);
        controller.on_end_acks(now, 2900, false, Some(0));
        assert_eq!(flight.bytes(), 2900, "quinn's own count is taken over");
        controller.on_congestion_event(now, now + std::time::Duration::from_secs(1), false, 1472);
        assert_eq!((flight.bytes(), controller.window()), (1428, 7240), "and the controller inside hears of it");
    }
}
