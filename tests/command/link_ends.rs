//! What there is at the ends of a link: a server that is waited for, ports of the host, TCP's controller, IPv6.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Output;

use crate::support::{can_emulate, expect_status, has, run, samepath, stderr, stdout, test};

/// Runs a script at the client end, with more flags before it.
fn across(flags: &[&str], script: &str) -> Output {
    run(&[&["link", "--quiet"], flags, &["--", "sh", "-c", script]].concat())
}

/// Runs a Python program there, with what most of them need.
fn python(flags: &[&str], program: &str) -> Output {
    let program = format!("import os, socket, sys\nserver = os.environ['SAMEPATH_SERVER']\n{program}");
    run(&[&["link", "--quiet"], flags, &["--", "python3", "-c", &program]].concat())
}

/// A server command that listens once `$DIR/go` is there, and says so; then takes one connection.
fn late_server(kind: &str, family: &str, bind: &str) -> String {
    let listen = if kind == "STREAM" { "s.listen()" } else { "pass" };
    format!(
        "while ! [ -e $DIR/go ]; do sleep 0.01; done; exec python3 -c \"
import socket, time
s = socket.socket(socket.{family}, socket.SOCK_{kind})
s.bind(('{bind}', 5201))
{listen}
open('$DIR/listens', 'w')
time.sleep(60)\""
    )
}

#[test]
fn a_command_starts_once_what_was_named_listens() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    for (ready, kind, family, bind) in [
        ("tcp:5201", "STREAM", "AF_INET", "0.0.0.0"),
        ("tcp:5201", "STREAM", "AF_INET6", "::"),
        ("udp:5201", "DGRAM", "AF_INET", "198.18.0.2"),
        ("udp:5201", "DGRAM", "AF_INET6", "::"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        // Something else listens at once, and is not what was named.
        let server = format!("(touch $DIR/go; exec python3 -m http.server 8000) & {}", late_server(kind, family, bind));
        let output = samepath()
            .args(["link", "--quiet", "--server-ready", ready, "--server-command", &server])
            .args(["--", "sh", "-c", "[ -e $DIR/listens ]"])
            .env("DIR", dir.path())
            .output()
            .unwrap();
        expect_status(&output, 0);
    }
}

#[test]
fn what_does_not_listen_is_said() {
    if !can_emulate(test!()) {
        return;
    }
    let ready = |flags: &[&str], server: &str| across(&[flags, &["--server-command", server]].concat(), "echo started");
    // Nothing was named: the command starts all the same.
    let output = ready(&["--server-ready-timeout", "10ms"], "sleep 100");
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "started\n");
    let said = stderr(&output);
    assert!(
        said.starts_with("link: nothing listens at the server end after 0.01 s; the command starts all the same"),
        "{said}"
    );
    assert!(said.contains("--server-ready tcp:PORT") && said.contains("--server-ready none"), "{said}");
    // Nothing is to be waited for.
    let output = ready(&["--server-ready", "none"], "sleep 100");
    expect_status(&output, 0);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("started\n", ""));
    // A port was named.
    let output = ready(&["--server-ready", "tcp:5201", "--server-ready-timeout", "10ms"], "sleep 100");
    expect_status(&output, 1);
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    assert!(said.starts_with("samepath: the server end does not listen on tcp:5201 after 0.01 s, so"), "{said}");
    assert!(said.contains("--server-ready-timeout"), "{said}");
    // The server command has ended, and has left nobody behind: nothing more is waited for.
    for end in ["exit 0", "exit 3"] {
        let output = ready(&["--server-ready", "tcp:5201", "--server-ready-timeout", "1h"], end);
        expect_status(&output, 1);
        assert_eq!(stdout(&output), "");
        let said = stderr(&output);
        assert!(said.contains("tcp:5201, and the server command has ended, so the command was not started"), "{said}");
    }
    if has("python3", test!()) {
        let server = "exec python3 -m http.server --bind 127.0.0.1 5201";
        let output = ready(&["--server-ready", "tcp:5201", "--server-ready-timeout", "2s"], server);
        expect_status(&output, 1);
        assert!(stderr(&output).contains("tcp:5201 is bound to 127.0.0.1 alone"), "{}", stderr(&output));
    }
}

#[test]
fn a_daemonizing_server_command_is_awaited() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    let server = "(sleep 0.2; exec python3 -m http.server 5201) </dev/null >/dev/null 2>&1 & exit 0";
    let output = across(&["--server-ready", "tcp:5201", "--server-command", server], "echo started");
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "started\n");
}

#[test]
fn wrong_words_are_named() {
    for (flags, named) in [
        (&["--server-command", "true", "--server-ready", "5201"][..], "`5201` is no port: write tcp:PORT"),
        (&["--server-command", "true", "--server-ready", "tcp:0"], "`tcp:0`"),
        (&["--server-command", "true", "--server-ready-timeout", "10"], "--server-ready-timeout"),
        (&["--server-command", "true", "--server-ready-timeout", "-1s"], "--server-ready-timeout"),
        (
            &["--server-command", "true", "--server-ready", "none", "--server-ready-timeout", "1s"],
            "leave out --server-ready-timeout",
        ),
        (&["--server-ready", "any"], "--server-command"),
        (&["--host-port", "http"], "`http` is no port of the host: write PORT"),
        (&["--host-port", "80:0"], "`80:0`"),
        (&["--host-port", "80:81:82"], "`80:81:82`"),
        (&["--host-port", "80", "--host-port", "8080:80"], "tcp:80 at the server end is given twice"),
        (&["--capture", "-"], "no file is written to standard output"),
        (&["--ledger", "-"], "no file is written to standard output"),
        (&["--mtu", "99"], "an `mtu` of 99 is too small for TCP; give at least 100"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let args = [&["link"], flags, &["--", "true"]].concat();
        let output = samepath().args(args).current_dir(dir.path()).output().unwrap();
        expect_status(&output, 2);
        assert!(stderr(&output).contains(named), "{flags:?}: {}", stderr(&output));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{flags:?} has left something");
    }
    for args in [&["run", "--out", "-"][..], &["validate", "--keep", "-"], &["client", "h", "--report", "-"]] {
        let output = run(args);
        expect_status(&output, 2);
        assert!(stderr(&output).contains("`./-`"), "{}", stderr(&output));
    }
}

/// A service of the host that sends back what it got, once all of it is there; it serves so many connections.
fn echo(address: &str, connections: usize) -> Option<(String, std::thread::JoinHandle<()>)> {
    let listener = TcpListener::bind((address, 0)).ok()?;
    let port = listener.local_addr().unwrap().port().to_string();
    let serve = move || {
        std::thread::scope(|scope| {
            for _ in 0..connections {
                let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
                scope.spawn(move || {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).unwrap();
                    stream.write_all(&all).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
            }
        });
    };
    Some((port, std::thread::spawn(serve)))
}

/// Sends, says that this is all, and takes the answer; many connections at once.
const ASK: &str = "
import threading
def ask(host, port, n, size):
    s = socket.create_connection((host, port))
    data = bytes([n % 251]) * size
    t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
    t.start()
    got = b''
    while chunk := s.recv(1 << 16): got += chunk
    t.join()
    if got != data: print('connection', n, 'got', len(got), 'of', size); os._exit(1)
def ask_many(host, port, connections, size):
    all = [threading.Thread(target=ask, args=(host, port, n, size)) for n in range(connections)]
    for t in all: t.start()
    for t in all: t.join()
";

#[test]
fn a_host_service_is_reached_across_the_link() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    for (address, via) in
        [("127.0.0.1", "SAMEPATH_SERVER"), ("127.0.0.1", "SAMEPATH_SERVER6"), ("::1", "SAMEPATH_SERVER")]
    {
        let Some((port, serving)) = echo(address, 51) else {
            samepath_testing::skip_part!(address, "this machine has no such address");
            continue;
        };
        let carried = format!("{port}:80");
        let program = format!("{ASK}\nask_many(os.environ['{via}'], 80, 50, 20000)\nask(server, 80, 1, 8000000)");
        let output = python(&["--rtt", "4ms", "--host-port", &carried], &program);
        expect_status(&output, 0);
        serving.join().unwrap();
    }
}

#[test]
fn what_is_carried_meets_the_links_conditions() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    let (port, serving) = echo("127.0.0.1", 1).expect("a loopback");
    let program = format!(
        "{ASK}\nimport time\nbegun = time.monotonic()\nask(server, {port}, 1, 10)\nprint(time.monotonic() - begun)"
    );
    let output = python(&["--rtt", "80ms", "--host-port", &port], &program);
    expect_status(&output, 0);
    serving.join().unwrap();
    let took: f64 = stdout(&output).trim().parse().unwrap();
    assert!(took >= 0.160, "a handshake and a question take two round trips: {took} s");
}

#[test]
fn a_missing_service_is_told_to_both_ends() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let program = format!(
        "for _ in range(2):\n  try: print(socket.create_connection((server, {port})).recv(1))\n  \
         except ConnectionError as e: print('broke')"
    );
    let output = python(&["--host-port", &port], &program);
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "broke\nbroke\n");
    let told = format!("link: no service is reached at the host's port tcp:{port}, on 127.0.0.1 and ::1");
    assert_eq!(stderr(&output).matches(&told).count(), 1, "{}", stderr(&output));
}

#[test]
fn datagrams_are_carried_one_for_one() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    for address in ["127.0.0.1", "::1"] {
        let Ok(service) = UdpSocket::bind((address, 0)) else {
            samepath_testing::skip_part!(address, "this machine has no such address");
            continue;
        };
        let port = service.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            // Each peer's last datagram ends it.
            let mut ended = 0;
            while ended < 2 {
                let (n, from) = service.recv_from(&mut buffer).unwrap();
                service.send_to(&buffer[..n], from).unwrap();
                ended += usize::from(n == 1);
            }
        });
        let program = "
both = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for n, s in enumerate(both): s.connect((server, 53)); s.settimeout(10)
for size in (700, 1472, 10, 1):
    for n, s in enumerate(both): s.send(bytes([n]) * size)
    for n, s in enumerate(both): assert s.recv(2048) == bytes([n]) * size, (n, size)
";
        let output = python(&["--rtt", "4ms", "--host-port", &format!("udp:{port}:53")], program);
        expect_status(&output, 0);
        serving.join().unwrap();
    }
}

#[test]
fn a_port_clash_is_the_commands_mistake() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    // The relay's sockets are not what the command waits for.
    let flags = ["--host-port", "8765", "--server-ready-timeout", "10ms", "--server-command", "sleep 100"];
    let output = across(&flags, "true");
    expect_status(&output, 0);
    assert!(stderr(&output).contains("nothing listens at the server end"), "{}", stderr(&output));
    let flags = ["--host-port", "8765", "--server-command", "exec python3 -m http.server 8765"];
    let output = across(&flags, "true");
    expect_status(&output, 0);
    assert!(stderr(&output).contains("the server command has ended with status 1"), "{}", stderr(&output));
}

#[test]
fn the_controller_is_told_and_can_be_chosen() {
    if !can_emulate(test!()) {
        return;
    }
    let read = "cat /proc/sys/net/ipv4/tcp_congestion_control";
    let output = run(&["link", "--", "sh", "-c", read]);
    expect_status(&output, 0);
    let default = stdout(&output).trim().to_owned();
    let said = stderr(&output);
    assert!(said.contains(&format!("link: TCP of both ends begins with {default} (the host's default")), "{said}");
    assert!(said.contains(&format!("TCP began with {default}")), "{said}");
    // Every kernel has reno.
    let server = "cat /proc/sys/net/ipv4/tcp_congestion_control >&2";
    let chosen = ["link", "--controller", "reno", "--server-ready", "none", "--server-command", server];
    let status = format!("{read}; {} link status --json", env!("CARGO_BIN_EXE_samepath"));
    let output = run(&[&chosen[..], &["--", "sh", "-c", &status]].concat());
    expect_status(&output, 0);
    assert!(stdout(&output).starts_with("reno\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("\"controller\": \"reno\""), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(said.contains("link: TCP of both ends begins with reno (as asked)"), "{said}");
    assert!(said.lines().any(|line| line == "reno"), "the server's end, too: {said}");
    let output = across(&["--controller", "nagle"], "echo started");
    expect_status(&output, 77);
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    assert!(said.contains("`nagle`") && said.contains("it has: ") && said.contains("modprobe tcp_nagle"), "{said}");

    let output = run(&["doctor"]);
    assert!(stdout(&output).contains(&format!("TCP across a link begins with {default};")), "{}", stdout(&output));
}

#[test]
fn a_small_mtu_has_no_ipv6_and_carries_tcp() {
    if !can_emulate(test!()) {
        return;
    }
    let script = "cat /sys/class/net/link0/mtu 2>/dev/null; [ -z \"$SAMEPATH_SERVER6\" ]";
    for mtu in ["576", "1279"] {
        let output = run(&["link", "--mtu", mtu, "--", "sh", "-c", script]);
        expect_status(&output, 0);
        let told = format!("link: without IPv6, which needs an MTU of 1280, and here it is {mtu}");
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    }
    let output = run(&["link", "--mtu", "1280", "--", "true"]);
    assert!(!stderr(&output).contains("which needs an MTU"), "{}", stderr(&output));
    if !has("python3", test!()) {
        return;
    }
    let (port, serving) = echo("127.0.0.1", 1).expect("a loopback");
    let program = format!("{ASK}\nask(server, {port}, 1, 100000)");
    expect_status(&python(&["--mtu", "100", "--host-port", &port], &program), 0);
    serving.join().unwrap();
}

#[test]
fn quic_alone_needs_the_mtu_of_quic() {
    let dry = |arms: &str| run(&["run", "handshake", "--dry-run", "--mtu", "576", "--arm", arms]);
    expect_status(&dry("tcp,tls"), 0);
    let output = dry("tcp,quic/shared");
    expect_status(&output, 2);
    let said = stderr(&output);
    assert!(said.contains("--mtu: ") && said.contains("an `mtu` of 576 is too small for QUIC"), "{said}");
    assert!(said.contains("at least 1248, or leave the arm `quic/shared` out"), "{said}");
}
