//! The crates that are linked into the shipped binary, as cargo reports them.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Error;

/// The targets that `make dist` builds.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// A crate that is linked into the binary.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Name, such as `ring`.
    pub name: String,
    /// Version, such as `0.17.14`.
    pub version: String,
    /// Licence as an SPDX expression.
    pub licence: String,
    /// Folder of its source.
    pub folder: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// The registry. `None` for crates of this project.
    source: Option<String>,
    manifest_path: PathBuf,
}

/// The crates that are linked for at least one target. Excludes procedural macros and crates for builds or tests only.
pub fn linked() -> Result<Vec<Crate>, Error> {
    let mut names = BTreeSet::new();
    for target in TARGETS {
        let tree = cargo(&[
            "tree",
            "--locked",
            "--package=eic-agent",
            "--edges=normal,no-proc-macro",
            "--prefix=none",
            "--target",
            target,
        ])?;
        names.extend(tree.lines().filter_map(name_and_version));
    }
    let of_targets = TARGETS.map(|target| format!("--filter-platform={target}"));
    let mut words = vec!["metadata", "--locked", "--format-version=1"];
    words.extend(of_targets.iter().map(String::as_str));
    let metadata: Metadata = serde_json::from_str(&cargo(&words)?)?;
    let linked = names.into_iter().map(|(name, version)| metadata.find(&name, &version));
    linked.filter_map(Result::transpose).collect()
}

/// Parses a line such as `ring v0.17.14 (*)`.
fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split(' ');
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

impl Metadata {
    /// Finds the crate. `None` if it is a crate of this project, because the package's own licence covers it.
    fn find(&self, name: &str, version: &str) -> Result<Option<Crate>, Error> {
        let package = self.packages.iter().find(|package| package.name == name && package.version == version);
        let package = package.ok_or_else(|| format!("cargo metadata does not contain {name} {version}"))?;
        if package.source.is_none() {
            return Ok(None);
        }
        // The crate has a licence file, which is one of the texts.
        let licence = package.license.as_deref().unwrap_or("see its text");
        Ok(Some(Crate {
            name: name.to_owned(),
            version: version.to_owned(),
            // `/` is the old form of OR.
            licence: licence.replace('/', " OR "),
            folder: package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned(),
        }))
    }
}

fn cargo(words: &[&str]) -> Result<String, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo)
        .args(words)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !run.status.success() {
        return Err(format!("cargo {} failed: {}", words.join(" "), run.status).into());
    }
    Ok(String::from_utf8(run.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_tree_are_read() {
        let ring = ("ring".to_owned(), "0.17.14".to_owned());
        assert_eq!(name_and_version("ring v0.17.14 (*)"), Some(ring.clone()));
        assert_eq!(name_and_version("ring v0.17.14"), Some(ring));
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn a_crate_is_found_by_name_and_version() {
        let metadata = r#"{"packages": [
            {"name": "a", "version": "1.0.0", "license": "MIT", "source": "registry+x", "manifest_path": "/r/a-1/Cargo.toml"},
            {"name": "a", "version": "2.0.0", "license": "MIT/Apache-2.0", "source": "registry+x", "manifest_path": "/r/a-2/Cargo.toml"},
            {"name": "own", "version": "1.0.0", "license": "MIT", "source": null, "manifest_path": "/p/Cargo.toml"}
        ]}"#;
        let metadata: Metadata = serde_json::from_str(metadata).unwrap();
        let found = metadata.find("a", "2.0.0").unwrap().unwrap();
        assert_eq!((found.licence.as_str(), found.folder), ("MIT OR Apache-2.0", PathBuf::from("/r/a-2")));
        assert!(metadata.find("own", "1.0.0").unwrap().is_none());
        assert!(metadata.find("a", "3.0.0").is_err());
    }
}
