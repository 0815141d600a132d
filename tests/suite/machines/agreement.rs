//! Compares what `status`, `doctor`, `explain` and `config` say about a machine with real logins.

use serde_json::Value;

use crate::wiring::agent;
use crate::world::{BOB, Key, World};

/// The result of a command with `--json`.
#[derive(Debug)]
pub(crate) struct Said {
    pub(super) code: Option<i32>,
    pub(super) report: Value,
}

impl Said {
    fn by(world: &World, arguments: &[&str]) -> Self {
        let ran = agent(world, arguments);
        let report = serde_json::from_str(&ran.out)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}{}", ran.out, ran.err));
        Self { code: ran.status, report }
    }
}

/// Whom to log in, and with which keys.
pub(crate) struct Attempt<'w> {
    pub(crate) world: &'w World,
    pub(crate) user: &'w str,
    /// This key is pushed for each login.
    pub(crate) pushed: &'w Key,
    /// A key in the user's own `authorized_keys`, if the machine has such a file.
    pub(crate) own: Option<&'w Key>,
    /// Whether the running server has read the files as they are.
    pub(crate) is_read: bool,
}

/// Which sshd a login goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// The one that runs. It may not have read the files as they are now.
    Running,
    /// A new one, which reads the files.
    New,
    /// A new one that has no `AuthorizedKeysCommand`.
    WithoutCommand,
}

/// What real logins did, and what the commands say.
#[derive(Debug)]
pub(crate) struct Observation {
    /// Whether the pushed key logs in at the running server, and at a new one.
    pushed: [bool; 2],
    /// Whether the user's own key logs in at a new server, with the command and without it.
    own: Option<[bool; 2]>,
    status: Said,
    pub(super) doctor: Said,
    explain: Said,
    /// Exit status of `config`.
    config: Option<i32>,
}

/// Causes for which sshd refuses every key of the user, not only a pushed one.
const FOR_EVERY_KEY: [&str; 7] =
    ["public-keys", "auth-tries", "key-types", "revoked-keys", "access", "account", "pam"];

/// More causes that `explain` does not look for: the login ends, whatever the agent prints.
const AFTER_THE_KEY: [&str; 3] = ["listener", "shell", "selinux"];

/// More causes that `status` does not look for, or only warns about: they concern the evidence of the service, or the log.
const OF_THE_SERVICE: [&str; 10] = [
    "machine",
    "metadata",
    "instance",
    "clock",
    "region",
    "trust-store",
    "signer",
    "staples",
    "log",
    "answer",
];

impl Attempt<'_> {
    /// Makes the logins and asks the commands. A key is pushed when `doctor` runs.
    pub(crate) fn observe(&self) -> Observation {
        self.world.emulator.push(self.user, &self.pushed.line(), BOB);
        let Said { code, report } = self.doctor();
        self.world.emulator.clear_keys();
        self.observe_with(code, report)
    }

    pub(super) fn doctor(&self) -> Said {
        Said::by(self.world, &["doctor", "--json", "--user", self.user])
    }

    /// The same, with the exit status and the report of an earlier run of `doctor` on this machine.
    pub(crate) fn observe_with(&self, code: Option<i32>, report: Value) -> Observation {
        let user = self.user;
        let doctor = Said { code, report };
        let running = self.pushed_key_logs_in(Server::Running);
        // A new server does the same as one that has read the files.
        let new = (running && self.is_read) || self.pushed_key_logs_in(Server::New);
        let pushed = [running, new];
        // If the key logs in with the command, there is nothing to compare.
        let own = self.own.map(|key| {
            let with = self.logs_in(key, Server::New);
            [with, with || self.logs_in(key, Server::WithoutCommand)]
        });
        let status = Said::by(self.world, &["status", "--json"]);
        self.world.emulator.push(user, &self.pushed.line(), BOB);
        let explain = Said::by(self.world, &["explain", "--json", user]);
        self.world.emulator.clear_keys();
        let config = agent(self.world, &["config"]).status;
        Observation { pushed, own, status, doctor, explain, config }
    }

    fn pushed_key_logs_in(&self, server: Server) -> bool {
        self.world.emulator.push(self.user, &self.pushed.line(), BOB);
        let logs_in = self.logs_in(self.pushed, server);
        self.world.emulator.clear_keys();
        logs_in
    }

    fn logs_in(&self, key: &Key, server: Server) -> bool {
        let mut ssh = World::ssh_command(&[key]);
        // The cheapest key exchange that every release has.
        ssh.args(["-o", "KexAlgorithms=curve25519-sha256"]);
        let without = "-o AuthorizedKeysCommand=none -o AuthorizedKeysCommandUser=nobody";
        let host = match server {
            Server::Running => "127.0.0.1",
            Server::New | Server::WithoutCommand => "instance",
        };
        match server {
            Server::Running => {}
            Server::New => _ = ssh.args(["-o", "ProxyCommand=/usr/sbin/sshd -i"]),
            Server::WithoutCommand => {
                ssh.arg("-o").arg(format!("ProxyCommand=/usr/sbin/sshd -i {without}"));
            }
        }
        let ran = ssh.arg(format!("{}@{host}", self.user)).arg("id -un").output().unwrap();
        String::from_utf8_lossy(&ran.stdout).trim() == self.user
    }
}

impl Observation {
    /// Whether the pushed key logs in, at the server that runs and at a new one.
    pub(crate) const fn logs_in(&self) -> bool {
        let [running, new] = self.pushed;
        running && new
    }

    /// The report of `doctor`.
    pub(crate) const fn report(&self) -> &Value {
        &self.doctor.report
    }

    pub(crate) fn forecast(&self) -> &str {
        self.doctor.report["login"].as_str().unwrap()
    }

    fn cause(&self) -> &str {
        self.doctor.report["cause"].as_str().unwrap_or("none")
    }

    fn check(&self, id: &str) -> &Value {
        let checks = self.doctor.report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()
    }

    /// Every statement of a command that the logins refute.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let ([_, new], logs_in) = (self.pushed, self.logs_in());
        let (forecast, cause) = (self.forecast(), self.cause());
        let in_use = self.status.report["in_use"] == true;
        // `status` judges the logins that no Match applies to, and names each Match with another command or user.
        let is_excepted = self.status.report["warnings"].to_string().contains("logins of \\\"Match");
        let (status_is_sure, explain_is_sure) =
            (self.status.report["known"] == true, self.explain.report["sshd"]["known"] == true);
        let explained = self.explain.code == Some(0);
        // An error of the settings or of the evidence is certain, even if it is not known whether sshd runs the agent.
        let explain_is_sure = explain_is_sure || !self.explain.report["error"].is_null();
        let config_is_refused =
            self.check("settings")["seen"].as_str().unwrap().starts_with("settings-invalid");
        // `config` shows the default file.
        let is_default = !self.status.report["sshd"]["command"].to_string().contains("--config");
        let fails_for = |causes: &[&str]| forecast == "fails" && causes.contains(&cause);
        let for_every_key = fails_for(&FOR_EVERY_KEY);
        let is_for_pushed_key = cause == "revoked-keys"
            && self.check(cause)["seen"].as_str().unwrap().contains("has the pushed key");
        let not_for_explain = for_every_key || fails_for(&AFTER_THE_KEY);
        let not_for_status = not_for_explain || fails_for(&OF_THE_SERVICE);
        let rules = [
            (forecast == "works" && !logs_in, "doctor says that a login works, and none does"),
            (forecast == "fails" && logs_in, "doctor says that logins fail, and they work"),
            (forecast == "fails" && self.doctor.code != Some(1), "doctor: status 0, and the login fails"),
            (forecast == "works" && self.doctor.code != Some(0), "doctor: status 1, and the login works"),
            ((self.status.code == Some(0)) != in_use, "the exit status of status is not its verdict"),
            (!in_use && status_is_sure && logs_in, "status says that the agent is not in use, and it is"),
            (
                in_use
                    && !logs_in
                    && forecast != "not-known"
                    && !not_for_status
                    && !(is_excepted && cause.starts_with("command")),
                "status finds nothing, and logins fail for a reason that it looks for",
            ),
            (
                explained && !new && forecast == "works",
                "explain says that sshd gets the key, and logins fail",
            ),
            (
                explained && !new && forecast == "fails" && !not_for_explain,
                "explain says that sshd gets the key, and doctor that it does not",
            ),
            (!explained && explain_is_sure && logs_in, "explain says that sshd gets no key, and it does"),
            (is_default && config_is_refused && self.config == Some(0), "config accepts what doctor refuses"),
            (
                is_default && self.config == Some(2) && !config_is_refused,
                "config refuses what doctor accepts",
            ),
            (
                self.own.is_some_and(|[with, without]| with != without),
                "the agent's command changes the result of a login with another key",
            ),
            (
                for_every_key && !is_for_pushed_key && self.own.is_some_and(|[_, without]| without),
                "doctor says that sshd refuses every key of the user, and it accepts one",
            ),
        ];
        let broken: Vec<_> =
            rules.iter().filter(|(is_broken, _)| *is_broken).map(|(_, rule)| *rule).collect();
        if broken.is_empty() {
            return Vec::new();
        }
        vec![format!("{}\n{}", broken.join("; "), self.summary())]
    }

    /// What the logins did and what the commands said, for the report of a failure.
    pub(crate) fn summary(&self) -> String {
        let found = self.doctor.report["checks"].as_array().unwrap().iter().filter(|check| {
            check["verdict"] != "ok"
                || ["command", "access", "account", "shell", "pam"].contains(&check["id"].as_str().unwrap())
        });
        let lines: Vec<_> = found
            .map(|check| {
                format!("    {} {} {} | {}", check["verdict"], check["id"], check["seen"], check["fix"])
            })
            .collect();
        format!(
            "  logins: pushed key, running server and new one: {:?}; own key, with the command and without: {:?}\n  status {:?} {}\n  explain {:?} {} {} {}\n  config {:?}\n  doctor {:?}: login {}, cause {}\n{}",
            self.pushed,
            self.own,
            self.status.code,
            self.status.report,
            self.explain.code,
            self.explain.report["sshd"],
            self.explain.report["error"],
            self.explain.report["judgement"]["keys"],
            self.config,
            self.doctor.code,
            self.forecast(),
            self.cause(),
            lines.join("\n")
        )
    }
}
