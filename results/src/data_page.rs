//! `docs/data.md` against the code: every column, key and metric of a run has its row there, and every row is one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use parquet::basic::{ConvertedType, Type as PhysicalType};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::blocking::{Blocking, HoldParts};
use samepath_model::experiment::Trial;
use samepath_model::flow::Flow;
use samepath_model::flow::{UNDER_TEST, book_of};
use samepath_model::mode::Mode;
use samepath_model::record::{
    Calibration, CoderReport, DirectionReport, DropCause, EndReport, HandshakeParts, Lateness, LinkReport, LinkShare,
    MessageRecord, Metric, NameLookup, Outcome, PacketRecord, Percentiles, RestartRecord, SeriesPoint, SessionFailure,
    Sockets, Summary, TrialRecord,
};
use samepath_model::restart::Restart;
use samepath_model::start::StartState;
use samepath_model::units::Duration;
use samepath_model::{VoidKind, VoidReason};
use serde_json::Value;
use tempfile::tempdir;

use crate::columns::Row;
use crate::manifest::{Host, Manifest};
use crate::{Analysis, csv, fixture, metric};

const PAGE: &str = include_str!("../../docs/data.md");

/// What is said of each name: a type, a unit, whether it may be null.
type Facts = BTreeMap<String, String>;

/// The rows of the table below a heading: name and other cells.
fn table(heading: &str) -> Vec<(String, Vec<&'static str>)> {
    let below = PAGE.lines().skip_while(|line| line.trim_start_matches('#') != format!(" {heading}")).skip(1);
    let rows = below.take_while(|line| !line.starts_with('#')).filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split('|').map(str::trim);
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.collect()))
    });
    rows.collect()
}

/// What the table below a heading says of each name, in so many of the cells behind it.
fn said(heading: &str, facts: impl Fn(&[&str]) -> String) -> Facts {
    table(heading).into_iter().map(|(name, cells)| (name, facts(&cells))).collect()
}

/// What a table says that has a type in its first cell, and in its last when there is no value.
fn typed(heading: &str) -> Facts {
    said(heading, |cells| nullable(cells[0], cells.last().is_some_and(|when| !when.is_empty())))
}

fn nullable(kind: &str, is_nullable: bool) -> String {
    format!("{kind}, {}", if is_nullable { "null at times" } else { "never null" })
}

/// The words of a row that are set as code.
fn words(heading: &str, name: &str) -> BTreeSet<String> {
    let row = table(heading).into_iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no row `{name}`"));
    row.1.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Names every row that the table below a heading lacks, has too many, or has otherwise.
fn assert_said(heading: &str, code: &Facts, page: &Facts) {
    let mut wrong = Vec::new();
    for (name, facts) in code {
        match page.get(name) {
            None => wrong.push(format!("it has no row `{name}` ({facts})")),
            Some(said) if said != facts => wrong.push(format!("it says of `{name}` \"{said}\", not \"{facts}\"")),
            Some(_) => {}
        }
    }
    let superfluous = page.keys().filter(|name| !code.contains_key(*name));
    wrong.extend(superfluous.map(|name| format!("it has a row `{name}`, which is not written")));
    assert!(wrong.is_empty(), "docs/data.md, {heading}:\n{}", wrong.join("\n"));
}

#[test]
fn columns_of_parquet_files_are_documented() {
    let files = [
        ("messages.parquet", MessageRecord::SCHEMA),
        ("ledger.parquet", PacketRecord::SCHEMA),
        ("series.parquet", SeriesPoint::SCHEMA),
        ("message-ranges.parquet", LayoutRecord::SCHEMA),
        ("packet-observations.parquet", ObservationRecord::SCHEMA),
    ];
    for (file, schema) in files {
        let schema = parse_message_type(schema).unwrap();
        let column = |column: &std::sync::Arc<Type>| {
            (column.name().to_owned(), nullable(&type_name(column), column.is_optional()))
        };
        assert_said(file, &schema.get_fields().iter().map(column).collect(), &typed(file));
    }
}

fn type_name(column: &Type) -> String {
    match (column.get_basic_info().converted_type(), column) {
        (ConvertedType::UTF8, _) => "STRING".to_owned(),
        (ConvertedType::NONE, Type::PrimitiveType { physical_type, type_length, .. }) => match physical_type {
            PhysicalType::FIXED_LEN_BYTE_ARRAY => format!("BINARY({type_length})"),
            other => other.to_string(),
        },
        (converted, _) => converted.to_string().replace('_', ""),
    }
}

#[test]
fn metrics_of_series_are_documented() {
    let heading = "Metrics of series.parquet";
    let code = Metric::ALL.iter().map(|metric| (metric.name().to_owned(), String::new())).collect();
    assert_said(heading, &code, &said(heading, |_| String::new()));
}

#[test]
fn metrics_of_tables_are_documented() {
    let heading = "Metrics of the tables";
    let code = metric::ALL.iter().map(|metric| (metric.name.to_owned(), metric.unit.symbol().to_owned())).collect();
    assert_said(heading, &code, &said(heading, |cells| cells[0].to_owned()));
}

#[test]
fn kinds_are_documented() {
    assert_eq!(
        words("ledger.parquet", "drop_cause"),
        DropCause::ALL.map(|cause| cause.name().to_owned()).into(),
        "causes"
    );
    let kinds = VoidKind::ALL.map(|kind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned());
    let keys = ["kind", "words"].map(str::to_owned);
    assert_eq!(words("trials.jsonl", "reasons"), kinds.into_iter().chain(keys).collect(), "void");
    let holds = HoldParts::NAMES.map(str::to_owned);
    assert_eq!(words("trials.jsonl", "summary.blocking.sender_hold_ms"), holds.into(), "sender hold");
}

#[test]
fn files_and_columns_of_tables_are_documented() {
    let dir = tempdir().unwrap();
    let run = fixture::run(&dir.path().join("run"), &fixture::experiment(), 1.0);
    let tables = csv::write(&Analysis::of(&run), &run.dir().join("report/tables")).unwrap();

    let mut written = BTreeMap::new();
    files(run.dir(), "", &mut written);
    // Whatever else a run may have is not of a kind that is always there; nor is a book.
    let kinds = [".parquet", ".csv", ".json", ".jsonl", ".toml"];
    let is_always_there =
        |name: &str| kinds.iter().any(|kind| name.ends_with(kind)) && !name.ends_with(&book_of(UNDER_TEST));
    let page = said("Files", |_| String::new()).into_iter();
    assert_said("Files", &written, &page.filter(|(name, _)| is_always_there(name)).collect());

    for path in tables {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut reader = ::csv::Reader::from_path(&path).unwrap();
        let code = reader.headers().unwrap().iter().map(|column| (column.to_owned(), String::new())).collect();
        let page = table(name).into_iter().flat_map(|(column, _)| match column.strip_prefix("<metric>") {
            Some(of) => metric::ALL.iter().map(|metric| format!("{}{of}", metric.name)).collect(),
            // The fixture's only axis.
            None => vec![column.replace("<axis>", "loss")],
        });
        assert_said(name, &code, &page.map(|column| (column, String::new())).collect());
    }
}

/// Every file below a directory by its path, in which a trial's is `<id>`.
fn files(dir: &Path, below: &str, found: &mut Facts) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{below}{}", if below == "trials/" { "<id>" } else { &name });
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path, String::new());
        }
    }
}

#[test]
fn keys_of_trials_are_documented() {
    let full = full_record();
    let records = [
        TrialRecord {
            outcome: Outcome::Void { reasons: vec![VoidReason::new(VoidKind::Steal, "another had the CPU")] },
            ..full.clone()
        },
        TrialRecord { outcome: Outcome::Failed { step: "server".into(), error: "it left".into() }, ..full.clone() },
        // What is null at times: in a trial without figures, in one with the fewest, and in one whose messages had none.
        TrialRecord {
            outcome: Outcome::Done,
            trial: fixture::experiment().trials()[0].clone(),
            set_up_ms: None,
            tear_down_ms: None,
            summary: None,
            link: None,
            client: None,
            server: None,
            epoch_ns: None,
            clock_error_ns: None,
            evidence: None,
            competing: Vec::new(),
            restarts: Vec::new(),
            session_failures: Vec::new(),
            ..full.clone()
        },
        TrialRecord {
            summary: Some(Summary::default()),
            link: Some(fixture::link()),
            client: Some(EndReport::default()),
            server: Some(EndReport::default()),
            ..full.clone()
        },
        TrialRecord {
            summary: Some(Summary { blocking: Some(Blocking::default()), ..Summary::default() }),
            ..full.clone()
        },
    ];
    let page = typed("trials.jsonl");
    let values = records.map(|record| serde_json::to_value(record).unwrap());
    assert_said("trials.jsonl", &keys(&values, &page), &page);
}

#[test]
fn keys_of_the_manifest_are_documented() {
    let manifest = fixture::manifest(&fixture::experiment());
    let some = Some(String::from("it tells"));
    let host = Host {
        kernel: some.clone(),
        cpu_model: some.clone(),
        cores: Some(2),
        virtual_machine: Some(true),
        memory_bytes: Some(1),
        clock_source: some.clone(),
        frequency_governor: some,
        ..Host::default()
    };
    let manifests =
        [Manifest { host, ..manifest.clone() }, Manifest { host: Host::default(), backend: None, ..manifest }];
    let page = typed("manifest.json");
    assert_said("manifest.json", &keys(&manifests.map(|value| serde_json::to_value(value).unwrap()), &page), &page);
}

/// A record in which every field has a value.
fn full_record() -> TrialRecord {
    let plain = fixture::experiment().trials()[0].clone();
    let (workload, tuning) = (plain.workload.clone(), plain.tuning.clone());
    let trial = Trial {
        mode: Mode::Exact,
        competing: vec![Flow {
            name: "other".into(),
            arm: plain.arm,
            workload,
            start: Duration::ZERO,
            extra_rtt: Duration::ZERO,
            tuning,
        }],
        restarts: vec![Restart { flow: 0, at: Duration::ZERO, downtime: Duration::ZERO }],
        ..plain
    };
    let percentiles = Percentiles::default();
    let blocking = Blocking { stall_ms: Some(percentiles), hold: Some(HoldParts::default()), ..Blocking::default() };
    let start = StartState {
        connections: 1,
        window: 1,
        srtt_us: 1,
        warmup: 1,
        losses: 0,
        in_flight: 0,
        expected_window: 1,
        apart: None,
    };
    let summary = Summary {
        goodput_bits_per_second: Some(1.0),
        completion_ms: Some(1.0),
        delay_ms: Some(percentiles),
        name_lookup: Some(NameLookup { took_ns: 1, tries: 1, answered: true }),
        handshake_ms: Some(1.0),
        handshake: Some(HandshakeParts::default()),
        first_byte_ms: Some(1.0),
        score: [("latency_p50_ms".to_owned(), 1.0)].into(),
        wire_bytes: Some(1),
        packets_dropped: Some(1),
        retransmissions: Some(1),
        start: Some(start),
        client_cpu_s_per_gb: Some(1.0),
        server_cpu_s_per_gb: Some(1.0),
        link_share: Some(LinkShare { from_ms: 0.0, until_ms: 1.0, share: 0.5, jain_index: 1.0 }),
        blocking: Some(blocking),
        ..Summary::default()
    };
    let end = EndReport {
        retransmissions: Some(1),
        buffer_limited_us: Some(1),
        datagrams_sent: Some(1),
        datagrams_received: Some(1),
        wake_lateness: Some(Lateness::default()),
        start: Some(start),
        sockets: Some(Sockets::default()),
        compression: Some(CoderReport::default()),
        decompression: Some(CoderReport::default()),
        failed_connections: [("EADDRNOTAVAIL".to_owned(), 1)].into(),
        book_sync: Some(Lateness::default()),
        ..EndReport::default()
    };
    let link = LinkReport {
        down: DirectionReport { bypassed: 1, bleached: 1, ..DirectionReport::default() },
        steal: Some(0.0),
        draws_began_ns: Some([-1, 0]),
        before: Some(Calibration::default()),
        after: Some(Calibration::default()),
        ..fixture::link()
    };
    TrialRecord {
        summary: Some(summary),
        link: Some(link),
        client: Some(end.clone()),
        server: Some(end),
        evidence: Some("trials/a/failed".into()),
        restarts: vec![RestartRecord { flow: 0, killed: 1, ready: Some(2) }],
        session_failures: vec![SessionFailure { flow: 0, at: 3, error: "reset".into() }],
        ..fixture::record(&trial, &fixture::play(&trial, 1.0))
    }
}

/// Every key of these objects by its path, with its type, and whether it is null or missing in one that has its parent.
/// An object of which the page has keys is looked into; it may have a row, too.
fn keys(values: &[Value], page: &Facts) -> Facts {
    fn collect(values: &[&Value], path: &str, page: &Facts, found: &mut Facts) {
        let parents = || values.iter().filter_map(|value| value.as_object());
        let names: BTreeSet<&String> = parents().flat_map(|parent| parent.keys()).collect();
        for name in names {
            let path = format!("{path}{name}");
            let below = format!("{path}.");
            let all: Vec<&Value> = parents().filter_map(|parent| parent.get(name)).filter(|v| !v.is_null()).collect();
            let is_looked_into = page.keys().any(|key| key.starts_with(&below));
            if is_looked_into {
                collect(&all, &below, page, found);
            }
            if !is_looked_into || page.contains_key(&path) {
                let kind = match all.first() {
                    Some(Value::Bool(_)) => "boolean",
                    Some(Value::Number(_)) => "number",
                    Some(Value::String(_)) => "string",
                    Some(Value::Array(_)) => "array",
                    Some(Value::Object(_)) => "object",
                    Some(Value::Null) | None => "always null",
                };
                found.insert(path, nullable(kind, all.len() < parents().count()));
            }
        }
    }
    let mut found = Facts::new();
    collect(&values.iter().collect::<Vec<_>>(), "", page, &mut found);
    found
}
