//! Events that wait, and whose lines the log no longer has.

use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use super::super::event::Moment;
use super::super::keys::LOGIN;
use super::super::running::Running;
use super::super::shown::{SECOND, is_attributed, shown};
use super::super::stream::Stream;
use super::Export;
use super::state::Waiting;

/// The fields of a session that its end changes.
const CHANGING: [&str; 6] = ["state", "end", "why", "ended_by", "seconds", "end_attributed"];

/// The fields of a line that depend on the export.
const OF_EXPORT: [&str; 5] = ["final", "exported_at", "export_number", "export_state", "agent_version"];

/// The line of a session with the pushes that an earlier export knew. `None` if the new line has as many.
pub(super) fn restored(waited: &Waiting, text: &str) -> Option<String> {
    let mut event: Map<String, Value> = serde_json::from_str(&waited.event).ok()?;
    let known = event.get("pushes")?.as_array()?.len();
    let new: Value = serde_json::from_str(text).ok()?;
    if new.get("pushes")?.as_array()?.len() >= known {
        return None;
    }
    for name in CHANGING.iter().chain(&OF_EXPORT) {
        if let Some(value) = new.get(*name) {
            event.insert((*name).to_string(), value.clone());
        }
    }
    serde_json::to_string(&event).ok()
}

impl Export {
    /// Ends an event whose first line the log no longer has, or lets it wait on.
    pub(super) fn without_lines(
        &mut self,
        id: String,
        waited: Waiting,
        rest: &Stream,
        later: Option<&Running>,
    ) {
        let start = Moment { wall: waited.wall, monotonic: waited.monotonic };
        let Some(pid) = waited.pid else {
            if self.is_past(start, &waited.scope, LOGIN) {
                self.tell_again(&waited, "unused", &[], true);
            } else {
                self.wait(id, waited);
            }
            return;
        };
        let run = rest.scopes.iter().position(|scope| *scope == waited.scope);
        let run = run.and_then(|run| u32::try_from(run).ok());
        let mut ends = rest.lone_ends.iter().filter(|((of, sshd), ..)| Some(*of) == run && *sshd == pid);
        let end = ends.find_map(|(_, at, source)| start.until(*at).map(|lasted| (lasted, *at, *source)));
        if let Some((lasted, at, source)) = end {
            let changed = [
                ("state", "closed".into()),
                ("end", shown(at).into()),
                ("why", Value::Null),
                ("ended_by", Value::Null),
                ("seconds", (lasted / SECOND).into()),
                ("end_attributed", is_attributed(source).into()),
            ];
            self.tell_again(&waited, "session", &changed, true);
            return;
        }
        let is_here = later.is_some_and(|later| {
            (waited.scope == later.boot || later.is_host(&waited.scope)) && later.has_process(pid, start)
        });
        if is_here {
            self.wait(id, waited);
            return;
        }
        let is_this_boot = later.is_some_and(|later| waited.scope == later.boot);
        let why = match later {
            None => "no-end",
            Some(_) if waited.monotonic.is_some() && !is_this_boot => "restart",
            Some(_) => "process-gone",
        };
        let changed = [("state", "unknown".into()), ("why", why.into()), ("seconds", Value::Null)];
        self.tell_again(&waited, "session", &changed, true);
    }

    fn tell_again(
        &mut self,
        waited: &Waiting,
        kind: &'static str,
        changed: &[(&str, Value)],
        is_final: bool,
    ) {
        // A session that was not written because it had no pushed key stays out.
        let is_told = waited.told.is_some() || kind == "unused";
        if !is_told {
            return;
        }
        let Ok(mut event) = serde_json::from_str::<Map<String, Value>>(&waited.event) else { return };
        for (name, value) in changed {
            event.insert((*name).to_string(), value.clone());
        }
        event.insert("final".to_string(), is_final.into());
        event.insert("exported_at".to_string(), self.exported_at.clone().into());
        event.insert("export_number".to_string(), self.number.into());
        event.insert("agent_version".to_string(), env!("CARGO_PKG_VERSION").into());
        let text = serde_json::to_string(&event).unwrap_or_default();
        self.write(kind, &text);
    }
}
