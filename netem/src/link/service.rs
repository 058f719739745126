//! The server of the bottleneck: how long what is at its head takes to be transmitted.

use std::sync::Arc;

use samepath_model::link::{Conditions, Framing, OPPORTUNITY, Schedule};

use super::instant::Nanos;
use super::steps::StepService;
use super::work::BIT_NANOS;

/// Bytes of a TUN device's header, which mahimahi counts with each packet.
const TUN_HEADER: u32 = 4;

/// When the transmission ends of what is not being transmitted: in no run.
pub(super) const NEVER: Nanos = 1 << 62;

/// What serves the bottleneck's queue.
#[derive(Debug, Clone)]
pub(super) enum Service {
    /// Nothing, for now. What was in transmission as it stopped has so much work left, in bits × 10⁹.
    Stopped {
        /// `None` where nothing was.
        left: Option<u128>,
    },
    /// Nothing ever waits.
    Unlimited,
    /// So many bits a second.
    Rate(RateService),
    /// Opportunities that were recorded.
    Trace(TraceService),
    /// Rates that were recorded.
    Steps(StepService),
}

impl Service {
    /// The server that the conditions ask for. A trace starts at `origin`, or, where that is not yet
    /// known, with the first packet.
    pub(super) fn new(conditions: &Conditions, origin: Option<Nanos>) -> Service {
        if conditions.stopped {
            return Service::Stopped { left: None };
        }
        let trace = conditions.rate_trace.as_ref().map(|trace| {
            let schedule = trace.read().and_then(|trace| trace.schedule());
            schedule.expect("whoever brings a link up loads its traces")
        });
        match (trace, conditions.rate) {
            (Some(Schedule::Opportunities(opportunities)), _) => {
                Service::Trace(TraceService { opportunities: opportunities.clone(), origin, next: 0, used: 0 })
            }
            (Some(Schedule::Steps(steps)), _) => {
                Service::Steps(StepService::new(steps.clone(), conditions.overhead, origin))
            }
            (None, Some(rate)) => Service::Rate(RateService {
                rate: rate.bits_per_second().max(1),
                framing: conditions.overhead,
                free_at: 0,
                free_rest: 0,
            }),
            (None, None) => Service::Unlimited,
        }
    }

    /// Whether the conditions ask for another server than this.
    pub(super) fn differs(&self, conditions: &Conditions) -> bool {
        match (self, Service::new(conditions, None)) {
            (Service::Unlimited, Service::Unlimited) | (Service::Stopped { .. }, Service::Stopped { .. }) => false,
            (Service::Rate(a), Service::Rate(b)) => (a.rate, a.framing) != (b.rate, b.framing),
            (Service::Trace(a), Service::Trace(b)) => a.opportunities != b.opportunities,
            (Service::Steps(a), Service::Steps(b)) => !a.is(&b),
            _ => true,
        }
    }

    /// Begins at `now`: what was there before then has waited for it.
    pub(super) fn start(&mut self, now: Nanos) {
        if let Service::Rate(rate) = self {
            rate.free_at = rate.free_at.max(now);
        }
    }

    /// When the transmission of a packet ends that is there from `now` on; nothing changes.
    pub(super) fn peek(&self, now: Nanos, size: u32) -> Nanos {
        match self {
            Service::Stopped { .. } => NEVER,
            Service::Unlimited => now,
            Service::Rate(rate) => {
                let (free_at, rest) = rate.after(now, rate.framing.wire_size(size));
                free_at + u64::from(rest > 0)
            }
            Service::Trace(trace) => trace.clone().transmit(now, size),
            Service::Steps(steps) => steps.clone().transmit(now, size),
        }
    }

    /// When it can begin with a packet that is there from `now` on.
    pub(super) fn begins(&self, now: Nanos) -> Nanos {
        match self {
            Service::Stopped { .. } => NEVER,
            Service::Unlimited => now,
            Service::Rate(rate) => rate.free().max(now),
            Service::Trace(trace) => trace.begins(now),
            Service::Steps(steps) => steps.begins(now),
        }
    }

    /// Transmits a packet that is there from `now` on, after all those before it; says when that
    /// ends (never before `now`; rounded up to a whole nanosecond).
    pub(super) fn transmit(&mut self, now: Nanos, size: u32) -> Nanos {
        match self {
            Service::Stopped { .. } => NEVER,
            Service::Unlimited => now,
            Service::Rate(rate) => rate.transmit(now, rate.framing.wire_size(size)),
            Service::Trace(trace) => trace.transmit(now, size),
            Service::Steps(steps) => steps.transmit(now, size),
        }
    }

    /// Takes the place of `before` at `now`, whose transmission of a packet of `size` bytes ends at
    /// `ends`, and transmits the rest of it; says when that ends.
    pub(super) fn take_over(&mut self, before: &Service, now: Nanos, ends: Nanos, size: u32) -> Nanos {
        // In bits × 10⁹ a rate of bits a second does `rate` each nanosecond.
        let (left, wire) = match before {
            Service::Rate(before) => (u128::from(ends - now) * u128::from(before.rate), before.framing.wire_size(size)),
            Service::Steps(before) => before.left(now, ends, size),
            Service::Stopped { left: Some(left) } => (*left, u64::MAX),
            Service::Stopped { left: None } | Service::Unlimited | Service::Trace(_) => {
                return self.transmit(now, size);
            }
        };
        let left = left.min(u128::from(wire) * u128::from(BIT_NANOS));
        match self {
            Service::Rate(rate) => {
                rate.work(now, left.min(u128::from(rate.framing.wire_size(size)) * u128::from(BIT_NANOS)))
            }
            Service::Steps(steps) => steps.work(now, left),
            Service::Stopped { left: of_head } => {
                *of_head = Some(left);
                NEVER
            }
            service => service.transmit(now, size),
        }
    }

    /// Counts the trace's time from `origin`. What was announced stays so.
    pub(super) fn start_trace(&mut self, origin: Nanos) {
        if let Service::Steps(steps) = self {
            steps.start(origin);
        }
        if let Service::Trace(trace) = self {
            let announced = trace.origin.map(|_| trace.time_of(trace.next));
            let used = trace.used;
            (trace.origin, trace.next, trace.used) = (Some(origin), 0, 0);
            if let Some(announced) = announced.filter(|announced| used > 0 && *announced >= origin) {
                trace.skip_to(announced + 1);
            }
        }
    }
}

/// A constant rate.
#[derive(Debug, Clone)]
pub(super) struct RateService {
    /// Bits a second.
    rate: u64,
    framing: Framing,
    /// When the transmission of all that was taken ends: whole nanoseconds, and the rest in units of
    /// 1/rate nanoseconds. The rest is carried, so that rounding never adds up.
    free_at: Nanos,
    free_rest: u64,
}

impl RateService {
    fn free(&self) -> Nanos {
        self.free_at + u64::from(self.free_rest > 0)
    }

    /// When the server is free again, with `bytes` more.
    fn after(&self, now: Nanos, bytes: u64) -> (Nanos, u64) {
        let (from, rest) = if self.free() <= now { (now, 0) } else { (self.free_at, self.free_rest) };
        let work = rest + bytes * BIT_NANOS;
        (from + work / self.rate, work % self.rate)
    }

    fn transmit(&mut self, now: Nanos, bytes: u64) -> Nanos {
        (self.free_at, self.free_rest) = self.after(now, bytes);
        self.free()
    }

    /// Starts at `now` with so much work, in bits × 10⁹.
    fn work(&mut self, now: Nanos, work: u128) -> Nanos {
        let rate = u128::from(self.rate);
        self.free_at = now + u64::try_from(work / rate).unwrap_or(u64::MAX / 4);
        self.free_rest = (work % rate) as u64;
        self.free()
    }
}

/// Recorded opportunities, as mahimahi serves them: each carries up to 1504 bytes of what waits then,
/// several packets or a part of one; what it cannot fill is lost with it. As there, four bytes of a
/// TUN device's header count with each packet.
#[derive(Debug, Clone)]
pub(super) struct TraceService {
    /// Milliseconds from the start, never falling; the last is the period.
    opportunities: Arc<[u32]>,
    origin: Option<Nanos>,
    /// Number of the opportunity that is next, or is partly used.
    next: u64,
    /// Bytes of it that are used.
    used: u32,
}

impl TraceService {
    fn period(&self) -> u64 {
        u64::from(self.opportunities[self.opportunities.len() - 1])
    }

    fn time_of(&self, number: u64) -> Nanos {
        let (cycle, index) = (number / self.opportunities.len() as u64, number % self.opportunities.len() as u64);
        let millis = cycle * self.period() + u64::from(self.opportunities[index as usize]);
        self.origin.unwrap_or(0) + millis * 1_000_000
    }

    /// Goes on to the first opportunity at `now` or later, if it is not there yet.
    fn skip_to(&mut self, now: Nanos) {
        if self.time_of(self.next) >= now {
            return;
        }
        let millis = (now - self.origin.unwrap_or(0)).div_ceil(1_000_000);
        // An opportunity at the end of the period comes before those of the next.
        let cycle = (millis - 1) / self.period();
        let within = (millis - cycle * self.period()) as u32;
        let index = self.opportunities.partition_point(|at| *at < within);
        (self.next, self.used) = (cycle * self.opportunities.len() as u64 + index as u64, 0);
    }

    fn begins(&self, now: Nanos) -> Nanos {
        let mut ahead = self.clone();
        ahead.origin.get_or_insert(now);
        ahead.skip_to(now);
        ahead.time_of(ahead.next)
    }

    fn transmit(&mut self, now: Nanos, size: u32) -> Nanos {
        self.origin.get_or_insert(now);
        self.skip_to(now);
        let mut left = size + TUN_HEADER;
        loop {
            let at = self.time_of(self.next);
            let taken = left.min(OPPORTUNITY - self.used);
            left -= taken;
            self.used += taken;
            if self.used == OPPORTUNITY {
                (self.next, self.used) = (self.next + 1, 0);
            }
            if left == 0 {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn trace(text: &str) -> Service {
        let conditions = Conditions { rate_trace: Some(text.parse().unwrap()), ..Conditions::transparent() };
        Service::new(&conditions, Some(0))
    }

    #[test]
    fn a_full_packet_takes_one_opportunity() {
        // At 2, 3, 3 and 10 ms; then at 12, 13, 13 and 20.
        let mut service = trace("inline t 2 1x2 7");
        let out: Vec<Nanos> = (0..9).map(|_| service.transmit(0, 1500) / MS).collect();
        assert_eq!(out, [2, 3, 3, 10, 12, 13, 13, 20, 22]);
        // Opportunities that nothing waited for are gone.
        assert_eq!(service.transmit(29 * MS + 1, 1500) / MS, 30);
        assert_eq!(service.transmit(1000 * MS, 1500) / MS, 1000);
        assert_eq!(service.transmit(1000 * MS + 1, 1500) / MS, 1002);
        assert_eq!(service.begins(1005 * MS), 1010 * MS);
    }

    #[test]
    fn packets_share_or_take_several_opportunities() {
        let mut service = trace("inline t 1 1 1");
        // Two of 748 + 4 bytes fill one.
        assert_eq!(
            [service.transmit(0, 748), service.transmit(0, 748), service.transmit(0, 748)].map(|t| t / MS),
            [1, 1, 2]
        );
        // 752 bytes are left at 2 ms, and this needs 2004.
        assert_eq!(service.transmit(0, 2000) / MS, 3);
        // What came later cannot use what was left before it came.
        assert_eq!(service.transmit(3 * MS + 1, 100) / MS, 4);
    }

    #[test]
    fn a_period_passes_what_the_trace_says() {
        let service = trace("inline t 1 2x5 3 4x2");
        let Service::Trace(inner) = &service else { panic!() };
        let per_period = inner.opportunities.len() as u64;
        let mut service = service.clone();
        let last = (0..100 * per_period).map(|_| service.transmit(0, 1500)).last().unwrap();
        assert_eq!(last, 100 * 10 * MS);
    }

    #[test]
    fn a_schedule_starts_the_trace_again() {
        let mut service = trace("inline t 5 5");
        assert_eq!(service.transmit(0, 1000), 5 * MS);
        service.start_trace(7 * MS);
        assert_eq!(service.transmit(8 * MS, 1500), 12 * MS);
        // What was announced beyond the new start is not overtaken.
        let mut service = trace("inline t 5 5");
        assert_eq!([service.transmit(0, 1500), service.transmit(0, 1000)], [5 * MS, 10 * MS]);
        service.start_trace(2 * MS);
        assert_eq!(service.transmit(2 * MS, 1500), 12 * MS);
    }
}
