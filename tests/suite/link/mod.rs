//! The metadata service at the other end of a link with latency, loss and reordering. The kernel may have no `netem`, so a
//! program relays the packets between two TUN devices.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::Config;

use crate::world::{
    BOB, Key, SOON, TIMES, UNHURRIED, World, installed, on_an_instance_for, test_path, until,
};

const USER: &str = "ec2-user";

/// The link, and the namespace at its other end. The metadata service is at this end.
struct Link {
    relay: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Link {
    fn new() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/link/link.py");
        let mut relay = Command::new(installed("python3"))
            .arg("-B")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = relay.stdin.take().unwrap();
        let answers = BufReader::new(relay.stdout.take().unwrap());
        let mut link = Self { relay, input, answers };
        assert_eq!(link.answer(), "ready\n", "the relay needs ip and /dev/net/tun");
        link
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    /// Sets the latency in milliseconds, and the probabilities that a packet is lost on its way to the service and back.
    fn set(&mut self, latency: u32, lost_out: f64, lost_back: f64) {
        writeln!(self.input, "{latency} {lost_out} {lost_back}").unwrap();
        assert_eq!(self.answer(), "set\n");
    }

    /// The command, at the other end of the link.
    fn beyond(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net=/proc/{}/ns/net", self.relay.id()));
        entered.arg(command.get_program()).args(command.get_args());
        entered.stdin(Stdio::null());
        entered
    }

    /// Logs in at the other end, and offers these keys in this order.
    fn ssh(&self, keys: &[&Key]) -> Output {
        let mut ssh = World::ssh_command(keys);
        ssh.arg(format!("{USER}@127.0.0.1")).arg("id -un");
        self.beyond(&ssh).output().unwrap()
    }

    fn logs_in(&self, keys: &[&Key]) -> bool {
        let output = self.ssh(keys);
        output.status.success() && output.stdout == format!("{USER}\n").as_bytes()
    }

    /// Starts sshd at the other end, with these options of the agent. The key is in the user's own file.
    fn sshd(&self, world: &World, options: &str, ordinary: &Key) -> Stopped {
        let host = world.path("etc/host");
        if !host.exists() {
            Key::ed25519(world, "host");
        }
        let config = world.path("etc/sshd_config");
        let agent = world.agent();
        let lines = format!(
            "ListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\nLoginGraceTime 600\n\
             AuthorizedKeysCommand {} authorized-keys {options} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
            host.display(),
            agent.display()
        );
        fs::write(&config, lines).unwrap();
        world.authorize(USER, ordinary);
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-f"]).arg(&config);
        let running = Stopped(self.beyond(&sshd).spawn().unwrap());
        until("sshd listens at the other end of the link", || self.logs_in(&[ordinary]));
        running
    }

    /// Runs the agent at the other end, as sshd does.
    fn run(&self, world: &World, seconds: u64) -> (Output, Duration) {
        let mut agent = Command::new("setpriv");
        let uid = world.uid("eic-agent").to_string();
        agent.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]).arg(world.agent());
        agent.args(["authorized-keys", "--timeout", &seconds.to_string(), USER]);
        let started = Instant::now();
        let output = self.beyond(&agent).output().unwrap();
        (output, started.elapsed())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
    }
}

/// A process that ends when this is dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pushed_key_logs_in_although_the_link_to_metadata_is_slow_and_loses_packets() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let mut link = Link::new();
        let [pushed, ordinary] = ["pushed", "ordinary"].map(|name| Key::ed25519(world, name));
        let _sshd = link.sshd(world, UNHURRIED, &ordinary);
        for (latency, loss) in [(20, 0.0), (20, 0.01), (20, 0.05), (80, 0.05)] {
            link.set(latency, loss, loss);
            world.emulator.clear_keys();
            world.emulator.take_requests();
            world.emulator.push(USER, &pushed.line(), BOB);
            for round in 0..3 {
                let login = link.ssh(&[&pushed]);
                assert!(login.status.success(), "{latency} ms, loss {loss}, login {round}: {login:?}");
            }
            let requests = world.emulator.take_requests().len();
            // Two runs for each login, and at least two requests for each run: the link was really used.
            assert!(requests >= 12, "{latency} ms, loss {loss}: {requests}");
            assert!(link.logs_in(&[&ordinary]), "{latency} ms, loss {loss}");
        }
        let (run, took) = link.run(world, 60);
        assert!(took >= Duration::from_millis(80 * 4), "{took:?}: the link was not slow: {run:?}");
    });
}

#[test]
fn time_limit_holds_and_ordinary_keys_log_in_if_the_link_loses_every_packet() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let mut link = Link::new();
        let [pushed, ordinary] = ["pushed", "ordinary"].map(|name| Key::ed25519(world, name));
        let _sshd = link.sshd(world, "", &ordinary);
        world.emulator.push(USER, &pushed.line(), BOB);
        for (name, lost_out, lost_back) in
            [("both directions", 1.0, 1.0), ("requests", 1.0, 0.0), ("answers", 0.0, 1.0)]
        {
            link.set(20, lost_out, lost_back);
            // A busy machine may end a run with a short limit by its alarm.
            let mut last = (TIMES[0], link.run(world, TIMES[0]));
            for seconds in &TIMES[1..] {
                if last.1.0.status.code() == Some(1) {
                    break;
                }
                last = (*seconds, link.run(world, *seconds));
            }
            let (seconds, (run, took)) = last;
            let notes = String::from_utf8_lossy(&run.stderr);
            assert!(took < Duration::from_secs(seconds) + SOON, "{name}: {took:?}");
            assert_eq!((run.status.code(), run.stdout.as_slice()), (Some(1), &b""[..]), "{name}: {notes}");
            let reasons = ["metadata-unreachable", "metadata-timeout"];
            assert!(reasons.iter().any(|reason| notes.contains(reason)), "{name}: {notes}");
            assert!(link.logs_in(&[&ordinary]), "{name}: an ordinary key");
            assert!(link.logs_in(&[&pushed, &ordinary]), "{name}: an ordinary key after a pushed one");
        }
        // The link works again, and so does the pushed key.
        link.set(0, 0.0, 0.0);
        until("the pushed key logs in", || link.logs_in(&[&pushed]));
    });
}
