//! The day that the pages are of: that of the source, not the one on which they are made.

use time::OffsetDateTime;

use crate::Error;

/// The day, in UTC, of `SOURCE_DATE_EPOCH` (reproducible-builds.org). It comes as an argument, not in the environment:
/// there it would make cargo build ring anew.
pub fn of_source(epoch: &str) -> Result<String, Error> {
    let instant = epoch.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let instant =
        instant.ok_or_else(|| format!("expected the source's time in Unix seconds, got {epoch:?}"))?;
    Ok(instant.date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_of_the_source() {
        assert_eq!(of_source("1738238400").unwrap(), "2025-01-30");
        assert!(of_source("").is_err());
        assert!(of_source("2025-01-30").is_err());
    }
}
