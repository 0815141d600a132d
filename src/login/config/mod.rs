//! The settings of a run and the origin of each. The command line has priority over the file, and the file over the
//! defaults.

pub mod file;
mod policy;
mod reader;
mod values;
mod zones;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eic_core::identity::{Domain, Pins, Region};
use eic_core::key_options::KeyOptions;
use eic_core::policy::{Action, Rule};
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::verification::RevocationPolicy;
use eic_host::ownership::Insecure;
use eic_host::trust_store::{Owner, Roots, TrustStore};

use crate::imds::Endpoint;

pub use file::FileError;
pub use policy::SessionForm;
pub use reader::SettingFault;
pub use zones::{path_of_zone, read_zones};

/// Path of the settings file without `--config`.
pub const DEFAULT_PATH: &str = "/etc/eic-agent.toml";

/// Default time limit of a run.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Default time for which a run remembers the evidence for the signer.
const DEFAULT_REMEMBER: Duration = Duration::from_secs(60);

/// The origin of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The setting was not given.
    Default,
    /// A line of the settings file.
    File(usize),
    /// An option of the command line.
    CommandLine,
}

/// A setting and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The setting.
    pub value: T,
    /// The origin.
    pub origin: Origin,
}

/// Settings on the command line that can also be in the file.
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

/// The settings in the file. Each has its value and its line.
#[derive(Clone, Debug, Default)]
pub struct FileSettings {
    endpoint: Option<(Endpoint, usize)>,
    timeout: Option<(Duration, usize)>,
    remember: Option<(Duration, usize)>,
    ca_file: Option<(PathBuf, usize)>,
    ca_dir: Option<(PathBuf, usize)>,
    roots: Option<(Roots, usize)>,
    revocation: Option<(RevocationPolicy, usize)>,
    options: Option<(KeyOptions, usize)>,
    environment: Option<(bool, usize)>,
    session: Option<(SessionForm, usize)>,
    /// The region of the trusted signer.
    pub region: Option<(Region, usize)>,
    /// The domain of the trusted signer.
    pub domain: Option<(Domain, usize)>,
    audit_required: Option<(bool, usize)>,
    default_action: Option<(Action, usize)>,
    rules: Vec<(Rule, usize)>,
}

impl FileSettings {
    /// Parses the text of a settings file. The error holds every fault.
    pub fn parse(text: &str) -> Result<Self, Vec<SettingFault>> {
        reader::parse(text)
    }

    /// The settings without line numbers, for comparisons.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        fn forget<T>(setting: &mut Option<(T, usize)>) {
            if let Some((_, line)) = setting {
                *line = 0;
            }
        }
        forget(&mut self.endpoint);
        forget(&mut self.timeout);
        forget(&mut self.remember);
        forget(&mut self.ca_file);
        forget(&mut self.ca_dir);
        forget(&mut self.roots);
        forget(&mut self.revocation);
        forget(&mut self.options);
        forget(&mut self.environment);
        forget(&mut self.session);
        forget(&mut self.region);
        forget(&mut self.domain);
        forget(&mut self.audit_required);
        forget(&mut self.default_action);
        for (_, line) in &mut self.rules {
            *line = 0;
        }
        self
    }
}

/// Parses a number of seconds from 0.1 to 60. Fractions are allowed.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let refuse = || format!("expected 0.1 to 60 seconds, got {}", printable(text, MAX_SHOWN));
    let seconds: f64 = text.parse().map_err(|_| refuse())?;
    if !(0.1..=60.0).contains(&seconds) {
        return Err(refuse());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refuse())
}

/// Parses a number of seconds from 0 to 300.
fn parse_remember(seconds: i64) -> Result<Duration, String> {
    match u64::try_from(seconds) {
        Ok(seconds @ 0..=300) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("expected 0 to 300 seconds, got {seconds}")),
    }
}

/// The resolved settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// The endpoint. `None` means the service's own addresses.
    pub endpoint: Sourced<Option<Endpoint>>,
    /// Time limit of the whole run.
    pub timeout: Sourced<Duration>,
    /// For how long the evidence for the signer and the token are remembered. 0: not at all.
    pub remember: Sourced<Duration>,
    /// A file with the trusted roots.
    pub ca_file: Sourced<Option<PathBuf>>,
    /// A hashed directory with the trusted roots.
    pub ca_dir: Sourced<Option<PathBuf>>,
    /// Which roots are trusted.
    pub roots: Sourced<Roots>,
    /// The region of the trusted signer. `None` means the region in the metadata.
    pub region: Sourced<Option<Region>>,
    /// The domain of the trusted signer. `None` means the domain in the metadata.
    pub domain: Sourced<Option<Domain>>,
    /// How to treat a certificate without a staple.
    pub revocation: Sourced<RevocationPolicy>,
    /// Options before every key.
    pub options: Sourced<Option<KeyOptions>>,
    /// Whether sessions get variables that name the caller who pushed the key.
    pub environment: Sourced<bool>,
    /// How sessions with pushed keys start.
    pub session: Sourced<SessionForm>,
    /// Whether a key is printed only after a log accepted its line.
    pub audit_required: Sourced<bool>,
    /// What to do with a key that no rule matches.
    pub default_action: Sourced<Action>,
    /// The instance's own rules, in order.
    pub rules: Vec<Sourced<Rule>>,
}

/// Why there are no settings. The run prints no key then.
#[derive(Debug)]
pub enum ConfigError {
    /// Users other than root can change the file.
    Insecure(PathBuf, Insecure),
    /// The file cannot be read.
    File(PathBuf, FileError),
    /// The file has faults. Holds every fault that was found.
    Faults(PathBuf, Vec<SettingFault>),
}

impl ConfigError {
    /// The stable reason of this error.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Insecure(..) => Reason::SettingsInsecure,
            Self::File(..) => Reason::SettingsUnreadable,
            Self::Faults(..) => Reason::SettingsInvalid,
        }
    }

    /// A message for each fault, `FILE:LINE: …` if the fault has a line.
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
    /// Reads the file and merges it with the command line. A missing file at the default path is no error. A
    /// missing file that `--config` names is an error.
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

    /// Merges the text of the settings file with the command line.
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
            remember: Sourced::or_default(None, said.remember, DEFAULT_REMEMBER),
            ca_file: Sourced::optional(given.ca_file.clone(), said.ca_file),
            ca_dir: Sourced::optional(given.ca_dir.clone(), said.ca_dir),
            roots: Sourced::or_default(None, said.roots, Roots::default()),
            revocation: Sourced::or_default(None, said.revocation, RevocationPolicy::default()),
            options: Sourced::optional(None, said.options),
            environment: Sourced::or_default(None, said.environment, false),
            session: Sourced::or_default(None, said.session, SessionForm::default()),
            region: Sourced::optional(None, said.region),
            domain: Sourced::optional(None, said.domain),
            audit_required: Sourced::or_default(None, said.audit_required, false),
            default_action: Sourced::or_default(None, said.default_action, Action::Allow),
            rules: said.rules.into_iter().map(|(rule, line)| Sourced::at(rule, line)).collect(),
        }
        .with_one_trust_store(given)
    }

    /// A trust store on the command line replaces both stores in the file, because the operator means only that
    /// one.
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

    /// The endpoints, in the order in which they are tried.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoint.value.clone().map_or_else(Endpoint::of_service, |chosen| vec![chosen])
    }

    /// The trust store to use.
    #[must_use]
    pub fn trust_store(&self) -> TrustStore {
        TrustStore {
            ca_file: self.ca_file.value.clone(),
            ca_dir: self.ca_dir.value.clone(),
            roots: self.roots.value,
            owner: Owner::Root,
        }
    }

    /// The pinned parts of the signer's name.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins { region: self.region.value.clone(), domain: self.domain.value.clone() }
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
