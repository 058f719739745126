//! Namespaces that the kernel refuses: which kind, why, and what to do about it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

/// A namespace that the kernel refused.
#[derive(Debug)]
pub struct Refused {
    kind: Kind,
    source: io::Error,
    /// Found out at once: what a process sees of its machine changes as it enters namespaces.
    pub(super) remedy: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make a {} namespace: {}", self.kind.name(), self.source)
    }
}

/// Names the namespace that the kernel refused, and looks for the remedy.
pub(super) fn refused<E: Into<io::Error>>(kind: Kind) -> impl Fn(E) -> Refused {
    move |error| {
        let source = error.into();
        let remedy = remedy(kind, &source);
        Refused { kind, source, remedy }
    }
}

/// The kinds of namespaces that a link needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Network,
    Pid,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Network => "network",
            Kind::Pid => "PID",
        }
    }

    /// The setting that says how many there may be, below `user.` (namespaces(7), /proc/sys/user).
    fn limit(self) -> &'static str {
        match self {
            Kind::User => "max_user_namespaces",
            Kind::Network => "max_net_namespaces",
            Kind::Pid => "max_pid_namespaces",
        }
    }
}

fn says(file: &str) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// Whether this is root outside of any user namespace, to whom restrictions of the unprivileged do not apply.
fn is_root_of_the_machine() -> bool {
    let map = says("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// What to do where the kernel refuses such a namespace for this reason (unshare(2), errors): looks for the usual
/// causes, and names the one that holds.
fn remedy(kind: Kind, reason: &io::Error) -> String {
    let name = kind.name();
    match reason.raw_os_error() {
        Some(libc::ENOSPC) => return remedy_of_limit(kind, says(&format!("/proc/sys/user/{}", kind.limit()))),
        Some(libc::EINVAL) => {
            return format!("this kernel was built without {name} namespaces; use one that has them");
        }
        _ => {}
    }
    let unprivileged = !is_root_of_the_machine();
    if unprivileged && says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return "AppArmor restricts unprivileged user namespaces here: run `sudo sysctl \
                kernel.apparmor_restrict_unprivileged_userns=0`, give samepath an AppArmor profile with `userns,`, \
                or run as root"
            .into();
    }
    if unprivileged && says("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "unprivileged user namespaces are switched off: run `sudo sysctl kernel.unprivileged_userns_clone=1`, \
                or run as root"
            .into();
    }
    let status = says("/proc/self/status").unwrap_or_default();
    let filtered = status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"));
    if filtered || Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        return "a container's seccomp filter or missing capability is the likely reason: start it with `--cap-add \
                SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined`, \
                or with `--privileged`"
            .into();
    }
    format!("run as root, or ask the administrator to permit {name} namespaces")
}

/// The remedy where there are as many namespaces as there may be. `limit` is the setting as it is seen from here; in a
/// user namespace that sets none of its own it is the largest number, and the limit is one further out.
fn remedy_of_limit(kind: Kind, limit: Option<String>) -> String {
    const NONE: u64 = i32::MAX as u64;
    let (name, setting) = (kind.name(), kind.limit());
    let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit < NONE);
    let more = limit.unwrap_or(0).saturating_mul(2).max(1000);
    let (found, there) = match limit {
        Some(limit) => (format!("the limit of {name} namespaces is {limit} here"), ""),
        None => (format!("there are as many {name} namespaces as may be"), " (for a container: on its host)"),
    };
    let or_root = if kind == Kind::User { ", or run as root, who needs none" } else { "" };
    format!("{found}: run `sudo sysctl user.{setting}={more}`{there}{or_root}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::NamespaceError;

    #[test]
    fn the_remedy_is_the_refused_namespaces() {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        for (kind, setting) in [(Kind::Network, "max_net_namespaces"), (Kind::Pid, "max_pid_namespaces")] {
            let error = NamespaceError::from(refused(kind)(full()));
            assert!(error.is_lack());
            let said = error.to_string();
            assert!(said.contains(&format!("user.{setting}=")) && !said.contains("max_user"), "{said}");
            assert!(!said.contains("run as root"), "root is bound by it, too: {said}");
            assert_eq!(said.matches("sysctl").count(), 1, "{said}");
            let (found, remedy) = error.parted();
            assert_eq!(said, format!("{found}; {}", remedy.expect("there is one")));
        }
        let old = NamespaceError::from(refused(Kind::User)(io::Error::from_raw_os_error(libc::EINVAL))).to_string();
        assert!(old.contains("built without user namespaces"), "{old}");
        assert!(!NamespaceError::Threads(2).is_lack());
    }

    #[test]
    fn a_limit_is_told_with_what_it_is() {
        let zero = remedy_of_limit(Kind::User, Some("0".into()));
        assert!(zero.contains("is 0 here") && zero.contains("user.max_user_namespaces=1000"), "{zero}");
        assert!(zero.contains("run as root"), "{zero}");
        let some = remedy_of_limit(Kind::Network, Some("31155".into()));
        assert!(some.contains("is 31155 here") && some.contains("user.max_net_namespaces=62310"), "{some}");
        for unseen in [Some("2147483647".to_owned()), None] {
            assert!(remedy_of_limit(Kind::Pid, unseen).contains("on its host"));
        }
    }
}
