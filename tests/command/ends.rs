//! Server and client between any two addresses; here, loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{eventually, expect_status, samepath, stderr, stdout};

/// A server on a port of its own, ended with the test.
struct Server {
    child: Child,
    control: String,
    fingerprint: String,
    tcp_port: u64,
}

impl Server {
    fn start() -> Server {
        Server::start_with(&[])
    }

    fn start_with(args: &[&str]) -> Server {
        let mut child = samepath()
            .args(["server", "--listen", "127.0.0.1:0", "--token", "sesame", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(ready["event"], "ready");
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Server {
            control: text("control"),
            fingerprint: text("fingerprint"),
            tcp_port: ready["tcp_port"].as_u64().unwrap(),
            child,
        }
    }

    fn client(&self, args: &[&str]) -> std::process::Output {
        samepath().arg("client").arg(&self.control).args(args).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_arm_carries_both_workloads_both_ways() {
    let server = Server::start();
    for arm in ["tcp", "tcp/per-stream", "tls", "tls/per-stream", "quic", "quic/shared", "quic/per-message", "udp"] {
        for direction in ["up", "down"] {
            let common = ["--token", "sesame", "--arm", arm, "--direction", direction, "--json"];
            let bulk = ["--workload", "bulk", "--bytes", "2MB", "--streams", "2", "--udp-rate", "50Mbit"];
            let messages = ["--workload", "messages", "--count", "20", "--spacing", "5ms", "--streams", "4"];
            for workload in [&bulk[..], &messages[..]] {
                let output = server.client(&[&common[..], workload].concat());
                expect_status(&output, 0);
                let document: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON alone");
                let received = document["end"]["sum_received"]["bytes"].as_u64().unwrap();
                let whole = if workload == bulk { 2_000_000 } else { 20 * 4 * 1000 };
                if arm == "udp" {
                    assert!(received > whole / 2, "{arm} {direction}: {received} of {whole}");
                } else {
                    assert_eq!(received, whole, "{arm} {direction}");
                }
            }
        }
    }
}

#[test]
fn a_table_says_any_workload() {
    let server = Server::start();
    let table = "{ kind = 'rpc', outstanding = 2, count = 20, calls = 2, service = '1ms', warmup = '10kB' }";
    for arm in ["tcp", "tls/per-stream", "quic", "quic/per-message", "udp"] {
        let args = ["--token", "sesame", "--arm", arm, "--workload", table];
        let document = server.client(&[&args[..], &["--json"]].concat());
        expect_status(&document, 0);
        let document: Value = serde_json::from_slice(&document.stdout).unwrap();
        let operations = &document["samepath"]["operations"];
        let counts = ["released", "answered", "refused"].map(|name| operations[name].as_u64().unwrap());
        assert_eq!(counts, [20, 20, 0], "{arm}");
        let latency = operations["latency_ms"]["p50"].as_f64().unwrap();
        assert!(latency >= 2.0, "{arm}: two calls of a millisecond each, and {latency} ms");
        let told = stdout(&server.client(&args));
        assert!(told.contains("20 of 20 answered") && told.contains("latency       p50"), "{told}");
    }
    for (workload, more, word) in [
        ("rcp", &[][..], "write bulk, messages, or a table"),
        ("{ kind = 'rpc', outstanding = 2 }", &[], "count"),
        ("{ kind = 'rpc', outstanding = 2, count = 2, colour = 3 }", &[], "colour"),
        (table, &["--streams", "2"], "--streams goes with a workload by its name"),
    ] {
        let output = server.client(&[&["--token", "sesame", "--workload", workload], more].concat());
        expect_status(&output, 2);
        assert!(stderr(&output).contains(word), "{workload}: {}", stderr(&output));
    }
}

#[test]
fn a_workload_is_scored_between_two_hosts() {
    let server = Server::start();
    let common =
        ["--token", "sesame", "--arm", "udp", "--workload", "{ kind = 'voice', duration = '1s', direction = 'down' }"];
    let output = server.client(&[&common[..], &["--json"]].concat());
    expect_status(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rating = document["samepath"]["score"]["r_factor"].as_f64().unwrap();
    // A call on the loopback interface is as good as one can be by G.711, or nearly so where the machine is busy.
    assert!(rating > 50.0 && rating < 94.0, "{document}");
    let output = server.client(&common);
    expect_status(&output, 0);
    let said = stdout(&output);
    assert!(said.contains("score         packets missing") && said.contains(" rating R "), "{said}");
}

#[test]
fn one_process_stands_for_several_servers() {
    let server = Server::start_with(&["--servers", "3"]);
    let table = |services: u16, more: &str| {
        format!("{{ kind = 'fan-out', services = {services}, outstanding = 2, count = 20, service = '1ms'{more} }}")
    };
    for arm in ["tcp", "tls/per-message", "quic", "udp"] {
        let args = ["--token", "sesame", "--arm", arm, "--json", "--workload", &table(3, ", order = 'sequence'")];
        let document = server.client(&args);
        expect_status(&document, 0);
        let document: Value = serde_json::from_slice(&document.stdout).unwrap();
        let operations = &document["samepath"]["operations"];
        assert_eq!(operations["answered"], 20, "{arm}");
        let latency = operations["latency_ms"]["p50"].as_f64().unwrap();
        assert!(latency >= 3.0, "{arm}: three calls of a millisecond each, and {latency} ms");
    }
    for (workload, status, word) in [
        (table(4, ""), 1, "start it with --servers 4"),
        (table(3, ", extra-rtts = ['40ms']"), 2, "`extra-rtts` are a link's to add"),
    ] {
        let output = server.client(&["--token", "sesame", "--workload", &workload]);
        expect_status(&output, status);
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    let few_ports = ["--servers", "3", "--listen", "127.0.0.1:65533"];
    for (args, word) in [(&["--servers", "0"][..], "1..=100"), (&few_ports[..], "at most 65527")] {
        let output = samepath().arg("server").args(args).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn several_clients_at_once() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for arm in ["tcp", "tls", "quic", "udp"] {
            let server = &server;
            scope.spawn(move || {
                let args = ["--token", "sesame", "--arm", arm, "--duration", "1s", "--udp-rate", "10Mbit", "--json"];
                expect_status(&server.client(&args), 0);
            });
        }
    });
}

#[test]
fn what_is_wrong_is_said() {
    let server = Server::start();
    let bulk = ["--bytes", "10kB"];
    for (args, word) in [
        (&["--token", "wrong"][..], "token"),
        (&[][..], "--token"),
        (&["--token", "sesame", "--fingerprint", &format!("sha256:{}", "0".repeat(64))][..], "fingerprint"),
    ] {
        let output = server.client(&[&bulk[..], args].concat());
        assert!(!output.status.success());
        assert!(stderr(&output).contains(word), "{args:?}: {}", stderr(&output));
    }
    let right = ["--token", "sesame", "--fingerprint", &server.fingerprint];
    expect_status(&server.client(&[&bulk[..], &right].concat()), 0);

    // An occupied port, and one at which nobody listens.
    let output = samepath().args(["server", "--listen", &server.control, "--token", "x"]).output().unwrap();
    expect_status(&output, 1);
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = samepath().args(["client", &free.to_string(), "--token", "x", "--bytes", "1kB"]).output().unwrap();
    expect_status(&output, 1);
    assert!(stderr(&output).contains(&free.to_string()), "{}", stderr(&output));
}

#[test]
fn another_service_on_the_port_is_told_apart() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::Write;
        if let Ok((mut socket, _)) = other.accept() {
            let _ = socket.write_all(b"220 mail.example ESMTP\r\n");
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
        }
    });
    let output = samepath().args(["client", &address, "--token", "x", "--bytes", "1kB"]).output().unwrap();
    expect_status(&output, 1);
    assert!(stderr(&output).contains("samepath server"), "{}", stderr(&output));
}

#[test]
fn a_killed_server_is_told_from_another_service() {
    let mut server = Server::start();
    let client = samepath()
        .args(["client", &server.control, "--token", "sesame", "--arm", "tcp", "--duration", "60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The port of data, in hexadecimal, with a connection that is established.
    let port = format!(":{:04X}", server.tcp_port);
    let established = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1).is_some_and(|local| local.ends_with(&port)) && words.get(3) == Some(&"01")
    };
    eventually("data flows", || std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(established));
    server.child.kill().unwrap();
    let output = client.wait_with_output().unwrap();
    expect_status(&output, 1);
    let said = stderr(&output);
    assert!(!said.contains("http") && !said.contains("not a samepath"), "{said}");
    assert!(said.contains("ended the session") || said.contains("closed"), "{said}");
}

#[test]
fn the_server_ends_on_a_signal() {
    let mut server = Server::start();
    kill(Pid::from_raw(server.child.id() as i32), Signal::SIGTERM).unwrap();
    let status = server.child.wait().unwrap();
    assert!(status.success(), "{status}");
}
