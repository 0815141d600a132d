//! What an export says about this instance. No login does this.

use std::path::Path;

use eic_core::instance_facts::{IdentityDocument, InstanceFacts};
use eic_core::text::{MAX_SHOWN, one_line, printable_bytes};
use eic_host::files::head_of_regular;
use eic_host::instance::Machine;
use eic_login::config::{CommandLine, Settings};
use eic_login::imds::{ImdsError, ImdsSession};
use nix::unistd::Uid;

use crate::cli::SYSFS;
use crate::metadata::ask;
use crate::settings;

/// The instance identity document ("Instance identity documents", EC2 User Guide).
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";

/// Largest document. Real ones have about 500 bytes.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// What the machine itself says, and what its metadata says within the time limit of a login. Root's rights must be given
/// up before: without that, metadata is not asked.
pub(crate) fn instance_facts() -> InstanceFacts {
    let machine = Machine::detect(Path::new(SYSFS));
    let facts = of_machine(&machine);
    if machine == Machine::NotEc2 {
        return not_known(facts, "this is not an EC2 instance");
    }
    if Uid::effective().is_root() {
        return not_known(facts, "metadata was not asked, because root's rights were not given up");
    }
    let settings = match settings::resolve(&CommandLine::default()) {
        Ok(settings) => settings,
        Err(error) => {
            let why = format!("the settings, which name the metadata service, cannot be used: {error}");
            return not_known(facts, &why);
        }
    };
    match document(&settings) {
        Ok(Some(document)) => facts.with(document, machine.id()),
        Ok(None) => not_known(facts, "metadata has no instance identity document"),
        Err(error) => {
            let error = error.on(&machine);
            not_known(facts, &format!("{}: {error}", error.reason()))
        }
    }
}

fn not_known(facts: InstanceFacts, why: &str) -> InstanceFacts {
    InstanceFacts { not_known: Some(one_line(why)), ..facts }
}

/// What the kernel and the firmware say.
fn of_machine(machine: &Machine) -> InstanceFacts {
    let kernels = |name: &str| {
        let bytes = head_of_regular(&Path::new("/proc/sys/kernel").join(name), 256).unwrap_or_default();
        let text = printable_bytes(bytes.trim_ascii(), MAX_SHOWN);
        (!text.is_empty()).then_some(text)
    };
    let instance_id = machine.id().map(ToString::to_string);
    InstanceFacts {
        instance_id_from: instance_id.is_some().then_some("firmware"),
        instance_id,
        host_name: kernels("hostname"),
        boot_id: kernels("random/boot_id").map(|id| id.replace('-', "")),
        ..InstanceFacts::default()
    }
}

/// The document. `None` if metadata has none.
fn document(settings: &Settings) -> Result<Option<IdentityDocument>, ImdsError> {
    let bytes = ask(async {
        let session = ImdsSession::open(&settings.endpoints(), settings.timeout.value).await?;
        session.get(DOCUMENT, MAX_DOCUMENT_BYTES).await
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let malformed =
        || ImdsError::Malformed(DOCUMENT.to_owned(), "it is no instance identity document".to_owned());
    IdentityDocument::parse(&bytes).map(Some).ok_or_else(malformed)
}
