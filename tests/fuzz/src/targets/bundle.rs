//! A key bundle as the metadata service would send it.

use eic_core::evidence::key_bundle::{EntryError, KeyBundle, MAX_ENTRIES, UnreadableEntry};

use super::assert_printable;

const NEXT: &[u8] = b"\n\n#Timestamp=1738238460\n#Instance=i-0123456789abcdef0\n\
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\nAAAA\n\n";

/// The bounds hold, every refusal can be logged, and nothing in front keeps the next entry from being read.
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
    // The entry that the cut went through is in neither.
    assert!(cut.entries().len() <= entries.len().saturating_add(1));

    if entries.len() < MAX_ENTRIES {
        let longer = KeyBundle::parse(&[input, NEXT].concat());
        assert_eq!(longer.entries().len(), entries.len() + 1);
        assert!(matches!(longer.entries().last(), Some(Ok(_))), "{:?}", longer.entries().last());
        for (alone, followed) in entries.iter().zip(longer.entries()) {
            // A last line without its end is what it is only as long as nothing follows it.
            if input.ends_with(b"\n") {
                assert_eq!(format!("{alone:?}"), format!("{followed:?}"));
            }
        }
    }
}
