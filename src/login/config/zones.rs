//! The data of time zones, for rules with hours. A run reads it before its confinement, and only if a rule for its user
//! needs it.

use std::path::{Path, PathBuf};

use eic_core::policy::{Zone, ZoneName, Zones};
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::files::read_open;
use eic_host::ownership::open_trusted;

/// The time zone database of the system.
const FOLDER: &str = "/usr/share/zoneinfo";

/// Largest file, in bytes. The largest files of the database have 4 KB.
const MAX_BYTES: usize = 64 * 1024;

/// The file of a time zone.
#[must_use]
pub fn path_of_zone(zone: &ZoneName) -> PathBuf {
    Path::new(FOLDER).join(zone.as_str())
}

/// Reads the data of these time zones. The rule for trusted files applies to each file, because its data decides about
/// keys.
#[must_use]
pub fn read_zones(names: Vec<ZoneName>) -> Zones {
    let read = |name: &ZoneName| {
        let path = path_of_zone(name);
        let file = open_trusted(&path).map_err(|error| error.to_string())?;
        let bytes = read_open(&file, MAX_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
        Zone::parse(&bytes)
    };
    let with_data = |zone: ZoneName| {
        let path = path_of_zone(&zone);
        let data = read(&zone).map_err(|why| printable(&format!("{}: {why}", path.display()), MAX_SHOWN));
        (zone, data)
    };
    Zones::new(names.into_iter().map(with_data).collect())
}
