//! The score of a session between two hosts: what its user felt, from its messages alone.

use std::collections::BTreeMap;

use samepath_model::arm::Arm;
use samepath_model::record::MessageRecord;
use samepath_model::units::Duration;
use samepath_model::workload::Workload;
use samepath_model::{LinkSpec, Mode, Tolerance, Trial, TrialId, Tuning};

use crate::number::number;
use crate::score;

/// A figure of a workload's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The name in files, its unit included.
    pub name: &'static str,
    /// The name for people, and the value with its unit.
    pub words: String,
    /// The value.
    pub value: f64,
}

/// The figures of a workload's score in a session of which nothing is known but its messages.
pub fn score(workload: &Workload, arm: Arm, seed: u64, messages: &[MessageRecord]) -> Vec<Figure> {
    // A path of which nothing is known has no conditions.
    let Ok(link) = LinkSpec::default().resolve() else { return Vec::new() };
    let trial = Trial {
        id: TrialId("session".into()),
        part: String::new(),
        axes: BTreeMap::new(),
        arm,
        seed,
        workload: workload.clone(),
        competing: Vec::new(),
        restarts: Vec::new(),
        link,
        tuning: Tuning::default(),
        mode: Mode::default(),
        tolerance: Tolerance::default(),
        time_limit: Duration::ZERO,
        attribution: false,
    };
    let figures = (score::of_workload(workload).of_messages)(&trial, messages).into_iter();
    figures
        .map(|(of, value)| {
            let words = format!("{} {} {}", of.label, number(value), of.unit.symbol()).trim_end().to_owned();
            Figure { name: of.name, words, value }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use samepath_model::Direction;

    use super::*;

    #[test]
    fn a_call_between_two_hosts_is_rated() {
        let workload: Workload = toml::from_str("kind = 'voice'\ndirection = 'down'\nduration = '1s'").unwrap();
        let messages: Vec<MessageRecord> = (0..50)
            .map(|seq| MessageRecord {
                flow: 0,
                direction: Direction::Down,
                stream: 0,
                seq,
                size: 172,
                released: i64::from(seq) * 20_000_000,
                released_by: None,
                deadline: None,
                attempt: 1,
                cancelled: None,
                sent: Some(i64::from(seq) * 20_000_000),
                delivered: (seq % 10 != 9).then_some(i64::from(seq) * 20_000_000 + 15_000_000),
                received: 172,
                coded: None,
            })
            .collect();
        let figures = score(&workload, "udp".parse().unwrap(), 1, &messages);
        let missing = figures.iter().find(|figure| figure.name == "packets_missing_percent").unwrap();
        assert_eq!((missing.value, missing.words.as_str()), (10.0, "packets missing 10 %"));
        assert!(figures.iter().any(|figure| figure.name == "r_factor"), "{figures:?}");
    }
}
