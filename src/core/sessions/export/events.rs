//! From the events of the log to lines.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::super::event::{Moment, Push};
use super::super::joined::{End, HandedOverKey, Session, Why};
use super::super::keys::LOGIN;
use super::super::log::{Kind, Origin};
use super::super::logins::LATE;
use super::super::shown::{ShownKey, ShownSession};
use super::super::stream::RefusedLine;
use super::event::{Head, ShownRefusedLine, UnusedKey, claims, id_of, text_of};
use super::state::Waiting;
use super::{Export, waiting};

/// Maximum number of waiting events, and of their bytes.
const MAX_WAITING: usize = 40_000;
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// An event on its way to a line.
struct Found<'a> {
    id: String,
    kind: &'static str,
    scope: &'a str,
    at: Moment,
    pid: Option<u32>,
    origin: Origin,
    /// What the line says that can change. `None`: there is nothing to say yet.
    says: Option<String>,
    is_final: bool,
}

/// What an export says about a session whose process is gone.
const GONE: &str = "unknown process-gone false";

/// The parts of a session that can change.
fn says(state: &str, why: Option<&str>, is_final: bool, pushes: usize) -> String {
    match why {
        Some("process-gone") if !is_final => GONE.to_string(),
        why => format!("{state} {} {is_final} {pushes}", why.unwrap_or_default()),
    }
}

impl Export {
    pub(super) fn session(&mut self, session: &Session, scope: &str, is_at_end: bool) {
        let shown = ShownSession::of(session, self.about.now);
        let fingerprint = shown.fingerprint.as_deref().unwrap_or_default();
        let login = [&*shown.user, &*shown.method, &*shown.address, fingerprint];
        let numbers = format!("{}:{}", session.login.port, session.login.pid);
        let [user, method, address, key] = login.map(str::as_bytes);
        let parts = [user, method, address, key, numbers.as_bytes()];
        let id = self.id("session", scope, session.start, session.origin, &parts);
        let was_gone = self.waited.get(&id).is_some_and(|waited| waited.told.as_deref() == Some(GONE));
        let is_over = match session.end {
            End::Closed(_) | End::Unknown(Why::Restart | Why::PidReused, _) => true,
            // The line about the end may still be on its way to the log.
            End::Unknown(Why::ProcessGone, _) => was_gone,
            End::Unknown(Why::NoEnd, _) => !is_at_end,
            End::Open => false,
        };
        let has_key = !session.pushes.is_empty() || self.is_past(session.start, scope, LATE);
        let is_final = is_over && has_key;
        let is_listed = self.about.all || !session.pushes.is_empty();
        // The line about its key may still be on its way to the log. The next export knows.
        let is_early = is_over && !has_key && self.number.is_some();
        let says =
            (is_listed && !is_early).then(|| says(shown.state, shown.why, is_final, session.pushes.len()));
        let found = Found {
            id,
            kind: "session",
            scope,
            at: session.start,
            pid: Some(session.login.pid),
            origin: session.origin,
            says,
            // Without its push, a session that is not listed need not wait any more.
            is_final: is_final || (!is_listed && has_key && session.pushes.is_empty()),
        };
        self.tell(found, &shown);
    }

    pub(super) fn key(&mut self, key: &HandedOverKey, scope: &str, is_settled: bool) {
        let user = key.user.as_deref().unwrap_or_default();
        let [principal, request_id] = claims(Some(&key.push));
        // sshd asks for a key twice, and the log may begin between the two lines. The agent has proven the id of the
        // request, which no other push has. So the id of the event does not need the moment.
        let is_named = matches!(&*key.push, Push::Trusted(_)) && !request_id.is_empty();
        let at = if is_named { Moment { wall: 0, monotonic: None } } else { key.at };
        let parts = [user, key.key.as_str(), &principal, &request_id].map(str::as_bytes);
        let id = self.id("unused", scope, at, key.origin, &parts);
        if key.used {
            self.waited.remove(&id);
            return;
        }
        let is_full = self.waiting.len() >= MAX_WAITING;
        let is_final = is_settled || is_full || self.is_past(key.last, scope, LOGIN);
        let says = is_final.then(|| "unused".to_string());
        let (at, origin) = (key.last, key.origin);
        let found = Found { id, kind: "unused", scope, at, pid: None, origin, says, is_final };
        self.tell(found, &UnusedKey::from(ShownKey::of(key)));
    }

    pub(super) fn refusal(&mut self, line: &RefusedLine, scope: &str) {
        let [principal, request_id] = claims(line.push.as_ref());
        let (reason, user) =
            (line.reason.as_deref().unwrap_or_default(), line.user.as_deref().unwrap_or_default());
        let count = line.count.to_string();
        let parts = [reason, user, &principal, &request_id, &count].map(str::as_bytes);
        let id = self.id("refusal", scope, line.at, line.origin, &parts);
        if self.is_old(&id, line.origin) {
            self.remember_again(id, scope, line.at);
            return;
        }
        let body = ShownRefusedLine::of(line);
        let text = text_of(&self.head("refusal", &id, scope, true), &body);
        self.write("refusal", &text);
        self.remember(id, scope, line.at);
    }

    /// The id of an event in a line at this moment. In a text log, the line itself identifies it.
    fn id(&self, kind: &str, scope: &str, at: Moment, origin: Origin, parts: &[&[u8]]) -> String {
        let mut all = Vec::from([kind.as_bytes()]);
        let firmware = self.about.firmware.as_deref().unwrap_or_default();
        let stamp = format!("{}:{}", at.wall, at.monotonic.unwrap_or_default());
        match self.about.kind {
            Kind::Journal => all.extend([scope.as_bytes(), stamp.as_bytes()]),
            Kind::Text => all.extend([firmware.as_bytes(), &origin.digest]),
        }
        // One line can be about several pushes.
        all.extend_from_slice(parts);
        id_of(&all)
    }

    /// Writes the line if it is new or has changed, and lets it wait if it can change.
    fn tell(&mut self, found: Found<'_>, body: &impl Serialize) {
        let waited = self.waited.remove(&found.id);
        if waited.is_none() && self.is_old(&found.id, found.origin) {
            self.remember_again(found.id, found.scope, found.at);
            return;
        }
        let told = waited.as_ref().and_then(|waited| waited.told.clone());
        let is_news = found.says.is_some() && found.says != told;
        if !is_news && (found.is_final || self.number.is_none()) {
            return;
        }
        let head = self.head(found.kind, &found.id, found.scope, found.is_final);
        let mut text = text_of(&head, body);
        // The log may have lost the line about the key since the last export.
        if let Some(better) = waited.as_ref().and_then(|waited| waiting::restored(waited, &text)) {
            text = better;
        }
        if is_news {
            self.write(found.kind, &text);
            self.remember(found.id.clone(), found.scope, found.at);
        }
        if !found.is_final {
            let Moment { wall, monotonic } = found.at;
            let (scope, told) = (found.scope.to_string(), found.says.or(told));
            let waiting = Waiting { scope, wall, monotonic, pid: found.pid, told, event: text };
            self.wait(found.id, waiting);
        }
    }

    /// Whether an earlier export has the event.
    fn is_old(&self, id: &str, origin: Origin) -> bool {
        origin.is_old || self.before.as_ref().is_some_and(|before| before.recent.contains(id))
    }

    /// Two exports can follow each other within the time that the marks leave out.
    fn remember_again(&mut self, id: String, scope: &str, at: Moment) {
        if self.before.as_ref().is_some_and(|before| before.recent.contains(&id)) {
            self.remember(id, scope, at);
        }
    }

    fn remember(&mut self, id: String, scope: &str, at: Moment) {
        if self.number.is_some() && self.about.kind == Kind::Journal && self.is_recent(scope, at) {
            self.recent.insert(id);
        }
    }

    pub(super) fn wait(&mut self, id: String, waiting: Waiting) {
        if self.number.is_none() {
            return;
        }
        let bytes = self.waiting_bytes.saturating_add(waiting.event.len());
        if bytes > MAX_WAITING_BYTES || self.waiting.len() >= MAX_WAITING {
            self.given_up = self.given_up.saturating_add(1);
            return;
        }
        self.waiting_bytes = bytes;
        self.waiting.insert(id, waiting);
    }

    fn head<'a>(&'a self, kind: &'static str, id: &'a str, scope: &'a str, is_final: bool) -> Head<'a> {
        let mut head = Head::of(&self.about.facts, &self.exported_at);
        (head.kind, head.id, head.is_final) = (kind, id, is_final);
        head.export_state = self.before.as_ref().map(|before| before.id.as_str());
        head.export_number = self.number;
        match self.about.kind {
            Kind::Journal => head.boot_id = Some(scope),
            Kind::Text => (head.host_name, head.boot_id) = (Some(scope), None),
        }
        head
    }

    pub(super) fn write(&mut self, kind: &str, text: &str) {
        let place = ["session", "unused", "refusal"].iter().position(|known| *known == kind);
        if let Some(count) = place.and_then(|place| self.counts.get_mut(place)) {
            *count = count.saturating_add(1);
        }
        self.lines.push_str(text);
        self.lines.push('\n');
    }
}
