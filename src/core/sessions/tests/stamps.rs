//! Tests of the time stamps of text logs.

use super::*;

/// The instants of the stamps, in seconds since 1970.
fn instants(zone: Zone, written: i64, stamps: &[&str]) -> Vec<Option<u64>> {
    let mut log = TextLog::new(zone, written);
    stamps
        .iter()
        .map(|stamp| log.instant_of(&format!("{stamp} host sshd[1]: x")).map(|at| at.wall / 1_000_000))
        .collect()
}

#[test]
fn stamps_of_every_form_are_instants() {
    let noon = Some(NOON);
    let written = i64::try_from(NOON).unwrap();
    let stamps = [
        "2026-11-21T12:00:00Z",
        "2026-11-21T13:00:00.123456+01:00",
        "2026-11-21T08:30:00-0330",
        "2026-11-21T12:00:00.5+0000",
        "Nov 21 12:00:00",
    ];
    assert_eq!(instants(Zone::default(), written, &stamps), [noon; 5]);
    // The year ends within the file. The file was last written in the next year.
    let january = written + 50 * 86_400;
    let stamps = ["Dec 31 23:59:59", "Jan  1 00:00:00", "Jan  5 00:00:00"];
    let year = 1_798_761_600;
    assert_eq!(
        instants(Zone::default(), january, &stamps),
        [Some(year - 1), Some(year), Some(year + 4 * 86_400)]
    );
    assert_eq!(
        instants(Zone::default(), written, &["Feb 29 00:00:00"]),
        [Some(1_709_164_800)],
        "the last leap year was 2024"
    );
    for bad in ["", "Nov 31 12:00:00", "Now 21 12:00:00", "2026-11-21", "Nov 21 25:00:00", "Nov 21 12.00.00"]
    {
        assert_eq!(instants(Zone::default(), written, &[bad]), [None], "{bad}");
    }
}

#[test]
fn stamps_are_in_the_local_time_zone() {
    let new_york = Zone::of_zdump(
        "/etc/localtime  -9223372036854775808 = NULL\n\
         /etc/localtime  Sun Mar  8 06:59:59 2026 UT = Sun Mar  8 01:59:59 2026 EST isdst=0 gmtoff=-18000\n\
         /etc/localtime  Sun Mar  8 07:00:00 2026 UT = Sun Mar  8 03:00:00 2026 EDT isdst=1 gmtoff=-14400\n\
         /etc/localtime  Sun Nov  1 05:59:59 2026 UT = Sun Nov  1 01:59:59 2026 EDT isdst=1 gmtoff=-14400\n\
         /etc/localtime  Sun Nov  1 06:00:00 2026 UT = Sun Nov  1 01:00:00 2026 EST isdst=0 gmtoff=-18000\n",
    );
    assert!(new_york.changes());
    let written = i64::try_from(NOON).unwrap();
    let stamps =
        ["Mar  8 01:59:59", "Mar  8 03:00:00", "Nov  1 00:59:59", "Nov  1 01:30:00", "Nov 21 07:00:00"];
    let first = 1_772_953_199;
    let second = 1_793_509_199;
    assert_eq!(
        instants(new_york, written, &stamps),
        [Some(first), Some(first + 1), Some(second), Some(second + 5401), Some(NOON)]
    );
    let india = Zone::of_date("+0530").unwrap();
    assert_eq!(instants(india, written, &["Nov 21 17:30:00"]), [Some(NOON)]);
    assert_eq!(instants(Zone::of_date("-0330").unwrap(), written, &["Nov 21 08:30:00"]), [Some(NOON)]);
    for bad in ["", "UTC", "+", "0530", "+05:30"] {
        assert!(Zone::of_date(bad).is_none(), "{bad}");
    }
    assert!(!Zone::of_zdump("/etc/localtime  -9223372036854775808 = NULL\nx gmtoff=y\n").changes());
}

#[test]
fn clock_steps_and_unsure_years_are_detected() {
    let mut log = TextLog::new(Zone::default(), i64::try_from(NOON).unwrap());
    for stamp in ["Nov 21 11:00:00", "Nov 21 10:59:58", "Nov 21 10:00:00", "Nov 21 11:00:00"] {
        log.instant_of(&format!("{stamp} host x: y")).unwrap();
    }
    assert_eq!((log.stepped_back(), log.years_unsure()), (3600, false));
    for month in ["Dec", "Jan", "May", "Aug"] {
        log.instant_of(&format!("{month}  1 00:00:00 host x: y")).unwrap();
    }
    assert!(log.years_unsure());
}
