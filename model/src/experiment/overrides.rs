//! Changes to an experiment from outside its file: flags, and values of axes.

use std::collections::BTreeMap;

use super::axes::{LINK_AXES, known_axes};
use super::{ExperimentError, ExperimentSpec};
use crate::link::LinkSpec;
use crate::spot::Spot;

impl ExperimentSpec {
    /// Gives an axis these values in every part that knows it (replacing it where it was there).
    ///
    /// # Errors
    /// Where no part knows an axis of that name.
    pub fn set_axis(&mut self, name: &str, values: &[String]) -> Result<(), ExperimentError> {
        let mut known = false;
        for part in &mut self.parts {
            if part.place_of(name).is_some() {
                known = true;
                part.axes.insert(name.to_owned(), values.iter().map(|v| typed(v)).collect());
            }
        }
        if known {
            Ok(())
        } else {
            Err(ExperimentError::Whole {
                at: Spot::default(),
                problem: format!(
                    "no part has an axis `{name}`; {}",
                    known_axes(self.parts.iter().map(|part| &part.workload))
                ),
            })
        }
    }

    /// Puts these conditions over those of every part. A condition that a part varies on an axis is
    /// no longer varied; a profile replaces the part's own conditions.
    pub fn override_link(&mut self, over: &LinkSpec) {
        let said = toml::Table::try_from(over).expect("a link spec always has a text form");
        for part in &mut self.parts {
            if over.profile.is_some() {
                part.link = LinkSpec::default();
                part.axes.retain(|axis, _| axis == "loss" || part_free_axis(axis));
            }
            if over.rtt.is_some() || over.delay.is_some() {
                (part.link.rtt, part.link.delay) = (None, None);
                part.axes.retain(|axis, _| axis != "rtt" && axis != "delay");
            }
            // One kind of rate takes the place of the other.
            let both = (over.rate.is_some(), over.rate_trace.is_some());
            let up = (over.up.rate.is_some() || both.0, over.up.rate_trace.is_some() || both.1);
            let down = (over.down.rate.is_some() || both.0, over.down.rate_trace.is_some() || both.1);
            for ((by_rate, by_trace), (rate, trace), prefix) in [
                (both, (&mut part.link.rate, &mut part.link.rate_trace), ""),
                (up, (&mut part.link.up.rate, &mut part.link.up.rate_trace), "up."),
                (down, (&mut part.link.down.rate, &mut part.link.down.rate_trace), "down."),
            ] {
                if by_rate {
                    *trace = None;
                    part.axes.remove(&format!("{prefix}rate-trace"));
                }
                if by_trace {
                    *rate = None;
                    part.axes.remove(&format!("{prefix}rate"));
                }
            }
            let mut link = toml::Table::try_from(&part.link).expect("a link spec always has a text form");
            overlay(&mut link, &said, "", &mut part.axes);
            part.link = link.try_into().expect("two link specs make a link spec");
        }
    }
}

/// Whether an axis varies something else than the link.
fn part_free_axis(axis: &str) -> bool {
    let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
    !LINK_AXES.contains(&condition)
}

/// Writes what `over` says into `base`, direction by direction, and takes it off the axes.
fn overlay(base: &mut toml::Table, over: &toml::Table, prefix: &str, axes: &mut BTreeMap<String, Vec<toml::Value>>) {
    for (name, value) in over {
        match value {
            toml::Value::Table(inner) => {
                let slot = base.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                if let toml::Value::Table(slot) = slot {
                    overlay(slot, inner, &format!("{name}."), axes);
                }
            }
            toml::Value::Array(items) if items.is_empty() => {}
            value => {
                axes.remove(&format!("{prefix}{name}"));
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A value as typed on the command line, in the type that the file would give it.
fn typed(text: &str) -> toml::Value {
    if let Ok(n) = text.parse::<i64>() {
        toml::Value::Integer(n)
    } else if let Ok(b) = text.parse::<bool>() {
        toml::Value::Boolean(b)
    } else {
        toml::Value::String(text.to_owned())
    }
}
