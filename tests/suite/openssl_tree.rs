//! The agent as sshd runs it, with no options: the real metadata address, the system's trust store, the machine's own
//! identity. openssl and ssh-keygen have just made all the evidence.
//!
//! The test needs its own namespaces (`tests/fixtures/instance`), so that it does not change the network and the
//! trust store of this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs, io};

use crate::fixtures::{Scratch, flipped_digit, path};

const USER: &str = "ec2-user";
const NAMESPACES: [&str; 4] = ["--net", "--mount", "--pid", "--fork"];

/// A machine that looks like an EC2 instance from inside.
struct Instance {
    scratch: Scratch,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

#[derive(Debug, PartialEq, Eq)]
struct Login {
    status: i32,
    keys: String,
}

impl Instance {
    /// Returns `None` and prints a note if this machine cannot create an instance. With `CI=true`, this is a failure.
    fn start() -> Option<Self> {
        let unshare = match unshare() {
            Ok(unshare) => unshare,
            Err(why) => {
                let _ = writeln!(io::stderr(), "NOT RUN: {} cannot be tested here: {why}", module_path!());
                assert_ne!(env::var("CI").as_deref(), Ok("true"), "every test must run under CI=true: {why}");
                return None;
            }
        };
        let scratch = Scratch::new();
        let made = Command::new(path("generate")).arg("--tree").arg(scratch.join("")).status().unwrap();
        assert!(made.success(), "tests/fixtures/generate --tree: {made}");

        let mut child = Command::new("unshare")
            .args(unshare)
            .arg(path("instance"))
            .arg(scratch.join(""))
            .arg(env!("CARGO_BIN_EXE_eic-agent"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut instance = Self { scratch, child, commands, answers };
        assert_eq!(instance.answer(), "ready");
        Some(instance)
    }

    /// Replaces the distribution's bundle with the root of the openssl tree.
    fn trust(&mut self) {
        assert_eq!(self.ask("trust"), "0", "no CA bundle of this machine could be covered");
    }

    fn run(&mut self, arguments: &str) -> Login {
        let status = self.ask(&format!("run {arguments}")).parse().unwrap();
        Login { status, keys: fs::read_to_string(self.scratch.join("stdout")).unwrap() }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The pushed key, as sshd must get it.
    fn pushed_key(&self) -> String {
        fs::read_to_string(self.scratch.join("key.pub")).unwrap()
    }

    fn fingerprint(&self) -> String {
        fs::read_to_string(self.scratch.join("fingerprint")).unwrap().trim_end().to_owned()
    }

    fn item(&self, name: &str) -> PathBuf {
        self.scratch.join("tree/latest/meta-data").join(name)
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<String> {
        let log = self.scratch.join("requests");
        let text = fs::read_to_string(&log).unwrap();
        // The server opens the file for appending, so it can be emptied here.
        fs::write(log, "").unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The script ends at the end of its input, and with it the namespaces and the server inside.
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// The options of `unshare` that work here: as root, or as root of a user namespace.
fn unshare() -> Result<Vec<&'static str>, String> {
    for tool in ["ip", "mount", "python3", "openssl", "ssh-keygen"] {
        let found = Command::new("sh").args(["-c", "command -v \"$0\"", tool]).stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!("{tool} is not installed"));
        }
    }
    let mut last = String::new();
    for as_root in [&[][..], &["--map-root-user"][..]] {
        let options = [as_root, &NAMESPACES].concat();
        // The script needs these permissions, in addition to the namespaces themselves.
        let trial =
            "mount -t tmpfs tmpfs /sys && ip link set lo up && ip address add 169.254.169.254/32 dev lo";
        match Command::new("unshare").args(&options).args(["sh", "-c", trial]).output() {
            Ok(output) if output.status.success() => return Ok(options),
            Ok(output) => last = String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => last = format!("unshare: {error}"),
        }
    }
    Err(last)
}

#[test]
fn run_without_options_prints_the_pushed_key_and_nothing_for_one_flipped_bit() {
    let Some(mut instance) = Instance::start() else { return };
    let nothing = Login { status: 1, keys: String::new() };
    let fingerprint = instance.fingerprint();
    let offered = format!("{USER} {fingerprint}");

    // The distribution's own roots do not trust this signer, so the agent really uses the trust store.
    assert_eq!(instance.run(&offered), nothing);
    instance.trust();

    let key = Login { status: 0, keys: instance.pushed_key() };
    instance.requests();
    assert_eq!(instance.run(&offered), key);
    let requests = instance.requests();
    assert!(requests.len() <= 8, "{requests:#?}");
    assert_eq!(instance.run(USER), key, "without a fingerprint");

    let none = Login { status: 0, keys: String::new() };
    assert_eq!(instance.run(&format!("{USER} SHA256:{}", "A".repeat(43))), none, "another key was offered");
    instance.requests();
    assert_eq!(instance.run("another-user"), none, "nothing was pushed for this user");
    let requests = instance.requests();
    assert_eq!(requests.len(), 2, "{requests:#?}");

    flip_everything(&mut instance, &offered, &key);
}

/// Flips a bit in every seventh byte of each item, and in every byte of the signed text of the keys.
fn flip_everything(instance: &mut Instance, offered: &str, key: &Login) {
    let keys = format!("managed-ssh-keys/active-keys/{USER}");
    let mut items = vec![keys.clone(), "managed-ssh-keys/signer-cert".to_owned()];
    for staple in fs::read_dir(instance.item("managed-ssh-keys/signer-ocsp")).unwrap() {
        items.push(format!("managed-ssh-keys/signer-ocsp/{}", staple.unwrap().file_name().to_str().unwrap()));
    }
    assert_eq!(items.len(), 4, "two staples");

    let mut flips = 0;
    for item in items {
        let file = instance.item(&item);
        let good = fs::read(&file).unwrap();
        let signed_text = if item == keys { end_of_key_line(&good) } else { 0 };
        for position in 0..good.len() {
            let mut bad = good.clone();
            if position < signed_text {
                bad[position] ^= 1 << (position % 8);
            } else if position % 7 == 0 && !is_framing(&good, position) {
                bad[position] = flipped_digit(good[position], position).unwrap();
            } else {
                continue;
            }
            fs::write(&file, bad).unwrap();
            let login = instance.run(offered);
            assert_eq!(login.keys, "", "byte {position} of {item}");
            assert!(matches!(login.status, 0 | 1), "byte {position} of {item}: status {}", login.status);
            flips += 1;
        }
        fs::write(&file, good).unwrap();
        assert_eq!(instance.run(offered), *key, "{item} is whole again");
    }
    assert!(flips > 700, "only {flips} places were flipped");
}

/// The `#` lines and the key line are signed as text. The rest of each item is base64.
fn end_of_key_line(bundle: &[u8]) -> usize {
    let text = std::str::from_utf8(bundle).unwrap();
    let key = text.find("ssh-ed25519").unwrap();
    key + text[key..].find('\n').unwrap() + 1
}

/// Labels, line breaks and padding are not signed.
fn is_framing(item: &[u8], position: usize) -> bool {
    let start = item[..position].iter().rposition(|&byte| byte == b'\n').map_or(0, |found| found + 1);
    item[start] == b'-'
        || flipped_digit(item[position], position).is_none()
        || item.get(position + 1) == Some(&b'=')
}
