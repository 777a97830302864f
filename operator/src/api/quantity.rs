//! Quantities as Kubernetes writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Upstream's pattern, as controller-gen writes it.
const PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// A quantity (`10Gi`, `500m`, `2`), not yet read. Unlike k8s-openapi's it can be written as a number, as it can in built-in resources:
/// the API server stores a custom resource's as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

/// Why a text isn't a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" isn't a number of bytes; write a positive number with a unit, as in 256Mi or 10Gi"
)]
pub struct QuantityError(String);

impl Quantity {
    /// Reads it as a number of bytes, rounded up.
    ///
    /// # Errors
    /// When it isn't a quantity, is negative or beyond 2^63-1.
    pub fn bytes(&self) -> Result<u64, QuantityError> {
        self.units()
            .ok_or_else(|| QuantityError(self.0.chars().take(32).collect()))
    }

    fn units(&self) -> Option<u64> {
        let text = self.0.strip_prefix('+').unwrap_or(&self.0);
        let end = text
            .find(|character: char| !(character.is_ascii_digit() || character == '.'))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        // Nine digits are more than any unit's fraction needs to be right to the byte.
        let fraction: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(9)
            .collect();
        let billionths: u128 = format!("{whole}{fraction}").parse().ok()?;
        let (multiply, divide): (u128, u128) = match suffix {
            "n" => (1, 1_000_000_000),
            "u" => (1, 1_000_000),
            "m" => (1, 1000),
            "" => (1, 1),
            "k" => (1000, 1),
            "M" => (10_u128.pow(6), 1),
            "G" => (10_u128.pow(9), 1),
            "T" => (10_u128.pow(12), 1),
            "P" => (10_u128.pow(15), 1),
            "E" => (10_u128.pow(18), 1),
            "Ki" => (1 << 10, 1),
            "Mi" => (1 << 20, 1),
            "Gi" => (1 << 30, 1),
            "Ti" => (1 << 40, 1),
            "Pi" => (1 << 50, 1),
            "Ei" => (1 << 60, 1),
            exponent => {
                let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
                let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
                if exponent < 0 { (1, power) } else { (power, 1) }
            }
        };
        let units = billionths
            .checked_mul(multiply)?
            .div_ceil(divide.checked_mul(1_000_000_000)?);
        u64::try_from(units)
            .ok()
            .filter(|units| i64::try_from(*units).is_ok())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Quantity> for resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(i64),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        }))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": PATTERN,
            "maxLength": 64,
        })
    }
}

/// What a container requests and is limited to.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the node must have left, by resource: `cpu`, `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,

    /// What the container may use at most, by resource: `cpu`, `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

impl From<&Resources> for ResourceRequirements {
    fn from(resources: &Resources) -> Self {
        let of = |map: &BTreeMap<String, Quantity>| {
            (!map.is_empty()).then(|| {
                map.iter()
                    .map(|(name, quantity)| (name.clone(), quantity.into()))
                    .collect()
            })
        };
        Self {
            requests: of(&resources.requests),
            limits: of(&resources.limits),
            claims: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("+5", 5),
            ("256Mi", 256 << 20),
            ("1.5Gi", 3 << 29),
            (".5Ki", 512),
            ("5.", 5),
            ("10G", 10_000_000_000),
            ("2k", 2000),
            ("1e3", 1000),
            ("12E-1", 2),
            ("100m", 1),
            ("1500m", 2),
            ("0.1m", 1),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(Quantity::from(text).bytes(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_named() {
        for text in [
            "", "-1", "Gi", "1.2.3", "10GB", "1 Gi", "8Ei", "1e400", "e", "1e", "ten", "٣",
        ] {
            assert_eq!(
                Quantity::from(text).bytes(),
                Err(QuantityError(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_may_stand_for_text() {
        let resources: Resources =
            serde_json::from_str(r#"{"limits": {"cpu": 2, "memory": "1Gi"}}"#).unwrap();
        let requirements = ResourceRequirements::from(&resources);
        let limits = requirements.limits.unwrap();
        assert_eq!(limits.get("cpu").unwrap().0, "2");
        assert_eq!(requirements.requests, None);
    }
}
