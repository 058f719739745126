//! The kernel settings of the endpoints' namespaces: what fairness asks for, and what is in force.
//!
//! They exist once for each network namespace, so setting them changes nothing for the host. What was set is read
//! back: a setting that differs from what was asked for was not granted, and says why ([`Setting::effective`]).

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use samepath_model::record::Setting;

use crate::procfs;

/// Set at both ends: none of these may differ between arms, or carry over from one to the next.
const ASKED: &[(&str, &str)] = &[
    ("net.ipv4.tcp_no_metrics_save", "1"),
    ("net.ipv4.tcp_slow_start_after_idle", "0"),
    ("net.ipv4.tcp_sack", "1"),
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_recovery", "1"),
    ("net.ipv4.tcp_early_retrans", "3"),
    ("net.ipv4.tcp_mtu_probing", "0"),
    ("net.ipv4.tcp_autocorking", "0"),
    ("net.ipv4.tcp_comp_sack_nr", "0"),
];

/// Who may send ICMP echo requests without a privilege, by group: the root of a user namespace, for the user's
/// programs.
const PING: (&str, &str) = ("net.ipv4.ping_group_range", "0 0");

/// The controller that TCP sockets begin with.
const CONGESTION: &str = "net.ipv4.tcp_congestion_control";

/// Which there are.
const AVAILABLE: &str = "net.ipv4.tcp_available_congestion_control";
/// Which of them every user may choose.
const ALLOWED: &str = "net.ipv4.tcp_allowed_congestion_control";

/// Only read, and recorded.
const READ: &[&str] = &[
    ALLOWED,
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_syn_linear_timeouts",
    "net.ipv4.tcp_rto_min_us",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_moderate_rcvbuf",
    "net.ipv4.tcp_limit_output_bytes",
    "net.core.rmem_max",
    "net.core.wmem_max",
];

/// Whether TCP asks for ECN (`ip-sysctl.rst`): 0 never, 1 on every connection, 2 where it is asked.
const ECN: &str = "net.ipv4.tcp_ecn";

/// What is recorded where the kernel has no such setting.
const ABSENT: &str = "not available";

/// The smallest limit of TCP's buffers, however short the path: the kernel's usual ones.
const LEAST_BUFFER: u64 = 6 << 20;

/// What to do where they cannot be set.
pub(crate) const REMEDY: &str = "in a container leave its /proc uncovered (Docker: `--security-opt \
    systempaths=unconfined`; Podman: `--security-opt unmask=ALL`; Kubernetes: `procMount: Unmasked`) or run as its \
    root with CAP_SYS_ADMIN; else run outside of it";

/// Where settings are files.
const ROOT: &str = "/proc/sys";

/// What is asked of an end's namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// What TCP must be able to have in flight, in bytes: four bandwidth-delay products.
    pub(crate) buffer: u64,
    /// Whether TCP asks for ECN; `None` leaves it to the kernel.
    pub(crate) ecn: Option<bool>,
    /// Whether the user's own programs run there.
    pub(crate) for_programs: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    /// As recorded.
    pub(crate) settings: Vec<Setting>,
    /// Whether files that are there, or would be, could not be written, whatever it is that they say.
    pub(crate) locked: bool,
    /// What was asked for and is not in force, in words. What no measurement depends on is left out.
    pub(crate) lacking: Option<String>,
}

/// Sets and reads the settings of the calling thread's network namespace. Where they cannot be written, as in most
/// containers, it is tried again in a /proc of our own: so it is for the first process of a PID namespace to call.
pub(crate) fn apply(wish: Wish) -> Granted {
    let settings = Tree(Path::new(ROOT));
    let granted = settings.apply(wish);
    if granted.locked && procfs::mount_own().is_ok() { settings.apply(wish) } else { granted }
}

/// The value in force in the calling thread's network namespace.
pub(crate) fn read(name: &str) -> String {
    Tree(Path::new(ROOT)).read(name)
}

/// The controller that TCP sockets of the calling thread's network namespace begin with. A new namespace takes it
/// from the host (`tcp_sk_init` of `net/ipv4/tcp_ipv4.c`).
pub(crate) fn congestion_control() -> String {
    read(CONGESTION)
}

/// Has TCP sockets of the calling thread's network namespace begin with another controller.
///
/// # Errors
/// Why the kernel refuses, with the remedy.
pub(crate) fn set_congestion_control(name: &str) -> Result<(), String> {
    let Err(Refusal { error, .. }) = Tree(Path::new(ROOT)).set(CONGESTION, name) else { return Ok(()) };
    let remedy = match error.raw_os_error() {
        Some(libc::ENOENT) => {
            format!("the kernel has no such one; it has: {}. `sudo modprobe tcp_{name}` loads it", read(AVAILABLE))
        }
        Some(libc::EPERM) => {
            format!("it is not allowed to every user; allow it by `sudo sysctl {ALLOWED}=\"{} {name}\"`", read(ALLOWED))
        }
        _ => format!("{error}; see `samepath doctor`"),
    };
    Err(format!("TCP cannot use the congestion controller `{name}`: {remedy}"))
}

/// Has one more setting of the calling thread's network namespace, and reads it back.
pub(crate) fn set(name: &str, value: &str) -> Setting {
    let tree = Tree(Path::new(ROOT));
    let refusal = tree.set(name, value).err();
    let mut effective = tree.read(name);
    if let Some(refusal) = refusal {
        effective = format!("{effective} (could not be set: {})", refusal.error);
    }
    Setting::new(name, Some(value.to_owned()), effective)
}

/// Settings as files.
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn apply(&self, wish: Wish) -> Granted {
        let limit = wish.buffer.clamp(LEAST_BUFFER, 1 << 30);
        let (receive, send) = (format!("4096 131072 {limit}"), format!("4096 16384 {limit}"));
        let mut asked: Vec<(&str, Option<&str>)> = ASKED.iter().map(|&(name, value)| (name, Some(value))).collect();
        if wish.for_programs {
            asked.push((PING.0, Some(PING.1)));
        }
        asked.push(("net.ipv4.tcp_rmem", Some(&receive)));
        asked.push(("net.ipv4.tcp_wmem", Some(&send)));
        asked.push((ECN, wish.ecn.map(|ecn| if ecn { "1" } else { "0" })));
        asked.push((CONGESTION, None));
        asked.extend(READ.iter().map(|&name| (name, None)));
        // Covered as a whole, as in some containers, and not a kernel without one of them.
        let mut locked = !self.0.join("net/ipv4").is_dir();
        let mut lacking = Lacking::default();
        let settings = asked.into_iter().map(|(name, asked)| {
            let refusal = asked.and_then(|value| self.set(name, value).err());
            locked |= refusal.as_ref().is_some_and(|refusal| refusal.of_file && !refusal.is_absence());
            let mut effective = self.read(name);
            if let Some(asked) = asked.filter(|asked| *asked != effective) {
                lacking.note(name, asked, &effective, refusal.as_ref());
                if let Some(refusal) = refusal.filter(|refusal| !refusal.is_absence()) {
                    effective = format!("{effective} (could not be set: {})", refusal.error);
                }
            }
            Setting::new(name, asked.map(str::to_owned), effective)
        });
        let settings = settings.collect();
        Granted { settings, locked, lacking: lacking.told() }
    }

    fn set(&self, name: &str, value: &str) -> Result<(), Refusal> {
        // Never made: where it is not there, the kernel has none.
        let file = fs::File::options().write(true).open(self.file(name));
        let mut file = file.map_err(|error| Refusal { error, of_file: true })?;
        file.write_all(value.as_bytes()).map_err(|error| Refusal { error, of_file: false })
    }

    fn read(&self, name: &str) -> String {
        match fs::read_to_string(self.file(name)) {
            Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Err(_) => ABSENT.to_owned(),
        }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name.replace('.', "/"))
    }
}

/// A setting that was not set.
struct Refusal {
    error: io::Error,
    /// The file cannot be opened, whatever is written to it; so another /proc may help.
    of_file: bool,
}

impl Refusal {
    /// There is no such setting.
    fn is_absence(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }
}

/// What was asked for and is not in force, and the first reason.
#[derive(Default)]
struct Lacking {
    said: String,
    reason: Option<String>,
}

impl Lacking {
    fn note(&mut self, name: &str, asked: &str, effective: &str, refusal: Option<&Refusal>) {
        // Buffers need only be large enough: smallest, usual, largest.
        let largest = |value: &str| value.split(' ').nth(2).and_then(|bytes| bytes.parse::<u64>().ok());
        let is_ample = || largest(asked).is_some_and(|asked| largest(effective) >= Some(asked));
        if name == PING.0 || is_ample() {
            return;
        }
        let comma = if self.said.is_empty() { "" } else { ", " };
        let _ = write!(self.said, "{comma}{name} is {effective} in place of {asked}");
        let refusal = refusal.filter(|refusal| !refusal.is_absence());
        self.reason = self.reason.take().or_else(|| refusal.map(|refusal| refusal.error.to_string()));
    }

    fn told(self) -> Option<String> {
        let reason = self.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        (!self.said.is_empty()).then(|| format!("{}{reason}", self.said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish { buffer: 0, ecn: Some(false), for_programs: false };

    /// Settings as a kernel has them, but for those named.
    fn tree(without: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let names = ASKED.iter().map(|(name, _)| *name);
        for name in names.chain([PING.0, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", ECN, CONGESTION]) {
            if !without.contains(&name) {
                let file = Tree(dir.path()).file(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "7\n").unwrap();
            }
        }
        dir
    }

    fn value<'a>(granted: &'a Granted, name: &str) -> &'a str {
        &granted.settings.iter().find(|setting| setting.name == name).expect("it is recorded").effective
    }

    #[test]
    fn what_is_asked_for_is_written_and_read_back() {
        let dir = tree(&[]);
        let granted = Tree(dir.path()).apply(WISH);
        assert!(!granted.locked);
        assert_eq!(granted.lacking, None);
        assert_eq!(value(&granted, "net.ipv4.tcp_rmem"), format!("4096 131072 {LEAST_BUFFER}"));
        assert_eq!(value(&granted, CONGESTION), "7", "only read");
        assert!(!granted.settings.iter().any(|setting| setting.name == PING.0), "no program of the user's");
        let granted = Tree(dir.path()).apply(Wish { for_programs: true, ..WISH });
        assert_eq!(value(&granted, PING.0), PING.1);
    }

    #[test]
    fn a_missing_setting_needs_no_other_proc() {
        let dir = tree(&["net.ipv4.tcp_comp_sack_nr"]);
        let granted = Tree(dir.path()).apply(WISH);
        assert!(!granted.locked);
        assert_eq!(granted.lacking.unwrap(), "net.ipv4.tcp_comp_sack_nr is not available in place of 0");
    }

    #[test]
    fn settings_that_are_covered_are_locked() {
        let dir = tempfile::tempdir().unwrap();
        let granted = Tree(dir.path()).apply(WISH);
        assert!(granted.locked);
        assert_eq!(value(&granted, "net.ipv4.tcp_sack"), ABSENT);

        // Open for nobody, as a directory is for writing.
        let dir = tree(&["net.ipv4.tcp_sack"]);
        fs::create_dir(Tree(dir.path()).file("net.ipv4.tcp_sack")).unwrap();
        let granted = Tree(dir.path()).apply(WISH);
        assert!(granted.locked);
        assert!(value(&granted, "net.ipv4.tcp_sack").starts_with("not available (could not be set: Is a directory"));
        let said = granted.lacking.unwrap();
        assert!(said.starts_with("net.ipv4.tcp_sack is not available in place of 1 (Is a directory"), "{said}");
    }

    #[test]
    fn a_sufficient_setting_counts_as_granted() {
        let refusal = Refusal { error: io::Error::from_raw_os_error(libc::EROFS), of_file: true };
        let mut lacking = Lacking::default();
        lacking.note("net.ipv4.tcp_rmem", "4096 131072 6291456", "4096 87380 6291456", Some(&refusal));
        lacking.note(PING.0, "0 0", "1 0", Some(&refusal));
        assert_eq!(lacking.told(), None);
        let mut lacking = Lacking::default();
        lacking.note("net.ipv4.tcp_rmem", "4096 131072 6291456", "4096 87380 6291455", Some(&refusal));
        lacking.note("net.ipv4.tcp_slow_start_after_idle", "0", "1", Some(&refusal));
        let said = lacking.told().unwrap();
        assert!(said.contains("tcp_rmem") && said.contains("after_idle is 1 in place of 0 (Read-only file"), "{said}");
    }
}
