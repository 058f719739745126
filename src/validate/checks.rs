//! The checks: what each runs, and the function that scores it.

use samepath_results::Run;

use super::{Finding, score};

/// One check.
pub(crate) struct Check {
    /// As typed.
    pub(crate) id: &'static str,
    /// What must come out, in a sentence.
    pub(crate) title: &'static str,
    /// What is run.
    pub(crate) experiment: &'static str,
    /// What is made of it.
    pub(crate) score: fn(&Run) -> anyhow::Result<Vec<Finding>>,
}

/// Every check, from the link upwards.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "E1",
        title: "the link itself: delay, rate, random loss and bursts are what was asked for",
        experiment: include_str!("../../experiments/validate/e1.toml"),
        score: score::link_keeps_its_promise,
    },
    Check {
        id: "T1",
        title: "round trips until the handshake is done and the first byte is there",
        experiment: include_str!("../../experiments/validate/t1.toml"),
        score: score::round_trips,
    },
    Check {
        id: "T2",
        title: "the first packets of a connection are lost: when its sender tries again",
        experiment: include_str!("../../experiments/validate/t2.toml"),
        score: score::first_packets_lost,
    },
    Check {
        id: "T4a",
        title: "one lost packet: how late are it and its followers, with and without a common order",
        experiment: include_str!("../../experiments/validate/t4a.toml"),
        score: score::one_lost_packet,
    },
    Check {
        id: "T5",
        title: "random loss: what share of the messages that lost nothing waits for another's loss",
        experiment: include_str!("../../experiments/validate/t5.toml"),
        score: score::innocent_messages,
    },
    Check {
        id: "T6",
        title: "a receive window limits goodput to one window in a round trip",
        experiment: include_str!("../../experiments/validate/t6.toml"),
        score: score::window_limits,
    },
    Check {
        id: "T8",
        title: "Reno at periodic loss: goodput as theory (Mathis) has it",
        experiment: include_str!("../../experiments/validate/t8.toml"),
        score: score::periodic_loss,
    },
    Check {
        id: "T10",
        title: "a burst of losses: how many of four streams stall, in turns and in sequence",
        experiment: include_str!("../../experiments/validate/t10.toml"),
        score: score::streams_stalled,
    },
    Check {
        id: "T11",
        title: "equal objects one after the other end on average in (N + 1)/2N of the time",
        experiment: include_str!("../../experiments/validate/t11.toml"),
        score: score::objects_in_sequence,
    },
    Check {
        id: "S1",
        title: "every arm starts its schedule from the same window",
        experiment: include_str!("../../experiments/validate/s1.toml"),
        score: score::equal_start,
    },
    Check {
        id: "S2",
        title: "tcp and tls, which losses cannot tell apart, have the same delays",
        experiment: include_str!("../../experiments/validate/s2.toml"),
        score: score::same_but_for_encryption,
    },
    Check {
        id: "P1",
        title: "10 MB over 10 Mbit/s with a small buffer: the link is filled",
        experiment: include_str!("../../experiments/validate/p1.toml"),
        score: score::link_is_filled,
    },
    Check {
        id: "P2",
        title: "bursts of loss, and 30 % loss each way: everything arrives, byte for byte",
        experiment: include_str!("../../experiments/validate/p2.toml"),
        score: score::everything_arrives,
    },
    Check {
        id: "P5",
        title: "the same controller, nothing lost: the same time, the handshake taken out",
        experiment: include_str!("../../experiments/validate/p5.toml"),
        score: score::same_controller_same_time,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use samepath_model::Experiment;

    #[test]
    fn every_check_has_a_sound_experiment() {
        for check in CHECKS {
            Experiment::parse(check.experiment).unwrap_or_else(|error| panic!("{}: {error}", check.id));
        }
    }
}
