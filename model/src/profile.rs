//! Named link conditions: typical paths, rounded to figures that are easy to reason about.
//!
//! The round-trip times are those that operators and measurement studies report; light in fibre
//! covers 200,000 km/s, so none of them can be shorter than its distance allows.
//!
//! None has jitter: drawn anew for each packet it would reorder them, which the paths named here do
//! not do, and which TCP and QUIC answer with needless retransmissions. Their delay varies by
//! queueing instead, as on the real ones.

use crate::link::LinkSpec;

/// One named path.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// As typed after `--profile`.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// The conditions, as a file would say them.
    pub conditions: &'static str,
}

/// Every profile, from near to far.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "same-rack",
        about: "two servers in one rack",
        conditions: "rtt = '300us'\nrate = '1Gbit'\nqueue = '1ms'",
    },
    Profile {
        name: "same-data-center",
        about: "two servers in one data centre",
        conditions: "rtt = '500us'\nrate = '1Gbit'\nqueue = '1ms'",
    },
    Profile {
        name: "cross-zone",
        about: "two zones of one cloud region",
        conditions: "rtt = '2ms'\nrate = '1Gbit'\nqueue = '2ms'",
    },
    Profile {
        name: "cross-region",
        about: "US east coast to west coast",
        conditions: "rtt = '70ms'\nrate = '100Mbit'\nqueue = '1bdp'",
    },
    Profile {
        name: "us-europe",
        about: "across the Atlantic",
        conditions: "rtt = '90ms'\nrate = '100Mbit'\nqueue = '1bdp'",
    },
    Profile {
        name: "us-asia",
        about: "across the Pacific",
        conditions: "rtt = '175ms'\nrate = '100Mbit'\nqueue = '1bdp'",
    },
    Profile {
        name: "us-australia",
        about: "US west coast to Sydney",
        conditions: "rtt = '160ms'\nrate = '100Mbit'\nqueue = '1bdp'",
    },
    Profile {
        name: "home-broadband",
        about: "cable at home, the buffer on the slow side",
        conditions: "rtt = '20ms'\n[up]\nrate = '10Mbit'\nqueue = '100ms'\n[down]\nrate = '100Mbit'\nqueue = '50ms'",
    },
    Profile {
        name: "4g",
        about: "mobile, fair signal",
        conditions: "rtt = '50ms'\n[up]\nrate = '8Mbit'\nqueue = '200ms'\n[down]\nrate = '30Mbit'\nqueue = '200ms'",
    },
    Profile {
        name: "3g",
        about: "mobile, old network",
        conditions: "rtt = '150ms'\n[up]\nrate = '700kbit'\nqueue = '300ms'\n[down]\nrate = '3Mbit'\nqueue = '300ms'",
    },
    Profile {
        name: "busy-wifi",
        about: "a crowded access point: losses in bursts",
        conditions: "rtt = '20ms'\nrate = '20Mbit'\nqueue = '100ms'\nloss = 'burst 1% 3'",
    },
    Profile {
        name: "low-orbit-satellite",
        about: "low-orbit satellite; an outage of 150 ms every 15 s for its hand-overs",
        conditions: "rtt = '30ms'\noutage = ['15s..15.15s every 15s']\n[up]\nrate = '15Mbit'\nqueue = '100ms'\n[down]\nrate = '100Mbit'\nqueue = '100ms'",
    },
    Profile {
        name: "geostationary-satellite",
        about: "geostationary satellite",
        conditions: "rtt = '600ms'\n[up]\nrate = '3Mbit'\nqueue = '1bdp'\n[down]\nrate = '25Mbit'\nqueue = '1bdp'",
    },
];

/// The conditions of the profile of this name.
///
/// # Errors
/// Names the profiles there are.
pub fn find(name: &str) -> Result<LinkSpec, String> {
    let profile = PROFILES.iter().find(|p| p.name == name).ok_or_else(|| {
        let known: Vec<&str> = PROFILES.iter().map(|p| p.name).collect();
        format!("there is no link profile `{name}`; choose from: {}", known.join(", "))
    })?;
    toml::from_str(profile.conditions).map_err(|error| format!("the built-in profile `{name}` is broken: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_resolves() {
        for profile in PROFILES {
            let spec = LinkSpec { profile: Some(profile.name.to_owned()), ..LinkSpec::default() };
            let link = spec.resolve().unwrap_or_else(|e| panic!("{}: {e}", profile.name));
            assert!(link.rtt() > crate::Duration::ZERO, "{}", profile.name);
        }
    }
}
