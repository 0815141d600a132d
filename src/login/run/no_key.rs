//! Runs for which no key can have been pushed.

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable_bytes};

use super::Arguments;
use crate::config::ConfigError;

/// The kernel's sysfs, which identifies the machine.
const SYSFS: &str = "/sys";

/// No key can have been pushed, so the run finishes without one. sshd gets no message about it: such logins are usual.
pub(super) struct NoKeyPossible {
    /// The cause: the login name if true, the machine if false.
    pub(super) is_name: bool,
    pub(super) settings: Option<ConfigError>,
}

impl NoKeyPossible {
    /// Notes for a person.
    pub(super) fn notes(&self, arguments: &Arguments) -> Vec<String> {
        let cause = if self.is_name {
            let user = printable_bytes(arguments.user.as_encoded_bytes(), MAX_SHOWN);
            format!(
                "USER: expected a login name that EC2 Instance Connect allows (at most 32 characters), got '{user}'; \
                 no key can be pushed for it"
            )
        } else if arguments.sysfs == Path::new(SYSFS) {
            "this machine is not an EC2 instance: no key can be pushed to it".to_owned()
        } else {
            format!(
                "--sysfs {}: expected a folder that describes an EC2 instance, as {SYSFS} does; found no instance id \
                 (devices/virtual/dmi/id/board_asset_tag) and no hypervisor/uuid of EC2",
                arguments.sysfs.display()
            )
        };
        let settings = self.settings.as_ref().map(|error| format!("{}: {error}", error.reason()));
        std::iter::once(cause).chain(settings).collect()
    }
}
