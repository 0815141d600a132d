//! A key bundle from the metadata service.

use eic_core::evidence::key_bundle::{EntryError, KeyBundle, MAX_ENTRIES, UnreadableEntry};

use super::assert_printable;

const NEXT: &[u8] = b"\n\n#Timestamp=1738238460\n#Instance=i-0123456789abcdef0\n\
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\nAAAA\n\n";

/// Properties: limits hold, every error can be logged, and earlier entries never prevent the parsing of the next one.
pub fn run(input: &[u8]) {
    let bundle = KeyBundle::parse(input);
    let entries = bundle.entries();
    assert!(entries.len() <= MAX_ENTRIES + 1, "{} entries", entries.len());
    for entry in entries {
        match entry {
            Ok(entry) => assert_printable(entry.algorithm()),
            Err(UnreadableEntry { error, claims }) => {
                assert_printable(&error.to_string());
                assert_printable(error.reason().as_str());
                let texts = [&claims.instance, &claims.request_id, &claims.principal];
                assert!(texts.into_iter().flatten().all(|text| text.len() <= 3 * 2048));
            }
        }
    }

    let cut = KeyBundle::parse_cut(input);
    assert!(matches!(cut.entries().last(), Some(Err(UnreadableEntry { error: EntryError::TooMany, .. }))));
    // `entries` does not contain the entry at which the bundle was cut.
    assert!(cut.entries().len() <= entries.len().saturating_add(1));

    if entries.len() < MAX_ENTRIES {
        let longer = KeyBundle::parse(&[input, NEXT].concat());
        assert_eq!(longer.entries().len(), entries.len() + 1);
        assert!(matches!(longer.entries().last(), Some(Ok(_))), "{:?}", longer.entries().last());
        for (alone, followed) in entries.iter().zip(longer.entries()) {
            // Without a final line end, the text that follows continues the last line and changes it.
            if input.ends_with(b"\n") {
                assert_eq!(format!("{alone:?}"), format!("{followed:?}"));
            }
        }
    }
}
