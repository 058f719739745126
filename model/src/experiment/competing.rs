//! Competing flows of a part: checked against the link and the flow under test, every default decided.

use std::fmt;

use super::error::Fault;
use super::names::{first_repeated, is_name};
use super::spec::Part;
use crate::flow::{Flow, FlowSpec, MAX_FLOWS};
use crate::link::{Link, MAX_DELAY};
use crate::spot::Spot;
use crate::streams;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The key of their tables in the file.
const KEY: &str = "competing-flow";

impl Part {
    /// The competing flows of the part's trials on this link, beside this workload. The part is one whose axes are
    /// applied.
    ///
    /// # Errors
    /// Names the flow and the value that makes no sense.
    pub(super) fn competing_flows(&self, link: &Link, under_test: &Workload) -> Result<Vec<Flow>, Fault> {
        let at = |place: usize| Spot::key(KEY).item(place);
        if self.competing.len() >= MAX_FLOWS {
            let problem = format!(
                "its trials have {} flows; at most {MAX_FLOWS} fit, the one under test included: leave some out",
                self.competing.len() + 1
            );
            return Err(Fault::new(at(MAX_FLOWS - 1), problem));
        }
        let names: Vec<String> = self.competing.iter().map(FlowSpec::name).collect();
        if let Some((place, twice)) = first_repeated(&names) {
            let problem = format!("two competing flows are named `{twice}`; give each a `name` of its own");
            return Err(Fault::new(at(place), problem));
        }
        let mut flows = Vec::with_capacity(names.len());
        for (place, (spec, name)) in self.competing.iter().zip(names).enumerate() {
            let FlowSpec { arm, start, extra_rtt, .. } = *spec;
            let way = link.farther_by(extra_rtt);
            let fault = |key: &str, problem: &dyn fmt::Display| {
                Fault::new(at(place).then(key), format!("competing flow `{name}`: {problem}"))
            };
            if spec.name.as_deref().is_some_and(|name| !is_name(name)) {
                let problem = "its name may have a-z, A-Z, 0-9 and hyphens, at most 64 of them; give it another";
                return Err(fault("name", &problem));
            }
            let tuning = spec.tuning.as_ref().unwrap_or(&self.tuning);
            spec.workload.check().map_err(|error| fault("workload", &error))?;
            tuning.check(arm).map_err(|error| fault("tuning", &error))?;
            streams::check(arm, &spec.workload, way.rtt()).map_err(|error| fault("workload", &error))?;
            spec.workload.check_on(arm, &way).map_err(|error| fault("workload", &error))?;
            if link.mtu < arm.least_mtu {
                let (mtu, least) = (link.mtu, arm.least_mtu);
                let problem = format!("an `mtu` of {mtu} is too small for its arm `{arm}`; give at least {least}");
                return Err(fault("arm", &problem));
            }
            if let Some(problem) = self.starts_too_late(start, under_test) {
                return Err(fault("start", &problem));
            }
            let delay = way.up.delay.max(way.down.delay);
            if delay > MAX_DELAY {
                let problem = format!(
                    "an `extra-rtt` of {extra_rtt} makes its delay {delay}; at most {MAX_DELAY} each way is possible"
                );
                return Err(fault("extra-rtt", &problem));
            }
            let workload = spec.workload.clone().on_link(&way).for_arm(arm);
            flows.push(Flow { name, arm, workload, start, extra_rtt, tuning: Tuning::clone(tuning) });
        }
        Ok(flows)
    }

    /// Why a flow that starts then competes with nothing, if it does.
    fn starts_too_late(&self, start: Duration, under_test: &Workload) -> Option<String> {
        let bounds = [
            (under_test.nominal_duration(), "the flow under test has ended by then, which runs for"),
            (self.time_limit, "the trial has ended by then, whose `time-limit` is"),
        ];
        let (bound, words) = bounds.into_iter().find(|(bound, _)| bound.is_some_and(|bound| start >= bound))?;
        Some(format!("a `start` of {start} is too late: {words} {}; start it earlier", bound?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::workload::Bulk;

    const TWO: &str = r#"schema = 1
name = "two"
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", duration = "4s" }
link = { rtt = "20ms", rate = "20Mbit" }
tuning = { controller = "reno" }
[[part.competing-flow]]
arm = "tcp"
workload = { kind = "messages", count = 50 }
[[part.competing-flow]]
name = "download"
arm = "tcp"
start = "2s"
workload = { kind = "bulk", bytes = "1MB" }
tuning = { controller = "cubic" }
"#;

    #[test]
    fn each_trial_has_the_flows_with_all_decided() {
        let experiment = Experiment::parse(TWO).unwrap();
        assert_eq!(Experiment::parse(&experiment.spec().to_toml()).unwrap(), experiment);
        for trial in experiment.trials() {
            let [first, second] = &trial.competing[..] else { panic!("two flows") };
            assert_eq!((first.name.as_str(), second.name.as_str()), ("tcp", "download"));
            assert_eq!(first.tuning, trial.tuning, "absent: the part's");
            assert_ne!(second.tuning, trial.tuning);
            assert!(matches!(&first.workload, Workload::Messages(m) if m.warmup.is_some()), "decided on this link");
            // Half a minute, four seconds, ten times the two transfers, twenty round trips.
            assert!(trial.time_limit > Duration::from_secs(38) && trial.time_limit < Duration::from_secs(43));
            let [flow, name] = [trial.of_flow(2), trial.of_flow(0)];
            assert!(matches!(flow.workload, Workload::Bulk(Bulk { bytes: Some(_), .. })) && flow.competing.is_empty());
            assert_eq!((name.arm, name.id), (trial.arm, trial.id.clone()));
            assert_eq!(trial.name_of(2), format!("download beside {}", trial.arm));
            assert_eq!(trial.flows().map(|flow| trial.start_of(flow)).max(), Some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn impossible_flows_are_refused_with_line_and_remedy() {
        let refused = |from: &str, to: &str| {
            let changed = TWO.replacen(from, to, 1);
            assert_ne!(changed, TWO, "{from}");
            Experiment::parse(&changed).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("name = \"download\"", "", "line 12: part `bulk`: two competing flows are named `tcp`; give each"),
            ("\"download\"", "\"a download\"", "line 13: part `bulk`: competing flow `a download`: its name"),
            (
                "\"2s\"",
                "\"4s\"",
                "line 15: part `bulk`: competing flow `download`: a `start` of 4s is too late: the flow",
            ),
            ("count = 50", "count = 0", "line 11: part `bulk`: competing flow `tcp`: workload `messages`: `count`"),
            ("bytes = \"1MB\"", "", "line 16: part `bulk`: competing flow `download`: workload `bulk`: say how much"),
            ("tuning = { controller = \"reno\" }", "time-limit = \"1s\"", "line 15: part `bulk`: competing flow"),
            ("start = \"2s\"", "begin = \"2s\"", "TOML parse error at line 15"),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with(expected), "{to}: {error}");
        }
        let flow = |n: usize| {
            format!(
                "[[part.competing-flow]]\nname = 'n{n}'\narm = 'udp'\nworkload = {{ kind = 'bulk', bytes = '1MB' }}\n"
            )
        };
        let many = (2..MAX_FLOWS).map(flow).collect::<String>();
        let error = Experiment::parse(&format!("{TWO}{many}")).unwrap_err().to_string();
        assert!(error.contains("17 flows; at most 16 fit") && error.contains("leave some out"), "{error}");
        let fitting = (2..MAX_FLOWS - 1).map(flow).collect::<String>();
        assert_eq!(Experiment::parse(&format!("{TWO}{fitting}")).unwrap().trials()[0].flows().count(), MAX_FLOWS);
    }
}
