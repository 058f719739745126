//! Running links, from another terminal: watched, adjusted, several at once, killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use crate::support::{can_emulate, carries, eventually, expect_status, has, samepath, stderr, stdout, test};

/// A directory for the sockets of one test's links, and the command with it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn command(&self) -> Command {
        let mut command = samepath();
        command.env("SAMEPATH_RUNTIME_DIR", self.0.path().join("run")).env_remove("SAMEPATH_LINK_NAME");
        command
    }

    fn link(&self, args: &[&str]) -> Output {
        self.command().arg("link").args(args).output().unwrap()
    }

    /// What is left of links' sockets.
    fn left(&self) -> usize {
        std::fs::read_dir(self.0.path().join("run")).map_or(0, Iterator::count)
    }

    /// A link whose command carries out, line by line, what it is told.
    fn start(&self, args: &[&str]) -> Running {
        let mut child = self
            .command()
            .arg("link")
            .args(args)
            .args(["--", "sh", "-c", "echo ready; while read line; do eval \"$line\"; echo end-of-answer; done"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let words = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the link did not come up: {said}");
        }
        Running { child, words, answers }
    }
}

/// A link that runs. Dropped, it is killed.
struct Running {
    child: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Running {
    /// Runs a line at the client's end; gives back what it printed.
    fn run(&mut self, line: &str) -> String {
        self.say(line);
        self.answer()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.words.as_mut().unwrap(), "{line}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the link ended: {all}");
            if line == "end-of-answer\n" {
                return all;
            }
            all.push_str(&line);
        }
    }

    /// The smallest round trip of some pings, in milliseconds.
    fn ping(&mut self) -> f64 {
        let said = self.run("ping -n -i 0.01 -c 10 $SAMEPATH_SERVER");
        let times = said.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse().ok());
        times.min_by(f64::total_cmp).unwrap_or_else(|| panic!("no answer: {said}"))
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Lets it end; gives back its exit status and what it said to people.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.words.take());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn conditions_change_while_it_runs() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let place = Place::new();
    let mut link = place.start(&["--rtt", "20ms", "--up-loss", "0%"]);
    assert!((20.0..60.0).contains(&link.ping()));
    let output = place.link(&["set", "--down-delay", "50ms"]);
    expect_status(&output, 0);
    assert!(stdout(&output).starts_with(&format!("{}: RTT 60ms", link.pid())), "{}", stdout(&output));
    assert!(link.ping() >= 60.0);

    // What is not named stays; what belongs to one direction goes there alone.
    expect_status(&place.link(&["set", &link.pid(), "--up-loss", "100%"]), 0);
    let answered = link.run("ping -n -i 0.01 -W 1 -c 5 $SAMEPATH_SERVER; true");
    assert!(answered.contains("100% packet loss"), "{answered}");
    let status = place.link(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["changes"], 2);
    assert_eq!(status["conditions"]["down"]["delay"], "50ms");
    assert_eq!(status["conditions"]["up"]["loss"], "100%");
    assert_eq!(status["counters"]["up"]["dropped"]["loss"], 5, "{status}");
    assert!(status["counters"]["down"]["delivered_packets"].as_u64().unwrap() >= 20);

    // From a link without conditions on.
    let output = place.link(&["set", "--clear", "--rtt", "2ms"]);
    assert_eq!(stdout(&output), format!("{}: RTT 2ms\n", link.pid()));
    assert!(link.ping() >= 2.0);
    let (status, said) = link.end();
    assert_eq!(status, Some(0));
    assert_eq!(said.matches("from now on: ").count(), 3, "{said}");
    assert_eq!(place.left(), 0);
}

#[test]
fn a_rate_trace_is_set_while_running() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let place = Place::new();
    // A packet of 84 bytes takes 84 ms at 8 kbit/s, and 0.84 ms at 800; long enough that a copy would show.
    let write = |name: &str, rate: &str| {
        let lines: String = (0..20_000).map(|second| format!("{second} {rate}\n")).collect();
        crate::support::file(place.0.path(), name, &lines)
    };
    let (slow, fast) = (write("slow.log", "0.008"), write("fast.log", "0.8"));
    let mut link = place.start(&["--rtt", "4ms", "--up-rate-trace", &fast]);
    assert!((4.8..60.0).contains(&link.ping()));
    let output = place.link(&["set", "--up-rate-trace", &slow]);
    expect_status(&output, 0);
    assert!(stdout(&output).contains("rate of slow.log (s and Mbit/s; 0.0080 Mbit/s in the mean"), "{output:?}");
    std::fs::remove_file(&slow).unwrap();
    let said = link.run("ping -n -i 0.2 -c 3 $SAMEPATH_SERVER");
    let least = said.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    assert!(least.min_by(f64::total_cmp).is_some_and(|least| least >= 88.0), "{said}");
    let status = place.link(&["status", "--json"]);
    assert!(status.stdout.len() < 10_000 && stdout(&status).contains("kept slow.log sha256:"), "{}", stdout(&status));
    // A change of something else keeps it.
    expect_status(&place.link(&["set", "--down-delay", "10ms"]), 0);
    assert!(stdout(&place.link(&["status"])).contains("rate of slow.log"));
    let wrong = write("wrong.log", "-1");
    let refused = place.link(&["set", "--rate-trace", &wrong]);
    expect_status(&refused, 2);
    assert!(stderr(&refused).contains("--rate-trace") && stderr(&refused).contains("line 1"), "{}", stderr(&refused));
    assert_eq!(link.end().0, Some(0));
}

#[test]
fn conditions_of_the_kernels_netem_change_while_it_runs() {
    if !can_emulate(test!()) || !has("ping", test!()) || !carries("netem", test!()) {
        return;
    }
    let place = Place::new();
    let start = ["--backend", "netem", "--rtt", "20ms", "--loss-key", "index", "--jitter", "2ms"];
    let mut link = place.start(&[&start[..], &["--distribution", "normal"]].concat());
    // Round trips in milliseconds, of as many as were answered.
    let times = |said: &str| -> Vec<f64> {
        said.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse().ok()).collect()
    };
    let set = |args: &[&str]| expect_status(&place.link(&[&["set"], args].concat()), 0);
    set(&["--down-delay", "1500ms", "--jitter", "0ms"]);

    // What is inside stays, and keeps its delay, while buckets and queues are put around it and taken away.
    link.say("ping -c 1 -W 9 $SAMEPATH_SERVER");
    eventually("the answer is inside", || {
        let status = place.link(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        status["counters"]["down"]["packets"].as_u64().is_some_and(|packets| packets > 0)
    });
    set(&["--rtt", "40ms", "--rate", "8Mbit", "--queue", "90kB"]);
    set(&["--queue", "30p", "--jitter", "3ms", "--corrupt", "0.001%", "--duplicate", "0.001%"]);
    set(&["--aqm", "codel", "--corrupt", "0%", "--duplicate", "0%", "--jitter", "0ms"]);
    let said = link.answer();
    assert!(times(&said).first().is_some_and(|&time| time >= 1500.0), "{said}");
    let said = link.run("ping -c 3 $SAMEPATH_SERVER");
    assert!(times(&said).len() == 3 && times(&said).iter().all(|&time| (40.0..1500.0).contains(&time)), "{said}");

    // What is refused changes nothing.
    for (refused, words) in [("--drop=up data 3", "cannot express scripted drops"), ("--aqm=threshold 3p", "in bytes")]
    {
        let output = place.link(&["set", refused]);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    let said = link.run("ping -c 1 $SAMEPATH_SERVER");
    assert!(times(&said).iter().all(|&time| time >= 40.0), "{said}");
    set(&["--up-loss", "100%"]);
    let said = link.run("ping -c 5 -i 0.2 -W 1 $SAMEPATH_SERVER; true");
    assert!(said.contains("100% packet loss"), "{said}");
    let lost = || -> serde_json::Value {
        let status = place.link(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&status.stdout).unwrap()["counters"]["up"]["dropped"]["loss"]
            .clone()
    };
    eventually("the losses are told", || lost() == 5);

    // From a link without conditions on: the bucket and its queue stand open.
    set(&["--clear", "--rtt", "4ms"]);
    let said = link.run("ping -c 3 $SAMEPATH_SERVER");
    assert!(times(&said).len() == 3 && times(&said).iter().all(|&time| (4.0..1500.0).contains(&time)), "{said}");
    set(&["--rate", "8Mbit", "--queue", "90kB"]);
    let said = link.run("ping -c 3 $SAMEPATH_SERVER");
    assert_eq!(times(&said).len(), 3, "{said}");
    let (status, said) = link.end();
    assert_eq!(status, Some(0));
    assert!(said.contains("from now on: "), "{said}");
}

#[test]
fn a_link_is_adjusted_from_inside_too() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let place = Place::new();
    let mut link = place.start(&["--name", "outer"]);
    let mut other = place.start(&["--name", "other"]);
    let said = link.run(&format!("{} link set --rtt 30ms", env!("CARGO_BIN_EXE_samepath")));
    assert_eq!(said, "outer: RTT 30ms\n");
    assert!(link.ping() >= 30.0);
    assert!(other.ping() < 30.0);
}

#[test]
fn several_links_are_told_apart() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let (one, two) = (place.start(&["--name", "one", "--rtt", "10ms"]), place.start(&["--rtt", "20ms"]));
    let list = stdout(&place.link(&["list"]));
    assert!(list.contains("one: RTT 10ms: sh -c") && list.contains(&format!("{}: RTT 20ms", two.pid())), "{list}");
    let output = place.link(&["set", "--loss", "1%"]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("name one: ") && stderr(&output).contains(&two.pid()), "{}", stderr(&output));
    // By name, by process where it has a name, by process where it has none.
    for (word, expected) in [("one", "one: RTT 10ms, loss 1%\n"), (&one.pid(), "one: RTT 10ms, loss 2%\n")] {
        let loss = if word == "one" { "1%" } else { "2%" };
        assert_eq!(stdout(&place.link(&["set", word, "--loss", loss])), expected);
    }
    assert_eq!(stdout(&place.link(&["set", &two.pid(), "--rtt", "4ms"])), format!("{}: RTT 4ms\n", two.pid()));
    let taken = place.link(&["--name", "one", "--", "true"]);
    expect_status(&taken, 2);
    assert!(stderr(&taken).contains("`one` is running already"), "{}", stderr(&taken));
    let all: serde_json::Value = serde_json::from_slice(&place.link(&["list", "--json"]).stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    one.end();
    two.end();
    assert_eq!(place.left(), 0);
    assert_eq!(stdout(&place.link(&["list", "--json"])), "[]\n");
}

#[test]
fn a_killed_link_leaves_nothing_that_matters() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let mut link = place.start(&["--name", "doomed"]);
    link.child.kill().unwrap();
    link.child.wait().unwrap();
    // The kernel ends the rest; until it has, the socket may still be somebody's.
    eventually("the killed link is gone", || {
        expect_status(&place.link(&["list"]), 0);
        place.left() == 0
    });
    let output = place.link(&["set", "doomed", "--loss", "1%"]);
    expect_status(&output, 2);
    assert!(stderr(&output).contains("no link named `doomed`"), "{}", stderr(&output));
    let again = place.start(&["--name", "doomed"]);
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn wrong_words_are_refused_with_the_remedy() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let refused = |args: &[&str], words: &str| {
        let output = place.link(args);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
    };
    refused(&["set", "--loss", "1%"], "no link is running");
    refused(&["status", "x"], "no link named `x` is running");
    let mut link = place.start(&["--rtt", "10ms"]);
    refused(&["set"], "nothing is to be changed");
    refused(&["set", "--loss", "110%"], "110%");
    refused(&["set", "--rate", "10M"], "10M");
    refused(&["set", "--jitter", "20ms"], "jitter");
    refused(&["set", "--distribution", "normal"], "without jitter");
    refused(&["set", "--ecn"], "without loss");
    refused(&["set", "--mtu", "1400"], "--mtu cannot be changed");
    refused(&["set", "--generator", "netem"], "--generator cannot be changed");
    refused(&["set", "--seed", "3"], "--seed");
    refused(&["set", "nobody", "--loss", "1%"], "there are: ");
    refused(&["--name", "4711", "--", "true"], "cannot be a link's name");
    refused(&["--rtt", "10ms"], "stdin is none");
    assert_eq!(link.run("echo still here"), "still here\n");
    // A bare cable has no conditions.
    let cable = place.start(&["--name", "cable", "--backend", "none"]);
    refused(&["set", "cable", "--loss", "1%"], "a bare cable has no conditions");
    assert!(stdout(&place.link(&["status", "cable"])).contains("no emulation"));
    drop(cable);
}

#[test]
fn sigusr1_prints_the_counters_and_ends_nothing() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let mut link = place.start(&["--rtt", "10ms"]);
    let pid = nix::unistd::Pid::from_raw(link.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
    let mut said = BufReader::new(link.child.stderr.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("link: down ") {
        assert!(said.read_line(&mut lines).unwrap() > 0, "{lines}");
    }
    assert!(lines.contains(&format!("link: {}: RTT 10ms", link.pid())), "{lines}");
    assert_eq!(link.run("echo still here"), "still here\n");
}

#[test]
fn what_changed_is_in_capture_and_ledger() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let place = Place::new();
    let (capture, ledger) = (place.0.path().join("c.pcapng"), place.0.path().join("l.parquet"));
    let mut link =
        place.start(&["--capture", capture.to_str().unwrap(), "--ledger", ledger.to_str().unwrap(), "--rtt", "2ms"]);
    link.ping();
    expect_status(&place.link(&["set", "--rtt", "4ms"]), 0);
    link.ping();
    assert_eq!(link.end().0, Some(0));
    let holds = |file: &Path, text: &str| {
        std::fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(holds(&capture, "the link from here on: RTT 4ms"));
    assert!(holds(&ledger, "RTT 4ms"), "in the metadata");
}

#[test]
fn a_link_goes_on_without_a_reader() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let ledger = place.0.path().join("l.parquet");
    let mut link = place.start(&["--ledger", ledger.to_str().unwrap(), "--rtt", "2ms"]);
    drop(link.child.stderr.take());
    expect_status(&place.link(&["set", "--rtt", "4ms"]), 0);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(link.child.id() as i32), nix::sys::signal::Signal::SIGUSR1)
        .unwrap();
    assert_eq!(link.run("echo still here"), "still here\n");
    link.say("exit 3");
    assert_eq!(link.child.wait().unwrap().code(), Some(3));
    assert!(std::fs::read(&ledger).unwrap().ends_with(b"PAR1"));

    // A disk without room for a log is the same.
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        samepath_testing::skip_part!("a full stderr", "there is no /dev/full here");
        return;
    };
    let mut command = place.command();
    command.args(["link", "--rtt", "2ms", "--server-command", "exit 0", "--", "sh", "-c", "exit 3"]).stderr(full);
    assert_eq!(command.status().unwrap().code(), Some(3));
}

#[test]
fn other_users_are_kept_out() {
    if !can_emulate(test!()) || !has("setpriv", test!()) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        samepath_testing::skip!("only root can become another user");
        return;
    }
    let place = Place::new();
    let program = public_copy(&place);
    let _link = place.start(&["--name", "mine"]);
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["link", "status", "mine"])
        .env("SAMEPATH_RUNTIME_DIR", place.0.path().join("run"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("belongs to another user"), "{}", stderr(&output));
}

#[test]
fn without_root_it_is_the_same() {
    if !can_emulate(test!()) || !has("setpriv", test!()) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        samepath_testing::skip!("the other tests are without root already");
        return;
    }
    let place = Place::new();
    let program = public_copy(&place);
    let script = format!(
        "{0} link set --rtt 40ms && {0} link status && ping -n -c 1 $SAMEPATH_SERVER",
        program.to_str().unwrap()
    );
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["link", "--name", "plain", "--", "sh", "-c", &script])
        .env("SAMEPATH_RUNTIME_DIR", place.0.path().join("run"))
        .env_remove("SAMEPATH_LINK_NAME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if stderr(&output).contains("cannot make a user namespace") {
        samepath_testing::skip!("{}", stderr(&output));
        return;
    }
    let said = stdout(&output);
    assert!(said.starts_with("plain: RTT 40ms\nplain: RTT 40ms\n"), "{said}\n{}", stderr(&output));
    if has("ping", test!()) {
        expect_status(&output, 0);
    }
}

#[test]
fn a_rootless_link_is_its_users_alone() {
    if !can_emulate(test!()) || !has("setpriv", test!()) || !has("unshare", test!()) || !has("mount", test!()) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        samepath_testing::skip!("only root can have a /tmp of its own");
        return;
    }
    let place = Place::new();
    let program = public_copy(&place);
    // In a /tmp of its own: a link of nobody's, and how it looks to nobody and to root.
    let script = r#"
        mount --bind "$1" /tmp || { echo "no /tmp of its own" >&2; exit 0; }
        as="setpriv --reuid=65534 --regid=65534 --clear-groups"
        $as /tmp/samepath link --name theirs --rtt 30ms -- sh -c '
            /tmp/samepath link status >&2; touch /tmp/up; until [ -e /tmp/seen ]; do sleep 0.01; done' &
        until [ -e /tmp/up ]; do kill -0 $! 2>/dev/null || exit 1; sleep 0.01; done
        $as /tmp/samepath link list || exit 2
        $as /tmp/samepath link set theirs --rtt 40ms || exit 3
        /tmp/samepath link list || exit 4
        stat -c '%n %u' /tmp/samepath-*
        touch /tmp/seen
        wait $!
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(program.parent().unwrap())
        .env_remove("SAMEPATH_RUNTIME_DIR")
        .env_remove("SAMEPATH_LINK_NAME")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (shown, said) = (stdout(&output), stderr(&output));
    if said.contains("cannot make a user namespace")
        || said.contains("no /tmp of its own")
        || said.contains("unshare failed")
    {
        samepath_testing::skip!("{said}");
        return;
    }
    expect_status(&output, 0);
    assert!(shown.starts_with("theirs: RTT 30ms: sh -c") && shown.contains("\ntheirs: RTT 40ms\n"), "{shown}");
    assert!(shown.ends_with("/tmp/samepath-0 0\n/tmp/samepath-65534 65534\n"), "{shown}");
    assert!(said.contains("no link is running") && said.contains("theirs: RTT 30ms\nup for"), "{said}");
}

/// The program where any user may run it, in a directory where any user may write.
fn public_copy(place: &Place) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.0.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.0.path().join("samepath");
    samepath_testing::copy_program(env!("CARGO_BIN_EXE_samepath").as_ref(), &program);
    program
}

/// What a link whose shell is at a terminal shows there, and how it ends.
fn at_a_terminal(place: &Place, shell: &str, conditions: &str, typed: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_samepath");
    // `script` gives it a terminal; what is typed comes through a pipe.
    let mut terminal = Command::new("script")
        .args(["-qec", &format!("SHELL={shell} {program} link {conditions}; s=$?; read last; echo $last; exit $s")])
        .arg("/dev/null")
        .env("SAMEPATH_RUNTIME_DIR", place.0.path().join("run"))
        .env_remove("SAMEPATH_LINK_NAME")
        .env("SHELL", "/bin/sh")
        .env("HOME", place.0.path())
        .env_remove("ENV")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not have the terminal back cannot read the last line.
    terminal.stdin.as_mut().unwrap().write_all(format!("{typed}\nthe terminal is back\n").as_bytes()).unwrap();
    terminal.wait_with_output().unwrap()
}

#[test]
fn a_shell_on_a_terminal_shows_the_conditions() {
    if !can_emulate(test!()) || !has("script", test!()) || !has("bash", test!()) {
        return;
    }
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_samepath");
    let typed = format!("sleep 100 &\njobs\nkill %1\n{program} link set --rtt 9ms\nexit 5");
    let output = at_a_terminal(&place, "/bin/bash", "--rtt 7ms --name seen", &typed);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(5), "{shown}");
    for words in ["link: RTT 7ms", "[link RTT 7ms] ", "[1]+  Running", "seen: RTT 9ms", "[link RTT 9ms] "] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
}

#[test]
fn every_shell_has_job_control_and_status() {
    if !can_emulate(test!()) || !has("script", test!()) {
        return;
    }
    let place = Place::new();
    // Busybox is the shell as whose name it is called.
    let ash = place.0.path().join("ash");
    std::os::unix::fs::symlink("/bin/busybox", &ash).unwrap();
    for shell in ["/bin/sh", "/bin/dash", "/bin/bash", "/bin/zsh", "/bin/ksh", ash.to_str().unwrap()] {
        if !Path::new(shell).exists() {
            samepath_testing::skip_part!(Path::new(shell).file_name().unwrap().display(), "it is not on this machine");
            continue;
        }
        let output = at_a_terminal(&place, shell, "--quiet", "sleep 100 &\njobs\nkill %1\nexit 5");
        let shown = stdout(&output);
        assert_eq!(output.status.code(), Some(5), "{shell}: {shown}");
        assert!(shown.contains("Running") || shown.contains("running"), "{shell}: {shown}");
        assert!(!shown.contains("tty") && !shown.contains("job control"), "{shell}: {shown}");
        assert!(shown.matches("the terminal is back").count() >= 2, "{shell}: {shown}");
    }
}

#[test]
fn signals_reach_the_command_and_stdin_is_its_own() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    for (signal, name) in [
        (nix::sys::signal::Signal::SIGINT, "INT"),
        (nix::sys::signal::Signal::SIGTERM, "TERM"),
        (nix::sys::signal::Signal::SIGHUP, "HUP"),
        (nix::sys::signal::Signal::SIGQUIT, "QUIT"),
    ] {
        if is_ignored(signal) {
            samepath_testing::skip_part!(name, "it is ignored where these tests run, and no shell can trap it then");
            continue;
        }
        let mut link = place.start(&["--quiet"]);
        link.run(&format!("trap 'echo got {name}; exit 7' {name}"));
        // The command waits for a line while the signal comes.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(link.child.id() as i32), signal).unwrap();
        let mut line = String::new();
        link.answers.read_line(&mut line).unwrap();
        assert_eq!(line, format!("got {name}\n"));
        assert_eq!(link.end().0, Some(7));
    }
    let mut cat = place
        .command()
        .args(["link", "--quiet", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(b"through the link's command\n").unwrap();
    let output = cat.wait_with_output().unwrap();
    expect_status(&output, 0);
    assert_eq!(stdout(&output), "through the link's command\n");
}

/// Whether this process, and so all it starts, ignores the signal, as under `nohup` (proc_pid_status(5)).
fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as u32 - 1) & 1 == 1
}

/// The shortest round trips that pings in `said` tell, one for each ping, in milliseconds.
fn shortest(said: &str) -> Vec<f64> {
    let of = |line: &str| line.split(" = ").nth(1)?.split('/').next()?.parse().ok();
    said.lines().filter(|line| line.starts_with("rtt ")).filter_map(of).collect()
}

const PING: &str = "ping -n -q -i 0.01 -c 5";

#[test]
fn a_link_inside_a_link_leads_through_both() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let program = env!("CARGO_BIN_EXE_samepath");
    for backend in ["tun", "packet", "netem", "none"] {
        let tried = samepath().args(["link", "--quiet", "--backend", backend, "--", "true"]).output().unwrap();
        if !tried.status.success() {
            samepath_testing::skip_part!(backend, "{}", stderr(&tried));
            continue;
        }
        let place = Place::new();
        let bare = backend == "none";
        let rtt = |time: &'static str| if bare { "" } else { time };
        let outermost = ["--name", "outer", "--backend", backend, "--rtt", "20ms"];
        let mut outer = place.start(&outermost[..if bare { 4 } else { 6 }]);
        let both = format!("{PING} $SAMEPATH_SERVER; {PING} $SAMEPATH_SERVER6");
        let inner = format!("{both}; echo $SAMEPATH_LINK_NAME $SAMEPATH_CLIENT $SAMEPATH_SERVER; exit 9");
        let link = format!("{program} link --backend {backend}");
        let said = outer.run(&format!("{link} {} -- sh -c '{inner}'; echo status $?", rtt("--rtt 30ms")));
        let emulated = if bare { 0.0 } else { 1.0 };
        assert_eq!(shortest(&said).len(), 2, "{backend}, IPv4 and IPv6: {said}");
        assert!(shortest(&said).iter().all(|rtt| *rtt >= 50.0 * emulated), "{backend}: {said}");
        assert!(said.contains("outer.") && said.ends_with("198.19.8.1 198.18.0.2\nstatus 9\n"), "{backend}: {said}");

        // Three deep.
        let third = format!("{link} --quiet {} -- sh -c \"{PING} $SAMEPATH_SERVER\"", rtt("--rtt 10ms"));
        let said = outer.run(&format!("{link} --quiet {} -- sh -c '{third}'", rtt("--rtt 30ms")));
        assert!(shortest(&said)[0] >= 60.0 * emulated, "{backend}: {said}");
        // The outer one goes on as it was.
        assert!(outer.ping() >= 20.0 * emulated);
        let (status, told) = outer.end();
        assert_eq!(status, Some(0), "{told}");
        assert!(!told.contains("apart"), "{told}");
        assert_eq!(place.left(), 0);
    }
}

#[test]
fn a_nested_link_may_have_its_server() {
    if !can_emulate(test!()) || !has("iperf3", test!()) {
        return;
    }
    let place = Place::new();
    let mut outer = place.start(&["--rtt", "20ms", "--server-command", "iperf3 -s"]);
    let program = env!("CARGO_BIN_EXE_samepath");
    // Through both, to the outer one's server: an iperf3 connection says where it comes from.
    let transfer = "iperf3 -J -n 100K -c $SAMEPATH_SERVER";
    let said = outer.run(&format!("{program} link --quiet --rtt 30ms -- sh -c '{transfer}'"));
    let through_both = said.contains("198.19.8.1") && said.contains("198.18.0.2");
    assert!(through_both && !said.contains("\"error\""), "{said}");
    // Its own, at the same port, which is nobody else's there.
    let own = format!("{program} link --quiet --rtt 30ms --server-command \"iperf3 -s -1\" -- sh -c '{transfer}'");
    let said = outer.run(&own);
    assert!(said.contains("198.19.") && !said.contains("198.18.0.2") && !said.contains("\"error\""), "{said}");
    assert_eq!(outer.end().0, Some(0));
}

#[test]
fn links_beside_each_other_inside_one_do_not_collide() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    let place = Place::new();
    let mut outer = place.start(&["--rtt", "10ms"]);
    let program = env!("CARGO_BIN_EXE_samepath");
    let beside = |number| {
        // Each waits until the other is there, too.
        let dir = place.0.path().display();
        let meet = format!("touch {dir}/{number}; until [ -e {dir}/1 ] && [ -e {dir}/2 ]; do sleep 0.01; done");
        let script = format!("{meet}; {PING} $SAMEPATH_SERVER; echo at $SAMEPATH_CLIENT");
        format!("{program} link --quiet --rtt 10ms -- sh -c '{script}'")
    };
    let said = outer.run(&format!("{} & {}; wait", beside(1), beside(2)));
    assert!(shortest(&said).len() == 2 && shortest(&said).iter().all(|rtt| *rtt >= 20.0), "{said}");
    assert!(said.contains("at 198.19.8.1\n") && said.contains("at 198.19.16.1\n"), "{said}");
}

#[test]
fn rootless_links_nest_and_stand_apart() {
    if !can_emulate(test!()) || !has("setpriv", test!()) || !has("ping", test!()) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        samepath_testing::skip!("the other tests are without root already");
        return;
    }
    let place = Place::new();
    let program = public_copy(&place).display().to_string();
    let ordinary = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let inner = format!("{program} link --rtt 30ms -- sh -c \"{PING} 198.18.0.2 2>&1\"");
    let across = |outer: String| {
        let runtime = place.0.path().join("nobodys");
        Command::new("sh")
            .arg("-c")
            .arg(&outer)
            .env("SAMEPATH_RUNTIME_DIR", runtime)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let rootless = across(format!("{ordinary} {program} link --rtt 20ms -- sh -c '{inner}'"));
    if stderr(&rootless).contains("cannot make a user namespace") {
        samepath_testing::skip!("{}", stderr(&rootless));
        return;
    }
    let told = |output: &std::process::Output| format!("{}{}{}", output.status, stdout(output), stderr(output));
    let answered_after =
        |output: &std::process::Output, least: f64| shortest(&stdout(output)).first().is_some_and(|rtt| *rtt >= least);
    assert!(answered_after(&rootless, 50.0), "{}", told(&rootless));
    // Inside a link of root's another user may change nothing; that is said, and the link is there all the same.
    let apart = across(format!("{program} link --rtt 20ms -- {ordinary} sh -c '{inner}'"));
    assert!(answered_after(&apart, 30.0), "{}", told(&apart));
    assert!(stderr(&apart).contains("it stands apart from the link around it"), "{}", stderr(&apart));
    assert!(stderr(&apart).contains("belongs to another user"), "{}", stderr(&apart));
}

#[test]
fn a_super_packet_link_takes_conditions_later() {
    if !can_emulate(test!()) || !has("ping", test!()) {
        return;
    }
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        samepath_testing::skip!("/dev/net/tun: {error}");
        return;
    }
    let place = Place::new();
    let mut link = place.start(&[]);
    let program = env!("CARGO_BIN_EXE_samepath");
    let backend = |link: &mut Running, conditions: &str| {
        let said = link.run(&format!("{program} link set {conditions} --json"));
        let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        status["backend"].as_str().unwrap().to_owned()
    };
    link.ping();
    let status: serde_json::Value =
        serde_json::from_str(&link.run(&format!("{program} link status --json"))).expect("status");
    assert_eq!(status["backend"], "embedded-tun, super-packets");
    let before = status["counters"]["up"]["packets"].as_u64().unwrap();
    assert!(before >= 10, "{status}");
    // What drops packets or delays all alike does not need single ones; the rest does.
    assert_eq!(backend(&mut link, "--rtt 20ms"), "embedded-tun, fast");
    assert!(link.ping() >= 20.0);
    assert_eq!(backend(&mut link, "--rate 10Mbit"), "embedded-tun");
    assert!(link.ping() >= 20.0);
    assert_eq!(backend(&mut link, "--clear --loss 100%"), "embedded-tun, fast");
    assert!(link.run("ping -n -c 3 -i 0.01 -W 1 $SAMEPATH_SERVER").contains("100% packet loss"));
    let status: serde_json::Value =
        serde_json::from_str(&link.run(&format!("{program} link status --json"))).expect("status");
    let up = &status["counters"]["up"];
    // What went by before is counted, too.
    assert!(up["packets"].as_u64().unwrap() >= before + 23, "{status}");
    assert_eq!(up["dropped"]["loss"].as_u64(), Some(3), "{status}");
    let (ended, told) = link.end();
    assert_eq!(ended, Some(0), "{told}");
}

#[test]
fn a_link_runs_without_a_socket_directory() {
    if !can_emulate(test!()) {
        return;
    }
    let place = Place::new();
    let mut command = place.command();
    command.env("SAMEPATH_RUNTIME_DIR", "/proc/nowhere");
    let output = command.args(["link", "--", "sh", "-c", "exit 4"]).output().unwrap();
    expect_status(&output, 4);
    assert!(stderr(&output).contains("neither watched nor adjusted"), "{}", stderr(&output));
    let mut command = place.command();
    command.env("SAMEPATH_RUNTIME_DIR", "/proc/nowhere");
    let output = command.args(["link", "--name", "x", "--", "true"]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("/proc/nowhere"), "{}", stderr(&output));
}
