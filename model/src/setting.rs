//! What a setting is to a comparison: must it be equal, or need it only be large enough?

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a setting is to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    /// It decides the comparison: where it was asked for and not granted, the trial is void.
    Equal,
    /// It need only be large enough: where it was not granted, only a trial in which it bit is void.
    #[default]
    Ample,
}

/// The settings that decide a comparison, by name. All others are [`SettingKind::Ample`].
pub const EQUAL: [&str; 31] = [
    "tcp.congestion-control",
    "tcp.initial-window",
    "tcp.no-delay",
    "tcp.notsent-lowat",
    "tcp.window-clamp",
    "tcp.mss",
    "tls.version",
    "tls.cipher-suite",
    "tls.key-exchange",
    "tls.record-size",
    "quic.congestion-control",
    "quic.initial-window",
    "quic.mtu",
    "quic.mtu-discovery",
    "quic.send-fairness",
    "quic.segmentation-offload",
    "quic.version",
    "stream-order",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_recovery",
    "net.ipv4.tcp_early_retrans",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_comp_sack_nr",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_tw_reuse",
];

/// What stands before the name of a kernel setting of the server's end, where it differs from the client's.
pub const OF_SERVER: &str = "server ";

impl SettingKind {
    /// Of the setting of this name.
    pub fn of(name: &str) -> SettingKind {
        let name = name.strip_prefix(OF_SERVER).unwrap_or(name);
        if EQUAL.contains(&name) { SettingKind::Equal } else { SettingKind::Ample }
    }
}

/// The name of a setting that decides a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EqualSetting(&'static str);

impl EqualSetting {
    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// A name that no setting has which decides a comparison, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no setting `{name}` decides a comparison; choose from: {}", EQUAL.join(", "))]
pub struct SettingError {
    name: String,
}

impl std::str::FromStr for EqualSetting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let known = EQUAL.into_iter().find(|name| *name == text);
        known.map(EqualSetting).ok_or_else(|| SettingError { name: text.to_owned() })
    }
}

impl fmt::Display for EqualSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Serialize for EqualSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for EqualSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EqualSetting, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_a_comparison_is_known_at_both_ends() {
        for (name, kind) in [
            ("tcp.no-delay", SettingKind::Equal),
            ("net.ipv4.tcp_ecn", SettingKind::Equal),
            ("server net.ipv4.tcp_ecn", SettingKind::Equal),
            ("net.ipv4.tcp_wmem", SettingKind::Ample),
            ("udp.receive-buffer", SettingKind::Ample),
        ] {
            assert_eq!(SettingKind::of(name), kind, "{name}");
        }
        assert_eq!(serde_json::to_string(&SettingKind::Equal).unwrap(), "\"equal\"");
        let error = "net.ipv4.tcp_wmem".parse::<EqualSetting>().unwrap_err().to_string();
        assert!(error.contains("`net.ipv4.tcp_wmem`") && error.contains("net.ipv4.tcp_ecn"), "{error}");
    }
}
