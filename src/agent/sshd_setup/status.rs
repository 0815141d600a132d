//! `status`: reports whether sshd runs this program, and whether this program could return a key.

use std::io::Write;
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_host::instance;
use eic_host::reach::{Obstacle, Use};
use eic_host::sshd::units;
use eic_host::stdout::write_once;
use eic_login::config::{CommandLine, Settings};
use eic_login::imds::{Endpoint, ImdsSession};
use eic_login::privileges::PrivilegesError;
use serde::Serialize;

use super::own_line;
use super::{Fix, Inspection, OtherServer, ProgramState, SshdState, shown, started_on_demand};
use crate::advice::Reader;
use crate::cli::{SYSFS, StatusArgs};
use crate::config::{Unsupported, unsupported};
use crate::environment;
use crate::layout::{fit_for_terminal, json};
use crate::outcome::Outcome;
use crate::run_user::RunUser;
use crate::settings;

/// The report. Its JSON form is an interface with a `schema_version`; fields may be added to it.
#[derive(Debug, Default, Serialize)]
struct StatusReport {
    schema_version: u32,
    version: &'static str,
    /// Whether sshd runs this program, and nothing prevents it from returning keys.
    in_use: bool,
    /// Whether `in_use` is certain. If not, the reason is in `problems` or `warnings`.
    known: bool,
    sshd: Wiring,
    /// `i-…`, `xen` for an instance whose firmware has no id, or `None` outside of EC2.
    instance: Option<String>,
    /// Whether the metadata service gave a token. `None` if it was not queried.
    metadata: Option<bool>,
    /// Why the program is not in use.
    problems: Vec<String>,
    /// Facts that the operator should know, and that do not prevent logins.
    warnings: Vec<String>,
    /// Other servers that run. Their state has no influence on `in_use`.
    others: Vec<OtherServer>,
    /// Whether sshd's effective configuration is known. If not, the text report has "not known".
    #[serde(skip)]
    is_known: bool,
    /// Why the running server may use another command.
    #[serde(skip)]
    doubt: Option<String>,
}

/// The effective command.
#[derive(Debug, Default, Serialize)]
struct Wiring {
    program: Option<PathBuf>,
    /// The process that accepts connections.
    pid: Option<u32>,
    config: Option<PathBuf>,
    command: Option<String>,
    user: Option<String>,
    /// The file that sets the command. `None` if the running server's command line sets it.
    file: Option<PathBuf>,
    line: Option<usize>,
    /// A file or folder of the configuration that the running server may not have read since its last change. If set,
    /// `command`, `user` and `file` hold only after the server has read it.
    unread: Option<PathBuf>,
}

pub(crate) fn run(arguments: &StatusArgs, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let here = instance::Machine::detect(Path::new(SYSFS));
    if arguments.is_ec2 {
        let is_ec2 = here != instance::Machine::NotEc2;
        let words = if is_ec2 { "this is an EC2 instance" } else { "this is not an EC2 instance" };
        let _ = write_once(format!("{words}\n").as_bytes(), out);
        return if is_ec2 { Outcome::Done } else { Outcome::Undecided };
    }
    let reader = Reader::detect();
    let mut report = StatusReport::make(&here);
    for message in report.problems.iter_mut().chain(&mut report.warnings) {
        *message = reader.adapt(message);
    }
    for other in &mut report.others {
        other.adapt(reader);
    }
    let written = if arguments.json {
        write_once(json(&report).as_bytes(), out)
    } else {
        for problem in &report.problems {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(problem));
        }
        write_once(fit_for_terminal(&report.to_string()).as_bytes(), out)
    };
    if report.in_use && written.is_ok() { Outcome::Done } else { Outcome::Undecided }
}

/// The problem, if a firewall refuses the user of a run.
fn firewall(user: &RunUser, settings: &Settings) -> Option<String> {
    let addresses: Vec<_> = settings.endpoints().iter().filter_map(Endpoint::address).collect();
    let name = user.refused_by_firewall(&addresses)?;
    let reason = Reason::MetadataUnreachable.as_str();
    Some(format!(
        "no pushed key can log in: {reason}: a firewall refuses the user {name} at the metadata service, and lets root through; let {name} through (sudo eic-agent doctor says how to find the rule)"
    ))
}

/// The user of a run, if sshd runs this program.
fn run_user(report: &StatusReport) -> RunUser {
    let runs = report.is_known && report.problems.is_empty();
    if runs { RunUser::of(report.sshd.user.as_deref()) } else { RunUser::default() }
}

impl StatusReport {
    /// Adds a problem or a warning for files that exist and that a run cannot read. Call this with the rights of
    /// `user`. If sshd's configuration names another settings file, the default settings file does not matter.
    fn look_at_files(&mut self, user: &RunUser, settings: &Settings, silent_roots: Option<&Obstacle>) {
        let told = |reason: Reason, obstacle: &Obstacle| {
            let fix = Fix::of(obstacle, "the file");
            format!("{}: {}; {fix}", reason.as_str(), obstacle.seen())
        };
        if let Some(silent) = silent_roots {
            let told = told(Reason::TrustStoreUnusable, silent);
            self.problems.push(format!("no pushed key can log in: {told}"));
            return;
        }
        if !user.is_known() {
            return;
        }
        let file = settings.file.iter().map(|file| (file.clone(), Use::Read));
        if let Some(Ok(obstacle)) = user.blocked(&file.collect::<Vec<_>>()) {
            let told = told(Reason::SettingsUnreadable, &obstacle);
            self.problems.push(format!("no pushed key can log in: {told}"));
        }
        let store = settings.trust_store();
        let Some(Ok(obstacle)) = user.blocked(&store.places()) else {
            // A file that this process may not read is another matter.
            if let Some(error) = store.load().err().filter(|error| !error.is_unreadable()) {
                self.problems.push(format!("no pushed key can log in: {}: {error}", error.reason()));
            }
            return;
        };
        match store.load() {
            Err(error) => {
                let told = told(error.reason(), &obstacle);
                self.problems.push(format!("no pushed key can log in: {told}"));
            }
            // Other roots were loaded. The signer's root may not be among them.
            Ok(_) => self.warnings.push(told(Reason::TrustStoreUnusable, &obstacle)),
        }
    }
}

impl StatusReport {
    fn make(here: &instance::Machine) -> Self {
        let mut report = Self {
            schema_version: 1,
            version: env!("CARGO_PKG_VERSION"),
            instance: match here {
                instance::Machine::Known(id) => Some(id.as_str().to_owned()),
                instance::Machine::Xen => Some("xen".to_owned()),
                instance::Machine::NotEc2 => None,
            },
            ..Self::default()
        };
        if let Err(why) = report.look_at_sshd() {
            report.problems.push(why);
        }
        let settings = settings::resolve(&report.options_of_line());
        if let Err(error) = &settings {
            report.problems.push(format!("no pushed key can log in: {}: {error}", error.reason()));
        }
        let silent_roots = settings.as_ref().ok().and_then(settings::silent_roots);
        // Query sshd while we are root. Then give root's rights up.
        let before =
            settings.as_ref().map(|settings| environment::renew_record(settings, None)).unwrap_or_default();
        let user = run_user(&report);
        let is_ec2 = *here != instance::Machine::NotEc2;
        let refused =
            settings.as_ref().ok().filter(|_| is_ec2).and_then(|settings| firewall(&user, settings));
        let kept = user.give_up_root().err();
        if let Ok(settings) = &settings {
            report.look_at_files(&user, settings, silent_roots.as_ref());
            let faults = unsupported(settings, &before, kept.as_ref());
            let told = |fault: Unsupported| format!("no pushed key can log in: {fault}");
            report.problems.extend(faults.into_iter().map(told));
            report.warnings.extend(environment::undecided_sessions(settings, &before));
        }
        match (settings, here) {
            (_, instance::Machine::NotEc2) => {
                report.warnings.push("this is not an EC2 instance: no key can be pushed to it".to_owned());
            }
            (Ok(_), _) if refused.is_some() => report.metadata = Some(false),
            (Ok(settings), _) => report.ask_metadata(&settings, kept),
            (Err(_), _) => {}
        }
        report.problems.extend(refused);
        let doubt =
            report.doubt.as_ref().map(|why| format!("it is not known whether sshd uses this command; {why}"));
        report.problems.extend(doubt);
        report.in_use = report.problems.is_empty();
        report
    }

    /// The options of our own line in sshd's configuration.
    fn options_of_line(&self) -> CommandLine {
        own_line::options(self.sshd.command.as_deref().filter(|_| self.is_known && self.problems.is_empty()))
    }

    /// Fills in sshd's effective configuration. The error is the reason why it is unknown.
    fn look_at_sshd(&mut self) -> Result<(), String> {
        let machine = SshdState::detect().map_err(String::from)?;
        self.sshd.program = Some(machine.server.program().to_owned());
        self.sshd.pid = machine.listener.as_ref().map(|listener| listener.pid);
        self.sshd.config = Some(machine.config.clone());
        self.others = OtherServer::all(&machine);
        let inspection = Inspection::of(machine, None).map_err(String::from)?;
        self.is_known = true;
        let (machine, sources) = (&inspection.machine, &inspection.sources);
        inspection.wired(|wired| {
            self.sshd.command.clone_from(&wired.running.command);
            self.sshd.user.clone_from(&wired.running.user);
            let unread = wired.unread.filter(|_| wired.unread_fault().is_some());
            self.sshd.unread = unread.map(|unread| unread.path.clone());
            let from = wired.winner();
            self.sshd.file = from.map(|from| from.file.clone());
            self.sshd.line = from.map(|from| from.line);
            let state = wired.program_state();
            self.doubt = wired.doubt();
            let is_sure = !matches!(state, ProgramState::Unknown(_));
            self.known = is_sure && self.sshd.unread.is_none() && self.doubt.is_none();
            self.problems.extend(wired.faults()?.iter().map(ToString::to_string));
            match state {
                ProgramState::Insecure(insecure) => self.warnings.push(insecure.to_string()),
                ProgramState::Unknown(why) => {
                    self.warnings.push(format!("it is not known whether sshd can run this program: {why}"));
                }
                ProgramState::Runs | ProgramState::Faulty(_) => {}
            }
            Ok::<(), String>(())
        })?;
        if machine.listener.is_none() && !self.others.is_empty() {
            self.warnings.push(format!("no running sshd uses {}", machine.config.display()));
        }
        for except in sources.conditional() {
            self.warnings.push(format!(
                "logins of \"Match {}\" have the AuthorizedKeysCommand of {except}",
                except.within.as_deref().unwrap_or_default()
            ));
        }
        for except in sources.without_command() {
            self.warnings.push(format!(
                "sshd runs the AuthorizedKeysCommand as {} for logins of \"Match {}\" ({except})",
                except.value,
                except.within.as_deref().unwrap_or_default()
            ));
        }
        for hidden in sources.hidden() {
            self.warnings.push(format!(
                "sshd may read another AuthorizedKeysCommand, for some logins or all, at {hidden}"
            ));
        }
        for file in units::overrides() {
            self.warnings.push(format!(
                "{} starts sshd with an AuthorizedKeysCommand that overrides every file",
                file.display()
            ));
        }
        let is_stopped = machine.listener.is_none() && self.others.is_empty();
        if is_stopped && nix::unistd::Uid::effective().is_root() {
            let ports: Vec<_> = inspection.ports().collect();
            if started_on_demand(&ports) == Ok(None) {
                self.warnings.push("no sshd runs; the command is what sshd uses after its start".to_owned());
            }
        }
        Ok(())
    }

    fn ask_metadata(&mut self, settings: &Settings, kept: Option<PrivilegesError>) {
        // Answers from the network are not read as root.
        if let Some(error) = kept {
            self.warnings.push(format!("the metadata service was not queried: {error}"));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let asked = match runtime {
            // Wait as long as a login waits.
            Ok(runtime) => runtime
                .block_on(ImdsSession::open(&settings.endpoints(), settings.timeout.value))
                .map_err(|error| error.on(&instance::Machine::detect(Path::new(SYSFS))))
                .map_err(|error| format!("{}: {error}", error.reason())),
            Err(error) => Err(error.to_string()),
        };
        self.metadata = Some(asked.is_ok());
        if let Err(why) = asked {
            self.warnings.push(format!("the metadata service gives no token: {why}"));
        }
    }
}

impl std::fmt::Display for StatusReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = |name: &str, value: &str| writeln!(f, "{name:<9} {}", one_line(value));
        let known = |value: &str| if self.is_known { value.to_owned() } else { "not known".to_owned() };
        let is_unread = self.sshd.unread.is_some();
        let in_use = match (self.in_use, self.known) {
            (true, true) => "yes",
            (true, false) => "probably (see the warning)",
            (false, false) if is_unread || self.doubt.is_some() => "not known",
            (false, _) => "no",
        };
        line("in use", &known(in_use))?;
        let later = if is_unread { ", which sshd may not have read" } else { "" };
        let place = match (&self.sshd.file, self.sshd.line) {
            (Some(file), Some(number)) => format!(" ({}:{number}{later})", file.display()),
            _ => String::new(),
        };
        line("command", &known(&format!("{}{place}", shown(self.sshd.command.as_deref()))))?;
        line("user", &known(self.sshd.user.as_deref().unwrap_or("none")))?;
        line("instance", self.instance.as_deref().unwrap_or("not EC2"))?;
        let metadata = match self.metadata {
            Some(true) => "answers",
            Some(false) => "does not answer",
            None => "not queried",
        };
        line("metadata", metadata)?;
        for other in &self.others {
            line("another", &other.to_string())?;
        }
        for warning in &self.warnings {
            line("warning", warning)?;
        }
        Ok(())
    }
}
