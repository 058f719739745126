//! Data ports of a server, by transport.

use std::collections::BTreeMap;

use samepath_model::arm::Transport;
use serde::{Deserialize, Serialize, Serializer};

/// Where a server takes data connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Ports(BTreeMap<Transport, u16>);

impl Ports {
    /// The port for this transport, if the server takes it.
    pub fn get(&self, transport: Transport) -> Option<u16> {
        self.0.get(&transport).copied()
    }
}

impl FromIterator<(Transport, u16)> for Ports {
    fn from_iter<I: IntoIterator<Item = (Transport, u16)>>(ports: I) -> Ports {
        Ports(ports.into_iter().collect())
    }
}

/// In the order of [`Transport::ALL`], as the control protocol has them.
impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Transport::ALL.iter().filter_map(|transport| self.0.get_key_value(transport)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_in_one_order() {
        let ports = Transport::ALL.into_iter().rev().zip([4, 3, 2, 1]).collect::<Ports>();
        let text = serde_json::to_string(&ports).unwrap();
        assert_eq!(text, r#"{"tcp":1,"tls":2,"quic":3,"udp":4}"#);
        assert_eq!(serde_json::from_str::<Ports>(&text).unwrap(), ports);
        assert_eq!((ports.get(Transport::Quic), Ports::default().get(Transport::Quic)), (Some(3), None));
    }
}
