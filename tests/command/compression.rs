//! Responses that are compressed: what the ledger saw of them, what it took, and what cannot be compressed.

use samepath_model::Direction;
use samepath_model::record::{Coded, MessageRecord, TrialRecord};
use samepath_results::Run;

use crate::support::{can_emulate, expect_status, figure, file, run, stderr, stdout, test, trials};

/// Bytes of TCP's or UDP's payload that the server offered to the link.
fn payload_down(run: &Run, record: &TrialRecord) -> u64 {
    let ledger = run.ledger(&record.trial.id).unwrap().expect("the link has a ledger").map(Result::unwrap);
    ledger.filter(|packet| packet.direction == Direction::Down).map(|packet| u64::from(packet.payload)).sum()
}

#[test]
fn the_wire_carries_what_the_coder_leaves() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'tls', 'quic', 'quic/per-message', 'tls/per-message']\n\
                workload = { kind = 'rpc', outstanding = 2, count = 20, response = '50kB', warmup = '20kB' }\n\
                link = { rtt = '20ms', rate = '20Mbit' }\naxes = { compression = ['none', 'gzip', 'zstd'] }";
    let run = trials(dir.path(), "wire", part);
    assert_eq!(run.trials().len(), 15);
    let plain = |record: &TrialRecord| {
        let same =
            |other: &&TrialRecord| other.trial.arm == record.trial.arm && other.trial.axes["compression"] == "none";
        run.trials().iter().find(same).unwrap()
    };
    for record in run.trials() {
        let id = &record.trial.id;
        let messages = run.messages(id).unwrap();
        let responses: Vec<&MessageRecord> = messages.iter().filter(|m| m.direction == Direction::Down).collect();
        let size: u64 = responses.iter().map(|m| m.size).sum();
        let (content, compressed) = (figure(record, "content_bytes"), figure(record, "compressed_bytes"));
        let ratio = figure(record, "compression_ratio");
        assert_eq!((responses.len(), content, compressed), (20, 1e6, size as f64), "{id}");
        assert_eq!(record.server.as_ref().unwrap().bytes_sent, size, "{id}");
        assert_eq!(record.client.as_ref().unwrap().bytes_received, size, "{id}");
        assert!(responses.iter().all(|m| m.received == m.size && m.delivered.is_some()), "{id}");
        let all: Vec<Coded> = responses.iter().filter_map(|m| m.coded).collect();
        if record.trial.axes["compression"] == "none" {
            assert_eq!((all.len(), ratio, figure(record, "compression_cpu_in_all_ms")), (0, 1.0, 0.0), "{id}");
            continue;
        }
        assert!((4.5..6.5).contains(&ratio), "{id}: {ratio}");
        assert_eq!(all.len(), 20, "{id}");
        assert!(all.iter().all(|coded| coded.content == 50_000 && coded.compression_cpu_ns > 0), "{id}: {all:?}");
        assert!(all.iter().all(|coded| coded.decompression_cpu_ns.is_some_and(|cpu| cpu > 0)), "{id}: {all:?}");
        let cpu: u64 = all.iter().map(|coded| coded.compression_cpu_ns).sum();
        assert!((figure(record, "compression_cpu_ms") * 20.0 - cpu as f64 / 1e6).abs() < 1e-6, "{id}");
        // The process has taken it, too.
        let server = record.server.as_ref().unwrap();
        assert_eq!(server.compression.unwrap().cpu_ns, cpu, "{id}");
        assert!(server.cpu_user_ns + server.cpu_system_ns > cpu * 9 / 10, "{id}: {server:?}");
        // What is saved on the wire is what is saved of the content, and the headers of frames, records and packets on it.
        let saved = payload_down(&run, plain(record)) as f64 - payload_down(&run, record) as f64;
        let expected = content - compressed;
        assert!((0.98 * expected..1.08 * expected).contains(&saved), "{id}: {saved} bytes saved, not {expected}");
    }
    // Every part of the delay is accounted for, the coder's among them.
    let path = run.dir().to_str().unwrap();
    let output = crate::support::run(&["explain", path, "--trial", "trial-1-s1-tls", "--message", "down:0:3"]);
    expect_status(&output, 0);
    // The report says what it made of them.
    let page = std::fs::read_to_string(run.dir().join("report/index.html")).unwrap();
    assert!(page.contains("of CPU time at the server"), "the sentence is missing");
    assert!(run.dir().join("report/charts/trial-compression.svg").exists(), "the chart is missing");
    let table = stdout(&crate::support::run(&["report", path]));
    assert!(!table.contains("NaN"), "{table}");
}

#[test]
fn what_cannot_be_compressed_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let rpc = "kind = 'rpc', outstanding = 1, count = 1";
    for (arms, workload, axes, said) in [
        (
            "'udp'",
            format!("{rpc}, compression = 'gzip'"),
            "",
            &["`compression = \"gzip\"`", "`udp`", "use `tcp`, `tls`"][..],
        ),
        (
            "'tcp', 'quic/datagram'",
            format!("{rpc}, compression = 'zstd'"),
            "",
            &["`quic/datagram`", "use `tcp`, `tls`"],
        ),
        (
            "'tcp', 'udp'",
            rpc.to_owned(),
            "axes = { compression = ['none', 'zstd'] }",
            &["`udp`", "leave `compression` out"],
        ),
        ("'tcp'", format!("{rpc}, compression = 'brotli'"), "", &["brotli", "gzip", "zstd"]),
        ("'tcp'", "kind = 'messages', count = 1, compression = 'gzip'".to_owned(), "", &["compression"]),
        (
            "'tcp'",
            "kind = 'messages', count = 1".to_owned(),
            "axes = { compression = ['gzip'] }",
            &["`compression`", "rpc"],
        ),
        ("'tcp'", format!("{rpc}, compression-level = 6"), "", &["goes with `compression`"]),
        ("'tcp'", format!("{rpc}, compression = 'gzip', compression-level = 10"), "", &["between 1 and 9"]),
        ("'tcp'", format!("{rpc}, compression = 'zstd', response = '5MB'"), "", &["4MiB", "`response`"]),
    ] {
        let text = format!(
            "schema = 1\nname = 'x'\nquestion = '?'\n[[part]]\nname = 'a'\narms = [{arms}]\nworkload = {{ {workload} }}\n{axes}\n"
        );
        let output = run(&["run", &file(dir.path(), "x.toml", &text), "--dry-run"]);
        expect_status(&output, 2);
        let told = stderr(&output);
        assert!(said.iter().all(|word| told.contains(word)), "{workload} {axes}: {told}");
    }
    let table = "{ kind = 'rpc', outstanding = 1, count = 1, compression = 'gzip' }";
    let output = run(&["client", "127.0.0.1", "--token", "x", "--arm", "udp", "--workload", table]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("use `tcp`, `tls` or `quic`"), "{}", stderr(&output));
}
