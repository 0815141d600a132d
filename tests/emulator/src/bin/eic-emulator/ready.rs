//! What a client must know of a running emulator: one line of JSON, and the environment of a command.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use eic_emulator::directory::write_public;
use eic_emulator::location::{ENDPOINT_ID, region_of};
use eic_emulator::sigv4::Credential;
use eic_emulator::{DEFAULT_SECRET_KEY, DEFAULT_SESSION_TOKEN, Emulator, read_credential};
use serde_json::{Value, json};

/// The file below the directory of `serve --state`.
const FILE: &str = "emulator.json";

/// The access key of the user `<name>` of an emulator without a credentials file.
fn access_key(name: &str) -> String {
    format!("AKIAEXAMPLE{}", name.to_ascii_uppercase())
}

/// The addresses and files of a running emulator.
pub(crate) struct Ready(Value);

impl Ready {
    /// The line has a secret only if everyone knows it: without a credentials file.
    pub(crate) fn of(
        emulator: &Emulator,
        ca_file: &Path,
        sysfs: &Path,
        credentials: Option<&Path>,
    ) -> io::Result<Self> {
        let config = emulator.config();
        let mut line = json!({
            "imds": emulator.imds_url(),
            "api": emulator.api_url(),
            "proxy": emulator.proxy_url(),
            "ca_file": utf8(ca_file)?,
            "sysfs": utf8(sysfs)?,
            "instance_id": config.instance_id,
            "region": region_of(&config.zone),
            "endpoint_id": ENDPOINT_ID,
            "endpoint": emulator.endpoint_name(),
        });
        if let Some(file) = credentials {
            line["credentials_file"] = utf8(file)?.into();
        } else {
            line["access_key"] = access_key("demo").into();
            line["secret_key"] = DEFAULT_SECRET_KEY.into();
            line["session_token"] = DEFAULT_SESSION_TOKEN.into();
        }
        Ok(Self(line))
    }

    /// The credential of a user: of a section of the credentials file, or else of any name.
    pub(crate) fn credential(&self, user: Option<&str>) -> io::Result<Credential> {
        if let Some(file) = self.0.get("credentials_file").and_then(Value::as_str) {
            return read_credential(Path::new(file), user);
        }
        Ok(Credential {
            access_key: access_key(user.unwrap_or("demo")),
            secret_key: self.text("secret_key")?.to_owned(),
            session_token: None,
            expires: None,
        })
    }

    /// The line for standard output.
    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.0)
    }

    /// Writes the line for `run --attach`. Dropping the result removes the file.
    pub(crate) fn publish(&self, directory: &Path) -> io::Result<Published> {
        let path = directory.join(FILE);
        write_public(&path, self.line().as_bytes())?;
        Ok(Published(path))
    }

    /// Reads the line of the emulator that runs with `--state DIRECTORY`.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let failed = |what: &str| {
            let path = path.display();
            io::Error::other(format!(
                "{path}: {what}. Start `eic-emulator serve --state {}`",
                directory.display()
            ))
        };
        let text = std::fs::read(&path).map_err(|error| failed(&error.to_string()))?;
        let ready = Self(serde_json::from_slice(&text).map_err(|_| failed("not the line of an emulator"))?);
        let address = ready.text("api")?.trim_start_matches("http://");
        std::net::TcpStream::connect(address).map_err(|_| failed("this emulator does not run any more"))?;
        Ok(ready)
    }

    /// Gives a command the environment in which AWS's clients find the emulator. Removes the caller's own settings of
    /// AWS and of proxies.
    pub(crate) fn prepare(&self, command: &mut Command, user: Option<&str>) -> io::Result<()> {
        let credential = self.credential(user)?;
        remove_own_settings(command);
        let (api, region) = (self.text("api")?, self.text("region")?);
        for service in ["EC2", "EC2_INSTANCE_CONNECT", "CLOUDTRAIL"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), api);
        }
        // Programs differ in which of the two names they read.
        command.env("AWS_REGION", region).env("AWS_DEFAULT_REGION", region);
        command.env("AWS_ACCESS_KEY_ID", credential.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", credential.secret_key);
        if let Some(token) = credential.session_token {
            command.env("AWS_SESSION_TOKEN", token);
        }
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_PAGER", "").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("HTTPS_PROXY", self.text("proxy")?).env("SSL_CERT_FILE", self.text("ca_file")?);
        Ok(())
    }

    pub(crate) fn text(&self, name: &str) -> io::Result<&str> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.ok_or_else(|| io::Error::other(format!("{FILE} has no {name}: it is of another version")))
    }
}

/// A path for the line, which is JSON. A text that only resembles the path would name another file.
fn utf8(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("{}: the path is not UTF-8", path.display())))
}

/// Removes the caller's settings of AWS and of proxies from the environment of a command.
pub(crate) fn remove_own_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("AWS_") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}

/// The written line of a running emulator.
pub(crate) struct Published(PathBuf);

impl Drop for Published {
    fn drop(&mut self) {
        // If the file stays, `run` reports that the emulator does not run.
        drop(std::fs::remove_file(&self.0));
    }
}
