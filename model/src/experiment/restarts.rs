//! Restarts of servers in a part: checked against its flows.

use super::error::Fault;
use super::spec::Part;
use crate::flow::{Flow, FlowId, UNDER_TEST};
use crate::link::Direction;
use crate::restart::Restart;
use crate::spot::Spot;
use crate::units::Duration;
use crate::workload::Workload;

/// The key of their tables in the file.
const KEY: &str = "server-restart";

impl Part {
    /// The restarts in the part's trials, in the order of their times. The part is one whose axes are applied.
    ///
    /// # Errors
    /// Names the restart and the value that makes no sense.
    pub(super) fn restarts(&self, under_test: &Workload, competing: &[Flow]) -> Result<Vec<Restart>, Fault> {
        let mut restarts: Vec<Restart> = Vec::with_capacity(self.restarts.len());
        for (place, spec) in self.restarts.iter().enumerate() {
            let fault = |key: &str, problem: String| {
                Fault::new(Spot::key(KEY).item(place).then(key), format!("server-restart: {problem}"))
            };
            let (flow, workload, start) = match &spec.flow {
                None => (UNDER_TEST, under_test, Duration::ZERO),
                Some(name) => {
                    let found = (1 as FlowId..).zip(competing).find(|(_, flow)| flow.name == *name);
                    let (id, flow) = found.ok_or_else(|| {
                        let names: Vec<&str> = competing.iter().map(|flow| flow.name.as_str()).collect();
                        let remedy = match &names[..] {
                            [] => "leave `flow` out for the flow under test".to_owned(),
                            names => format!(
                                "choose one of {}, or leave `flow` out for the flow under test",
                                names.join(", ")
                            ),
                        };
                        fault("flow", format!("there is no competing flow `{name}`; {remedy}"))
                    })?;
                    (id, &flow.workload, flow.start)
                }
            };
            if workload.direction() == Direction::Up {
                let problem = "what a server has received is lost with its process, so nothing could be said of a flow that \
                               goes up; give its workload `direction = \"down\"`";
                return Err(fault("flow", problem.into()));
            }
            if let Some(flow) = competing.get(usize::from(flow).wrapping_sub(1)) {
                workload.check_restart(flow.arm).map_err(|error| fault("flow", error.to_string()))?;
            }
            let (at, downtime) = (spec.at, spec.downtime);
            let end = workload.nominal_duration().map(|lasts| start + lasts);
            if at < start {
                return Err(fault(
                    "at",
                    format!("at {at} its flow has not started, which does at {start}; kill it later"),
                ));
            }
            if let Some(end) = [end, self.time_limit].into_iter().flatten().min().filter(|end| at >= *end) {
                return Err(fault("at", format!("at {at} its flow is over, which ends at {end}; kill it earlier")));
            }
            let overlaps =
                |other: &&Restart| other.flow == flow && at <= other.at + other.downtime && other.at <= at + downtime;
            if let Some(other) = restarts.iter().find(overlaps) {
                let problem = format!(
                    "at {at} the server is down already, killed at {} for {}; give it another time, or leave one out",
                    other.at, other.downtime
                );
                return Err(fault("at", problem));
            }
            restarts.push(Restart { flow, at, downtime });
        }
        restarts.sort_by_key(|restart| restart.at);
        Ok(restarts)
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::Experiment;

    const DOWN: &str = r#"schema = 1
name = "down"
[[part]]
name = "bulk"
arms = ["tcp"]
workload = { kind = "bulk", duration = "4s" }
[[part.competing-flow]]
arm = "quic"
start = "1s"
workload = { kind = "bulk", duration = "2s" }
[[part.server-restart]]
at = "2s"
downtime = "500ms"
[[part.server-restart]]
flow = "quic"
at = "1500ms"
downtime = "1s"
"#;

    #[test]
    fn each_trial_has_the_restarts_in_order() {
        let experiment = Experiment::parse(DOWN).unwrap();
        assert_eq!(Experiment::parse(&experiment.spec().to_toml()).unwrap(), experiment);
        let trial = &experiment.trials()[0];
        let found: Vec<_> = trial.restarts.iter().map(|restart| (restart.flow, restart.at.as_millis_f64())).collect();
        assert_eq!(found, [(1, 1500.0), (0, 2000.0)]);
        let alone = trial.of_flow(1).restarts;
        assert_eq!((alone.len(), alone[0].flow, alone[0].at.as_millis_f64()), (1, 0, 500.0), "from its own start");
    }

    #[test]
    fn impossible_restarts_are_refused_with_line_and_remedy() {
        for (from, to, expected) in [
            ("at = \"2s\"", "at = \"4s\"", "line 12: part `bulk`: server-restart: at 4s its flow is over"),
            (
                "at = \"1500ms\"",
                "at = \"500ms\"",
                "line 16: part `bulk`: server-restart: at 500ms its flow has not started",
            ),
            (
                "flow = \"quic\"",
                "flow = \"tls\"",
                "line 15: part `bulk`: server-restart: there is no competing flow `tls`; choose",
            ),
            (
                "flow = \"quic\"\nat = \"1500ms\"",
                "at = \"2400ms\"",
                "line 15: part `bulk`: server-restart: at 2.4s the server is",
            ),
            (
                "\"4s\" }",
                "\"4s\", direction = \"up\" }",
                "line 11: part `bulk`: server-restart: what a server has received",
            ),
        ] {
            let changed = DOWN.replacen(from, to, 1);
            assert_ne!(changed, DOWN, "{from}");
            let error = Experiment::parse(&changed).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{to}: {error}");
        }
    }
}
