//! Values as they are typed: sizes, times, policies, versions, compressions. Ranges are `wal-core`'s to check.

use std::time::Duration;

use clap::ValueEnum;
use wal_core::{FormatVersion, FsyncPolicy};

/// Compression of the record values, by the names on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Store lines as they are
    #[default]
    None,
    /// Fast; a line that does not shrink is stored as it is
    Lz4,
    /// Smaller; a line that does not shrink is stored as it is
    Zstd,
}

impl From<Compression> for wal_core::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// `always`, `batch:TIME` or `os`.
pub(crate) fn policy(text: &str) -> Result<FsyncPolicy, String> {
    match text {
        "always" => Ok(FsyncPolicy::Always),
        "os" => Ok(FsyncPolicy::Os),
        _ => match text.strip_prefix("batch:") {
            Some(window) => duration(window).map(FsyncPolicy::Batch),
            None => Err("use always, batch:TIME (batch:5ms, say) or os".into()),
        },
    }
}

/// A whole number and a unit: `250us`, `5ms`, `1s`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let parsed = number.parse().ok().and_then(|count: u64| match unit {
        "us" => Some(Duration::from_micros(count)),
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        _ => None,
    });
    parsed.ok_or_else(|| "a time is a whole number and us, ms or s: 250us, 5ms, 1s".into())
}

/// A whole number of bytes, or with a unit: `134217728`, `128MiB`, `512KiB`, `100MB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: Option<u64> = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    let parsed = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    parsed.ok_or_else(|| {
        "a size is a whole number of bytes, or one with KiB, MiB, GiB, KB, MB or GB: 128MiB".into()
    })
}

/// A version of the on-disk format, by its number.
pub(crate) fn format_version(text: &str) -> Result<FormatVersion, String> {
    let known = text.parse().ok().and_then(FormatVersion::from_u32);
    known.ok_or_else(|| {
        format!(
            "a version is a number from 1 to {}",
            FormatVersion::NEWEST.get()
        )
    })
}

fn split(text: &str) -> (&str, &str) {
    let digits = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [
            ("128MiB", 128 << 20),
            ("1MiB", 1 << 20),
            ("512KiB", 512 << 10),
            ("134217728", 134_217_728),
            ("4GiB", 4 << 30),
            ("100MB", 100_000_000),
            ("2kb", 2_000),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "1 MiB",
            "1TiB",
            "18446744073709551615KiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn policies_are_named_and_a_batch_has_its_window() {
        let batch = |micros| Ok(FsyncPolicy::Batch(Duration::from_micros(micros)));
        assert_eq!(policy("always"), Ok(FsyncPolicy::Always));
        assert_eq!(policy("os"), Ok(FsyncPolicy::Os));
        assert_eq!(policy("batch:5ms"), batch(5_000));
        assert_eq!(policy("batch:1s"), batch(1_000_000));
        assert_eq!(policy("batch:250us"), batch(250));
    }

    #[test]
    fn what_is_not_a_policy_is_refused() {
        for text in [
            "",
            "Always",
            "batch",
            "batch:",
            "batch:5",
            "batch:ms",
            "batch:5min",
            "never",
        ] {
            assert!(policy(text).is_err(), "{text}");
        }
    }
}
