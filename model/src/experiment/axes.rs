//! Axes of a part: which there are, and the product of their values.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::{Fault, in_words};
use super::spec::Part;
use crate::link::{Checksum, files};
use crate::spot::Spot;
use crate::workload::Workload;

/// More trials than this are surely a slip.
pub(super) const MAX_TRIALS: usize = 100_000;

/// Where an axis's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Link,
    Workload,
    Tuning,
}

impl Place {
    /// The key of the table in the file.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Place::Link => "link",
            Place::Workload => "workload",
            Place::Tuning => "tuning",
        }
    }
}

/// The values of the axes as text, and the part with them applied.
pub(super) type Cell = (BTreeMap<String, String>, Part);

pub(super) const LINK_AXES: &[&str] = &[
    "profile",
    "filter",
    "rtt",
    "delay",
    "jitter",
    "distribution",
    "keep-order",
    "rate",
    "overhead",
    "rate-trace",
    "queue",
    "aqm",
    "limit",
    "slot",
    "loss",
    "ecn",
    "duplicate",
    "corrupt",
    "reorder",
    "blackhole",
    "bleach",
    "mtu",
    "loss-key",
    "generator",
];
const TUNING_AXES: &[&str] = &[
    "controller",
    "receive-window",
    "initial-window",
    "quic-mtu",
    "quic-mtu-discovery",
    "quic-gso",
    "quic-send-fairness",
    "order",
    "tls-record-size",
    "no-delay",
    "notsent-lowat",
    "local-ports",
    "time-wait-reuse",
    "open-files",
];

/// The axes of parts with these workloads.
pub(super) fn known_axes<'a>(workloads: impl IntoIterator<Item = &'a Workload>) -> String {
    let mut known = vec![("conditions", LINK_AXES)];
    for workload in workloads {
        if known.iter().all(|(name, _)| *name != workload.name()) {
            known.push((workload.name(), workload.axes()));
        }
    }
    known.push(("tuning", TUNING_AXES));
    let told = |(name, axes): (&str, &[&str])| format!("{name}: {}", axes.join(", "));
    known.into_iter().map(told).collect::<Vec<_>>().join("; ")
}

impl Part {
    pub(super) fn place_of(&self, axis: &str) -> Option<Place> {
        // `up.loss` and `down.loss` vary one direction alone.
        let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
        if LINK_AXES.contains(&condition) {
            Some(Place::Link)
        } else if self.workload.axes().contains(&axis) {
            Some(Place::Workload)
        } else if TUNING_AXES.contains(&axis) {
            Some(Place::Tuning)
        } else {
            None
        }
    }

    /// The product of the axes: the values' text, and the part with them applied.
    pub(super) fn cells(&self) -> Result<Vec<Cell>, Fault> {
        let mut cells = vec![(BTreeMap::new(), self.clone())];
        for (name, values) in &self.axes {
            let at = || Spot::key("axes").then(name);
            let place = self.place_of(name).ok_or_else(|| {
                let kind = self.workload.name();
                let others = Workload::kinds().into_iter().filter(|kind| kind.parameters.contains(&name.as_str()));
                let others: Vec<String> = others.map(|kind| format!("`{}`", kind.name)).collect();
                let others =
                    if others.is_empty() { String::new() } else { format!(" (it is one of {})", others.join(", ")) };
                let known = known_axes([&self.workload]);
                Fault::new(at(), format!("there is no axis `{name}` for `{kind}`{others}; {known}"))
            })?;
            if values.is_empty() {
                return Err(Fault::new(at(), format!("axis `{name}` has no values; give at least one")));
            }
            let texts = value_texts(name, values);
            let mut next = Vec::with_capacity(cells.len() * values.len());
            for (axes, part) in &cells {
                for (place_in_list, value) in values.iter().enumerate() {
                    let varied = part.with(place, name, value).map_err(|e| {
                        Fault::new(at().item(place_in_list), format!("axis `{name}`: {}", in_words(&e)))
                    })?;
                    let mut axes = axes.clone();
                    axes.insert(name.clone(), texts[place_in_list].clone());
                    next.push((axes, varied));
                }
            }
            if next.len() > MAX_TRIALS {
                let problem = format!("the axes make more than {MAX_TRIALS} cells; give fewer values");
                return Err(Fault::new(Spot::key("axes"), problem));
            }
            cells = next;
        }
        Ok(cells)
    }

    /// This part with one value set by name.
    fn with(&self, place: Place, axis: &str, value: &toml::Value) -> Result<Part, String> {
        fn set<T: Serialize + serde::de::DeserializeOwned>(
            whole: &T,
            path: &[&str],
            value: &toml::Value,
        ) -> Result<T, String> {
            let mut table = toml::Table::try_from(whole).map_err(|e| e.to_string())?;
            let mut inner = &mut table;
            for step in &path[..path.len() - 1] {
                let entry = inner.entry((*step).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                inner = entry.as_table_mut().ok_or("not a table")?;
            }
            inner.insert(path[path.len() - 1].to_owned(), value.clone());
            table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())
        }
        let path: Vec<&str> = axis.split('.').collect();
        let mut part = self.clone();
        match place {
            Place::Link => {
                // The shorthand and the longhand exclude each other: the axis replaces either.
                match axis {
                    "rtt" => part.link.delay = None,
                    "delay" => part.link.rtt = None,
                    _ => {}
                }
                part.link = set(&part.link, &path, value)?;
            }
            Place::Workload => {
                part.workload.clear_rival_of(axis);
                part.workload = set(&part.workload, &path, value)?;
            }
            Place::Tuning => part.tuning = set(&part.tuning, &path, value)?,
        }
        Ok(part)
    }

    /// Where the value of an axis stands that has this text.
    pub(super) fn value_spot(&self, axis: &str, value: &str) -> Spot {
        let at = Spot::key("axes").then(axis);
        match value_texts(axis, &self.axes[axis]).iter().position(|known| known == value) {
            Some(place) => at.item(place),
            None => at,
        }
    }
}

/// The values of an axis as text; of what stands for a file, its name, with the beginning of its text's checksum
/// where another value has the same.
pub(super) fn value_texts(axis: &str, values: &[toml::Value]) -> Vec<String> {
    let condition = axis.rsplit('.').next().unwrap_or(axis);
    let whole: Vec<String> = values.iter().map(value_text).collect();
    let labels: Vec<String> =
        whole.iter().map(|text| files::label(condition, text).unwrap_or_else(|| text.clone())).collect();
    let is_shared = |at: usize| (0..whole.len()).any(|other| labels[other] == labels[at] && whole[other] != whole[at]);
    let told = |at: usize| match is_shared(at) {
        true => format!("{} ({})", labels[at], &Checksum::of(whole[at].as_bytes()).hex()[..8]),
        false => labels[at].clone(),
    };
    (0..whole.len()).map(told).collect()
}

/// A value of an axis as it is written.
pub(super) fn value_text(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
