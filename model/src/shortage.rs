//! What a system has run out of, and what to do about it: the errors whose own words name no remedy.

use std::io;

/// `EMFILE` of errno(3), on every Linux: too many open files in this process.
const EMFILE: i32 = 24;
/// `ENFILE`, likewise: too many in the whole system.
const ENFILE: i32 = 23;

/// What to do where this error says that the process or the system has run out of open files; `None` where it says
/// anything else.
pub fn remedy(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        EMFILE => Some(
            "raise the hard limit on open files (`ulimit -Hn`; as root `prlimit --nofile=`, `LimitNOFILE=` of a systemd \
             unit, `--ulimit nofile=` of a container), or use fewer connections",
        ),
        ENFILE => Some("raise the system's limit on open files: `sudo sysctl fs.file-max=1000000`"),
        _ => None,
    }
}

/// The error, with the remedy where it is one of a shortage.
pub fn told(error: &io::Error) -> String {
    match remedy(error) {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    }
}

/// The error of a process or a thread that could not be started, with the remedy where it is one of a shortage.
pub fn told_of_start(error: &io::Error) -> String {
    /// `EAGAIN` of fork(2).
    const EAGAIN: i32 = 11;
    match error.raw_os_error() {
        Some(EAGAIN) => format!(
            "{error}; raise the limit on processes (`ulimit -u`; `pids.max` of its cgroup, `--pids-limit` of a container)"
        ),
        _ => told(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_files_names_its_remedy() {
        let told = |errno| told(&io::Error::from_raw_os_error(errno));
        assert!(told(EMFILE).starts_with("Too many open files") && told(EMFILE).contains("ulimit -Hn"));
        assert!(told(ENFILE).contains("fs.file-max"));
        assert_eq!(told(2), io::Error::from_raw_os_error(2).to_string());
        let start = |errno| told_of_start(&io::Error::from_raw_os_error(errno));
        assert!(start(11).contains("ulimit -u") && start(EMFILE).contains("ulimit -Hn"));
    }
}
