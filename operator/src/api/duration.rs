//! Durations as Kubernetes writes them.

use std::borrow::Cow;
use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest text that the schema admits.
const LENGTH_MAX: usize = 32;

/// A duration in Go's notation (`90s`, `1h30m`), not yet read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

/// Why a text isn't a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" isn't a duration; write numbers with units, as in 90s or 1h30m (ms, s, m, h)")]
pub struct DurationError(String);

impl Duration {
    /// Reads it.
    ///
    /// # Errors
    /// When it isn't numbers with the units `ms`, `s`, `m` and `h`, or is longer than 100 years.
    pub fn to_std(&self) -> Result<time::Duration, DurationError> {
        self.milliseconds()
            .filter(|milliseconds| *milliseconds <= 100 * 366 * 24 * 3_600_000)
            .map(time::Duration::from_millis)
            .ok_or_else(|| DurationError(self.0.chars().take(LENGTH_MAX).collect()))
    }

    fn milliseconds(&self) -> Option<u64> {
        let mut rest = self.0.as_str();
        let mut total: u64 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|character: char| !character.is_ascii_digit())
                .filter(|digits| *digits > 0)?;
            let (number, after) = rest.split_at_checked(digits)?;
            let (unit, after) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
                .into_iter()
                .find_map(|(unit, factor)| Some((factor, after.strip_prefix(unit)?)))?;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
            rest = after;
        }
        Some(total)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": LENGTH_MAX,
            "pattern": "^([0-9]+(ms|s|m|h))+$",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn go_s_notation_is_read() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("72h", 259_200_000),
            ("1h1m1s1ms", 3_661_001),
        ] {
            assert_eq!(
                Duration::from(text).to_std().unwrap(),
                time::Duration::from_millis(milliseconds),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_named() {
        for text in [
            "",
            "s",
            "10",
            "-1s",
            "1.5h",
            "1d",
            "1 h",
            "h1",
            "99999999999999999999h",
            "18446744073709551615h",
            "900000h",
            "1é",
        ] {
            let error = Duration::from(text).to_std().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }
}
