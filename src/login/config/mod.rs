//! The settings of a run: the command line over the file over the defaults, and where each came from.

pub mod file;
mod reader;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eic_core::identity::{Domain, Pins, Region};
use eic_core::key_options::{KeyOptions, LinePrefix};
use eic_core::policy::Rule;
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::verification::RevocationPolicy;
use eic_host::ownership::Insecure;
use eic_host::trust_store::{Owner, Roots, TrustStore};

use crate::imds::Endpoint;

pub use file::FileError;
pub use reader::SettingFault;

/// Where the settings are, unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/eic-agent.toml";

/// The time of a run unless something else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// This line of the settings file.
    File(usize),
    /// An option of the command line.
    CommandLine,
}

/// A setting, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The setting.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// What the command line says of settings that the file may say, too.
#[derive(Clone, Debug, Default)]
pub struct CommandLine {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--imds-endpoint`
    pub endpoint: Option<Endpoint>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--ca-file`
    pub ca_file: Option<PathBuf>,
    /// `--ca-dir`
    pub ca_dir: Option<PathBuf>,
}

/// What the file says: of each setting the value and its line.
#[derive(Clone, Debug, Default)]
pub struct FileSettings {
    endpoint: Option<(Endpoint, usize)>,
    timeout: Option<(Duration, usize)>,
    ca_file: Option<(PathBuf, usize)>,
    ca_dir: Option<(PathBuf, usize)>,
    roots: Option<(Roots, usize)>,
    revocation: Option<(RevocationPolicy, usize)>,
    options: Option<(KeyOptions, usize)>,
    environment: Option<(bool, usize)>,
    /// The region whose signer is believed.
    pub region: Option<(Region, usize)>,
    /// The domain of that signer.
    pub domain: Option<(Domain, usize)>,
    audit_required: Option<(bool, usize)>,
    rules: Vec<(Rule, usize)>,
}

impl FileSettings {
    /// Reads the text of a settings file. An error holds every fault of it.
    pub fn parse(text: &str) -> Result<Self, Vec<SettingFault>> {
        reader::parse(text)
    }

    /// The settings alone, whatever lines they are in.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        fn forget<T>(setting: &mut Option<(T, usize)>) {
            if let Some((_, line)) = setting {
                *line = 0;
            }
        }
        forget(&mut self.endpoint);
        forget(&mut self.timeout);
        forget(&mut self.ca_file);
        forget(&mut self.ca_dir);
        forget(&mut self.roots);
        forget(&mut self.revocation);
        forget(&mut self.options);
        forget(&mut self.environment);
        forget(&mut self.region);
        forget(&mut self.domain);
        forget(&mut self.audit_required);
        for (_, line) in &mut self.rules {
            *line = 0;
        }
        self
    }
}

/// Seconds, whole or broken, from 0.1 to 60.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let refuse = || format!("expected 0.1 to 60 seconds, got {}", printable(text, MAX_SHOWN));
    let seconds: f64 = text.parse().map_err(|_| refuse())?;
    if !(0.1..=60.0).contains(&seconds) {
        return Err(refuse());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refuse())
}

/// The resolved settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings file, where there is one.
    pub file: Option<PathBuf>,
    /// None: the service's own addresses.
    pub endpoint: Sourced<Option<Endpoint>>,
    /// Time for the whole run.
    pub timeout: Sourced<Duration>,
    /// Trusted roots in a file.
    pub ca_file: Sourced<Option<PathBuf>>,
    /// Trusted roots in a hashed directory.
    pub ca_dir: Sourced<Option<PathBuf>>,
    /// Which of the roots count.
    pub roots: Sourced<Roots>,
    /// The region whose signer is believed; none: the one that metadata tells.
    pub region: Sourced<Option<Region>>,
    /// The domain of that signer; none: the one that metadata tells.
    pub domain: Sourced<Option<Domain>>,
    /// What a certificate without a staple means.
    pub revocation: Sourced<RevocationPolicy>,
    /// Options before every key.
    pub options: Sourced<Option<KeyOptions>>,
    /// Whether sessions are told who pushed the key.
    pub environment: Sourced<bool>,
    /// Whether a key is handed out only after a log accepted its line.
    pub audit_required: Sourced<bool>,
    /// The instance's own rules, in order.
    pub rules: Vec<Sourced<Rule>>,
}

/// Why there are no settings. Nothing is ever handed out on a guess at what was meant.
#[derive(Debug)]
pub enum ConfigError {
    /// The file is not root's alone.
    Insecure(PathBuf, Insecure),
    /// The file cannot be read.
    File(PathBuf, FileError),
    /// The file is wrong; holds every fault that was found.
    Faults(PathBuf, Vec<SettingFault>),
}

impl ConfigError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Insecure(..) => Reason::SettingsInsecure,
            Self::File(..) => Reason::SettingsUnreadable,
            Self::Faults(..) => Reason::SettingsInvalid,
        }
    }

    /// Each fault in words, `FILE:LINE: …` where it has a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Insecure(path, error) => vec![format!("{}: {error}", path.display())],
            Self::File(path, error) => vec![format!("{}: {error}", path.display())],
            Self::Faults(path, faults) => {
                faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect()
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        f.write_str(lines.first().map_or("", String::as_str))?;
        match lines.len().saturating_sub(1) {
            0 => Ok(()),
            more => write!(f, " (and {more} more; run: eic-agent config)"),
        }
    }
}

impl Settings {
    /// Reads the file and puts the command line over it. A file that is not there, at the default place, is
    /// no fault; one that `--config` names must be there.
    pub fn resolve(given: &CommandLine) -> Result<Self, ConfigError> {
        let path = given.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let text = match file::read_settings(path) {
            Err(file::SettingsFileError::Absent) if given.config.is_none() => {
                return Ok(Self::merge(given, None));
            }
            Err(refused) => return Err(refused.for_path(path)),
            Ok(text) => text,
        };
        Self::of_text(given, path, &text)
    }

    /// What the file's text says, with the command line over it.
    pub fn of_text(given: &CommandLine, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let said = reader::parse(text).map_err(|faults| ConfigError::Faults(path.to_owned(), faults))?;
        Ok(Self::merge(given, Some((path, said))))
    }

    fn merge(given: &CommandLine, file: Option<(&Path, FileSettings)>) -> Self {
        let (path, said) = file.map_or((None, FileSettings::default()), |(path, said)| (Some(path), said));
        Self {
            file: path.map(Path::to_owned),
            endpoint: Sourced::optional(given.endpoint.clone(), said.endpoint),
            timeout: Sourced::or_default(given.timeout, said.timeout, DEFAULT_TIMEOUT),
            ca_file: Sourced::optional(given.ca_file.clone(), said.ca_file),
            ca_dir: Sourced::optional(given.ca_dir.clone(), said.ca_dir),
            roots: Sourced::or_default(None, said.roots, Roots::default()),
            revocation: Sourced::or_default(None, said.revocation, RevocationPolicy::default()),
            options: Sourced::optional(None, said.options),
            environment: Sourced::or_default(None, said.environment, false),
            region: Sourced::optional(None, said.region),
            domain: Sourced::optional(None, said.domain),
            audit_required: Sourced::or_default(None, said.audit_required, false),
            rules: said.rules.into_iter().map(|(rule, line)| Sourced::at(rule, line)).collect(),
        }
        .with_one_trust_store(given)
    }

    /// A store named on the command line takes the place of both of the file's: whoever names one means
    /// that one alone.
    fn with_one_trust_store(mut self, given: &CommandLine) -> Self {
        if given.ca_file.is_some() || given.ca_dir.is_some() {
            for place in [&mut self.ca_file, &mut self.ca_dir] {
                if matches!(place.origin, Origin::File(_)) {
                    *place = Sourced { value: None, origin: Origin::CommandLine };
                }
            }
        }
        self
    }

    /// The endpoints to try, in order.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoint.value.clone().map_or_else(Endpoint::of_service, |chosen| vec![chosen])
    }

    /// Where the roots are read from.
    #[must_use]
    pub fn trust_store(&self) -> TrustStore {
        TrustStore {
            ca_file: self.ca_file.value.clone(),
            ca_dir: self.ca_dir.value.clone(),
            roots: self.roots.value,
            owner: Owner::Root,
        }
    }

    /// What is pinned of the signer's name.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins { region: self.region.value.clone(), domain: self.domain.value.clone() }
    }

    /// What stands before each key.
    #[must_use]
    pub fn line_prefix(&self) -> LinePrefix {
        LinePrefix { options: self.options.value.clone(), environment: self.environment.value }
    }
}

impl<T> Sourced<T> {
    const fn at(value: T, line: usize) -> Self {
        Self { value, origin: Origin::File(line) }
    }

    fn or_default(given: Option<T>, said: Option<(T, usize)>, default: T) -> Self {
        match (given, said) {
            (Some(value), _) => Self { value, origin: Origin::CommandLine },
            (None, Some((value, line))) => Self::at(value, line),
            (None, None) => Self { value: default, origin: Origin::Default },
        }
    }
}

impl<T> Sourced<Option<T>> {
    fn optional(given: Option<T>, said: Option<(T, usize)>) -> Self {
        Self::or_default(given.map(Some), said.map(|(value, line)| (Some(value), line)), None)
    }
}

#[cfg(test)]
mod tests;
