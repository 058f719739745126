//! What a metric is.

use samepath_model::record::TrialRecord;

/// A figure that a trial's record holds.
#[derive(Debug)]
pub struct Metric {
    /// The name in files, its unit included; no other metric has it.
    pub name: &'static str,
    /// The name for people.
    pub label: &'static str,
    /// The unit.
    pub unit: Unit,
    /// Which way it improves; `None` for what only describes the trial.
    pub better: Option<Better>,
    /// Its value in a trial's record; `None` where it was not measured or does not apply.
    pub of: fn(&TrialRecord) -> Option<f64>,
    /// Label and unit on two lines, where they are to be broken otherwise than between them.
    pub head: Option<&'static str>,
    /// What a change for the better and one for the worse are called.
    pub changes: (&'static str, &'static str),
    /// Whether it is a share of which 100 % is all: rounded down, as 99.996 % is not all of it.
    pub is_share_of_all: bool,
}

/// What a metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things, one by one.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes times seconds.
    ByteSeconds,
    /// Bytes for each byte.
    BytesPerByte,
    /// Hundredths.
    Percent,
    /// A number without a unit: an index, a rating.
    Index,
    /// Milliseconds.
    Millis,
    /// Round-trip times of the link.
    RoundTrips,
    /// 10⁶ bits a second.
    MbitPerSecond,
    /// Seconds for a gigabyte (10⁹ bytes).
    SecondsPerGigabyte,
    /// Things a second.
    PerSecond,
}

impl Unit {
    /// The unit for people; empty for a count and an index.
    pub const fn symbol(self) -> &'static str {
        match self {
            Unit::Count | Unit::Index => "",
            Unit::Bytes => "B",
            Unit::ByteSeconds => "B·s",
            Unit::BytesPerByte => "B/B",
            Unit::Percent => "%",
            Unit::Millis => "ms",
            Unit::RoundTrips => "RTT",
            Unit::MbitPerSecond => "Mbit/s",
            Unit::SecondsPerGigabyte => "s/GB",
            Unit::PerSecond => "1/s",
        }
    }
}

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Metric {
    /// The name in experiment files: [`name`](Metric::name) with hyphens, without the unit where a figure's own text
    /// says it: `delay-p99`, `goodput`.
    pub fn key(&self) -> String {
        let units = ["_ms", "_mbit_per_s", "_s_per_gb"];
        let name = units.iter().find_map(|unit| self.name.strip_suffix(unit)).unwrap_or(self.name);
        name.replace('_', "-")
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Metric) -> bool {
        self.name == other.name
    }
}

impl Eq for Metric {}

/// What most rows have in common.
pub(crate) const PLAIN: Metric = Metric {
    name: "",
    label: "",
    unit: Unit::Count,
    better: None,
    of: |_| None,
    head: None,
    changes: ("faster", "slower"),
    is_share_of_all: false,
};

/// A figure of the trial's workload, which its summary has under the metric's name.
pub(crate) fn of_workload(record: &TrialRecord, name: &str) -> Option<f64> {
    record.summary.as_ref()?.score.get(name).copied()
}
