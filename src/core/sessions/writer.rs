//! The writer of a journal entry, from the fields that journald gets from the kernel (systemd.journal-fields(7),
//! "Trusted Journal Fields").
//!
//! A user id of 0 is weak proof. A setuid program that prints its caller's text writes as root, on a socket that the
//! caller connected. So a line of sshd or logind counts only if `_EXE` names that program, in a unit (`_SYSTEMD_UNIT`)
//! in which no user can start a process.
//!
//! journald reads both fields from `/proc` after the line has arrived. If the process has ended by then, the fields are
//! missing. The line is then *unattributed*: it is neither believed nor disbelieved.

use alloc::string::String;

use super::claim::PushClaim;
use super::programs::{Program, Programs, Unit};

/// Proof that the expected program, or the agent's user, wrote an entry. Only [`Writer`] and [`AgentUser`] make one,
/// from the fields of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attested {
    _private: (),
}

/// What is known about the writer of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// The expected program wrote the line, or the agent's user.
    Attested(Attested),
    /// Root wrote the line, but it is unknown whether the expected program did so.
    Unattributed,
    /// A process with a user's id wrote the line. It is sshd's process for a session of that user, or the user forged
    /// the line: a process can write to the log and then run sshd's program.
    User,
    /// Unknown: the line is from a text log, in which any user can write.
    Text,
}

impl Attribution {
    /// How far a line is trusted, if it contradicts another line. A higher number is more trusted.
    pub(super) const fn trust(self) -> u8 {
        match self {
            Self::Attested(_) => 2,
            Self::Unattributed => 1,
            Self::User | Self::Text => 0,
        }
    }
}

/// Another program or user wrote a line in the name of sshd, logind or the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// The writer of an entry. Only the fields of an entry make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    uid: u32,
    program: Program,
    unit: Unit,
}

impl Writer {
    pub(super) fn new(uid: u32, program: Option<&str>, unit: Option<&str>, programs: &Programs) -> Self {
        Self { uid, program: Program::of(program, programs), unit: Unit::of(unit) }
    }

    pub(super) const fn uid(self) -> u32 {
        self.uid
    }

    pub(super) const fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Checks the writer of sshd's line about a login.
    pub(super) const fn login(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Sshd, matches!(self.unit, Unit::Sshd))
    }

    /// Checks the writer of PAM's line about a session. PAM runs in sshd's process, and may have moved it to the
    /// session's scope.
    pub(super) const fn session(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Sshd, matches!(self.unit, Unit::Sshd | Unit::Session))
    }

    /// Checks the writer of logind's line about the end of a session.
    pub(super) const fn logind(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Logind, matches!(self.unit, Unit::Logind))
    }

    /// Checks the writer of a line of an agent that still is root. sshd runs the agent in sshd's own unit.
    pub(super) const fn agent(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Agent, matches!(self.unit, Unit::Sshd))
    }

    /// Checks the writer of sshd's line about the end of a connection. After the login, sshd's process has the user's
    /// id.
    pub(super) const fn connection(self) -> Result<Attribution, Forged> {
        match self.program {
            _ if self.is_root() => self.session(),
            Program::Sshd | Program::Missing => Ok(Attribution::User),
            Program::Logind | Program::Agent | Program::Other => Err(Forged),
        }
    }

    const fn attribute(self, expected: Program, is_its_unit: bool) -> Result<Attribution, Forged> {
        if !self.is_root() {
            return Err(Forged);
        }
        match (expected, self.program) {
            (Program::Sshd, Program::Sshd)
            | (Program::Logind, Program::Logind)
            | (Program::Agent, Program::Agent)
                if is_its_unit =>
            {
                Ok(Attribution::Attested(Attested { _private: () }))
            }
            (_, Program::Missing)
            | (Program::Sshd, Program::Sshd)
            | (Program::Logind, Program::Logind)
            | (Program::Agent, Program::Agent) => Ok(Attribution::Unattributed),
            _ => Err(Forged),
        }
    }
}

/// The user that the agent runs as. It is never root: the agent gives up root's privileges before it can give sshd a
/// key.
///
/// The agent's program (`_EXE`) is not checked. The agent ends within milliseconds, so journald often cannot read it.
/// And a process with the agent's user id could run the agent's program right after it wrote a line. Only root can
/// start a process with that user id. The exception is a provider that the agent runs under that id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentUser {
    uid: u32,
}

impl AgentUser {
    /// Makes an agent user from its id. `None` for root.
    #[must_use]
    pub const fn new(uid: u32) -> Option<Self> {
        if uid == 0 { None } else { Some(Self { uid }) }
    }

    const fn wrote(self, writer: Writer) -> bool {
        self.uid == writer.uid
    }

    /// An attestation if the agent's user wrote the entry.
    pub(super) fn attests(self, writer: Writer) -> Option<Attribution> {
        self.wrote(writer).then_some(Attribution::Attested(Attested { _private: () }))
    }
}

/// The claims of a push, with proof that the agent's user wrote them. journald got that user's id from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrustedPush {
    claim: PushClaim,
}

impl TrustedPush {
    /// The only constructor. `None` if another user wrote the entry.
    pub(super) fn of(writer: Writer, agent: AgentUser, claim: PushClaim) -> Option<Self> {
        agent.wrote(writer).then_some(Self { claim })
    }

    /// Another push that the same entry names.
    pub(super) fn of_request(self, id: String) -> Self {
        Self { claim: PushClaim { request_id: Some(id), ..self.claim } }
    }

    /// The claims that the agent logged.
    #[must_use]
    pub(crate) const fn claim(&self) -> &PushClaim {
        &self.claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSHD_UNIT: Option<&str> = Some("ssh.service");

    fn root(program: &str, unit: &str) -> Writer {
        Writer::new(0, Some(program), Some(unit), &Programs::default())
    }

    #[test]
    fn programs_of_the_distributions_are_known() {
        for path in [
            "/usr/sbin/sshd",
            "/usr/bin/sshd",
            "/usr/lib/openssh/sshd-session",
            "/usr/lib/openssh/sshd-auth",
            "/usr/libexec/openssh/sshd-session",
            "/usr/lib/ssh/sshd-session",
            "/usr/libexec/ssh/sshd-session",
            "/usr/sbin/sshd (deleted)",
        ] {
            assert!(matches!(root(path, "sshd.service").login(), Ok(Attribution::Attested(_))), "{path}");
        }
        for path in [
            "/usr/bin/sudo",
            "/home/u/usr/sbin/sshd",
            "/usr/sbin/sshd ",
            "/usr/sbin/sshd (deleted) (deleted)",
            "/usr/sbin/sshd-keygen",
            "sshd",
            "/usr/local/sbin/sshd",
            "/usr/lib/systemd/systemd-logind",
        ] {
            assert_eq!(root(path, "sshd.service").login(), Err(Forged), "{path}");
        }
        let local = Programs::with(["/usr/local/sbin/sshd".to_owned()]);
        let writer = Writer::new(0, Some("/usr/local/sbin/sshd"), SSHD_UNIT, &local);
        assert!(matches!(writer.login(), Ok(Attribution::Attested(_))));
    }

    #[test]
    fn login_from_a_unit_of_users_is_not_attested() {
        for (unit, login, session) in [
            ("ssh.service", true, true),
            ("sshd.service", true, true),
            ("ssh@3-192.0.2.1:22-192.0.2.9:4000.service", true, true),
            ("sshd@3.service", true, true),
            ("session-3.scope", false, true),
            ("session-c1.scope", false, true),
            ("sshd-keygen.service", false, false),
            ("sshd-keygen@rsa.service", false, false),
            ("user@1000.service", false, false),
            ("cron.service", false, false),
            ("session-.scope", false, false),
            ("ssh.scope", false, false),
            ("", false, false),
        ] {
            let writer = root("/usr/sbin/sshd", unit);
            let is_attested = |source| matches!(source, Ok(Attribution::Attested(_)));
            assert_eq!(
                (is_attested(writer.login()), is_attested(writer.session())),
                (login, session),
                "{unit}"
            );
            assert_ne!(writer.login(), Err(Forged), "{unit}: its own program wrote it");
        }
    }

    #[test]
    fn logind_must_be_root_in_its_own_unit() {
        for path in ["/usr/lib/systemd/systemd-logind", "/lib/systemd/systemd-logind"] {
            assert!(
                matches!(root(path, "systemd-logind.service").logind(), Ok(Attribution::Attested(_))),
                "{path}"
            );
            assert_eq!(root(path, "session-3.scope").logind(), Ok(Attribution::Unattributed));
        }
        assert_eq!(root("/usr/bin/sudo", "systemd-logind.service").logind(), Err(Forged));
    }

    #[test]
    fn a_line_without_program_is_unattributed_only_if_root_wrote_it() {
        let by = |uid| Writer::new(uid, None, SSHD_UNIT, &Programs::default());
        assert_eq!(
            (by(0).login(), by(0).logind()),
            (Ok(Attribution::Unattributed), Ok(Attribution::Unattributed))
        );
        assert_eq!((by(1000).login(), by(1000).session()), (Err(Forged), Err(Forged)));
    }
}
