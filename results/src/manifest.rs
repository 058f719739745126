//! The manifest: what must be known to judge a run, and to run it again.
//!
//! What a machine does not tell is `None`: reading `/proc` and `/sys` is never an error.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use samepath_model::Tolerance;
use samepath_model::experiment::Experiment;
use samepath_model::record::RECORD_SCHEMA;
use serde::{Deserialize, Serialize};

include!(concat!(env!("OUT_DIR"), "/dependencies.rs"));

/// What a run directory says of itself: `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the run directory's formats.
    pub schema: u32,
    /// Version of samepath.
    pub version: String,
    /// Whether the program was built without optimisation: its rates and CPU figures mean nothing.
    pub debug_build: bool,
    /// Versions of the libraries that can change what is measured.
    pub dependencies: BTreeMap<String, String>,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// When the run was started, in UTC (RFC 3339).
    pub started: String,
    /// The seeds: each gives every arm the same payload and the same random draws.
    pub seeds: Vec<u64>,
    /// What carries the link's packets, as asked for.
    pub backend: Option<String>,
    /// The machine.
    pub host: Host,
    /// The bounds of a valid trial.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Whatever else the program has to say of its conditions, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// SHA-256 of every record file, by its path in the run directory; empty until the run is done.
    #[serde(default)]
    pub checksums: BTreeMap<String, String>,
}

/// The machine that a run was made on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// `linux`, `macos`, …
    pub os: String,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Release and version of the kernel.
    pub kernel: Option<String>,
    /// Name of the CPU.
    pub cpu_model: Option<String>,
    /// CPUs that this process may use.
    pub cores: Option<usize>,
    /// Whether the CPU says that it is a virtual machine's.
    pub virtual_machine: Option<bool>,
    /// Main memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The kernel's clock source, as `tsc`.
    pub clock_source: Option<String>,
    /// The governor of CPU 0's frequency, as `performance`.
    pub frequency_governor: Option<String>,
    /// Congestion controllers that the kernel has ready.
    pub congestion_controllers: Vec<String>,
    /// Settings of the kernel's network stack, outside the lab's namespaces.
    pub sysctls: BTreeMap<String, String>,
}

/// The settings that bear on a transport's speed.
const SYSCTLS: &[&str] = &[
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/rmem_default",
    "net/core/wmem_default",
    "net/core/default_qdisc",
    "net/core/netdev_max_backlog",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_sack",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_window_scaling",
    "net/ipv4/tcp_recovery",
    "net/ipv4/tcp_early_retrans",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_no_metrics_save",
    "net/ipv4/tcp_notsent_lowat",
    "net/ipv4/tcp_ecn",
];

impl Manifest {
    /// What can be known as a run begins at `now`.
    pub fn capture(command: &[String], experiment: &Experiment, backend: Option<&str>, now: SystemTime) -> Manifest {
        Manifest {
            schema: RECORD_SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            debug_build: cfg!(debug_assertions),
            dependencies: DEPENDENCIES.iter().map(|&(name, version)| (name.to_owned(), version.to_owned())).collect(),
            command: command.to_vec(),
            started: humantime::format_rfc3339_seconds(now).to_string(),
            seeds: experiment.spec().seeds(),
            backend: backend.map(str::to_owned),
            host: Host::capture(),
            tolerance: experiment.spec().tolerance.clone(),
            settings: BTreeMap::new(),
            checksums: BTreeMap::new(),
        }
    }
}

impl Host {
    /// This machine.
    pub fn capture() -> Host {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok();
        let cpu_line = |key: &str| {
            let line = cpu.as_ref()?.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Host {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")
                .map(|release| format!("{release} {}", read("/proc/sys/kernel/version").unwrap_or_default())),
            // Arm names no model in cpuinfo.
            cpu_model: cpu_line("model name").or_else(|| cpu_line("CPU part")),
            cores: std::thread::available_parallelism().ok().map(Into::into),
            virtual_machine: cpu_line("flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_bytes: memory_bytes(),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            frequency_governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            congestion_controllers: read("/proc/sys/net/ipv4/tcp_available_congestion_control")
                .map(|names| names.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            sysctls: SYSCTLS
                .iter()
                .filter_map(|name| Some((name.replace('/', "."), read(&format!("/proc/sys/{name}"))?)))
                .collect(),
        }
    }
}

/// The name of a new run's directory: `20261121T215400Z-head-of-line`.
pub fn directory_name(experiment: &str, now: SystemTime) -> String {
    let utc = humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
    format!("{utc}-{experiment}")
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let host = Host::capture();
        assert!(host.cores.is_some_and(|n| n >= 1));
        if cfg!(target_os = "linux") {
            assert!(host.kernel.is_some() && host.memory_bytes.is_some_and(|n| n > 1 << 20));
        }
        assert!(DEPENDENCIES.iter().any(|(name, _)| *name == "parquet"));
    }

    #[test]
    fn a_directory_is_named_by_time_and_experiment() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        assert_eq!(directory_name("head-of-line", now), "20010909T014640Z-head-of-line");
    }
}
