//! Named link conditions: typical paths, rounded to figures that are easy to reason about.
//!
//! The round-trip times are those that operators and measurement studies report; light in fibre
//! covers 200,000 km/s, so none of them can be shorter than its distance allows. `docs/link.md` says
//! where each figure is from.
//!
//! Where a delay varies it keeps the order: drawn anew for each packet it would reorder them, which the
//! paths named here do not do, and which TCP and QUIC answer with needless retransmissions.

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
        conditions: "rtt = '1ms'\nrate = '1Gbit'\nqueue = '2ms'",
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
        name: "home-dsl",
        about: "a good telephone line at home: nothing is lost, and nothing else is going on",
        conditions: "rtt = '25ms'\n[up]\nrate = '6Mbit'\nqueue = '100ms'\n[down]\nrate = '30Mbit'\nqueue = '100ms'",
    },
    Profile {
        name: "5g",
        about: "mobile, new network, good signal",
        conditions: "rtt = '45ms'\n[up]\nrate = '15Mbit'\nqueue = '200ms'\n[down]\nrate = '250Mbit'\nqueue = '200ms'",
    },
    Profile {
        name: "4g",
        about: "mobile, fair signal: for one second in four at half the rate",
        conditions: "rtt = '85ms'\nqueue = '200ms'\n\
                     [up]\nrate = '11Mbit'\nchange = ['2s every 4s: rate 5Mbit', '3s every 4s: rate 11Mbit']\n\
                     [down]\nrate = '27Mbit'\nchange = ['2s every 4s: rate 13Mbit', '3s every 4s: rate 27Mbit']",
    },
    Profile {
        name: "slow-mobile",
        about: "mobile, poor signal",
        conditions: "rtt = '150ms'\nqueue = '300ms'\n[up]\nrate = '750kbit'\n[down]\nrate = '1.6Mbit'",
    },
    Profile {
        name: "busy-wifi",
        about: "a crowded access point: losses in bursts, and twice in 4 s the channel is another's for a while",
        // Of all instants 1 % are more than 250 ms before the channel is free again, and 9 % more than 20 ms.
        conditions: "rtt = '20ms'\nrate = '20Mbit'\nqueue = '100ms'\nloss = 'burst 1% 3'\n\
                     jitter = '5ms'\ndistribution = 'normal'\nkeep-order = true\n\
                     change = ['1s every 4s: rate 0', '1.29s every 4s: rate 20Mbit', \
                     '3s every 4s: rate 0', '3.1s every 4s: rate 20Mbit']",
    },
    Profile {
        name: "low-orbit-satellite",
        about: "low-orbit satellite: every 15 s another one, with other delay and packets lost on the way to it",
        conditions: "rtt = '30ms'\nloss = 'burst 0.5% 3'\njitter = '3ms'\ndistribution = 'normal'\nkeep-order = true\n\
                     outage = ['15s..15.075s every 15s']\n\
                     change = ['15s every 30s: delay 35ms', '30s every 30s: delay 15ms']\n\
                     [up]\nrate = '15Mbit'\nqueue = '100ms'\n[down]\nrate = '100Mbit'\nqueue = '100ms'",
    },
    Profile {
        name: "geostationary-satellite",
        about: "geostationary satellite, without the proxy by which operators make TCP faster",
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
    #[test]
    fn the_documentation_names_every_profile() {
        let text = include_str!("../../docs/link.md");
        for profile in PROFILES {
            assert!(text.contains(&format!("| `{}` |", profile.name)), "{}", profile.name);
        }
    }
}
