//! The two ends of a flow: how they are started, and what they say on their standard output.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use samepath_model::flow::{FlowId, book_of};
use samepath_model::shortage;
use serde::Deserialize;

use super::error::TrialError;
use super::files::{Files, of_flow};
use super::plan::TrialPlan;
use super::ports::port_of;
use crate::device;
use crate::endpoint::Endpoint;
use crate::link::Nanos;
use crate::path::LivePath;
use crate::sys;

/// File of the keys, beside a capture.
const KEYS: &str = "keys.log";
/// How long the server may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// The server's first line.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    fingerprint: String,
}

pub(super) fn start_server(
    plan: &TrialPlan,
    files: &Files<'_>,
    path: &LivePath,
    token: &str,
    flow: FlowId,
    stderr: &str,
) -> Result<Endpoint, TrialError> {
    let mut command = Command::new(&plan.program);
    let listen = format!("0.0.0.0:{}", port_of(flow));
    command.args(["server", "--listen", &listen, "--json"]).env("SAMEPATH_TOKEN", token);
    let workload = plan.trial.of_flow(flow).workload;
    if workload.servers() > 1 {
        command.args(["--servers", &workload.servers().to_string()]);
    }
    if workload.book().is_some() {
        command.arg("--book").arg(plan.books.join(book_of(flow)));
    }
    keep_secrets(&mut command, plan);
    Endpoint::start(command, &path.namespaces.server, files.stderr(stderr)).map_err(server_start)
}

fn server_start(error: io::Error) -> TrialError {
    TrialError::new("server", format!("cannot start the server: {}", shortage::told_of_start(&error)))
}

/// Waits until the server is ready.
pub(super) fn await_ready(server: &mut Endpoint) -> Result<Ready, TrialError> {
    let fail = server_start;
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let lines = server.lines().map_err(fail)?;
        if let Some(line) = lines.iter().find(|line| is_ready(line)) {
            let ready = serde_json::from_str(line).map_err(|error| {
                TrialError::new("server", format!("its ready line cannot be read: {error}: {line}"))
            })?;
            return Ok(ready);
        }
        if server.ended().map_err(fail)?.is_some() {
            let said = server.last_words();
            return Err(TrialError::new("server", format!("it ended before it was ready: {said}")));
        }
        if Instant::now() >= deadline {
            let said = server.last_words();
            return Err(TrialError::new("server", format!("it was not ready after {READY_LIMIT:?}: {said}")));
        }
        let watched: Vec<BorrowedFd<'_>> = server.watched().collect();
        sys::wait_readable(&watched, deadline).map_err(fail)?;
    }
}

pub(super) fn start_client(
    plan: &TrialPlan,
    files: &Files<'_>,
    path: &LivePath,
    token: &str,
    flow: FlowId,
    ready: &Ready,
) -> Result<Endpoint, TrialError> {
    let fail = |error: io::Error| {
        TrialError::new("client", format!("cannot start the client: {}", shortage::told_of_start(&error)))
    };
    let mut command = Command::new(&plan.program);
    command
        .arg("client")
        .arg(format!("{}:{}", device::SERVER_CONTROL, port_of(flow)))
        .arg("--via")
        .arg(device::SERVER_V4.to_string())
        .args(["--fingerprint", &ready.fingerprint])
        .arg("--trial")
        .arg(files.trial(flow))
        .arg("--report")
        .arg(files.report(flow))
        .args(["--await-start", "--json"])
        .env("SAMEPATH_TOKEN", token);
    keep_secrets(&mut command, plan);
    Endpoint::start(command, &path.namespaces.client, files.stderr(&of_flow("client", flow))).map_err(fail)
}

/// Has an end write, beside the capture, what is needed to read it: the keys of TLS and QUIC, as
/// Wireshark takes them, and QUIC's own log.
fn keep_secrets(command: &mut Command, plan: &TrialPlan) {
    if let Some(directory) = plan.capture.as_deref().and_then(Path::parent) {
        command.env("SSLKEYLOGFILE", directory.join(KEYS)).env("QLOGDIR", directory);
    }
}

/// The text, if the line is one of the server's log.
pub(super) fn log_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    (value.get("event")?.as_str()? == "log").then(|| value.get("text")?.as_str().map(str::to_owned))?
}

/// Whether the line says that a server is ready.
pub(super) fn is_ready(line: &str) -> bool {
    event_of(line).as_deref() == Some("ready")
}

/// The event's name, if the line is one.
fn event_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(value.get("event")?.as_str()?.to_owned())
}

/// The earliest instant at which a client's schedule can start, if the line says it.
pub(super) fn earliest_of(line: &str) -> Option<Nanos> {
    #[derive(Deserialize)]
    struct Ready {
        event: String,
        earliest_ns: Nanos,
    }
    let ready: Ready = serde_json::from_str(line).ok()?;
    (ready.event == "ready").then_some(ready.earliest_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_events_and_nothing_else() {
        assert_eq!(earliest_of(r#"{"event":"ready","earliest_ns":12345678901234}"#), Some(12_345_678_901_234));
        assert_eq!(earliest_of(r#"{"event":"result","earliest_ns":1}"#), None);
        assert_eq!(earliest_of("ready"), None);
        assert_eq!(event_of(r#"{"event":"ready","control":"0.0.0.0:4433"}"#).as_deref(), Some("ready"));
        assert_eq!(event_of("ready"), None);
        assert_eq!(log_of(r#"{"event":"log","text":"10.0.0.1:9: begins"}"#).as_deref(), Some("10.0.0.1:9: begins"));
        assert_eq!(log_of(r#"{"event":"ready","text":"no"}"#), None);
    }
}
