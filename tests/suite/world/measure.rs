//! The cost of a run: its time and its peak memory.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::World;

/// Runs the arguments after `$1` as the user with uid `$1` and an empty environment. On a busy machine, the measured
/// time must not include how long the agent waits for a processor. So the agent gets a higher priority, if the
/// machine lets root set it.
const AHEAD: &str = r#"
renice -n -15 -p $$ >/dev/null 2>&1 || true
uid=$1; shift
exec env -i setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
"#;

#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// Peak memory in KiB.
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

    /// A command that runs its first argument as one of the instance's users, with a higher priority.
    pub(super) fn ahead(&self, user: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", AHEAD, "ahead", &self.uid(user).to_string()]);
        command
    }

    /// Runs the agent as one of the instance's users.
    pub(crate) fn measure_as(&self, user: &str, arguments: &[&str]) -> Measured {
        // GNU time needs less memory than the agent, so the peak is the agent's. The time begins with the agent's
        // start. GNU time rounds it down to hundredths of a second.
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
            said.rsplit_once("peak ").expect("the line of GNU time, which tests/setup installs");
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
