//! Other programs across the link.

use crate::support::{can_emulate, expect_status, has, run, samepath, stderr, stdout, test};

#[test]
fn the_exit_status_is_the_commands() {
    if !can_emulate(test!()) {
        return;
    }
    for (command, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
        expect_status(&run(&["link", "--quiet", "--", "sh", "-c", command]), status);
    }
    let output = run(&["link", "--quiet", "--", "no-such-program-anywhere"]);
    expect_status(&output, 127);
    assert!(stderr(&output).contains("no-such-program-anywhere"));
}

#[test]
fn addresses_are_in_the_environment() {
    if !can_emulate(test!()) {
        return;
    }
    let output = run(&["link", "--", "sh", "-c", "echo $SAMEPATH_CLIENT $SAMEPATH_SERVER $SAMEPATH_SERVER6"]);
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "198.18.0.1 198.18.0.2 2001:2::2\n");
}

/// The smallest and the median round trip that ping reports, in milliseconds.
fn ping(test: &str, backend: &str, address: &str) -> Option<(f64, f64)> {
    let script = format!("ping -n -i 0.05 -c 20 {address}");
    let output = run(&["link", "--quiet", "--backend", backend, "--rtt", "20ms", "--", "sh", "-c", &script]);
    if backend == "tun" && stderr(&output).contains("/dev/net/tun") {
        samepath_testing::skip_part(test, "tun", stderr(&output));
        return None;
    }
    expect_status(&output, 0);
    let mut times: Vec<f64> = stdout(&output)
        .lines()
        .filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(times.len(), 20, "{}", stdout(&output));
    times.sort_by(f64::total_cmp);
    Some((times[0], times[10]))
}

#[test]
fn ping_takes_the_round_trip_that_was_asked_for() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    for backend in ["tun", "packet"] {
        for address in ["$SAMEPATH_SERVER", "$SAMEPATH_SERVER6"] {
            let Some((least, median)) = ping(test!(), backend, address) else { continue };
            // Never early; how late depends on the machine, and is published, not asserted.
            assert!(least >= 20.0, "{backend} {address}: {least} ms");
            println!("{backend} {address}: least {least} ms, median {median} ms");
        }
    }
}

#[test]
fn a_server_command_serves_and_ends_with_the_command() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hello.txt"), "hello across the link\n").unwrap();
    let server = format!("cd {} && exec python3 -m http.server 8000", dir.path().display());
    let fetch = "python3 -c \"import os,urllib.request as u; \
        print(u.urlopen('http://'+os.environ['SAMEPATH_SERVER']+':8000/hello.txt').read().decode(), end='')\"";
    let output = run(&["link", "--quiet", "--rtt", "10ms", "--server-command", &server, "--", "sh", "-c", fetch]);
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "hello across the link\n");
}

#[test]
fn a_server_command_that_fails_is_told() {
    if !can_emulate(test!()) {
        return;
    }
    // Before the client runs, while it runs, and not at all: with no error, or at the end of all.
    for (server, client, told) in [
        ("exit 3", "true", "link: the server command has ended with status 3; nobody may be serving"),
        ("read x </tmp/there/is/none", "true", "link: the server command has ended with status 2"),
        (
            "while ! [ -e $DIR/now ]; do sleep 0.01; done; kill -9 $$",
            "touch $DIR/now; while kill -0 $(cat $DIR/pid); do sleep 0.01; done",
            "link: the server command was ended by SIGKILL",
        ),
        ("exit 0", "true", "link: nothing listens at the server end, and the server command has ended; the command"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = format!("echo $$ >$DIR/pid; {server}");
        let output = samepath()
            .args(["link", "--quiet", "--server-command", &server, "--", "sh", "-c", client])
            .env("DIR", dir.path())
            .output()
            .unwrap();
        expect_status(&output, 0);
        let said = stderr(&output);
        assert_eq!(said.matches("the server command").count(), usize::from(!told.is_empty()), "{server}: {said}");
        assert!(said.contains(told), "{server}: {said}");
    }
}

#[test]
fn a_full_disk_costs_the_ledger_its_end_alone() {
    if !can_emulate(test!()) || !has("unshare", test!()) || !has("python3", test!()) {
        return;
    }
    // A file system of 256 KiB, in a mount namespace of its own; each packet needs 68 bytes, until there are none.
    let send = "import os,sys,socket as s; u=s.socket(s.AF_INET,s.SOCK_DGRAM)\nmore=True\nwhile more:\n more=os.statvfs(\
        sys.argv[1]).f_bavail>0\n for _ in range(1000): u.sendto(b'x',(os.environ['SAMEPATH_SERVER'],9))";
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let script = r#"mount -t tmpfs -o size=256k tmpfs "$1" || exit 99
        "$2" link --ledger "$1/l.parquet" -- python3 -c "$3" "$1"; status=$?
        head -c 4 "$1/l.parquet"; tail -c 4 "$1/l.parquet"; grep -ac samepath.missing "$1/l.parquet"; exit $status"#;
    let program = env!("CARGO_BIN_EXE_samepath");
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", place, program, send])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = stderr(&output);
    if said.contains("unshare failed") || output.status.code() == Some(99) {
        samepath_testing::skip!("cannot make a mount namespace: {said}");
        return;
    }
    expect_status(&output, 1);
    assert!(said.contains("l.parquet` ends before the link did") && said.contains("free space there"), "{said}");
    assert!(!said.contains("TMPDIR"), "{said}");
    let up = said.lines().find(|line| line.starts_with("link: up ")).unwrap_or_else(|| panic!("no counts: {said}"));
    let offered: u64 = up.split_whitespace().nth(2).unwrap().parse().unwrap();
    let missing = said.split(" packets are missing at its end").next().unwrap().rsplit(' ').next().unwrap();
    assert!(offered * 68 > 256 << 10 && missing.parse::<u64>().unwrap() < offered, "{said}");
    assert!(stdout(&output).starts_with("PAR1PAR1") && !stdout(&output).ends_with("PAR10\n"), "{said}");
}

#[test]
fn marks_and_the_queues_size_are_told_to_people() {
    if !can_emulate(test!()) || !has("python3", test!()) {
        return;
    }
    // Ten datagrams of an ECN-capable transport, each of which random loss meets.
    let send = "import os,socket as s; u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.setsockopt(0,1,2); \
        [u.sendto(b'x',(os.environ['SAMEPATH_SERVER'],9)) for _ in range(10)]";
    let output = samepath()
        .args(["link", "--rate", "1Mbit", "--up-loss", "100%", "--up-ecn", "true", "--", "python3", "-c", send])
        .output()
        .unwrap();
    expect_status(&output, 0);
    let said = stderr(&output);
    assert!(said.lines().any(|line| line.starts_with("link: up ") && line.contains(", marked 10")), "{said}");
    assert!(said.contains("queue 1bdp (15kB)"), "{said}");
}

#[test]
fn a_packet_is_dropped_by_its_captured_name() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("1.pcapng"), dir.path().join("2.pcapng"));
    let ping = ["--", "sh", "-c", "ping -n -i 0.01 -W 1 -c 8 $SAMEPATH_SERVER; true"];
    let comments = |file: &std::path::Path| {
        let bytes = std::fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let of_fate = |piece: &str| Some((piece.split_once(": ")?.0.to_owned(), piece.contains(": dropped (script)")));
        let named = |piece: &&str| piece.starts_with("up packet ") && !piece.contains("packet N");
        text.split(|c: char| c.is_control()).filter(named).filter_map(of_fate).collect::<Vec<_>>()
    };
    expect_status(&run(&[&["link", "--quiet", "--capture", first.to_str().unwrap()], &ping[..]].concat()), 0);
    let names = comments(&first);
    assert!(names.len() >= 8 && names[0].0 == "up packet 1", "{names:?}");
    let chosen = &names[4].0;
    let again = ["link", "--quiet", "--capture", second.to_str().unwrap(), "--drop", chosen];
    expect_status(&run(&[&again[..], &ping[..]].concat()), 0);
    let dropped: Vec<_> = comments(&second).into_iter().filter(|(_, dropped)| *dropped).map(|(name, _)| name).collect();
    assert_eq!(dropped, std::slice::from_ref(chosen));
}

#[test]
fn iperf3_runs_across_it_and_keeps_the_rate() {
    if !can_emulate(test!()) || !has("iperf3", test!()) {
        return;
    }
    let output = samepath()
        .args(["link", "--quiet", "--rtt", "10ms", "--rate", "20Mbit", "--server-command", "iperf3 -s -1", "--"])
        .args(["sh", "-c", "iperf3 -J -t 2 -c $SAMEPATH_SERVER"])
        .output()
        .unwrap();
    expect_status(&output, 0);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rate = document["end"]["sum_received"]["bits_per_second"].as_f64().unwrap();
    // 1448 of 1500 bytes are payload: the link cannot give more, whatever the machine.
    assert!(rate <= 20e6 * 1448.0 / 1500.0 * 1.02, "{rate}");
    assert!(rate > 5e6, "{rate}");
}

#[test]
fn one_seed_drops_the_same_packets() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let lost = || {
        let output = run(&[
            "link",
            "--quiet",
            "--up-loss",
            "20%",
            "--loss-key",
            "index",
            "--seed",
            "7",
            "--",
            "sh",
            "-c",
            "ping -n -i 0.01 -W 1 -c 100 $SAMEPATH_SERVER",
        ]);
        let said = stdout(&output);
        let answered: Vec<u32> =
            said.lines().filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok()).collect();
        (1..=100).filter(|seq| !answered.contains(seq)).collect::<Vec<_>>()
    };
    let (first, second) = (lost(), lost());
    assert_eq!(first, second);
    assert!((5..=40).contains(&first.len()), "{first:?}");
}

#[test]
fn super_packets_pass_unless_a_ledger_is_kept() {
    if !can_emulate(test!()) || !has("iperf3", test!()) {
        return;
    }
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        samepath_testing::skip!("/dev/net/tun: {error}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.parquet");
    let across = |more: &[&str]| {
        let output = samepath()
            .args(["link", "--backend", "tun", "--server-command", "iperf3 -s -1"])
            .args(more)
            .args(["--", "sh", "-c", "iperf3 -J -t 1 -c $SAMEPATH_SERVER"])
            .output()
            .unwrap();
        expect_status(&output, 0);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let received = document["end"]["sum_received"]["bytes"].as_u64().unwrap();
        assert!(received > 1 << 20, "{received} bytes in a second");
        stderr(&output)
    };
    assert!(across(&[]).contains("embedded-tun, super-packets"));
    let kept = across(&["--ledger", ledger.to_str().unwrap()]);
    assert!(kept.contains("embedded-tun, fast\n"), "{kept}");
    let bytes = std::fs::read(&ledger).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no spool is left");
}
