//! Trials: one arm, one workload, one set of link conditions, one seed; and the flows beside it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::flow::{Flow, FlowId, UNDER_TEST};
use crate::link::Link;
use crate::mode::Mode;
use crate::restart::Restart;
use crate::tolerance::Tolerance;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The name of a trial, unique in its run, fit for a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub String);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One arm, one workload, one set of link conditions, one seed: the flow under test, by which the trial is known, and
/// the flows that compete with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Unique in the run.
    pub id: TrialId,
    /// The part of the experiment it belongs to.
    pub part: String,
    /// The value of each axis, as text, in the axes' order: what makes its cell.
    pub axes: BTreeMap<String, String>,
    /// What is compared.
    pub arm: Arm,
    /// Seed of payload and random draws.
    pub seed: u64,
    /// What is sent.
    pub workload: Workload,
    /// The competing flows on the same link, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub competing: Vec<Flow>,
    /// When servers are killed and started again, in the order of their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,
    /// The path.
    pub link: Link,
    /// What is set on the transports.
    pub tuning: Tuning,
    /// See [`Part::mode`](super::Part::mode).
    #[serde(default, skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Outside these bounds it is void.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Longest time it may take in all.
    pub time_limit: Duration,
    /// Whether packets are attributed to messages (see [`crate::attribution`]).
    pub attribution: bool,
}

impl Trial {
    /// Every flow, the one under test first.
    pub fn flows(&self) -> impl Iterator<Item = FlowId> + use<> {
        UNDER_TEST..=u8::try_from(self.competing.len()).unwrap_or(u8::MAX)
    }

    /// A competing flow; `None` of the flow under test, and where there is no such flow.
    pub fn competing(&self, flow: FlowId) -> Option<&Flow> {
        self.competing.get(usize::from(flow).checked_sub(1)?)
    }

    /// How much farther away a flow's server stands than the link is long: the round trip beyond the link's, half of it each
    /// way.
    pub fn extra_rtt(&self, flow: FlowId, server: u16) -> Duration {
        match self.competing(flow) {
            Some(competing) => competing.extra_rtt + competing.workload.extra_rtt(server),
            None => self.workload.extra_rtt(server),
        }
    }

    /// When the schedule of a flow starts, from the epoch of the trial.
    pub fn start_of(&self, flow: FlowId) -> Duration {
        self.competing(flow).map_or(Duration::ZERO, |flow| flow.start)
    }

    /// The trial as one of its flows has it to itself: with that flow's arm, workload, tuning, way to its server and
    /// restarts, which count from its own start, and none beside it. Packets are attributed to messages for the flow
    /// under test alone.
    #[must_use]
    pub fn of_flow(&self, flow: FlowId) -> Trial {
        let start = self.start_of(flow);
        let own = self.restarts.iter().filter(|restart| restart.flow == flow);
        let own = own.map(|restart| Restart { flow: UNDER_TEST, at: restart.at.saturating_sub(start), ..*restart });
        let mut trial = Trial { competing: Vec::new(), restarts: own.collect(), ..self.clone() };
        if let Some(Flow { arm, workload, tuning, extra_rtt, .. }) = self.competing(flow) {
            trial.link = self.link.farther_by(*extra_rtt);
            (trial.arm, trial.workload, trial.tuning) = (*arm, workload.clone(), tuning.clone());
            trial.attribution = false;
        }
        trial
    }

    /// How a flow is called among those of the trial: `quic`, or `tcp beside quic`.
    pub fn name_of(&self, flow: FlowId) -> String {
        match self.competing(flow) {
            Some(competing) => format!("{} beside {}", competing.name, self.arm),
            None => self.arm.to_string(),
        }
    }
}
