//! How far a trial's conditions may be from what was asked before it is void.

use serde::{Deserialize, Serialize};

use crate::setting::EqualSetting;
use crate::units::{Duration, Probability};

/// The bounds of a valid trial. In an experiment file the table `[tolerance]`; what it leaves out has
/// its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Tolerance {
    /// How far the median delay of the probes, before the trial and after it, may be from the delay asked.
    pub delay: Duration,
    /// By how much one probe in a hundred may take longer than asked.
    pub delay_p99: Duration,
    /// How far the rate that a train of probes met may be from the rate asked, as a share of it; 100 % takes any rate.
    pub rate: Probability,
    /// Share of the probes that may be lost: they are exempt from the link's own losses.
    pub loss: Probability,
    /// By how much one packet in a hundred may leave the link late.
    pub lateness: Duration,
    /// By how much one in a hundred of an endpoint's clock ticks may be served late.
    pub wake_lateness: Duration,
    /// How long one in a hundred of a book's syncs may take: payments wait for the disk, too.
    pub book_sync: Duration,
    /// Share of its time that the link's data thread may be on the CPU.
    pub link_cpu: Probability,
    /// Share of its time that an endpoint may be on the CPU.
    pub endpoint_cpu: Probability,
    /// Share of the machine's CPU time that the hypervisor may give to others.
    pub steal: Probability,
    /// Settings that decide the comparison ([`EqualSetting`]) and may yet be other than asked: by name, as
    /// `["net.ipv4.tcp_ecn"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ungranted: Vec<EqualSetting>,
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
            book_sync: micros(100_000),
            link_cpu: share(0.8),
            endpoint_cpu: share(0.8),
            steal: share(0.05),
            ungranted: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    #[test]
    fn a_table_overrides_single_defaults() {
        let text = |tolerance: &str| {
            format!(
                "schema = 1\nname = \"x\"\n{tolerance}\n[[part]]\nname = \"bulk\"\narms = [\"tcp\"]\nmode = \"fast\"\n\
                 workload = {{ kind = \"bulk\", bytes = \"1MB\" }}\nlink = {{ rtt = \"10ms\" }}\n"
            )
        };
        let read = |tolerance: &str| Experiment::parse(&text(tolerance));
        let plain = read("").expect("an experiment");
        assert_eq!(plain.spec().tolerance, Tolerance::default());
        let own = read("[tolerance]\nlateness = \"250us\"\nrate = \"1%\"\n").expect("an experiment");
        let expected = Tolerance {
            lateness: Duration::from_micros(250),
            rate: Probability::new(0.01).expect("a share"),
            ..Tolerance::default()
        };
        let trials = own.trials();
        assert!(trials.iter().all(|trial| trial.tolerance == expected && trial.mode == crate::Mode::Fast));
        // As resolved, every bound is written out, and reads the same.
        assert_eq!(Experiment::parse(&own.spec().to_toml()).expect("its own text").spec().tolerance, expected);
        assert!(own.spec().to_toml().contains("wake-lateness = \"2ms\""), "{}", own.spec().to_toml());
        let lenient = read("[tolerance]\nungranted = [\"net.ipv4.tcp_ecn\"]\n").expect("an experiment");
        assert_eq!(lenient.spec().tolerance.ungranted[0].name(), "net.ipv4.tcp_ecn");
        assert_eq!(
            Experiment::parse(&lenient.spec().to_toml()).expect("its own text").spec().tolerance,
            lenient.spec().tolerance
        );
        let wrong = read("[tolerance]\nungranted = [\"ecn\"]\n").expect_err("no such setting").to_string();
        assert!(wrong.contains("`ecn`") && wrong.contains("net.ipv4.tcp_ecn") && wrong.contains("line 4"), "{wrong}");
        let slip = read("[tolerance]\nlatenes = \"1ms\"\n").expect_err("no such bound").to_string();
        assert!(slip.contains("latenes") && slip.contains("line 4"), "{slip}");
        assert!(read("[tolerance]\nrate = \"5\"\n").is_err(), "a share has its unit");
    }
}
