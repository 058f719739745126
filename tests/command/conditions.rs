//! Conditions of the link as programs across it meet them: filters, a NAT that forgets, black holes, bleached ECN,
//! and what comes again and again.

use std::process::Output;

use crate::support::{can_emulate, carries, expect_status, has, run, samepath, stderr, stdout, test};

/// Runs a script of Python at the client end, with another serving at the other end where there is one.
fn across(args: &[&str], server: Option<&str>, client: &str) -> Output {
    let mut command = samepath();
    command.arg("link").args(args).env("CLIENT_SCRIPT", client);
    if let Some(server) = server {
        command.env("SERVER_SCRIPT", server).args(["--server-command", "exec python3 -c \"$SERVER_SCRIPT\""]);
    }
    command.args(["--", "sh", "-c", "exec python3 -c \"$CLIENT_SCRIPT\""]).output().unwrap()
}

/// The line of the summary about what went up.
fn up(output: &Output) -> String {
    let said = stderr(output);
    said.lines().find(|line| line.starts_with("link: up ")).unwrap_or_else(|| panic!("no counts: {said}")).to_owned()
}

/// Answers datagrams and connections with what it sees as their source.
const TELLS_SOURCE: &str = "
import socket as s, threading
def serve(family, address):
    udp = s.socket(family, s.SOCK_DGRAM); udp.bind((address, 7000))
    tcp = s.socket(family, s.SOCK_STREAM); tcp.setsockopt(s.SOL_SOCKET, s.SO_REUSEADDR, 1)
    tcp.bind((address, 7000)); tcp.listen()
    def datagrams():
        while True:
            data, peer = udp.recvfrom(2000); udp.sendto(('%s %d' % peer[:2]).encode(), peer)
    def one(c):
        try:
            while c.recv(2000): c.sendall(b'here')
        except OSError: pass
    def connections():
        while True:
            c, peer = tcp.accept(); threading.Thread(target=one, args=(c,)).start()
    return [threading.Thread(target=datagrams), threading.Thread(target=connections)]
threads = serve(s.AF_INET, '0.0.0.0')
try: threads += serve(s.AF_INET6, '::1' if False else '2001:2::2')
except OSError: pass
[t.start() for t in threads]
";

#[test]
fn one_protocol_is_blocked_and_the_others_pass() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    // As a client that falls back from QUIC to TCP: no datagram passes, and a connection does.
    let client = "
import os, socket as s
to = (os.environ['SAMEPATH_SERVER'], 7000)
u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.settimeout(0.3)
for n in range(5): u.sendto(b'x' * 1200, to)
try: print('udp', u.recv(99))
except TimeoutError: print('udp blocked')
c = s.create_connection(to, 5); c.settimeout(5); c.sendall(b'x'); print('tcp', c.recv(99))
";
    for backend in ["tun", "packet"] {
        if !carries(backend, test!()) {
            continue;
        }
        let conditions = ["--backend", backend, "--filter", "udp port 7000", "--loss", "100%", "--rate", "1Mbit"];
        let output = across(&conditions, Some(TELLS_SOURCE), client);
        expect_status(&output, 0);
        assert_eq!(stdout(&output), "udp blocked\ntcp b'here'\n", "{backend}: {}", stderr(&output));
        assert!(stderr(&output).contains("loss 100%, only udp port 7000"), "{}", stderr(&output));
        let counts = up(&output);
        assert!(counts.contains("dropped 5 (loss 5)") && counts.contains(", not filtered "), "{counts}");
    }
}

#[test]
fn a_rebinding_nat_shows_another_port_or_address() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    // Datagrams from one socket, until the server sees them come from elsewhere; and a connection, until it breaks.
    let client = "
import os, socket as s, time
v6 = os.environ['V'] == '6'; family = s.AF_INET6 if v6 else s.AF_INET
to = (os.environ['SAMEPATH_SERVER6' if v6 else 'SAMEPATH_SERVER'], 7000)
u = s.socket(family, s.SOCK_DGRAM); u.settimeout(0.05); u.connect(to)
c = s.create_connection(to, 5); c.settimeout(0.05)
own = '%s %d' % u.getsockname()[:2]; seen = []; end = time.time() + 20; broken = None
while time.time() < end and (len(seen) < 3 or not broken):
    try: u.send(b'x'); peer = u.recv(99).decode()
    except TimeoutError: continue
    if peer not in seen: seen.append(peer)
    try: c.sendall(b'x'); c.recv(99)
    except TimeoutError: pass
    except (ConnectionResetError, BrokenPipeError): broken = 'reset'
print(seen[0] == own, [peer.split()[0] for peer in seen[:3]], len({p.split()[1] for p in seen[:3]}), broken)
";
    let test = test!();
    let backends: Vec<&str> = ["tun", "packet"].into_iter().filter(|backend| carries(backend, test)).collect();
    let expected = [
        ("4", "port", "True ['198.18.0.1', '198.18.0.1', '198.18.0.1'] 3 reset\n"),
        ("4", "address", "True ['198.18.0.1', '198.18.0.3', '198.18.0.4'] 1 reset\n"),
        ("6", "port", "True ['2001:2::1', '2001:2::1', '2001:2::1'] 3 reset\n"),
        ("6", "address", "True ['2001:2::1', '2001:2::3', '2001:2::4'] 1 reset\n"),
    ];
    // All at once: what takes time is waiting for the next rebinding, and the first comes when all have begun.
    std::thread::scope(|scope| {
        for backend in backends {
            for (version, what, expected) in expected {
                scope.spawn(move || {
                    let rebind = format!("4s every 500ms: {what}");
                    let script = format!("import os; os.environ['V'] = '{version}'\n{client}");
                    let output = across(&["--backend", backend, "--rebind", &rebind], Some(TELLS_SOURCE), &script);
                    expect_status(&output, 0);
                    assert_eq!(stdout(&output), expected, "{backend} {version} {what}: {}", stderr(&output));
                });
            }
        }
    });
}

#[test]
fn large_packets_vanish_in_a_black_hole() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    let client = "
import os, socket as s
u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.settimeout(5); u.connect((os.environ['SAMEPATH_SERVER'], 7000))
for size in [1372, 1373, 100, 1472]: u.send(b'x' * size)
for n in range(2): u.recv(99)
u.settimeout(0.2)
try: u.recv(99); print('too many')
except TimeoutError: print('two')
";
    let output = across(&["--up-blackhole", "1400B"], Some(TELLS_SOURCE), client);
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "two\n");
    assert!(up(&output).contains("dropped 2 (blackhole 2)"), "{}", stderr(&output));
}

#[test]
fn ecn_is_bleached_on_the_way() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    // The answer is the ECN field with which the datagram came (IP_RECVTOS is 13).
    let server = "
import os, socket as s
u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.setsockopt(0, 13, 1); u.bind(('0.0.0.0', 7000))
while True:
    data, more, flags, peer = u.recvmsg(99, 99); u.sendto(str(more[0][2][0] & 3).encode(), peer)
";
    let client = "
import os, socket as s
u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.setsockopt(0, 1, 2); u.settimeout(5)
u.connect((os.environ['SAMEPATH_SERVER'], 7000)); u.send(b'x'); print(u.recv(9).decode())
";
    for (flags, field) in [(&[][..], "2\n"), (&["--bleach"], "0\n"), (&["--filter", "tcp", "--bleach"], "2\n")] {
        let output = across(flags, Some(server), client);
        expect_status(&output, 0);
        assert_eq!(stdout(&output), field, "{flags:?}: {}", stderr(&output));
        assert_eq!(up(&output).contains("bleached 1"), field == "0\n", "{}", stderr(&output));
    }
}

#[test]
fn conditions_and_filter_of_a_link_change() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.parquet");
    let script = "$PROGRAM link set --filter 'udp' --loss 100% && ping -n -i 0.01 -c 5 -W 5 $SAMEPATH_SERVER \
        && $PROGRAM link set --filter icmp && ping -n -i 0.01 -c 3 -W 1 $SAMEPATH_SERVER; \
        $PROGRAM link set --filter all --loss 0% && ping -n -i 0.01 -c 2 -W 5 $SAMEPATH_SERVER && $PROGRAM link status";
    let output = samepath()
        .args(["link", "--ledger", ledger.to_str().unwrap(), "--", "sh", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_samepath"))
        .output()
        .unwrap();
    expect_status(&output, 0);
    let said = stdout(&output);
    for words in [": RTT 0ms, loss 100%, only udp", "5 received", "only icmp", "0 received", "2 received"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("not filtered 5"), "the status tells: {said}");
    let bytes = std::fs::read(&ledger).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("bypassed"), "the ledger has the column");
}

#[test]
fn conditions_beyond_netem_are_refused_by_name() {
    for (args, words) in [
        (&["--filter", "udp", "--delay", "9ms"][..], "a filter before the conditions (`filter`)"),
        (&["--blackhole", "1300B"], "a black hole for large packets (`blackhole`)"),
        (&["--bleach"], "the clearing of ECN (`bleach`)"),
        (&["--rebind", "2s: port"], "a NAT's rebinding (`rebind`)"),
        (&["--outage", "1s..2s every 9s"], "outages"),
        (&["--rate", "1Mbit", "--change", "1s every 2s: rate 0"], "conditions that change at set times"),
        (&["--drop", "up data every 100"], "scripted drops"),
    ] {
        let output = run(&[&["link", "--backend", "netem"], args, &["--", "true"]].concat());
        expect_status(&output, 2);
        let said = stderr(&output);
        assert!(said.contains(words) && said.contains("use the embedded backend"), "{args:?}: {said}");
    }
}

#[test]
fn a_link_inside_another_is_a_second_filter() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    // Of two links, one in the other, each has a filter of its own; the outer one's server answers.
    let script = "$PROGRAM link --filter 'icmp and greater 1000' --loss 100% -- sh -c \
        'ping -n -c 2 -i 0.01 -W 5 198.18.0.2; ping -n -c 2 -i 0.01 -W 1 -s 1200 198.18.0.2'; true";
    let output = samepath()
        .args(["link", "--quiet", "--filter", "icmp and less 50", "--loss", "100%", "--", "sh", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_samepath"))
        .output()
        .unwrap();
    expect_status(&output, 0);
    let said = stdout(&output);
    assert!(said.contains("2 received") && said.contains("0 received"), "{said}");
    assert!(stderr(&output).contains("dropped 2 (loss 2)"), "{}", stderr(&output));
}
