//! Standard output that cannot be written, or that nobody reads any more.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use crate::support::{expect_status, samepath, stderr};

/// Commands that print results without an emulated link; `doctor` may find something lacking.
const PRINTING: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["link", "--help"],
    &["run", "--dry-run"],
    &["list"],
    &["list", "--json"],
    &["list", "--show", "handshake"],
    &["validate", "--list"],
    &["link", "list", "--json"],
    &["completions", "bash"],
    &["doctor"],
    &["doctor", "--json"],
];

fn run_into(args: &[&str], out: impl Into<Stdio>) -> Output {
    // Other tests' links are none of its business: one that ends while it is listed is told of.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = samepath();
    command.env("SAMEPATH_RUNTIME_DIR", place.path()).args(args).stdout(out).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_full_disk_is_an_error() {
    if !std::path::Path::new("/dev/full").exists() {
        samepath_testing::skip!("there is no /dev/full");
        return;
    }
    for args in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = run_into(args, full);
        expect_status(&output, 1);
        let said = stderr(&output);
        assert!(said.contains("standard output") && said.contains("No space left"), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_the_command_quietly() {
    for args in PRINTING {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = run_into(args, writer);
        // What `doctor` finds lacking is as true without a reader.
        let wanted = if args[0] == "doctor" { samepath().args(*args).output().unwrap().status.code() } else { Some(0) };
        assert_eq!(output.status.code(), wanted, "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_failing_client_needs_no_reader() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = run_into(&["client", &free, "--token", "x", "--bytes", "1kB", "--json"], writer);
    expect_status(&output, 1);
    let said = stderr(&output);
    assert!(said.contains(&free) && !said.contains("panicked"), "{said}");
}

#[test]
fn a_reader_may_leave_after_one_line() {
    let (mut reader, writer) = io::pipe().unwrap();
    let child = samepath().args(["run", "--dry-run"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"schema = 1");
    drop(reader);
    let output = child.wait_with_output().unwrap();
    expect_status(&output, 0);
    assert_eq!(stderr(&output), "");
}

/// Not every broken pipe is one of standard output.
#[test]
fn a_link_that_hangs_up_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(dir.path().join("deaf.link")).unwrap();
    let hangs_up = std::thread::spawn(move || {
        // One call looks whether anybody is there, the next one asks.
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
    });
    let output = samepath().args(["link", "status", "deaf"]).env("SAMEPATH_RUNTIME_DIR", dir.path()).output().unwrap();
    expect_status(&output, 1);
    assert!(stderr(&output).contains("deaf") && stderr(&output).contains("does not answer"), "{}", stderr(&output));
    hangs_up.join().unwrap();
}
