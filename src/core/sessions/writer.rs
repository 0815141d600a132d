//! Who wrote an entry of the journal, by the fields that journald has from the kernel
//! (systemd.journal-fields(7), "Trusted Journal Fields").
//!
//! A user id of 0 proves little: a setuid program that repeats its caller's text writes as root on a socket that the
//! caller connected. So a line of sshd or logind counts only if `_EXE` names that program, in a unit (`_SYSTEMD_UNIT`)
//! that no user can start a process in. journald reads both from `/proc` after the line has arrived. Where the process
//! has ended by then, the fields are missing, and the line is *unattributed*: neither believed nor disbelieved.

use super::claim::PushClaim;
use super::programs::{Program, Programs, Unit};

/// Proof that the kernel's fields name, as the writer of an entry, the program in whose name it is, or the agent's
/// user. Only the two that look at those fields make one: [`Writer`], and [`AgentUser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attested {
    _private: (),
}

/// Who said what a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// That of the program in whose name it is.
    Attested(Attested),
    /// Root's, and journald could not tell by which program.
    Unattributed,
    /// Unknown: it is of a text log, where anybody can write.
    Text,
}

/// A line in the name of sshd or logind that another program or user wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// Who wrote an entry. Only an entry's fields make one.
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

    /// The user id.
    pub(super) const fn uid(self) -> u32 {
        self.uid
    }

    pub(super) const fn is_root(self) -> bool {
        self.uid == 0
    }

    /// As the writer of sshd's line about a login.
    pub(super) const fn login(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Sshd, matches!(self.unit, Unit::Sshd))
    }

    /// As the writer of PAM's line about a session, in sshd's process. PAM has moved it to the session by then.
    pub(super) const fn session(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Sshd, matches!(self.unit, Unit::Sshd | Unit::Session))
    }

    /// As the writer of logind's line that a session is gone.
    pub(super) const fn logind(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Logind, matches!(self.unit, Unit::Logind))
    }

    /// As an agent that still is root: sshd runs it, in its own unit.
    pub(super) const fn agent(self) -> Result<Attribution, Forged> {
        self.attribute(Program::Agent, matches!(self.unit, Unit::Sshd))
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

/// The user that the agent runs as. Nothing is believed of an agent that would be root: it gives root's rights up
/// before it can give a key.
///
/// The agent's program (`_EXE`) is not checked. It ends within milliseconds, so journald often cannot read it. And a
/// process with the agent's user id can run the agent's program right after it wrote. Without root, no user of
/// the machine gets a process with that id; a provider that runs under it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentUser {
    uid: u32,
}

impl AgentUser {
    /// The user with this id; none for root.
    #[must_use]
    pub const fn new(uid: u32) -> Option<Self> {
        if uid == 0 { None } else { Some(Self { uid }) }
    }

    const fn wrote(self, writer: Writer) -> bool {
        self.uid == writer.uid
    }

    /// Whether the agent's user wrote the entry.
    pub(super) fn attests(self, writer: Writer) -> Option<Attribution> {
        self.wrote(writer).then_some(Attribution::Attested(Attested { _private: () }))
    }
}

/// Who pushed a key, by the word of the agent: journald had from the kernel that the agent's user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrustedPush {
    claim: PushClaim,
}

impl TrustedPush {
    /// The only constructor. `None` where another user wrote it.
    pub(super) fn of(writer: Writer, agent: AgentUser, claim: PushClaim) -> Option<Self> {
        agent.wrote(writer).then_some(Self { claim })
    }

    /// What the agent said.
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
    fn a_unit_that_users_can_be_in_attests_no_login() {
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
    fn logind_is_root_in_its_own_unit() {
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
