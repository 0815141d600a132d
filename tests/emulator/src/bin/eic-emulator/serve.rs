//! `eic-emulator serve`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use eic_emulator::directory::{TempDir, make_public_directory, write_public};
use eic_emulator::location::{partition_of, region_of};
use eic_emulator::policy::Policy;
use eic_emulator::{
    Config, DEFAULT_ACCOUNT, Emulator, PushLimits, Rate, RequestRecord, read_credentials, read_tag,
    unique_tags,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ready::Ready;

/// The file below /sys that contains the EC2 instance ID.
const ASSET_TAG: &str = "devices/virtual/dmi/id/board_asset_tag";

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,
    /// The directory for files, including the authority's keys [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// The options of an emulator.
#[derive(Args)]
#[group(id = "options", multiple = true)]
pub(crate) struct Options {
    /// The address on which instance metadata listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    imds: SocketAddr,
    /// The address on which the AWS API listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    api: SocketAddr,
    /// The address of the EC2 Instance Connect Endpoint, for TLS and as a proxy
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    endpoint: SocketAddr,
    /// The instance ID
    #[arg(long, value_name = "ID", default_value = "i-0123456789abcdef0")]
    instance_id: String,
    /// The instance's availability zone
    #[arg(long, value_name = "Z", default_value = "us-east-1a")]
    zone: String,
    /// The domain of the AWS services
    #[arg(long, value_name = "D", default_value = "amazonaws.com")]
    domain: String,
    /// The instance address that the EC2 API reports
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    instance_ip: IpAddr,
    /// The instance's IPv6 address, in addition
    #[arg(long, value_name = "IP")]
    instance_ipv6: Option<Ipv6Addr>,
    /// The port on which the instance really serves port 22 or 3389 of a tunnel; may be repeated
    #[arg(long = "instance-port", value_name = "PORT=REAL", value_parser = ports)]
    instance_ports: Vec<(u16, u16)>,
    /// How long a pushed key stays on the instance
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    key_ttl: i64,
    /// The delay of each metadata response in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0)]
    delay_ms: u64,
    /// How far the emulator's clock is ahead of the machine's
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i64,
    /// Serve more than one request on a metadata connection
    #[arg(long)]
    keep_alive: bool,
    /// The account of the instance and of the endpoint
    #[arg(long, value_name = "ID", default_value = DEFAULT_ACCOUNT, value_parser = account)]
    account: String,
    /// The state of the instance
    #[arg(long, value_name = "STATE", default_value = "running",
        value_parser = ["pending", "running", "shutting-down", "terminated", "stopping", "stopped"])]
    instance_state: String,
    /// A tag of the instance; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = read_tag)]
    tags: Vec<(String, String)>,
    /// A tag of the endpoint; may be repeated
    #[arg(long = "endpoint-tag", value_name = "KEY=VALUE", value_parser = read_tag)]
    endpoint_tags: Vec<(String, String)>,
    /// An IAM policy of all callers, in JSON; may be repeated [default: every caller may do everything]
    #[arg(long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// The principals: a credentials file of AWS's clients. Signatures of API requests are then verified
    #[arg(long, value_name = "FILE", conflicts_with = "callers")]
    credentials: Option<PathBuf>,
    /// The address from which requests seem to come
    #[arg(long, value_name = "IP", default_value = "203.0.113.5")]
    source_ip: IpAddr,
    /// The most pushes of an account in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 20)]
    account_pushes: u32,
    /// The most pushes to the instance in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 10)]
    instance_pushes: u32,
    /// The caller for an access key; may be repeated
    #[arg(long = "caller", value_name = "KEY=ARN", value_parser = caller)]
    callers: Vec<(String, String)>,
}

impl Serve {
    pub(crate) fn run(self) -> io::Result<ExitCode> {
        // Catch signals before making anything that needs a cleanup.
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let temporary = if self.state.is_none() { Some(TempDir::new("eic-emulator")?) } else { None };
        let directory = match (&temporary, &self.state) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, state) => std::path::absolute(state.as_deref().unwrap_or(Path::new(".")))?,
        };
        let key_directory = self.state.as_ref().map(|_| directory.join("keys"));
        if let Some(directory) = &key_directory {
            make_public_directory(directory)?;
        }
        let credentials = self.options.credentials_file()?;
        let config = Config { observer: Some(Arc::new(log)), ..self.options.config(key_directory)? };
        let emulator = Emulator::start(config)?;
        let ready = ready(&emulator, &directory, credentials.as_deref())?;
        let _published = ready.publish(&directory)?;
        let mut output = io::stdout();
        output.write_all(ready.line().as_bytes())?;
        output.flush()?;
        signals.forever().next();
        Ok(ExitCode::SUCCESS)
    }
}

impl Options {
    pub(crate) fn config(self, key_directory: Option<PathBuf>) -> io::Result<Config> {
        let owner =
            format!("arn:{}:iam::{}", partition_of(&region_of(&self.zone), &self.domain), self.account);
        let principals = self.credentials.as_deref().map(|file| read_credentials(file, &owner));
        let limit = |number| (number > 0).then(|| Rate::per_second(number));
        Ok(Config {
            imds: self.imds,
            api: self.api,
            endpoint: self.endpoint,
            instance_id: self.instance_id,
            zone: self.zone,
            domain: self.domain,
            instance_ip: self.instance_ip,
            instance_ipv6: self.instance_ipv6,
            instance_ports: self.instance_ports.into_iter().collect(),
            key_ttl: self.key_ttl,
            delay: Duration::from_millis(self.delay_ms),
            clock_offset: self.clock_offset,
            keep_alive: self.keep_alive,
            account: self.account,
            tags: tags("--tag", self.tags)?,
            endpoint_tags: tags("--endpoint-tag", self.endpoint_tags)?,
            instance_state: self.instance_state,
            principals: principals.transpose()?.unwrap_or_default(),
            callers: self.callers.into_iter().collect(),
            policies: self.policies.iter().map(|file| Policy::read(file)).collect::<Result<_, _>>()?,
            source_ip: self.source_ip,
            push_limits: PushLimits {
                account: limit(self.account_pushes),
                instance: limit(self.instance_pushes),
            },
            key_directory,
            ..Config::default()
        })
    }

    /// The absolute path of the credentials file.
    pub(crate) fn credentials_file(&self) -> io::Result<Option<PathBuf>> {
        self.credentials.as_deref().map(std::path::absolute).transpose()
    }
}

/// Writes the files of an emulator below `directory`.
pub(crate) fn ready(emulator: &Emulator, directory: &Path, credentials: Option<&Path>) -> io::Result<Ready> {
    let ca_file = write_ca_file(directory, emulator)?;
    let sysfs = write_sysfs(directory, &emulator.config().instance_id)?;
    Ready::of(emulator, &ca_file, &sysfs, credentials)
}

/// Writes the trust anchor below `directory`.
pub(crate) fn write_ca_file(directory: &Path, emulator: &Emulator) -> io::Result<PathBuf> {
    let path = directory.join("ca.pem");
    write_public(&path, emulator.ca_pem().as_bytes())?;
    Ok(path)
}

/// Writes a copy of /sys below `directory`, with the file that identifies the instance.
pub(crate) fn write_sysfs(directory: &Path, instance_id: &str) -> io::Result<PathBuf> {
    let path = directory.join("sys");
    write_public(&path.join(ASSET_TAG), format!("{instance_id}\n").as_bytes())?;
    Ok(path)
}

/// Ignores write errors: the service must continue after its reader has ended.
fn log(record: &RequestRecord) {
    drop(writeln!(io::stderr(), "{record}"));
}

fn caller(text: &str) -> Result<(String, String), String> {
    let (key, arn) = text.split_once('=').ok_or("expected KEY=ARN")?;
    Ok((key.to_owned(), arn.to_owned()))
}

fn tags(option: &str, list: Vec<(String, String)>) -> io::Result<BTreeMap<String, String>> {
    unique_tags(list).map_err(|fault| io::Error::other(format!("{option}: {fault}")))
}

fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { Ok(text.to_owned()) } else { Err("expected twelve digits".to_owned()) }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let (named, real) = text.split_once('=').ok_or("expected PORT=REAL")?;
    match (named, real.parse()) {
        ("22", Ok(real)) => Ok((22, real)),
        ("3389", Ok(real)) => Ok((3389, real)),
        _ => Err("expected 22=REAL or 3389=REAL".to_owned()),
    }
}
