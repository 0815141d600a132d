//! What a run costs: its time, and the most memory that it ever had in use.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::World;

/// Runs the rest as the user `$1`, with nothing in its environment. What is measured is the agent, not how long a busy
/// machine lets it queue for a core: it goes ahead of everybody where root may say so.
const AHEAD: &str = r#"
renice -n -15 -p $$ >/dev/null 2>&1 || true
uid=$1; shift
exec env -i setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
"#;

/// A run of the agent, measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// KiB.
    pub(crate) memory: u64,
    pub(crate) status: Option<i32>,
    pub(crate) keys: Vec<u8>,
    pub(crate) notes: String,
}

impl World {
    /// Runs the agent as root, as sshd would with these arguments.
    pub(crate) fn measure(&self, arguments: &[&str]) -> Measured {
        self.measure_as("root", arguments)
    }

    /// Runs the program that is its first argument as one of the instance's users, ahead of everybody else.
    pub(super) fn ahead(&self, user: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", AHEAD, "ahead", &self.uid(user).to_string()]);
        command
    }

    /// Runs it as one of the instance's users.
    pub(crate) fn measure_as(&self, user: &str, arguments: &[&str]) -> Measured {
        // GNU time is small itself, so that the most memory it tells of is the agent's; it counts from the agent's
        // own start, in hundredths of a second, cut off.
        let output = self
            .ahead(user)
            .args(["/usr/bin/time", "--quiet", "-f", "peak %M %e"])
            .arg(self.agent())
            .arg("authorized-keys")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let said = String::from_utf8(output.stderr).unwrap();
        let (notes, costs) =
            said.rsplit_once("peak ").expect("what GNU time says last; tests/setup installs it");
        let (peak, seconds) = costs.trim_end().split_once(' ').expect("two numbers");
        let took = Duration::from_secs_f64(seconds.parse().expect("seconds")) + Duration::from_millis(10);
        Measured {
            took,
            memory: peak.parse().expect("KiB"),
            status: output.status.code(),
            keys: output.stdout,
            notes: notes.to_owned(),
        }
    }
}
