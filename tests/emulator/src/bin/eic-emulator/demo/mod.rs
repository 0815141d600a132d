//! `eic-emulator demo`: a pushed key logs in through a real sshd, also through an EC2 Instance Connect Endpoint, and
//! the agent refuses three other keys.

mod audit;
mod child;
mod machine;
mod push;
mod screen;
mod sshd;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Args;
use eic_emulator::directory::TempDir;
use eic_emulator::{Config, DEFAULT_CALLER, Emulator, Entry, Service};

use self::audit::Audit;
use self::child::{Interrupt, run};
use self::machine::{InstalledAgent, Login};
use self::screen::Screen;
use self::sshd::{KeyPair, Sshd};
use super::serve::{ready, write_ca_file, write_sysfs};

const OTHER_INSTANCE: &str = "i-0fedcba9876543210";

#[derive(Args)]
pub(crate) struct Demo {
    /// The eic-agent to demonstrate
    #[arg(long, value_name = "PATH")]
    agent: PathBuf,
}

impl Demo {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        machine::require_root()?;
        let interrupt = Interrupt::listen()?;
        let mut screen = Screen::new();
        screen.title("EC2 Instance Connect on this machine, on loopback only")?;
        let start = Instant::now();
        let outcome = Stage::set(&self.agent, &mut screen, &interrupt)
            .and_then(|stage| stage.perform(&mut screen, &interrupt));
        // Here the stage has been dropped, whether the demo succeeded or failed.
        screen.line("")?;
        let took = start.elapsed().as_secs_f64();
        screen.line(&format!(
            "The demo stopped every program and removed every file that it made ({took:.1} s in total)."
        ))?;
        Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The processes and files of the demo. The order of the fields is the order in which they are dropped.
struct Stage {
    sshd: Sshd,
    audit: Audit,
    /// The agent's command line as sshd runs it, without the user and the fingerprint.
    command: Vec<String>,
    _agent: InstalledAgent,
    login: Login,
    emulator: Emulator,
    directory: TempDir,
}

impl Stage {
    fn set(agent: &Path, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<Self> {
        // This step comes first because it fails most often.
        let agent = InstalledAgent::copy(agent)?;
        let start = Instant::now();
        let directory = TempDir::new("eic-demo")?;
        let emulator = Emulator::start(Config::default())?;
        let ca_file = write_ca_file(agent.directory.path(), &emulator)?;
        let sysfs = write_sysfs(directory.path(), &emulator.config().instance_id)?;
        screen.step("AWS's side: instance metadata, API, signer", Some(start.elapsed()))?;
        screen.detail("metadata", emulator.imds_url())?;
        screen.detail("API", emulator.api_url())?;
        screen.detail("instance", &emulator.config().instance_id)?;
        screen.detail("signer", emulator.signer_name())?;

        let start = Instant::now();
        let login = Login::choose(directory.path())?;
        let mut command = vec![agent.path.display().to_string(), "authorized-keys".to_owned()];
        command.extend(["--imds-endpoint".to_owned(), emulator.imds_url()]);
        command.extend(["--ca-file".to_owned(), ca_file.display().to_string()]);
        command.extend(["--sysfs".to_owned(), sysfs.display().to_string()]);
        let audit = Audit::open(interrupt)?;
        let sshd = Sshd::start(directory.path(), &command, &login.name, interrupt)?;
        screen.step("The instance's side: sshd and eic-agent", Some(start.elapsed()))?;
        let version = run(Command::new(sshd.client()).arg("-V"), interrupt)?;
        screen.quote("OpenSSH", version.stderr.trim())?;
        screen.detail("sshd", format!("127.0.0.1 port {}", sshd.port))?;
        screen.detail("user", format!("{} ({})", login.name, login.why))?;
        screen.detail("command", format!("{} \\", command[..2].join(" ")))?;
        for option in command[2..].chunks(2) {
            screen.detail("", format!("  {} \\", option.join(" ")))?;
        }
        screen.detail("", "  %u %f")?;
        Ok(Self { sshd, audit, command, _agent: agent, login, emulator, directory })
    }

    /// True if the pushed key logged in and the other keys were refused.
    fn perform(&self, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<bool> {
        let key = KeyPair::make(self.directory.path(), "pushed", interrupt)?;
        let start = Instant::now();
        let pushed = push::push(&self.emulator, &key, &self.login.name, interrupt)?;
        screen.step("A key is pushed", Some(start.elapsed()))?;
        screen.detail("how", &pushed.how)?;
        screen.detail("key", &key.fingerprint)?;
        screen.detail("request", &pushed.request_id)?;

        let logged_in = self.login_step(&key, screen, interrupt)?;
        let audit = self.audit.lines_with(&pushed.request_id, 2, interrupt)?;
        self.by_hand_step(&key, screen, interrupt)?;
        screen.step("The audit log: one line for each time that sshd ran the agent", None)?;
        screen.detail("from", self.audit.source())?;
        self.show_audit(&audit, screen)?;
        // This is before the refusals: since OpenSSH 9.8, sshd refuses an address for some time after failed logins.
        let logged_in = self.endpoint_step(&key, screen, interrupt)? && logged_in;
        let refused = self.refusals(&key, screen, interrupt)?;

        screen.line("")?;
        let good = logged_in && refused;
        screen.verdict(
            good,
            if good { "the pushed key logged in, and nothing else did" } else { "see the steps above" },
        )?;
        Ok(good)
    }

    fn login_step(&self, key: &KeyPair, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<bool> {
        self.emulator.take_requests();
        // A command that every user's shell understands.
        let login = self.sshd.log_in(&self.login.name, key, None, "id", interrupt)?;
        let requests = self.emulator.take_requests().len();
        screen.step("The key logs in", Some(login.took))?;
        screen.quote("ssh … id", &(login.stdout.clone() + &login.stderr))?;
        screen.quote("sshd", &lines_with(&self.sshd.log(), &["Accepted publickey"]))?;
        screen.detail(
            "metadata",
            format!(
                "{requests} requests: sshd runs the agent for the key offer, and again for the signature"
            ),
        )?;
        let logged_in = login.success && login.stdout.contains("uid=");
        screen.verdict(logged_in, if logged_in { "logged in" } else { "did not log in; sshd's log:" })?;
        if !logged_in {
            screen.quote("sshd", &self.sshd.log())?;
        }
        Ok(logged_in)
    }

    /// Runs sshd's command again, to show the output that only sshd reads.
    fn by_hand_step(&self, key: &KeyPair, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<()> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(&self.login.name).arg(&key.fingerprint);
        let finished = run(&mut command, interrupt)?;
        screen.step("What sshd read from the agent: the same command, run by hand", Some(finished.took))?;
        screen.quote("stdout", &finished.stdout)?;
        screen.quote("stderr", &finished.stderr)
    }

    fn refusals(&self, pushed: &KeyPair, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<bool> {
        let stranger = KeyPair::make(self.directory.path(), "stranger", interrupt)?;
        let mut refused = true;
        let title = "Refused: a key that was not pushed";
        refused &= self.refusal(title, &stranger, screen, interrupt)?;
        screen.detail("why", "a different key was pushed; the agent writes no audit line for that")?;

        let signer = self.emulator.hierarchy().leaf_key.clone();
        let entry = |key: &KeyPair, instance: &str| {
            Entry::new(&key.public)
                .timestamp(self.emulator.now() + 60)
                .instance(instance)
                .caller(DEFAULT_CALLER)
        };
        let elsewhere = entry(&stranger, OTHER_INSTANCE).sign(&signer);
        self.emulator.set_entries(&self.login.name, elsewhere);
        let title = "Refused: a key that was pushed to another instance";
        refused &= self.refusal(title, &stranger, screen, interrupt)?;
        self.show_new_audit("wrong-instance", screen, interrupt)?;

        let own = &self.emulator.config().instance_id;
        let original = entry(pushed, own).sign(&signer);
        let swapped = String::from_utf8_lossy(&original).replace(&pushed.public, &stranger.public);
        self.emulator.set_entries(&self.login.name, swapped);
        let title = "Refused: a key that replaced another one in a signed entry";
        refused &= self.refusal(title, &stranger, screen, interrupt)?;
        self.show_new_audit("bad-signature", screen, interrupt)?;
        Ok(refused)
    }

    /// Tries to log in. The login must fail, and only because of the key.
    fn refusal(
        &self,
        title: &str,
        key: &KeyPair,
        screen: &mut Screen,
        interrupt: &Interrupt,
    ) -> io::Result<bool> {
        let before = self.sshd.log().len();
        let login = self.sshd.log_in(&self.login.name, key, None, "true", interrupt)?;
        screen.step(title, Some(login.took))?;
        screen.quote("ssh", &login.stderr)?;
        let log = self.sshd.log();
        screen.quote("sshd", &lines_with(log.get(before..).unwrap_or_default(), &["Failed publickey"]))?;
        let refused = !login.success && login.stderr.contains("Permission denied");
        screen.verdict(refused, if refused { "refused" } else { "was not refused" })?;
        Ok(refused)
    }

    /// Logs in through a tunnel of the endpoint. On EC2, the instance's address would be private.
    fn endpoint_step(&self, key: &KeyPair, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<bool> {
        self.emulator.set_instance_port(22, self.sshd.port);
        let _published =
            ready(&self.emulator, self.directory.path(), None)?.publish(self.directory.path())?;
        let program = std::env::current_exe()?;
        let proxy =
            format!("'{}' open-tunnel --attach '{}'", program.display(), self.directory.path().display());
        self.emulator.take_requests();
        let login = self.sshd.log_in(&self.login.name, key, Some(&proxy), "id", interrupt)?;
        let tunnels = self.emulator.take_requests();
        let tunnels =
            tunnels.iter().filter(|one| one.service == Service::Endpoint && one.status == Some(101)).count();
        screen.step("The key logs in through an endpoint, as to a private instance", Some(login.took))?;
        screen.detail("endpoint", self.emulator.endpoint_name())?;
        screen.detail("tunnel", "TLS and WebSocket, to port 22 of 127.0.0.1, with a signed request")?;
        screen.quote("ssh … id", &(login.stdout.clone() + &login.stderr))?;
        let logged_in = login.success && login.stdout.contains("uid=") && tunnels == 1;
        screen.verdict(logged_in, if logged_in { "logged in" } else { "did not log in; sshd's log:" })?;
        if !logged_in {
            screen.quote("sshd", &self.sshd.log())?;
        }
        Ok(logged_in)
    }

    fn show_new_audit(&self, reason: &str, screen: &Screen, interrupt: &Interrupt) -> io::Result<()> {
        self.show_audit(&self.audit.lines_with(reason, 1, interrupt)?, screen)
    }

    fn show_audit(&self, lines: &[String], screen: &Screen) -> io::Result<()> {
        if lines.is_empty() {
            return screen.detail("audit", format!("no line arrived in {}", self.audit.source()));
        }
        lines.iter().try_for_each(|line| screen.quote("audit", line))
    }
}

fn lines_with(text: &str, words: &[&str]) -> String {
    let wanted = |line: &&str| words.iter().any(|word| line.contains(word));
    text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}
