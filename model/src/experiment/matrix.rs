//! The matrix of trials, multiplied out and checked.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::axes::{MAX_TRIALS, Place, value_texts};
use super::error::Fault;
use super::names::{first_repeated, is_name};
use super::{ExperimentError, ExperimentSpec, Part, SCHEMA, Trial, TrialId};
use crate::flow::{Flow, UNDER_TEST};
use crate::link::{Link, LinkSpec};
use crate::spot::{Spot, quoted};
use crate::streams;
use crate::tolerance::Tolerance;
use crate::units::Duration;
use crate::workload::Workload;

impl ExperimentSpec {
    /// Refuses conditions that would do nothing, as [`LinkSpec::refuse_idle`]: of a new experiment, not of one that
    /// was run. `flags` are those that [`override_link`](Self::override_link) has put into all parts alike; a word
    /// of theirs need do something in one of them alone.
    ///
    /// # Errors
    /// Names the part and the word.
    pub fn refuse_idle(&self, flags: &LinkSpec) -> Result<(), ExperimentError> {
        let mut refused = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let cells = part.cells().map_err(|fault| fault.of(place, part))?;
            let words = cells.iter().map(|(_, varied)| varied.link.refuse_idle(&varied.link));
            let idle: Vec<_> = words.filter_map(Result::err).collect();
            if let (Some(first), true) = (idle.first(), idle.len() == cells.len()) {
                refused.push(Fault::new(Spot::key("link"), first).of(place, part));
            }
        }
        let all_of_them = refused.len() == self.parts.len() || *flags == LinkSpec::default();
        refused.into_iter().next().filter(|_| all_of_them).map_or(Ok(()), Err)
    }

    /// Refuses values of axes that make the same trials twice.
    pub(super) fn refuse_twins(&self) -> Result<(), ExperimentError> {
        let mut parts = self.parts.iter().enumerate();
        parts.try_for_each(|(place, part)| part.refuse_twins().map_err(|fault| fault.of(place, part)))
    }

    /// Every trial, also where values of axes make the same twice: of runs that were recorded when they were let pass.
    pub(super) fn matrix(&self) -> Result<Vec<Trial>, ExperimentError> {
        let whole = |at: Spot, problem: String| Err(ExperimentError::Whole { at, problem });
        if self.schema != SCHEMA {
            return Err(ExperimentError::Schema(self.schema));
        }
        if !is_name(&self.name) {
            let problem = format!("`name` is `{}`; use a-z, A-Z, 0-9 and hyphens, at most 64 of them", self.name);
            return whole(Spot::key("name"), problem);
        }
        if self.repeat.is_some() && !self.seeds.is_empty() {
            return whole(Spot::key("repeat"), "`repeat` and `seeds` exclude each other; give one".into());
        }
        let seeds = self.seeds();
        if seeds.is_empty() {
            return whole(Spot::key("repeat"), "`repeat` is 0; at least one seed is needed".into());
        }
        if let Some((place, twice)) = first_repeated(&seeds) {
            return whole(
                Spot::key("seeds").item(place),
                format!("seed {twice} is there twice; a seed is one pairing"),
            );
        }
        if self.parts.is_empty() {
            return whole(Spot::key("part"), "there is no [[part]]; an experiment needs at least one".into());
        }
        if let Some((place, twice)) = first_repeated(&self.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>()) {
            let at = Spot::key("part").item(place).then("name");
            return whole(at, format!("two parts are named `{twice}`; give each its own name"));
        }
        let mut trials = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let own: Option<Vec<u64>> = part.repeat.map(|repeat| (1..=u64::from(repeat)).collect());
            let seeds = own.as_ref().unwrap_or(&seeds);
            if seeds.is_empty() {
                let fault = Fault::new(Spot::key("repeat"), "`repeat` is 0; at least one seed is needed");
                return Err(fault.of(place, part));
            }
            part.trials(seeds, &self.tolerance, &mut trials).map_err(|fault| fault.of(place, part))?;
            if trials.len() > MAX_TRIALS {
                let problem = format!("the matrix has more than {MAX_TRIALS} trials; narrow the axes or split it");
                return whole(Spot::key("part").item(place), problem);
            }
        }
        Ok(trials)
    }
}

impl Part {
    fn trials(&self, seeds: &[u64], tolerance: &Tolerance, trials: &mut Vec<Trial>) -> Result<(), Fault> {
        if !is_name(&self.name) {
            let problem = "its name may have a-z, A-Z, 0-9 and hyphens, at most 64 of them; give it another";
            return Err(Fault::new(Spot::key("name"), problem));
        }
        if self.arms.is_empty() {
            return Err(Fault::new(Spot::key("arms"), "`arms` is empty; name at least one"));
        }
        if let Some((place, twice)) = first_repeated(&self.arms) {
            let problem = format!("arm `{twice}` is there twice; leave one out");
            return Err(Fault::new(Spot::key("arms").item(place), problem));
        }
        for (cell, (axes, varied)) in self.cells()?.into_iter().enumerate() {
            let fault = |table: Place, error: &dyn fmt::Display| self.fault(table, &axes, error.to_string());
            varied.workload.check().map_err(|error| fault(Place::Workload, &error))?;
            let link = varied.link.resolve().map_err(|error| fault(Place::Link, &error))?;
            let workload = varied.workload.clone().on_link(&link);
            let competing = varied.competing_flows(&link, &workload)?;
            let restarts = varied.restarts(&workload, &competing)?;
            for &arm in &self.arms {
                varied.tuning.check(arm).map_err(|error| fault(Place::Tuning, &error))?;
                let (mtu, least) = (link.mtu, arm.least_mtu);
                if mtu < least {
                    let problem = format!(
                        "an `mtu` of {mtu} is too small for QUIC; give at least {least}, or leave the arm `{arm}` out"
                    );
                    return Err(fault(Place::Link, &problem));
                }
                streams::check(arm, &workload, link.rtt()).map_err(|error| fault(Place::Workload, &error))?;
                workload.check_on(arm, &link).map_err(|error| fault(Place::Workload, &error))?;
                if restarts.iter().any(|restart| restart.flow == UNDER_TEST) {
                    workload.check_restart(arm).map_err(|error| fault(Place::Workload, &error))?;
                }
            }
            for &seed in seeds {
                for &arm in &self.arms {
                    trials.push(Trial {
                        id: TrialId(format!("{}-{cell}-s{seed}-{}", self.name, arm.to_string().replace('/', "-"))),
                        part: self.name.clone(),
                        axes: axes.clone(),
                        arm,
                        seed,
                        workload: workload.clone().for_arm(arm),
                        competing: competing.clone(),
                        restarts: restarts.clone(),
                        link: link.clone(),
                        tuning: varied.tuning.clone(),
                        mode: self.mode,
                        tolerance: tolerance.clone(),
                        time_limit: self.time_limit.unwrap_or_else(|| time_limit(&workload, &competing, &link)),
                        attribution: self.attribution.unwrap_or(varied.workload.is_attributed()),
                    });
                }
            }
        }
        Ok(())
    }

    /// A fault of a cell, at the value of the axis that made it where there is one, else in the table that
    /// has the base's values.
    fn fault(&self, table: Place, cell: &BTreeMap<String, String>, problem: String) -> Fault {
        let condition = |axis: &str| axis.rsplit('.').next().unwrap_or(axis).to_owned();
        let named = quoted(&problem).find_map(|key| cell.keys().find(|axis| condition(axis) == key));
        // Where the message names no axis, but the base is sound, one of those that vary this table it must be.
        let base_is_sound = match table {
            Place::Link => self.link.resolve().is_ok_and(|link| self.arms.iter().all(|arm| arm.least_mtu <= link.mtu)),
            Place::Workload => self.workload.check().is_ok(),
            Place::Tuning => self.arms.iter().all(|&arm| self.tuning.check(arm).is_ok()),
        };
        let varies = || cell.keys().find(|axis| base_is_sound && self.place_of(axis) == Some(table));
        let at = match named.or_else(varies) {
            Some(axis) => self.value_spot(axis, &cell[axis]),
            None => Spot::key(table.key()),
        };
        Fault { at, problem }
    }

    /// Refuses cells that are the same but for how their values are written: each seed would count twice.
    fn refuse_twins(&self) -> Result<(), Fault> {
        let mut known: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        for (axes, varied) in self.cells()? {
            let link = varied.link.resolve().map_err(|error| self.fault(Place::Link, &axes, error.to_string()))?;
            let resolved = format!("{:?} {link:?} {:?}", varied.workload, varied.tuning);
            if let Some(twin) = known.get(&resolved) {
                return Err(self.twins(twin, &axes));
            }
            known.insert(resolved, axes);
        }
        Ok(())
    }

    fn twins(&self, first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Fault {
        let differing: Vec<&String> = second.keys().filter(|axis| first[*axis] != second[*axis]).collect();
        // Where the texts are the same, a value is there twice: the first axis that has one is at fault.
        let twice = || {
            self.axes.iter().find_map(|(axis, values)| {
                let texts = value_texts(axis, values);
                let (place, text) = first_repeated(&texts)?;
                let problem = format!("axis `{axis}` has the value `{text}` twice");
                Some((Spot::key("axes").then(axis).item(place), problem))
            })
        };
        let (at, problem) = match (&differing[..], twice()) {
            ([], Some(twice)) => twice,
            (&[axis], _) => {
                let (one, other) = (&first[axis], &second[axis]);
                let problem = format!("the values `{one}` and `{other}` of axis `{axis}` make the same trials");
                (self.value_spot(axis, &second[axis]), problem)
            }
            _ => {
                let cell = |axes: &BTreeMap<String, String>| {
                    axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect::<Vec<_>>().join(", ")
                };
                let problem = format!("the axes make the same trials of {} and of {}", cell(first), cell(second));
                (Spot::key("axes"), problem)
            }
        };
        Fault { at, problem: format!("{problem}, so that each seed would count twice; leave one out") }
    }
}

/// A bound on a trial that no healthy trial reaches: the schedules, ten times the transfers of all its flows at the
/// link's rate, and half a minute for handshakes, recovery and draining.
fn time_limit(workload: &Workload, competing: &[Flow], link: &Link) -> Duration {
    let transfer =
        |workload: &Workload| match (workload.total_bytes(), link.direction(workload.direction()).mean_rate()) {
            (Some(bytes), Some(rate)) => rate.time_for(bytes.bytes()),
            // Without a rate a long transfer is limited by loss and RTT; assume no less than 1 Mbit/s.
            (Some(bytes), None) => crate::units::BitRate::new(10_000_000).time_for(bytes.bytes()),
            (None, _) => Duration::ZERO,
        };
    let schedule =
        |workload: &Workload, rtt: Duration| workload.nominal_duration().unwrap_or_default() + workload.patience(rtt);
    let (mut last, mut transfers, mut longest) = (schedule(workload, link.rtt()), transfer(workload), link.rtt());
    for flow in competing {
        let rtt = link.farther_by(flow.extra_rtt).rtt();
        last = last.max(flow.start + schedule(&flow.workload, rtt));
        transfers += transfer(&flow.workload);
        longest = longest.max(rtt);
    }
    Duration::from_secs(30) + last + transfers * 10 + longest * 20
}
