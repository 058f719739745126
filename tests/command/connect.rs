//! Connections for each exchange: how many ports they hold, at which end, and what fails when there are none left.

use samepath_model::record::TrialRecord;

use crate::support::{can_emulate, figure, test, trials};

/// What the trial says of connections that could not be made by this error.
fn failed(record: &TrialRecord, error: &str) -> u64 {
    record.client.as_ref().unwrap().failed_connections.get(error).copied().unwrap_or(0)
}

#[test]
fn there_are_as_many_connections_as_ports() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp/per-message"]
workload = { kind = "connect", per-second = 100, count = 300 }
link = { rtt = "4ms" }
tuning = { local-ports = "33000-33099", time-wait-reuse = 0 }
axes = { closes = ["client", "server"] }
"#;
    let run = trials(dir.path(), "ports", part);
    for record in run.trials() {
        let id = &record.trial.id;
        let settings = &record.link.as_ref().unwrap().settings;
        let ports = settings.iter().find(|setting| setting.name == "net.ipv4.ip_local_port_range").unwrap();
        assert_eq!(ports.effective, "33000 33099", "{id}");
        if record.trial.axes["closes"] == "client" {
            // A port stays in TIME-WAIT for a minute: none comes back.
            assert!((figure(record, "answered_percent") - 100.0 / 3.0).abs() < 1e-9, "{id}");
            assert_eq!(failed(record, "EADDRNOTAVAIL"), 200, "{id}");
            assert!((figure(record, "failed_percent") - 200.0 / 3.0).abs() < 1e-9, "{id}");
            // The hundred and first.
            assert!(figure(record, "first_failure_ms") >= 1000.0, "{id}");
            let sockets = record.client.as_ref().unwrap().sockets.unwrap();
            assert_eq!(sockets.time_wait, 100, "{id}");
            assert!(sockets.ports >= 100, "{id}: {sockets:?}");
        } else {
            assert_eq!((figure(record, "answered_percent"), figure(record, "failed_percent")), (100.0, 0.0), "{id}");
            assert!(record.client.as_ref().unwrap().failed_connections.is_empty(), "{id}");
            let sockets = record.server.as_ref().unwrap().sockets.unwrap();
            // One for each port that the client takes, again and again: Linux takes those of one parity first.
            assert!((40..=100).contains(&sockets.time_wait), "{id}: {sockets:?}");
            assert_eq!(record.client.as_ref().unwrap().sockets.unwrap().time_wait, 0, "{id}");
        }
    }
}

#[test]
fn a_client_without_descriptors_says_so() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp/per-message"]
workload = { kind = "connect", outstanding = 60, count = 200 }
link = { rtt = "40ms" }
tuning = { open-files = 60 }
"#;
    let run = trials(dir.path(), "descriptors", part);
    let record = &run.trials()[0];
    assert!(failed(record, "EMFILE") > 0, "{:?}", record.client);
    let (answered, failed) = (figure(record, "answered_percent"), figure(record, "failed_percent"));
    assert!(answered > 0.0 && (answered + failed - 100.0).abs() < 1e-9, "{answered} and {failed}");
}
