//! What a connection says of itself while it works, and what the process used.

use std::os::fd::OwnedFd;

use nix::sys::resource::{UsageWho, getrusage};
use samepath_model::record::Metric;
use samepath_model::start::StartState;

use crate::plan::SEGMENT;
use crate::stack::quinn::Flight;
use crate::{Plan, clock, tcp};

/// A connection that can be asked.
#[derive(Debug)]
pub(crate) enum Probe {
    Tcp(OwnedFd),
    Quic(quinn::Connection, Flight),
}

impl Probe {
    /// Bytes that are not acknowledged. Of QUIC those in flight: what waits in quinn to be sent it does not tell, but
    /// nothing does where the peer has all.
    pub(crate) fn unacknowledged(&self) -> std::io::Result<u64> {
        match self {
            Probe::Tcp(socket) => tcp::unacknowledged(socket),
            Probe::Quic(_, flight) => Ok(flight.unacknowledged()),
        }
    }

    /// Whether TCP sends the same again and again without an acknowledgement; QUIC probes the path itself.
    pub(crate) fn is_stuck(&self) -> bool {
        const IN_A_ROW: u8 = 3;
        match self {
            Probe::Tcp(socket) => tcp::info(socket).is_ok_and(|info| info.timeouts >= IN_A_ROW),
            Probe::Quic(..) => false,
        }
    }
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
    /// Asks every connection.
    pub(crate) fn take(probes: &[Probe]) -> PathSample {
        let mut all = PathSample::default();
        let add = |sum: &mut Option<u64>, value: u64| *sum = Some(sum.unwrap_or(0) + value);
        all.connections = u16::try_from(probes.len()).unwrap_or(u16::MAX);
        for probe in probes {
            match probe {
                Probe::Tcp(socket) => {
                    let Ok(info) = tcp::info(socket) else { continue };
                    all.segments += info.segment;
                    add(&mut all.window, info.window);
                    add(&mut all.retransmissions, info.retransmissions);
                    add(&mut all.in_flight, info.in_flight);
                    add(&mut all.buffer_limited_us, info.buffer_limited_us);
                    info.pacing_rate.into_iter().for_each(|rate| add(&mut all.pacing_rate, rate));
                    info.delivery_rate.into_iter().for_each(|rate| add(&mut all.delivery_rate, rate));
                    all.srtt_us = all.srtt_us.max(Some(info.srtt_us));
                    add(&mut all.unsent, info.unsent);
                    add(&mut all.receive_window_limited_us, info.receive_window_limited_us);
                }
                // quinn does not say how fast it paces.
                Probe::Quic(connection, flight) => {
                    let path = connection.stats().path;
                    all.segments += SEGMENT;
                    add(&mut all.in_flight, flight.bytes());
                    add(&mut all.window, path.cwnd);
                    add(&mut all.retransmissions, path.lost_packets);
                    let srtt = u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX);
                    all.srtt_us = all.srtt_us.max(Some(srtt));
                }
            }
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
