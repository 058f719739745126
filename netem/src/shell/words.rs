//! What a link says of itself to people.

use std::fmt;

use samepath_model::record::{DirectionReport, Lateness, LinkReport};

use super::plan::LinkPlan;
use crate::backend::ActiveBackend;
use crate::control::{LinkStatus, Snapshot};
use crate::path::{LivePath, PathReport};
use crate::{sysctl, tell};

/// For people, in some lines.
impl fmt::Display for LinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.up_ns as f64 / 1e9;
        writeln!(f, "{}: {}", self.name, self.link)?;
        writeln!(f, "up for {seconds:.1} s, process {}, carried by {}: {}", self.pid, self.backend, self.command)?;
        writeln!(f, "TCP begins with {}", self.controller)?;
        let Some(Snapshot { up, down, inside, lateness, ledger_lost, capture_missing }) = self.counters.as_deref()
        else {
            return write!(f, "no emulation that counts while it runs");
        };
        for (direction, counts, inside) in [("up", up, inside[0]), ("down", down, inside[1])] {
            writeln!(f, "{direction:<4} {}, {inside} inside", Counts(counts))?;
        }
        for (what, missing) in [("ledger", ledger_lost), ("capture", capture_missing)] {
            if *missing > 0 {
                writeln!(f, "the {what} lacks {missing} packets, because its writer cannot keep up")?;
            }
        }
        write!(f, "{}", Late(lateness))
    }
}

/// How late packets left, in one line.
struct Late<'a>(&'a Lateness);

impl fmt::Display for Late<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lateness { count, p50_ns, p99_ns, max_ns, .. } = *self.0;
        if count == 0 {
            return write!(f, "no packet has left yet");
        }
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let (p50, p99, max) = (millis(p50_ns), millis(p99_ns), millis(max_ns));
        write!(f, "packets left late by {p50:.3} ms (median), {p99:.3} ms (p99), {max:.3} ms (most)")
    }
}

/// What the link did, for people.
pub(super) fn summarise(report: &PathReport, controller: &str) {
    let PathReport { link: LinkReport { up, down, lateness, .. }, backend, .. } = report;
    if *backend == ActiveBackend::None {
        tell!("link: no emulation, so nothing was counted");
    } else {
        tell!("link: carried by {backend}");
        tell!("link: TCP began with {controller}");
        for (direction, counts) in [("up", up), ("down", down)] {
            tell!("link: {direction:<4} {}", Counts(counts));
        }
        if lateness.count > 0 {
            tell!("link: {}", Late(lateness));
        }
    }
    for reason in &report.void {
        tell!("link: do not trust this: {reason}");
    }
}

/// A direction's counters in one line.
struct Counts<'a>(&'a DirectionReport);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0;
        write!(f, "{} packets, {} bytes; delivered {}", counts.packets, counts.bytes, counts.delivered_packets)?;
        let dropped: u64 = counts.dropped.values().sum();
        if dropped > 0 {
            let causes: Vec<String> = counts.dropped.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
            write!(f, ", dropped {dropped} ({})", causes.join(", "))?;
        }
        if counts.duplicated > 0 {
            write!(f, ", duplicated {}", counts.duplicated)?;
        }
        if counts.corrupted > 0 {
            write!(f, ", corrupted {}", counts.corrupted)?;
        }
        if counts.marked > 0 {
            write!(f, ", marked {}", counts.marked)?;
        }
        if counts.bleached > 0 {
            write!(f, ", bleached {}", counts.bleached)?;
        }
        if counts.bypassed > 0 {
            write!(f, ", not filtered {}", counts.bypassed)?;
        }
        Ok(())
    }
}

/// What the ends have that a program across the link may not expect.
pub(super) fn tell_ends(plan: &LinkPlan, path: &LivePath, controller: &str) {
    let whose = if plan.controller.is_some() { "as asked" } else { "the host's default; --controller sets another" };
    tell!("link: TCP of both ends begins with {controller} ({whose})");
    if !path.ipv6 {
        /// RFC 8200, section 5.
        const LEAST: u16 = 1280;
        match plan.link.mtu {
            mtu if mtu < LEAST => tell!("link: without IPv6, which needs an MTU of {LEAST}, and here it is {mtu}"),
            _ => tell!("link: without IPv6, which the kernel does not have, or has switched off"),
        }
    }
    for port in &plan.host_ports {
        tell!("link: the host's {} is at the server end's port {}", port.service, port.at);
    }
}

/// Settings that were not granted, and what to do about it.
pub(super) fn with_remedy(not_granted: &str) -> String {
    format!("kernel settings of the link's ends are not as they have to be: {not_granted}; {}", sysctl::REMEDY)
}
