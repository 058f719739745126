//! Samples of what connections say of themselves while they work, and what the process used.

use nix::sys::resource::{UsageWho, getrusage};
use samepath_model::record::Metric;
use samepath_model::start::StartState;

use crate::{Plan, clock};

/// What one connection says of itself; `None` where its transport does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    /// Bytes of payload in a full segment.
    pub(crate) segment: u64,
    /// Congestion window in bytes.
    pub(crate) window: Option<u64>,
    /// Smoothed round-trip time in microseconds.
    pub(crate) srtt_us: Option<u64>,
    /// Packets sent again, or lost, since the connection began.
    pub(crate) retransmissions: Option<u64>,
    /// Bytes in flight.
    pub(crate) in_flight: Option<u64>,
    /// For how long it had nothing to send because its send buffer was full, in microseconds.
    pub(crate) buffer_limited_us: Option<u64>,
    /// Pacing rate in bytes per second.
    pub(crate) pacing_rate: Option<u64>,
    /// Rate of delivery by the latest estimate, in bytes per second.
    pub(crate) delivery_rate: Option<u64>,
    /// For how long the receiver's window held it, in microseconds.
    pub(crate) receive_window_limited_us: Option<u64>,
    /// Bytes that it was given and has not sent yet.
    pub(crate) unsent: Option<u64>,
}

/// What all connections of a session say together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PathSample {
    connections: u16,
    /// Bytes of a full segment, of all connections together.
    segments: u64,
    window: Option<u64>,
    /// The longest of them.
    srtt_us: Option<u64>,
    pub(crate) retransmissions: Option<u64>,
    in_flight: Option<u64>,
    pub(crate) buffer_limited_us: Option<u64>,
    pacing_rate: Option<u64>,
    delivery_rate: Option<u64>,
    receive_window_limited_us: Option<u64>,
    unsent: Option<u64>,
}

impl PathSample {
    /// Adds them up; `None` is a connection that could not be asked.
    pub(crate) fn of(samples: impl Iterator<Item = Option<Sample>>) -> PathSample {
        let mut all = PathSample::default();
        let add = |sum: &mut Option<u64>, value: Option<u64>| {
            if let Some(value) = value {
                *sum = Some(sum.unwrap_or(0) + value);
            }
        };
        for sample in samples {
            all.connections = all.connections.saturating_add(1);
            let Some(sample) = sample else { continue };
            all.segments += sample.segment;
            add(&mut all.window, sample.window);
            all.srtt_us = all.srtt_us.max(sample.srtt_us);
            add(&mut all.retransmissions, sample.retransmissions);
            add(&mut all.in_flight, sample.in_flight);
            add(&mut all.buffer_limited_us, sample.buffer_limited_us);
            add(&mut all.pacing_rate, sample.pacing_rate);
            add(&mut all.delivery_rate, sample.delivery_rate);
            add(&mut all.receive_window_limited_us, sample.receive_window_limited_us);
            add(&mut all.unsent, sample.unsent);
        }
        all
    }

    /// As the state from which a schedule starts; `None` where no connection has one.
    pub(crate) fn as_start(self, plan: &Plan) -> Option<StartState> {
        let initial = self.segments * u64::from(plan.tuning.initial_window);
        let state = StartState {
            connections: self.connections,
            window: self.window?,
            srtt_us: self.srtt_us?,
            warmup: plan.warmup(),
            losses: self.retransmissions.unwrap_or(0),
            in_flight: self.in_flight.unwrap_or(0),
            expected_window: initial + plan.warmup(),
            apart: None,
        };
        Some(state.judged(plan.tuning.controller))
    }

    /// As points of time series; those that are not known are left out.
    pub(crate) fn points(self) -> impl Iterator<Item = (Metric, f64)> {
        [
            (Metric::CongestionWindow, self.window),
            (Metric::SmoothedRtt, self.srtt_us),
            (Metric::Retransmissions, self.retransmissions),
            (Metric::InFlight, self.in_flight),
            (Metric::PacingRate, self.pacing_rate),
            (Metric::DeliveryRate, self.delivery_rate),
            (Metric::ReceiveWindowLimited, self.receive_window_limited_us),
            (Metric::Unsent, self.unsent),
            (Metric::SendBufferLimited, self.buffer_limited_us),
        ]
        .into_iter()
        .filter_map(|(metric, value)| value.map(|v| (metric, v as f64)))
    }
}

/// CPU time that the process has used, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    user_ns: u64,
    system_ns: u64,
    at: u64,
}

/// CPU and wall-clock time between two instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) wall_ns: u64,
}

impl Usage {
    /// Up to now.
    pub(crate) fn now() -> Usage {
        let at = clock::now();
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Usage { user_ns: 0, system_ns: 0, at } };
        let nanos = |t: nix::sys::time::TimeVal| t.tv_sec() as u64 * 1_000_000_000 + t.tv_usec() as u64 * 1_000;
        Usage { user_ns: nanos(usage.user_time()), system_ns: nanos(usage.system_time()), at }
    }

    /// Since then.
    pub(crate) fn elapsed(self) -> Used {
        let now = Usage::now();
        Used {
            user_ns: now.user_ns.saturating_sub(self.user_ns),
            system_ns: now.system_ns.saturating_sub(self.system_ns),
            wall_ns: now.at - self.at,
        }
    }
}
