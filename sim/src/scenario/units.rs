//! Durations and rates as people write them: `80ms`, `2m`, `20mbit`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;

/// Longest duration: 366 days, so that sums of durations never overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Reads `80ms`, `2s`, `5m`, `1h`, and `0`. A number alone could be milliseconds as well as seconds.
///
/// # Errors
/// If the text is no duration, or has no unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| format!("`{text}` is no duration, e.g. 80ms, 2s, 5m"))?;
    let duration = match text[split..].trim() {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "" if number == 0 => Duration::ZERO,
        "" => return Err(format!("{text} what? write {text}ms, or {text}s for seconds")),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3_600)),
        unit => return Err(format!("`{text}`: unknown unit `{unit}`, use us, ms, s, m or h")),
    };
    match duration <= DURATION_MAX {
        true => Ok(duration),
        false => Err(format!("`{text}`: longer than a year")),
    }
}

/// Writes a duration so that [`parse_duration`] reads the same one.
pub fn format_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(3_600_000_000) => format!("{}h", micros / 3_600_000_000),
        _ if micros.is_multiple_of(60_000_000) => format!("{}m", micros / 60_000_000),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

/// Reads `20mbit`, `56kbit`, `1gbit`, as bits per second.
///
/// # Errors
/// If the text is no rate.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| format!("`{text}` is no rate, e.g. 20mbit"))?;
    let factor = match text[split..].trim() {
        "bit" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        unit => return Err(format!("`{text}`: unknown unit `{unit}`, use kbit, mbit or gbit")),
    };
    match number.saturating_mul(factor) {
        0 => Err(format!("`{text}`: a rate is more than 0; use a cut instead")),
        rate => Ok(rate),
    }
}

/// Writes a rate so that [`parse_rate`] reads the same one.
pub fn format_rate(bits: u64) -> String {
    match bits {
        _ if bits.is_multiple_of(1_000_000_000) => format!("{}gbit", bits / 1_000_000_000),
        _ if bits.is_multiple_of(1_000_000) => format!("{}mbit", bits / 1_000_000),
        _ if bits.is_multiple_of(1_000) => format!("{}kbit", bits / 1_000),
        _ => format!("{bits}bit"),
    }
}

/// For `#[serde(with = "units::duration")]`.
pub mod duration {
    use super::*;

    /// Reads a duration.
    ///
    /// # Errors
    /// If the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    /// Writes a duration.
    ///
    /// # Errors
    /// If the output fails.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*value))
    }
}

/// For `#[serde(default, with = "units::duration_option")]`.
pub mod duration_option {
    use super::*;

    /// Reads a duration that may be absent.
    ///
    /// # Errors
    /// If the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(from).map(Some)
    }

    /// Writes a duration that may be absent.
    ///
    /// # Errors
    /// If the output fails.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, to),
            None => to.serialize_none(),
        }
    }
}

/// For `#[serde(default, with = "units::rate_option")]`: bits per second.
pub mod rate_option {
    use super::*;

    /// Reads a rate that may be absent.
    ///
    /// # Errors
    /// If the text is no rate.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        parse_rate(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
    }

    /// Writes a rate that may be absent.
    ///
    /// # Errors
    /// If the output fails.
    pub fn serialize<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(&format_rate(*value)),
            None => to.serialize_none(),
        }
    }
}

/// For `#[serde(default, with = "units::seed")]`: a number, or text if it is larger than TOML's integers.
pub mod seed {
    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seed {
        Number(u64),
        Text(String),
    }

    /// Reads a seed: `42` or `"18446744073709551615"`.
    ///
    /// # Errors
    /// If it is no number of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let seed = match Seed::deserialize(from) {
            Ok(Seed::Number(number)) => Some(number),
            Ok(Seed::Text(text)) => text.parse().ok(),
            Err(_) => None,
        };
        seed.ok_or_else(|| D::Error::custom("a seed is a number from 0 to 2^64 - 1"))
    }

    /// Writes a seed.
    ///
    /// # Errors
    /// If the output fails.
    pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(*value) {
            Ok(number) => to.serialize_i64(number),
            Err(_) => to.collect_str(value),
        }
    }
}
