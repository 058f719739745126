//! Bytes in flight, which quinn counts but does not tell: its congestion controller hears of all that
//! changes them, so that is wrapped. Nothing is changed: every call goes on to the controller inside.
//!
//! quinn's count is handed over as acknowledgements are dealt with (RFC 9002, appendix B.2); from there on
//! what is sent is added, and what is declared lost is taken off. Between two acknowledgements the count
//! so has the bytes of packets that only acknowledge, too, which quinn leaves out: some 40 bytes each.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

/// The count of one connection, for whoever samples it.
#[derive(Debug, Clone, Default)]
pub struct Flight(Arc<AtomicU64>);

impl Flight {
    /// Bytes in flight now.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// Makes controllers whose bytes in flight are told.
pub(super) struct Told<F> {
    pub(super) factory: Arc<F>,
    pub(super) flight: Flight,
}

impl<F: ControllerFactory + Send + Sync + 'static> ControllerFactory for Told<F> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let controller = self.factory.clone().build(now, current_mtu);
        Box::new(Telling { controller, flight: self.flight.clone() })
    }
}

struct Telling {
    controller: Box<dyn Controller>,
    flight: Flight,
}

impl Controller for Telling {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.flight.set(self.flight.bytes() + bytes);
        self.controller.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.controller.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.flight.set(in_flight);
        self.controller.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.flight.set(self.flight.bytes().saturating_sub(lost_bytes));
        self.controller.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.controller.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.controller.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.controller.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Telling { controller: self.controller.clone_box(), flight: self.flight.clone() })
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
