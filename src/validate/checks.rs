//! The checks: what each runs, and the function that scores it.

use samepath_results::Run;

use super::quick::{ONE_SEED, Quick};
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
    /// What `--quick` takes of it; `None` where nothing less than the whole says anything.
    pub(crate) quick: Option<Quick>,
}

/// Every check, from the link upwards.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "E1",
        title: "the link itself: delay, rate, random loss and bursts are what was asked for",
        experiment: include_str!("../../experiments/validate/e1.toml"),
        score: score::link_meets_its_conditions,
        quick: Some(Quick {
            // Fewer packets a second, too: a build without optimisation carries them in time.
            set: &[
                ("rate", "duration", &["4s"]),
                ("loss", "bytes", &["2MB"]),
                ("loss", "udp-rate", &["4Mbit"]),
                ("bursts", "bytes", &["2MB"]),
                ("bursts", "udp-rate", &["4Mbit"]),
            ],
            ..ONE_SEED
        }),
    },
    Check {
        id: "T1",
        title: "round trips until the handshake is done and the first byte is there",
        experiment: include_str!("../../experiments/validate/t1.toml"),
        score: score::round_trips,
        // All three seeds: in one alone a single interruption would tilt the slope.
        quick: Some(Quick { seeds: 3, set: &[("", "rtt", &["20ms", "200ms"])], ..ONE_SEED }),
    },
    Check {
        id: "T2",
        title: "the first packets of a connection are lost: when its sender tries again",
        experiment: include_str!("../../experiments/validate/t2.toml"),
        score: score::first_packets_lost,
        quick: Some(ONE_SEED),
    },
    Check {
        id: "T4a",
        title: "one lost packet: how late are it and its followers, with and without a common order",
        experiment: include_str!("../../experiments/validate/t4a.toml"),
        score: score::one_lost_packet,
        quick: Some(ONE_SEED),
    },
    Check {
        id: "T5",
        title: "random loss: what share of the messages that lost nothing waits for another's loss",
        experiment: include_str!("../../experiments/validate/t5.toml"),
        score: score::intact_messages,
        quick: Some(Quick { set: &[("", "count", &["120"])], ..ONE_SEED }),
    },
    Check {
        id: "T6",
        title: "a receive window limits goodput to one window in a round trip",
        experiment: include_str!("../../experiments/validate/t6.toml"),
        score: score::window_limits,
        quick: Some(Quick {
            arms: &["tcp", "quic"],
            set: &[("", "receive-window", &["64KiB"]), ("", "duration", &["8s"])],
            ..ONE_SEED
        }),
    },
    Check {
        id: "T8",
        title: "Reno at periodic loss: goodput as theory (Mathis) has it",
        experiment: include_str!("../../experiments/validate/t8.toml"),
        score: score::periodic_loss,
        quick: Some(Quick { parts: &["one-in-100"], set: &[("", "duration", &["10s"])], ..ONE_SEED }),
    },
    Check {
        id: "T10",
        title: "a burst of losses: how many of four streams stall, in turns and in sequence",
        experiment: include_str!("../../experiments/validate/t10.toml"),
        score: score::streams_stalled,
        quick: Some(Quick {
            parts: &["round-robin-2", "sequential-3"],
            set: &[("round-robin-2", "bytes", &["3MB"])],
            ..ONE_SEED
        }),
    },
    Check {
        id: "T11",
        title: "equal objects one after the other end on average in (N + 1)/2N of the time",
        experiment: include_str!("../../experiments/validate/t11.toml"),
        score: score::objects_in_sequence,
        quick: Some(Quick { arms: &["tcp", "quic"], set: &[("", "streams", &["4"])], ..ONE_SEED }),
    },
    Check {
        id: "T12",
        title: "a request takes a round trip and the service, and a full server refuses the surplus",
        experiment: include_str!("../../experiments/validate/t12.toml"),
        score: score::requests,
        // A millisecond is the bound of a release build: the ends of a debug build take longer.
        quick: None,
    },
    Check {
        id: "S1",
        title: "every arm starts its schedule from the same window",
        experiment: include_str!("../../experiments/validate/s1.toml"),
        score: score::equal_start,
        quick: Some(Quick { set: &[("round-trips", "rtt", &["10ms", "200ms"])], ..ONE_SEED }),
    },
    Check {
        id: "S2",
        title: "tcp and tls, which losses cannot tell apart, have the same delays",
        experiment: include_str!("../../experiments/validate/s2.toml"),
        score: score::same_but_for_encryption,
        // Its bounds are those of a median over ten seeds.
        quick: None,
    },
    Check {
        id: "P1",
        title: "10 MB over 10 Mbit/s with a small buffer: the link is filled",
        experiment: include_str!("../../experiments/validate/p1.toml"),
        score: score::link_is_filled,
        quick: Some(ONE_SEED),
    },
    Check {
        id: "P2",
        title: "bursts of loss, and 30 % loss each way: everything arrives, byte for byte",
        experiment: include_str!("../../experiments/validate/p2.toml"),
        score: score::everything_arrives,
        quick: Some(Quick { seeds: 2, ..ONE_SEED }),
    },
    Check {
        id: "P3",
        title: "random loss on a long fat path: BBR fills it, CUBIC cannot",
        experiment: include_str!("../../experiments/validate/p3.toml"),
        score: score::random_loss,
        quick: None,
    },
    Check {
        id: "P5",
        title: "the same controller, nothing lost: the same time, the handshake taken out",
        experiment: include_str!("../../experiments/validate/p5.toml"),
        score: score::same_controller_same_time,
        quick: Some(Quick { set: &[("", "bytes", &["1MB"]), ("", "loss", &["0%"])], ..ONE_SEED }),
    },
    Check {
        id: "P6",
        title: "parallel connections under random loss: each carries as much as one alone",
        experiment: include_str!("../../experiments/validate/p6.toml"),
        score: score::parallel_connections,
        quick: None,
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

    #[test]
    fn a_quick_check_is_part_of_the_whole() {
        for check in CHECKS {
            let Some(quick) = check.quick else { continue };
            let whole = Experiment::parse(check.experiment).unwrap();
            let part = quick.of(whole.clone()).unwrap_or_else(|error| panic!("{}: {error}", check.id));
            let trials = |experiment: &Experiment| experiment.trials().len();
            let (few, all) = (trials(&part), trials(&whole));
            assert!((1..=all).contains(&few), "{}: {few} of {all}", check.id);
            // The bounds of a valid trial are the check's own, and every part and arm that is named is one of its.
            let (part, whole) = (part.spec(), whole.spec());
            assert_eq!(part.tolerance, whole.tolerance, "{}", check.id);
            assert!(quick.parts.iter().all(|name| part.parts.iter().any(|part| part.name == *name)), "{}", check.id);
            let has = |arm: &str| part.parts.iter().all(|part| part.arms.iter().any(|other| other.to_string() == arm));
            assert!(quick.arms.iter().all(|arm| has(arm)), "{}", check.id);
        }
    }
}
