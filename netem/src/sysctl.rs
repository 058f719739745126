//! The kernel settings of the endpoints' namespaces: what fairness asks for, and what is in force.
//!
//! They exist once for each network namespace, so setting them changes nothing for the host.

use std::fs;
use std::io;

use samepath_model::record::Setting;

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
    // ICMP echo without privileges, for the root of a user namespace
    ("net.ipv4.ping_group_range", "0 0"),
];

/// Only read, and recorded.
const READ: &[&str] = &[
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_allowed_congestion_control",
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

/// Sets and reads the settings of the calling thread's network namespace. `buffer` is what TCP must
/// be able to have in flight, in bytes: four bandwidth-delay products. `ecn` is whether TCP asks for ECN; `None`
/// leaves it to the kernel.
pub(crate) fn apply(buffer: u64, ecn: Option<bool>) -> Vec<Setting> {
    let limit = buffer.clamp(LEAST_BUFFER, 1 << 30);
    let mut settings: Vec<Setting> = ASKED.iter().map(|&(name, value)| set(name, value)).collect();
    settings.push(set("net.ipv4.tcp_rmem", &format!("4096 131072 {limit}")));
    settings.push(set("net.ipv4.tcp_wmem", &format!("4096 16384 {limit}")));
    let found = |name: &str| Setting { name: name.to_owned(), asked: None, effective: read(name) };
    settings.push(ecn.map_or_else(|| found(ECN), |ecn| set(ECN, if ecn { "1" } else { "0" })));
    settings.extend(READ.iter().map(|&name| found(name)));
    settings
}

fn set(name: &str, value: &str) -> Setting {
    let file = file_of(name);
    let effective = match fs::write(&file, value) {
        Ok(()) => read(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => ABSENT.to_owned(),
        // In some containers /proc/sys cannot be written. What is in force is recorded all the same.
        Err(error) => format!("{} (could not be set: {error})", read(name)),
    };
    Setting { name: name.to_owned(), asked: Some(value.to_owned()), effective }
}

/// The value in force in the calling thread's network namespace.
pub(crate) fn read(name: &str) -> String {
    match fs::read_to_string(file_of(name)) {
        Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Err(_) => ABSENT.to_owned(),
    }
}

fn file_of(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}
