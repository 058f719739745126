//! That a link's network namespaces go with its processes, and with them every device in them: TUN devices, too,
//! which stay when the descriptor is closed that made them.
//!
//! Who holds nothing of a namespace cannot ask for it. But one end of a veth pair goes with the other: the pair's other
//! end lies in a namespace of the test's own, where it is looked for.

use super::*;

/// A network namespace of the test's own.
struct Lookout {
    /// It lives as long as its standard input is open.
    holder: Child,
}

impl Lookout {
    /// Says why, where there can be none.
    fn new(test: &str) -> Option<Lookout> {
        if !is_root() {
            skip(test, "only root can look into the namespaces of others");
            return None;
        }
        let mut command = Command::new("unshare");
        let holder = command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let Ok(holder) = holder else {
            skip(test, "there is no `unshare` here");
            return None;
        };
        let lookout = Lookout { holder };
        let ours = fs::read_link("/proc/self/ns/net").expect("we run");
        eventually("the lookout has its namespace", || {
            fs::read_link(format!("/proc/{}/ns/net", lookout.holder.id())).is_ok_and(|theirs| theirs != ours)
        });
        // BusyBox' `ip` knows no details.
        if !in_namespace_of(lookout.holder.id(), &["ip", "-details", "link", "show"]).status.success() {
            skip(test, "there is no `ip` of iproute2 or no `nsenter` here");
            return None;
        }
        Some(lookout)
    }

    /// Stretches a veth pair to the namespace of each process.
    fn watch(&self, pids: &[u32]) {
        for (number, pid) in pids.iter().enumerate() {
            let (here, there, pid) = (format!("here{number}"), format!("there{number}"), pid.to_string());
            let pair = ["type", "veth", "peer", "name", &there, "netns", &pid];
            let made =
                in_namespace_of(self.holder.id(), &[&["ip", "link", "add", "dev", &here], pair.as_slice()].concat());
            assert!(made.status.success(), "{}", told(&made));
        }
    }

    /// Whether the namespace of the process with this number among those watched is there.
    fn sees(&self, number: usize) -> bool {
        let here = format!("here{number}");
        in_namespace_of(self.holder.id(), &["ip", "link", "show", "dev", &here]).status.success()
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn in_namespace_of(pid: u32, command: &[&str]) -> Output {
    let mut enter = Command::new("nsenter");
    enter.args(["--net", "--target", &pid.to_string(), "--"]).args(command).stdin(Stdio::null());
    enter.output().unwrap_or_else(|error| panic!("nsenter cannot be started: {error}"))
}

/// Kills `victim` and waits until all that `pids` lived in is gone, and with it their devices, which outlive the
/// descriptors that made them.
fn all_goes_with(victim: u32, mut outer: Child, pids: &[u32], lookout: &Lookout) {
    for pid in pids {
        let shown = in_namespace_of(*pid, &["ip", "-details", "link", "show", "dev", "link0"]);
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(text.contains("persist on"), "the device of the link is one that persists: {}", told(&shown));
    }
    lookout.watch(pids);
    assert!((0..pids.len()).all(|number| lookout.sees(number)));
    let pid = nix::unistd::Pid::from_raw(victim as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    outer.wait().expect("it ends");
    for number in 0..pids.len() {
        eventually("the namespace and its devices are gone", || !lookout.sees(number));
    }
}

#[test]
fn the_devices_of_a_link_go_with_it() {
    for (number, (backend, user)) in cases(test!()).into_iter().filter(|(backend, _)| *backend == "tun").enumerate() {
        for victim in ["outer", "first", "command"] {
            let Some(lookout) = Lookout::new(test!()) else { return };
            let scratch = Scratch::new();
            let marker = format!("31537{number}{}", std::process::id());
            let outer = start_marked(&scratch, user, backend, &marker);
            let first = children_of(outer.id())[0];
            let namespace = |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs");
            let mut ends: Vec<u32> = marked(&format!("sleep {marker}"));
            ends.retain(|&pid| namespace(&pid) != namespace(&first) && namespace(&pid) != namespace(&outer.id()));
            ends.sort_by_key(namespace);
            ends.dedup_by_key(|pid| namespace(pid));
            assert_eq!(ends.len(), 2, "the client's end and the server's");
            let victim = match victim {
                "outer" => outer.id(),
                "first" => first,
                _ => *children_of(first).last().expect("the command"),
            };
            all_goes_with(victim, outer, &ends, &lookout);
        }
    }
}

#[test]
fn the_devices_of_a_trial_go_with_it() {
    if !cases(test!()).contains(&("tun", As::Self_)) {
        skip(test!(), "there are no TUN devices here");
        return;
    }
    let Some(lookout) = Lookout::new(test!()) else { return };
    let scratch = Scratch::new();
    let plan = TrialPlan { backend: Backend::Tun, ..plan(&scratch, "hangs", Link::transparent(), PATIENCE) };
    let order = scratch.path().join("order.json");
    fs::write(&order, serde_json::json!({ "plan": plan, "started": monotonic() }).to_string()).expect("scratch");
    let outer = scratch.command(As::Self_).arg("__trial").arg(&order).spawn().expect("it can be started");
    let mine = scratch.path().display().to_string();
    let end = |verb: &str| {
        let verb = format!("standin {verb} ");
        marked(&mine).into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(&verb)
        })
    };
    eventually("both ends run", || end("client").is_some() && end("server").is_some());
    let ends = [end("client").expect("it runs"), end("server").expect("it runs")];
    all_goes_with(outer.id(), outer, &ends, &lookout);
}
