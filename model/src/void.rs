//! Why a trial is void: the kind, by which decisions are made, and the words for people, which nothing reads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was not kept of a trial's conditions. In files by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoidKind {
    /// Packets left the link late.
    LinkLate,
    /// An end was kept from running.
    EndLate,
    /// The disk kept the server's book waiting.
    BookSync,
    /// The hypervisor gave the machine's CPU time to others.
    Steal,
    /// The link's data thread had too little of the CPU left.
    LinkCpu,
    /// An end had too little of the CPU left.
    EndCpu,
    /// The host dropped packets outside the link's rules.
    HostDrops,
    /// An end's receive buffer was full.
    ReceiveBuffer,
    /// Who writes the ledger, or watches the packets for it, could not keep up.
    LedgerLost,
    /// Probes were lost outside the link's rules.
    ProbeLoss,
    /// Probes met another delay than was asked for.
    ProbeDelay,
    /// Probes met another rate than was asked for.
    ProbeRate,
    /// A packet larger than the link's MTU crossed it.
    Oversize,
    /// The records contradict each other: a fault of the lab's.
    Contradiction,
    /// A setting that was asked for, and that decides the comparison, was not granted.
    Setting,
    /// A limit that was to be ample, and is no part of the comparison, held messages.
    Limit,
    /// An end was out of memory.
    Memory,
}

impl VoidKind {
    /// Every kind.
    pub const ALL: [VoidKind; 17] = [
        VoidKind::LinkLate,
        VoidKind::EndLate,
        VoidKind::BookSync,
        VoidKind::Steal,
        VoidKind::LinkCpu,
        VoidKind::EndCpu,
        VoidKind::HostDrops,
        VoidKind::ReceiveBuffer,
        VoidKind::LedgerLost,
        VoidKind::ProbeLoss,
        VoidKind::ProbeDelay,
        VoidKind::ProbeRate,
        VoidKind::Oversize,
        VoidKind::Contradiction,
        VoidKind::Setting,
        VoidKind::Limit,
        VoidKind::Memory,
    ];

    /// Whether it is what else the machine had to do: the same trial, run again, may well count. What is so in every
    /// attempt, and what the lab itself did wrong, is not.
    pub const fn is_by_the_machine(self) -> bool {
        match self {
            VoidKind::LinkLate
            | VoidKind::EndLate
            | VoidKind::BookSync
            | VoidKind::Steal
            | VoidKind::LinkCpu
            | VoidKind::EndCpu
            | VoidKind::HostDrops
            | VoidKind::ReceiveBuffer
            | VoidKind::LedgerLost
            | VoidKind::ProbeLoss
            | VoidKind::ProbeDelay
            | VoidKind::ProbeRate => true,
            // A trial that needs more memory than there is needs as much again.
            VoidKind::Oversize | VoidKind::Contradiction | VoidKind::Setting | VoidKind::Limit | VoidKind::Memory => {
                false
            }
        }
    }
}

/// In words, without a figure: what a count of trials is of.
impl fmt::Display for VoidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoidKind::LinkLate => "the link was late",
            VoidKind::EndLate => "an end was kept from running",
            VoidKind::BookSync => "the disk kept the book waiting",
            VoidKind::Steal => "the hypervisor took CPU time",
            VoidKind::LinkCpu => "the link was short of CPU time",
            VoidKind::EndCpu => "an end was short of CPU time",
            VoidKind::HostDrops => "the host dropped packets",
            VoidKind::ReceiveBuffer => "a receive buffer was full",
            VoidKind::LedgerLost => "the ledger lost packets",
            VoidKind::ProbeLoss => "probes were lost",
            VoidKind::ProbeDelay => "probes met another delay",
            VoidKind::ProbeRate => "probes met another rate",
            VoidKind::Oversize => "a packet was larger than the MTU",
            VoidKind::Contradiction => "the records contradict each other",
            VoidKind::Setting => "a setting was not granted",
            VoidKind::Limit => "a limit that was to be ample was reached",
            VoidKind::Memory => "an end was out of memory",
        })
    }
}

/// One reason why a trial is void.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VoidReason {
    /// What was not kept.
    pub kind: VoidKind,
    /// In words, with the figure and its bound; for people alone.
    pub words: String,
}

impl VoidReason {
    /// Of this kind, in these words.
    pub fn new(kind: VoidKind, words: impl Into<String>) -> VoidReason {
        VoidReason { kind, words: words.into() }
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The words of all, in one line.
pub fn in_words(reasons: &[VoidReason]) -> String {
    reasons.iter().map(|reason| reason.words.as_str()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_words() {
        let late = VoidReason::new(VoidKind::LinkLate, "late by 3 ms");
        let text = serde_json::to_string(&late).expect("it has a text form");
        assert_eq!(text, r#"{"kind":"link-late","words":"late by 3 ms"}"#);
        assert_eq!(serde_json::from_str::<VoidReason>(&text).expect("its own text"), late);
        assert!(serde_json::from_str::<VoidReason>(r#"{"kind":"moon","words":""}"#).is_err());
        let words: std::collections::BTreeSet<_> = VoidKind::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), VoidKind::ALL.len());
    }
}
