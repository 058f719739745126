//! Figures of exchanges for which connections are made: what the kernel counted, and what could not be made.

use samepath_model::record::{MessageRecord, Sockets, TrialRecord};
use samepath_model::{Direction, Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};
use super::rpc::of_operations;

/// The metrics of connections.
pub(crate) const METRICS: &[&Metric] = &[&FAILED, &FIRST_FAILURE, &PORTS, &TIME_WAIT_CLIENT, &TIME_WAIT_SERVER];

/// Share of the exchanges whose connection could not be made, or broke, in percent.
pub(crate) const FAILED: Metric = Metric {
    name: "failed_percent",
    label: "failed",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, FAILED.name),
    changes: ("less", "more"),
    ..PLAIN
};

/// When the first exchange failed so, from the start of the schedule.
pub(crate) const FIRST_FAILURE: Metric = Metric {
    name: "first_failure_ms",
    label: "first failure",
    unit: Unit::Millis,
    better: Some(Better::Higher),
    of: |t| of_workload(t, FIRST_FAILURE.name),
    changes: ("later", "earlier"),
    ..PLAIN
};

/// The most ports that sockets of TCP held at the client at a time, in use or in TIME-WAIT, as its kernel counted them.
pub(crate) const PORTS: Metric = Metric {
    name: "ports_held",
    label: "ports held",
    better: Some(Better::Lower),
    of: |t| Some(client(t)?.ports as f64),
    changes: ("fewer", "more"),
    head: Some("ports\nheld"),
    ..PLAIN
};

/// The most of the client's sockets that were in TIME-WAIT at a time, as its kernel counted them.
pub(crate) const TIME_WAIT_CLIENT: Metric = Metric {
    name: "client_time_wait",
    label: "TIME-WAIT at the client",
    of: |t| Some(client(t)?.time_wait as f64),
    head: Some("TIME-WAIT\nclient"),
    ..PLAIN
};

/// The same of the server's.
pub(crate) const TIME_WAIT_SERVER: Metric = Metric {
    name: "server_time_wait",
    label: "TIME-WAIT at the server",
    of: |t| Some(t.server.as_ref()?.sockets?.time_wait as f64),
    head: Some("TIME-WAIT\nserver"),
    ..PLAIN
};

fn client(record: &TrialRecord) -> Option<Sockets> {
    record.client.as_ref()?.sockets
}

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Workload::Connect(connect) = trial.workload.scored() else { return Vec::new() };
    let (exchanges, streams) = (connect.exchanges(), trial.workload.scored_streams());
    let mut figures = of_operations(&exchanges, streams.clone(), messages);
    // A request that was given up before its time was over is one whose connection failed.
    let own = messages.iter().filter(|message| streams.contains(&message.stream) && message.direction == Direction::Up);
    let failed =
        |message: &MessageRecord| message.cancelled.filter(|at| message.deadline.is_none_or(|deadline| *at < deadline));
    let (all, failures): (Vec<()>, Vec<Option<i64>>) = own.map(|message| ((), failed(message))).unzip();
    let first = failures.iter().flatten().min();
    if !all.is_empty() {
        let share = failures.iter().flatten().count() as f64 / all.len() as f64;
        figures.push((&FAILED, 100.0 * share));
    }
    figures.extend(first.map(|at| (&FIRST_FAILURE, *at as f64 / 1e6)));
    figures
}
