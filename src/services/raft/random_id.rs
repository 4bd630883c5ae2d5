//! Ids of 128 random bits: of a cluster, of a node's data folder, and of one run of a node.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many hexadecimal digits an id has.
const DIGITS: usize = 32;

/// An id that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has {DIGITS} hexadecimal digits")]
pub struct InvalidId;

macro_rules! random_id {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// A new id, of bits that the system's generator decides.
            pub fn random() -> Self {
                Self(random_bits())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:032x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!({
                    "description": "128 random bits, as 32 hexadecimal digits.",
                    "type": "string",
                    "contentEncoding": "base16",
                    "minLength": DIGITS,
                    "maxLength": DIGITS,
                })
            }
        }
    };
}

random_id! {
    /// Names a cluster. Chosen at random when the cluster is founded, so that no two clusters have the same.
    ClusterId
}

random_id! {
    /// Names one life of a node's data folder. Chosen at random when the folder is new, so that a node whose folder was wiped
    /// is not taken for the node it was before.
    Incarnation
}

random_id! {
    /// Names one run of a node, from its start to its end. Chosen at random at each start, so that two processes with copies of one
    /// data folder can be told apart.
    RunId
}

/// 128 random bits. `fastrand` has 64 bits of state, which it seeds from a clock: nodes that are started together could draw the
/// same ids.
fn random_bits() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}

fn parse(text: &str) -> Result<u128, InvalidId> {
    // A sign would be taken for a digit's place.
    if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InvalidId);
    }
    u128::from_str_radix(text, 16).map_err(|_| InvalidId)
}

#[cfg(test)]
mod tests {
    use super::{ClusterId, Incarnation};

    #[test]
    fn an_id_reads_back_from_its_text() {
        for bits in [0, 1, 0x00ff_0000_0000_0000_0000_0000_0000_000a, u128::MAX] {
            let text = ClusterId(bits).to_string();
            assert_eq!(text.len(), 32);
            assert_eq!(text.parse(), Ok(ClusterId(bits)));
            let json = serde_json::to_string(&Incarnation(bits)).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Incarnation>(&json).unwrap(), Incarnation(bits));
        }
    }

    #[test]
    fn random_ids_differ() {
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(|_| ClusterId::random()).collect();
        assert_eq!(ids.len(), 1_000);
    }

    #[test]
    fn what_is_not_32_digits_is_refused() {
        let valid = "0123456789abcdef0123456789abcdef";
        assert!(valid.parse::<ClusterId>().is_ok());
        assert_eq!(valid.to_uppercase().parse::<ClusterId>(), valid.parse());
        for text in ["", "0", &valid[1..], &format!("{valid}0"), &valid.replace('0', "+")] {
            assert!(text.parse::<ClusterId>().is_err(), "{text}");
        }
    }
}
