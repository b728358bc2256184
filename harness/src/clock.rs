//! The time of day, for names, dates and the age of what is signed; never for a figure.

use crate::error::{Error, Result};
use jiff::Timestamp;
use std::time::SystemTime;

/// What this machine's clock shows.
///
/// # Errors
/// When it shows a time that cannot be written as a date.
pub fn now() -> Result<Timestamp> {
    time_of(SystemTime::now())
}

/// The same as records write it: RFC 3339, UTC, whole seconds; `None` where it cannot be written.
#[must_use]
pub fn stamp() -> Option<String> {
    let now = now().ok()?;
    Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn time_of(clock: SystemTime) -> Result<Timestamp> {
    Timestamp::try_from(clock).map_err(|e| {
        Error::host("reading this machine's clock")
            .because(e)
            .hint("set the clock: it shows a year beyond 9999")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use std::time::Duration;

    #[test]
    fn a_clock_beyond_the_year_9999_is_an_error_and_no_panic() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert_eq!(time_of(far).unwrap_err().exit(), Exit::Host);
        assert!(now().is_ok());
    }
}
