//! The date of the pages: the date of the source, not of the build.

use time::OffsetDateTime;

use crate::Error;

/// The date in UTC of `epoch`, which is `SOURCE_DATE_EPOCH` (reproducible-builds.org) in Unix seconds. It is an
/// argument, because a change of that environment variable makes cargo compile ring again.
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
    fn epoch_becomes_a_date_and_other_text_is_refused() {
        assert_eq!(of_source("1738238400").unwrap(), "2025-01-30");
        assert!(of_source("").is_err());
        assert!(of_source("2025-01-30").is_err());
    }
}
