//! Detects whether this machine is an EC2 instance, and which one, without the network.

use std::path::Path;

use eic_core::identity::InstanceId;

use crate::files::head_of_regular;

/// The result of the detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// An EC2 instance with a known id. Nitro and metal instances have it in their firmware tables. It is more
    /// trustworthy than metadata and costs no request.
    Known(InstanceId),
    /// An EC2 instance under Xen. Its id comes from the metadata service.
    Xen,
    /// Not an EC2 instance.
    NotEc2,
}

impl Machine {
    /// The instance id, if the firmware has it.
    #[must_use]
    pub const fn id(&self) -> Option<&InstanceId> {
        match self {
            Self::Known(id) => Some(id),
            Self::Xen | Self::NotEc2 => None,
        }
    }

    /// Reads `sysfs` (`/sys`). On Nitro, the firmware's board asset tag is the instance id. On Xen, the
    /// hypervisor's uuid begins with `ec2` ("Detect whether a host is an EC2 instance", EC2 User Guide).
    #[must_use]
    pub fn detect(sysfs: &Path) -> Self {
        let asset_tag = first_line(&sysfs.join("devices/virtual/dmi/id/board_asset_tag"));
        if let Some(Ok(id)) = asset_tag.as_deref().map(InstanceId::try_from) {
            return Self::Known(id);
        }
        let uuid = first_line(&sysfs.join("hypervisor/uuid"));
        let is_xen = uuid.and_then(|uuid| uuid.get(..3).map(|head| head.eq_ignore_ascii_case("ec2")));
        if is_xen == Some(true) { Self::Xen } else { Self::NotEc2 }
    }
}

/// The first line, trimmed. A sysfs attribute is at most a page long.
fn first_line(path: &Path) -> Option<String> {
    let bytes = head_of_regular(path, 256).ok()?;
    std::str::from_utf8(&bytes).ok()?.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sysfs(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("eic-agent-sysfs-{}-{name}", std::process::id()));
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn instance_is_detected_from_sysfs() {
        const TAG: &str = "devices/virtual/dmi/id/board_asset_tag";
        const UUID: &str = "hypervisor/uuid";
        let id = "i-0123456789abcdef0";
        let known = Machine::Known(id.parse().unwrap());
        for (name, files, expected) in [
            ("nitro", vec![(TAG, "i-0123456789abcdef0\n")], known.clone()),
            ("padded", vec![(TAG, "i-0123456789abcdef0 \n")], known.clone()),
            ("both", vec![(TAG, "i-0123456789abcdef0\n"), (UUID, "ec2f00d\n")], known),
            ("xen", vec![(UUID, "ec2e1916-9099-7caf-fd21-012345abcdef\n")], Machine::Xen),
            ("xen-upper", vec![(UUID, "EC2E1916-9099\n")], Machine::Xen),
            ("laptop", vec![(TAG, "Not Specified\n")], Machine::NotEc2),
            ("other-xen", vec![(UUID, "aabbccdd\n")], Machine::NotEc2),
            ("short", vec![(UUID, "ec\n")], Machine::NotEc2),
            ("look-alike", vec![(TAG, "i-0123456789abcdef0-not\n")], Machine::NotEc2),
            ("empty", vec![], Machine::NotEc2),
        ] {
            let root = sysfs(name, &files);
            assert_eq!(Machine::detect(&root), expected, "{name}");
            let _ = fs::remove_dir_all(root);
        }
    }
}
