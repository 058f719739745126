//! How far a trial's conditions may be from what was asked before it is void.

use serde::{Deserialize, Serialize};

use crate::units::{Duration, Probability};

/// The bounds of a valid trial. In an experiment file the table `[tolerance]`; what it leaves out has
/// its default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Tolerance {
    /// How far the median delay of the probes, before the trial and after it, may be from the delay asked.
    pub delay: Duration,
    /// By how much one probe in a hundred may take longer than asked.
    pub delay_p99: Duration,
    /// How far the rate that a train of probes met may be from the rate asked, as a share of it.
    pub rate: Probability,
    /// Share of the probes that may be lost: they are exempt from the link's own losses.
    pub loss: Probability,
    /// By how much one packet in a hundred may leave the link late.
    pub lateness: Duration,
    /// By how much one in a hundred of an endpoint's clock ticks may be served late.
    pub wake_lateness: Duration,
    /// Share of its time that the link's data thread may be on the CPU.
    pub link_cpu: Probability,
    /// Share of its time that an endpoint may be on the CPU.
    pub endpoint_cpu: Probability,
    /// Share of the machine's CPU time that the hypervisor may give to others.
    pub steal: Probability,
}

impl Default for Tolerance {
    fn default() -> Self {
        let share = |value| Probability::new(value).expect("a share between 0 and 1");
        let micros = Duration::from_micros;
        Tolerance {
            delay: micros(1_000),
            delay_p99: micros(5_000),
            rate: share(0.05),
            loss: share(0.0),
            lateness: micros(1_000),
            wake_lateness: micros(2_000),
            link_cpu: share(0.8),
            endpoint_cpu: share(0.8),
            steal: share(0.05),
        }
    }
}
