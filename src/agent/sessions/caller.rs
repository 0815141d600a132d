//! Who pushed the key of the login that a process belongs to.

use std::fmt;
use std::path::PathBuf;

use eic_core::audit_line::IDENT;
use eic_core::sessions::shown::{ShownPush, ShownSession};
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_core::time::Timestamp;
use serde::Serialize;

use super::build::build_report;
use super::login_of::{Found, login_of};
use crate::cli::SessionsArgs;

/// The answer. Under the same `schema_version`, fields may be added, but no field changes its meaning.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Caller {
    pub(crate) schema_version: u32,
    /// `environment` or `log`.
    pub(crate) source: &'static str,
    /// Whether the log proves it: see `sessions`.
    pub(crate) verified: bool,
    /// In the form of the source: the environment has bytes that are not in ARNs as `%XX`.
    pub(crate) principal: Option<String>,
    pub(crate) request_ids: Vec<String>,
    pub(crate) account: Option<String>,
    /// Login name, client and time of the login. Only from the log.
    pub(crate) login: Option<String>,
    /// Why it is not verified.
    pub(crate) reason: Option<String>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &str| writeln!(f, "{name:<10} {}", one_line(value));
        let ids = (!self.request_ids.is_empty()).then(|| self.request_ids.join(", "));
        let shown = [
            ("principal", &self.principal),
            ("request-id", &ids),
            ("account", &self.account),
            ("login", &self.login),
        ];
        for (name, value) in shown {
            value.iter().try_for_each(|value| row(name, value))?;
        }
        match &self.reason {
            None => row("source", &format!("{}, verified", self.source)),
            Some(why) => row("source", &format!("{}, not verified: {why}", self.source)),
        }
    }
}

/// Finds the login of a process by the kernel, and its caller by the log. The error says why it is not known. Gives root's
/// rights up.
pub(crate) fn caller_of(pid: u32, now: Timestamp) -> Result<Caller, String> {
    let login = login_of(pid)?;
    let arguments = SessionsArgs {
        since: None,
        until: None,
        user: None,
        principal: None,
        open: true,
        all: true,
        json: false,
        csv: false,
        jsonl: false,
        state: None,
        agent_user: IDENT.to_owned(),
        files: Vec::<PathBuf>::new(),
    };
    let report = build_report(&arguments, now).map_err(|error| error.to_string())?;
    // While the log was read, another process may have got one of the ids.
    if !login.is_same(pid) {
        return Err(format!("the process {pid} or its login has ended"));
    }
    let mut sessions = report.sessions.iter().filter(|session| session.sshd_pid == login.sshd);
    let session = match (sessions.next(), sessions.next()) {
        (Some(session), None) => session,
        (None, _) => return Err(format!("the log has no open login with the sshd process {}", login.sshd)),
        (Some(_), Some(_)) => {
            return Err(format!("the log has several open logins with the sshd process {}", login.sshd));
        }
    };
    let gap = report.warnings.first().map(|warning| format!("{}: {}", warning.id, warning.seen));
    let gap = (!report.complete).then(|| {
        format!("the log is incomplete: {}", gap.unwrap_or_else(|| "see eic-agent sessions".to_owned()))
    });
    answer(session, &login, gap)
}

fn answer(session: &ShownSession, login: &Found, gap: Option<String>) -> Result<Caller, String> {
    let Some((first, rest)) = session.pushes.split_first() else {
        return Err(format!("{} logged in without a pushed key ({})", session.user, session.method));
    };
    let (principal, _) = first.principal();
    if rest.iter().any(|push| push.principal().0 != principal) {
        return Err(
            "several principals pushed the key of this login; eic-agent sessions lists them".to_owned()
        );
    }
    let is_proven = session.pushes.iter().all(|push| push.principal().1);
    let reason = gap.or_else(|| {
        (!is_proven).then(|| "the log does not prove who wrote its lines about this login".to_owned())
    });
    let reason = reason.or_else(|| login.doubt.map(str::to_owned));
    Ok(Caller {
        schema_version: 1,
        source: "log",
        verified: reason.is_none(),
        principal: principal.map(str::to_owned),
        request_ids: session.pushes.iter().filter_map(ShownPush::request_id).map(str::to_owned).collect(),
        account: first.account().map(str::to_owned),
        login: Some(format!(
            "{} from {} port {} at {}, sshd pid {}",
            printable(&session.user, MAX_SHOWN),
            session.address,
            session.port,
            session.start,
            login.sshd
        )),
        reason,
    })
}
