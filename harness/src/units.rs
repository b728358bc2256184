//! Quantities with units, as scenarios write them.
//!
//! Sizes follow fio's words: `4k` is 4096 bytes (fio's `kb_base=1024`), `4KiB` the same, `4kB`
//! 4000. Times take ns, us, ms, s, m. Bandwidths are a size per second: `440MiB/s`.

/// Reads a size in bytes: `512`, `4k`, `64MiB`, `1g`, `10MB`.
///
/// # Errors
/// A sentence that names the text and the forms understood.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size; use 512, 4k, 64MiB or 1GiB");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "t" | "T" | "TiB" => 1 << 40,
        "TB" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// Reads a time in nanoseconds: `10us`, `100ms`, `2s`, `5m`.
///
/// # Errors
/// A sentence that names the text and the forms understood.
pub fn parse_nanos(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a time; use 10us, 100ms, 2s or 5m");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let factor: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// Reads a bandwidth in bytes per second: `440MiB/s`.
///
/// # Errors
/// A sentence that names the text and the forms understood.
pub fn parse_bandwidth(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a bandwidth; use 440MiB/s");
    parse_bytes(text.strip_suffix("/s").ok_or_else(bad)?).map_err(|_| bad())
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

/// A size as people write it: the largest binary unit that divides it.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    for (factor, unit) in [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    format!("{bytes} B")
}

/// A time as people write it: the largest unit that divides it.
#[must_use]
pub fn show_nanos(nanos: u64) -> String {
    for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
        if nanos >= factor && nanos.is_multiple_of(factor) {
            return format!("{} {unit}", nanos / factor);
        }
    }
    format!("{nanos} ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_bandwidths_are_read_as_fio_reads_them() {
        assert_eq!(parse_bytes("4k"), Ok(4096));
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("10MB"), Ok(10_000_000));
        assert_eq!(parse_bytes("1TiB"), Ok(1 << 40));
        assert_eq!(parse_bytes("2t"), Ok(2 << 40));
        assert_eq!(parse_nanos("10us"), Ok(10_000));
        assert_eq!(parse_bandwidth("440MiB/s"), Ok(440 << 20));
    }

    #[test]
    fn nonsense_is_refused_with_its_text() {
        for text in ["", "k", "4x", "-1k", "4.5k", "99999999999999999999g"] {
            assert!(
                parse_bytes(text)
                    .unwrap_err()
                    .contains(&format!("`{text}`"))
            );
        }
        assert!(parse_nanos("10").is_err());
        assert!(parse_bandwidth("440MiB").is_err());
    }

    #[test]
    fn shown_quantities_are_exact() {
        assert_eq!(show_bytes(4096), "4 KiB");
        assert_eq!(show_bytes(4097), "4097 B");
        assert_eq!(show_nanos(10_000), "10 us");
        assert_eq!(show_nanos(20_000_000), "20 ms");
    }
}
