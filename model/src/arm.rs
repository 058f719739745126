//! Arms: what is compared, each a row of a table.
//!
//! Whoever wants to know something of an arm asks its row ([`ArmRow`]), and not which arm it is. A new arm is a row of
//! [`ARMS`]; `name` has the grammar of names.

mod feature;
mod look;
mod name;
mod parts;
mod table;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::serde_as_text;

pub use feature::{FEATURES, FeatureRow, Features};
pub use look::{Look, Marker};
pub use name::ArmError;
pub use parts::{Application, AttributedBy, Connections, IpProtocol, Mapping, OrderingDomain, Stack, Transport};
pub use table::{ARMS, ArmRow};

/// A row of [`ARMS`], and the features that are switched on; written `tcp`, `tcp/per-stream`, `quic/shared`, …
///
/// Arms are ordered as their rows are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arm {
    row: u8,
    features: Features,
}

impl Arm {
    /// Every arm that is built, without features, in the order in which charts show them.
    pub fn all() -> impl Iterator<Item = Arm> {
        (0..ARMS.len()).map(|row| Arm::at(row, Features::default()))
    }

    /// The one that the bare name of a transport stands for.
    pub fn default_of(transport: Transport) -> Arm {
        Arm::all().find(|arm| arm.transport == transport).expect("every transport has a row")
    }

    fn at(row: usize, features: Features) -> Arm {
        Arm { row: u8::try_from(row).expect("the table is short"), features }
    }

    /// The features that are switched on.
    pub fn features(self) -> impl Iterator<Item = &'static FeatureRow> {
        self.features.rows(FEATURES)
    }
}

impl Deref for Arm {
    type Target = ArmRow;

    fn deref(&self) -> &ArmRow {
        &ARMS[usize::from(self.row)]
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = self.name.to_owned();
        for feature in self.features() {
            name.push('+');
            name.push_str(feature.name);
        }
        f.pad(&name)
    }
}

impl fmt::Debug for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arm({self})")
    }
}

impl FromStr for Arm {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        let (row, features) = name::parse(text)?;
        Ok(Arm::at(row, features))
    }
}

serde_as_text!(Arm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for arm in Arm::all() {
            assert_eq!(arm.to_string().parse(), Ok(arm));
        }
        assert_eq!("tcp/shared".parse(), Ok(Arm::default_of(Transport::Tcp)));
        assert_eq!(Arm::all().count(), ARMS.len());
    }

    #[test]
    fn an_unknown_arm_names_the_known_ones() {
        let message = "sctp".parse::<Arm>().unwrap_err().to_string();
        assert!(message.contains("sctp") && message.contains("quic/per-message"), "{message}");
    }

    #[test]
    fn every_transport_has_an_arm_of_its_name() {
        for transport in Transport::ALL {
            assert_eq!(Arm::default_of(transport).name, transport.name());
        }
        assert!(Arm::all().is_sorted(), "as their rows");
    }
}
