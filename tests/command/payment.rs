//! Payments through loss, an outage and a server that is killed: none twice, none lost, and the controls that fail.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use samepath_model::Workload;
use samepath_model::payments::{Payments, Recorded};
use samepath_model::record::TrialRecord;
use samepath_results::Run;

use crate::support::{apart, can_emulate, expect_status, figure, file, has, run, samepath, stderr, test, trials};

/// 240 payments by 40 users, 5 % loss each way, an outage, and the server killed twice, the second time as the link is down.
fn part(arms: &str, payment: &str) -> String {
    format!(
        "arms = [{arms}]\n\
         workload = {{ kind = 'payment', users = 40, per-second = 60, count = 240, timeout = '1500ms', attempts = 4, \
         pause = '200ms'{payment} }}\n\
         link = {{ rtt = '20ms', rate = '20Mbit', loss = '5%', outage = ['2s..3s'] }}\n\
         [[part.server-restart]]\nat = '1s'\ndowntime = '300ms'\n\
         [[part.server-restart]]\nat = '2500ms'\ndowntime = '800ms'"
    )
}

/// A directory whose files are in memory, where there is one: how many payments are confirmed in time is counted here, and
/// a disk that is busy with other things may take seconds for a sync.
fn on_no_disk() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Checks that the record says what messages and book say, and gives both.
fn became(run: &Run, record: &TrialRecord) -> (Payments, Recorded) {
    let id = &record.trial.id;
    let Workload::Payment(payment) = &record.trial.workload else { unreachable!("it is what was asked") };
    let payments = Payments::of(payment, record.trial.workload.scored_streams(), &run.messages(id).unwrap());
    let recorded = payments.in_book(&run.book(id).unwrap());
    let said = ["payments_confirmed", "payments_unknown", "payments_refused", "payments_made_twice", "payments_lost"];
    let counted = [payments.confirmed(), payments.unknown(), payments.refused(), recorded.twice, recorded.missing];
    assert_eq!(said.map(|name| figure(record, name)), counted.map(f64::from), "{id}");
    assert_eq!(payments.confirmed() + payments.unknown() + payments.refused(), payment.payments(), "{id}");
    (payments, recorded)
}

#[test]
fn no_payment_is_made_twice_or_lost() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = on_no_disk();
    let run = trials(
        dir.path(),
        "kept",
        &part("'tcp', 'tls', 'quic', 'quic/per-message', 'tcp/per-message', 'tls/per-message'", ""),
    );
    assert_eq!(run.trials().len(), 6);
    for record in run.trials() {
        let id = &record.trial.id;
        let (payments, recorded) = became(&run, record);
        assert_eq!((recorded.twice, recorded.missing), (0, 0), "{id}");
        // Both kills were met, and the session went on through them.
        assert_eq!((record.restarts.len(), record.session_failures.len()), (2, 0), "{id}");
        assert!(record.restarts.iter().all(|restart| restart.ready.is_some()), "{id}: {:?}", record.restarts);
        let after = record.restarts[1].ready.unwrap();
        let messages = run.messages(id).unwrap();
        assert!(messages.iter().any(|m| m.released > after && m.delivered.is_some()), "{id}: nothing came after");
        let syncs = record.server.as_ref().and_then(|server| server.book_sync.as_ref());
        assert!(syncs.is_some_and(|syncs| syncs.count > 0), "{id}: {syncs:?}");
        assert!(payments.confirmed() > 120, "{id}: {} of 240, {record:?}", payments.confirmed());
        assert!(figure(record, "attempts_per_payment") > 1.1, "{id}");
        // A payment is a round trip; so is a TCP connection for it, and the handshake of TLS.
        let round_trips = match record.trial.arm.to_string().as_str() {
            "tcp/per-message" => 2.0,
            "tls/per-message" => 3.0,
            _ => 1.0,
        };
        assert!(figure(record, "latency_p50_ms") >= 20.0 * round_trips, "{id}");
    }
}

#[test]
fn without_keys_some_stand_in_the_book_twice() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = on_no_disk();
    // What is tried again within an outage is delivered after it with what it was to replace, where they share a
    // connection; with a connection for each, an answer that is lost comes later than it is waited for.
    for (arm, timeout) in [("tcp/per-message", "200ms"), ("quic", "600ms")] {
        let part = format!(
            "arms = ['{arm}']\n\
             workload = {{ kind = 'payment', users = 40, per-second = 60, count = 240, timeout = '{timeout}', attempts = 4, \
             pause = '200ms', idempotency-key = false }}\n\
             link = {{ rtt = '20ms', rate = '20Mbit', loss = '5%', outage = ['2s..3s'] }}\n\
             [[part.server-restart]]\nat = '1s'\ndowntime = '300ms'"
        );
        let run = trials(dir.path(), &format!("keyless-{timeout}"), &part);
        let [record] = run.trials() else { panic!("one trial, not {:?}", run.trials()) };
        let (_, recorded) = became(&run, record);
        assert!(recorded.twice > 0 && recorded.missing == 0, "{}: {recorded:?}", record.trial.id);
    }
}

#[test]
fn a_book_in_memory_loses_what_was_confirmed() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = on_no_disk();
    let run = trials(dir.path(), "memory", &part("'tcp/per-message', 'quic'", ", book = 'memory'"));
    for record in run.trials() {
        let (payments, recorded) = became(&run, record);
        // What was confirmed before a kill, and not what was after the second.
        assert!(recorded.missing > 0 && recorded.missing < payments.confirmed(), "{}: {recorded:?}", record.trial.id);
    }
}

#[test]
fn an_arm_that_ends_with_its_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = "schema = 1\nname = 'shared'\nquestion = '?'\n[[part]]\nname = 'trial'\n";
    let path = file(dir.path(), "shared.toml", &format!("{text}{}", part("'tcp/per-stream'", "")));
    let output = run(&["run", &path, "--dry-run"]);
    expect_status(&output, 2);
    assert!(
        stderr(&output).contains("use `tcp`, `tls` or `quic`, or `tcp/per-message` or `tls/per-message`"),
        "{}",
        stderr(&output)
    );
}

/// A server on the loopback interface, and the port of its control connections.
struct Server(Child, String);

impl Server {
    fn start(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        Server(child, ready["control"].as_str().unwrap().to_owned())
    }

    /// What a client says that pays here.
    fn pay(&self, payments: u32) -> Output {
        let workload = format!("{{ kind = 'payment', count = {payments}, per-second = 1000, attempts = 1 }}");
        // Of all controllers it is the one that every user may set.
        let arm = ["--arm", "tcp/per-message", "--controller", "reno"];
        run(&[&["client", &self.1, "--token", "t", "--workload", &workload][..], &arm].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVE: [&str; 6] = ["server", "--listen", "127.0.0.1:0", "--json", "--token", "t"];

#[test]
fn a_server_without_a_book_takes_no_payment() {
    let mut command = samepath();
    command.args(SERVE);
    let output = Server::start(command).pay(1);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("start it with --book FILE"), "{}", stderr(&output));
}

#[test]
fn a_book_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let book = dir.path().join("book.jsonl");
    for line in [1, 1, 2] {
        // What a server that was killed has left half-written.
        let half = std::fs::read_to_string(&book).unwrap_or_default() + "{\"user\":7,\"pa";
        std::fs::write(&book, half).unwrap();
        let mut command = samepath();
        command.args(SERVE).arg("--book").arg(&book);
        let server = Server::start(command);
        expect_status(&server.pay(20 * line), 0);
        // What it holds already is known: nothing is paid twice.
        let text = std::fs::read_to_string(&book).unwrap();
        assert_eq!(text.lines().count(), 20 * line as usize, "{text}");
        assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{text}");
    }
}

#[test]
fn a_full_disk_confirms_nothing_and_says_so() {
    if !can_emulate(test!()) || !has("unshare", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // One page has room for some seventy payments.
    let mount = "mount -t tmpfs -o size=4k none \"$0\" && exec \"$@\" --book \"$0/book.jsonl\"";
    let mut command = apart(Command::new("unshare"));
    command.args(["--map-root-user", "--mount", "--kill-child", "sh", "-c", mount]).arg(dir.path());
    command.arg(env!("CARGO_BIN_EXE_samepath")).args(SERVE);
    let output = Server::start(command).pay(200);
    expect_status(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("No space left on device") && said.contains("no payment is confirmed"), "{said}");
    assert!(said.contains("free space there, or name another file"), "{said}");
}
