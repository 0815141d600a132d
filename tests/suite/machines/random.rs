//! Random machines: valid lines of sshd's configuration, modes, owners, accounts, rules of PAM and settings.
//!
//! `make machines` runs many of them. Environment variables choose which: `EIC_MACHINES_FROM` (the first seed, default 1),
//! `EIC_MACHINES` (how many, default 4), and `EIC_MACHINES_PROGRESS` (a folder in which each test writes the next seed).

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::Config;

use super::advice::refused_settings;
use super::agreement::Attempt;
use super::choices::{
    AGENT_SETTINGS, CONDITIONS, Chance, LIMITS, MEMORIES, MODES, NOT_IN_MATCH, PAM, SESSIONS, SETTINGS,
    SHADOWS, SHELLS,
};
use crate::doctor::{enabled, have_it_read, memory};
use crate::wiring::{CONFIG, DROP_INS, OURS};
use crate::world::{Key, Syslog, World, on_an_instance_for, test_path};

const GROUP: &str = "eictest";
const USERS: [&str; 3] = ["ec2-user", "ubuntu", "root"];
const LIMITS_FILE: &str = "/etc/security/limits.conf";
const SETTINGS_FILE: &str = "/etc/eic-agent.toml";

/// This many tests share the seeds. Test `n` takes each seed that has the remainder `n` after division by this number.
const PARTS: u64 = 4;

/// The sound machine, to which each random machine returns.
struct Sound {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Mode, owner and group.
    rights: BTreeMap<PathBuf, (u32, u32, u32)>,
}

impl Sound {
    fn new(world: &World) -> Self {
        let files =
            ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/pam.d/sshd", LIMITS_FILE, SETTINGS_FILE];
        let files = files.map(|file| (PathBuf::from(file), fs::read(file).unwrap())).into();
        let rights = paths(world).into_iter().map(|path| {
            let status = fs::metadata(&path).unwrap();
            (path, (status.permissions().mode() & 0o7777, status.uid(), status.gid()))
        });
        run("rm -rf /run/sound && cp -a /etc/ssh /run/sound");
        Self { files, rights: rights.collect() }
    }

    fn restore(&self, world: &World) {
        for (file, content) in &self.files {
            fs::write(file, content).unwrap();
        }
        for (path, (mode, uid, gid)) in &self.rights {
            chown(path, Some(*uid), Some(*gid)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        memory::fresh(world);
        run("rm -rf /etc/ssh/* /etc/nologin /etc/hosts.deny && cp -a /run/sound/. /etc/ssh/");
        have_it_read();
        // If the next machine changed a file while sshd still reads, the file would look older than the pid file, which
        // sshd writes at the end. So give sshd time.
        sleep(Duration::from_millis(50));
    }
}

fn run(script: &str) {
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

/// Paths whose mode and owner a random machine may change.
fn paths(world: &World) -> Vec<PathBuf> {
    let bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let bundle = bundles.into_iter().find(|bundle| Path::new(bundle).exists()).unwrap();
    let mut paths: Vec<_> =
        [SETTINGS_FILE, bundle, "/etc/ssl", OURS, DROP_INS, CONFIG].map(PathBuf::from).into();
    paths.extend(["bin", "", "home"].map(|name| world.path(name)));
    paths.push(world.agent());
    for user in USERS {
        paths.extend(
            ["", ".ssh", ".ssh/authorized_keys"].map(|name| world.path("home").join(user).join(name)),
        );
    }
    paths
}

/// A random machine in the making.
struct Maker<'w> {
    world: &'w World,
    chance: Chance,
    /// What was changed, one line each.
    changes: Vec<String>,
}

impl Maker<'_> {
    /// A line of `sshd_config`, perhaps in a `Match` block.
    fn line(&mut self) -> (String, bool) {
        let (keyword, values) = *self.chance.one(SETTINGS);
        let value = *self.chance.one(values);
        let mut line = format!("{keyword} {value}\n");
        // sshd refuses a command without a user.
        if keyword == "AuthorizedKeysCommand" {
            line.push_str("AuthorizedKeysCommandUser nobody\n");
        }
        let is_in_match = self.chance.percent(30) && !NOT_IN_MATCH.contains(&keyword);
        if is_in_match {
            line = format!("Match {}\n{line}", self.chance.one(CONDITIONS));
        }
        let line = line.replace("GROUP", GROUP).replace("AGENT", &self.world.agent().display().to_string());
        (line, is_in_match)
    }

    fn setting(&mut self) {
        let (line, is_in_match) = self.line();
        let place = if is_in_match { 2 + self.chance.below(2) } else { self.chance.below(3) };
        let file = match place {
            0 => {
                let config = fs::read_to_string(CONFIG).unwrap();
                fs::write(CONFIG, format!("{line}{config}")).unwrap();
                "sshd_config, first".to_owned()
            }
            3 => {
                let config = fs::read_to_string(CONFIG).unwrap();
                fs::write(CONFIG, format!("{config}{line}")).unwrap();
                "sshd_config, last".to_owned()
            }
            _ => {
                let name = if place == 1 { "05-a.conf" } else { "90-z.conf" };
                let file = Path::new(DROP_INS).join(name);
                let before = fs::read_to_string(&file).unwrap_or_default();
                fs::write(&file, before + &line).unwrap();
                name.to_owned()
            }
        };
        self.changes.push(format!("{file}: {}", line.trim_end().replace('\n', " | ")));
    }

    fn mode(&mut self) {
        let path = self.chance.one(&paths(self.world)).clone();
        let mode = *self.chance.one(MODES);
        let mode = if path.is_dir() { mode } else { mode & 0o777 };
        // Root has to be able to run the commands.
        let mode = if path == self.world.agent() { mode | 0o100 } else { mode };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self.changes.push(format!("chmod {mode:04o} {}", path.display()));
    }

    fn owner(&mut self) {
        let path = self.chance.one(&paths(self.world)).clone();
        let (uid, gid) = match self.chance.below(4) {
            0 => (Some(self.world.uid("ec2-user")), None),
            1 => (None, Some(60900)),
            2 => (Some(self.world.uid("eic-agent")), Some(self.world.uid("eic-agent"))),
            _ => (None, Some(self.world.uid("ec2-user"))),
        };
        // chown(2) removes the bits of setuid and setgid.
        let mode = fs::metadata(&path).unwrap().permissions();
        chown(&path, uid, gid).unwrap();
        fs::set_permissions(&path, mode).unwrap();
        self.changes.push(format!("chown {uid:?}:{gid:?} {}", path.display()));
    }

    fn account(&mut self, user: &str) {
        let edit = |file: &str, change: &dyn Fn(Vec<&str>) -> String| {
            let text = fs::read_to_string(file).unwrap();
            let begin = format!("{user}:");
            let lines = text.lines().map(|line| {
                if line.starts_with(&begin) { change(line.split(':').collect()) } else { line.to_owned() }
            });
            fs::write(file, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        };
        match self.chance.below(4) {
            0 | 1 => {
                let fields = *self.chance.one(SHADOWS);
                edit("/etc/shadow", &|_| format!("{user}:{fields}"));
                self.changes.push(format!("shadow: {user}:{fields}"));
            }
            2 => {
                let shell = *self.chance.one(SHELLS);
                edit("/etc/passwd", &|fields| {
                    let mut fields = fields;
                    fields[6] = shell;
                    fields.join(":")
                });
                self.changes.push(format!("shell of {user}: {shell}"));
            }
            _ if self.chance.percent(50) => {
                fs::write("/etc/nologin", "later\n").unwrap();
                self.changes.push("/etc/nologin".to_owned());
            }
            _ => {
                let text = fs::read_to_string("/etc/shadow").unwrap();
                let begin = format!("{user}:");
                let kept: Vec<_> =
                    text.split_inclusive('\n').filter(|line| !line.starts_with(&begin)).collect();
                fs::write("/etc/shadow", kept.concat()).unwrap();
                self.changes.push(format!("shadow: no line of {user}"));
            }
        }
    }

    fn members(&mut self) {
        let members = *self.chance.one(&["", "ec2-user", "root", "ubuntu,ec2-user", "eic-agent"]);
        let text = fs::read_to_string("/etc/group").unwrap();
        fs::write("/etc/group", text.replace(":60900:\n", &format!(":60900:{members}\n"))).unwrap();
        self.changes.push(format!("members of {GROUP}: {members}"));
    }

    fn pam(&mut self, user: &str) {
        let rules = format!("{}{}", self.chance.one(PAM), self.chance.one(SESSIONS));
        fs::write("/etc/pam.d/sshd", format!("auth required pam_permit.so\n{rules}")).unwrap();
        if rules.contains("pam_limits") {
            let limits = self.chance.one(LIMITS).replace("USER", user).replace("GROUP", GROUP);
            fs::write(LIMITS_FILE, &limits).unwrap();
            self.changes.push(format!("limits: {}", limits.trim_end().replace('\n', " | ")));
        }
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, config.replace("UsePAM no", "UsePAM yes")).unwrap();
        self.changes.push(format!("UsePAM yes, {}", rules.trim_end().replace('\n', " | ")));
    }

    fn agent_settings(&mut self) {
        let settings = *self.chance.one(AGENT_SETTINGS);
        self.world.configure_unhurried(settings);
        self.changes.push(format!("settings: {}", settings.trim_end().replace('\n', " | ")));
    }

    fn command_line(&mut self) {
        let ours = fs::read_to_string(OURS).unwrap();
        let user = *self.chance.one(&["root", "nobody", "provider", "nosuch", "ec2-user"]);
        fs::write(OURS, ours.replace("User eic-agent", &format!("User {user}"))).unwrap();
        self.changes.push(format!("AuthorizedKeysCommandUser {user}"));
    }

    fn memory(&mut self) {
        let change = *self.chance.one(MEMORIES);
        run(change);
        self.changes.push(format!("memory: {change}"));
    }

    fn make(&mut self, user: &str) {
        for _ in 0..*self.chance.one(&[0, 1, 1, 2, 2, 2, 3, 3]) {
            match self.chance.below(20) {
                0..=9 => self.setting(),
                10..=12 => self.mode(),
                13 => self.owner(),
                14 | 15 => self.account(user),
                16 if self.chance.percent(30) => {
                    fs::write("/etc/hosts.deny", "sshd: 10.0.0.0/8\n").unwrap();
                    self.changes.push("hosts.deny: sshd: 10.0.0.0/8".to_owned());
                }
                16 => self.members(),
                17 => self.pam(user),
                18 if self.chance.percent(50) => self.memory(),
                18 => self.agent_settings(),
                _ => self.command_line(),
            }
        }
    }
}

/// The keys of all random machines.
struct Keys {
    pushed: [Key; 2],
    own: [Key; 2],
}

impl Keys {
    /// An ed25519 key and an RSA key that are pushed, and two in every user's `authorized_keys`.
    fn new(world: &World) -> Self {
        let [pushed, own] = ["pushed", "own"].map(|name| {
            let rsa = Key::new(world, &format!("{name}-rsa"), &["rsa", "-b", "2048"]);
            [Key::ed25519(world, name), rsa]
        });
        let lines: String = own.iter().map(|key: &Key| key.line() + "\n").collect();
        for user in USERS {
            world.authorize(user, &own[0]);
            fs::write(world.path("home").join(user).join(".ssh/authorized_keys"), &lines).unwrap();
        }
        Self { pushed, own }
    }
}

/// Makes the machine of this seed, compares what the commands say with logins, and does what they advise.
///
/// Returns the verdict of `doctor` about a login, and the contradictions.
fn compare(world: &World, keys: &Keys, sound: &Sound, seed: u64) -> (String, Option<String>) {
    let mut maker = Maker { world, chance: Chance::new(seed), changes: Vec::new() };
    let user = *maker.chance.one(&["ec2-user", "ec2-user", "ec2-user", "ubuntu", "root"]);
    let kind = maker.chance.below(2);
    maker.make(user);
    let is_read = maker.chance.percent(85) && have_it_read();
    let attempt = Attempt { world, user, pushed: &keys.pushed[kind], own: Some(&keys.own[kind]), is_read };
    let observed = attempt.observe();
    let mut faults = observed.contradictions();
    faults.extend(refused_settings(world, observed.report()));
    if maker.changes.is_empty() && observed.forecast() != "works" {
        faults.push(format!("doctor does not know a sound machine\n{}", observed.summary()));
    }
    if faults.is_empty() {
        let before = observed.summary();
        faults = attempt.mend(&observed, have_it_read);
        faults.extend((!faults.is_empty()).then_some(before));
    }
    let changes = maker.changes.join("\n  ");
    let read = if is_read { "" } else { ", which the running sshd has not read" };
    let told = format!(
        "seed {seed}: {user}, {} key{read}\n  {changes}\n{}",
        ["ed25519", "rsa"][kind],
        faults.join("\n")
    );
    sound.restore(world);
    (observed.forecast().to_owned(), (!faults.is_empty()).then_some(told))
}

/// Makes lists of revoked keys: a list of another key, the beginning of it, lines, lines that sshd cannot read, and a
/// list of the pushed ed25519 key.
fn revoke(world: &World, keys: &Keys) {
    let folder = Path::new("/etc/ssh");
    let list = |name: &str, key: &Key| {
        let public = key.file().with_extension("pub");
        fs::write(&public, key.line() + "\n").unwrap();
        run(&format!("ssh-keygen -q -k -f {} {}", folder.join(name).display(), public.display()));
    };
    let other = Key::ed25519(world, "revoked");
    list("revoked-list", &other);
    list("revoked-pushed", &keys.pushed[0]);
    let whole = fs::read(folder.join("revoked-list")).unwrap();
    fs::write(folder.join("revoked-cut"), &whole[..whole.len() - 8]).unwrap();
    fs::write(folder.join("revoked-lines"), format!("# revoked\n{}\n", other.line())).unwrap();
    fs::write(folder.join("revoked-text"), "none yet\n").unwrap();
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number, not {text}")))
}

/// The machines of one part of the seeds.
fn part(part: u64, test: &str) {
    let from = number("EIC_MACHINES_FROM", 1);
    let seeds = (from..from + number("EIC_MACHINES", PARTS)).filter(|seed| seed % PARTS == part);
    on_an_instance_for("86400", test, Config::default(), |world| {
        // A private home for root.
        run(&format!(
            "mkdir -p {0}/.ssh && chmod 700 {0} && sed -i 's,^\\(root:.*\\):/root:,\\1:{0}:,' /etc/passwd && echo {GROUP}:x:60900: >>/etc/group",
            world.path("home").join("root").display()
        ));
        let (_sshd, _log) = (enabled(world), Syslog::bind());
        let keys = Keys::new(world);
        for file in ["revoked", "ca.pub"] {
            fs::write(Path::new("/etc/ssh").join(file), "").unwrap();
        }
        revoke(world, &keys);
        let sound = Sound::new(world);
        let progress =
            env::var("EIC_MACHINES_PROGRESS").ok().map(|folder| Path::new(&folder).join(part.to_string()));
        if let Some(file) = &progress {
            fs::write(file, format!("{from}\n")).unwrap();
        }
        let (mut found, mut verdicts) = (Vec::new(), BTreeMap::<String, usize>::new());
        for seed in seeds {
            let (verdict, contradictions) = compare(world, &keys, &sound, seed);
            found.extend(contradictions);
            *verdicts.entry(verdict).or_default() += 1;
            if let Some(file) = &progress {
                fs::write(file, format!("{}\n", seed + PARTS)).unwrap();
                let counts: Vec<_> =
                    verdicts.iter().map(|(verdict, count)| format!("{verdict} {count}\n")).collect();
                fs::write(file.with_extension("verdicts"), counts.concat()).unwrap();
            }
        }
        assert!(found.is_empty(), "{} machines\n{}", found.len(), found.join("\n"));
    });
}

#[test]
fn commands_agree_with_logins_on_the_first_part_of_random_machines() {
    part(0, test_path!());
}

#[test]
fn commands_agree_with_logins_on_the_second_part_of_random_machines() {
    part(1, test_path!());
}

#[test]
fn commands_agree_with_logins_on_the_third_part_of_random_machines() {
    part(2, test_path!());
}

#[test]
fn commands_agree_with_logins_on_the_fourth_part_of_random_machines() {
    part(3, test_path!());
}
