//! Lost lines that the log itself reports.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::moment::Moment;
use super::raw::Raw;
use crate::text::{MAX_SHOWN, printable};

/// `_TRANSPORT` of journald's own messages (systemd.journal-fields(7)). No other process can set this field.
pub(super) const JOURNALD: &str = "driver";

/// Message ids of journald (systemd, sd-messages.h): `SD_MESSAGE_JOURNAL_START`, `_STOP` and `_DROPPED`.
///
/// Two other messages do not matter: missed kernel messages (`_MISSED`), and lines that journald could not forward to
/// syslog (`SD_MESSAGE_FORWARD_SYSLOG_MISSED`). The journal still contains all lines about logins.
const STARTED: &str = "f77379a8490b408bbe5f6940505a777b";
const STOPPED: &str = "d93fb3c9c24d451a97cea615ce59c00b";
const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";

/// Matches for journalctl that also select journald's own messages. One match is enough to select an entry.
pub const MATCHES: [&str; 3] = [
    "MESSAGE_ID=f77379a8490b408bbe5f6940505a777b",
    "MESSAGE_ID=d93fb3c9c24d451a97cea615ce59c00b",
    "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e",
];

/// Longest absence of journald without losses, in microseconds. During an upgrade, its sockets buffer the lines.
const KEPT: u64 = 5_000_000;

/// Maximum number of units that are listed.
const MAX_UNITS: usize = 20;

/// A report in the log about lost lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogGap {
    /// A rate limit dropped lines of this unit.
    Suppressed {
        /// The unit, printable. Empty if the line does not contain it.
        unit: String,
        /// The number of lines.
        count: u64,
    },
    /// A daemon that writes a text log lost lines.
    Dropped {
        /// The number of lines.
        count: u64,
    },
    /// journald stopped.
    Stopped,
    /// journald started.
    Started,
}

/// Parses an entry that journald itself wrote.
pub(super) fn of_journald(raw: &Raw<'_>) -> Option<LogGap> {
    match raw.message_id.text()? {
        STARTED => Some(LogGap::Started),
        STOPPED => Some(LogGap::Stopped),
        DROPPED => {
            // `Suppressed 34 messages from ssh.service`. Up to systemd 235, the message only has the number, and the
            // path of the unit's control group.
            let said = raw.message.text().and_then(|text| text.strip_prefix("Suppressed "));
            let said = said.and_then(|said| said.split_once(" messages from "));
            let number = said.and_then(|(number, _)| number.parse().ok());
            let path = raw.dropped_of.text().or(said.map(|(_, unit)| unit)).unwrap_or_default();
            Some(LogGap::Suppressed {
                unit: printable(path.rsplit('/').next().unwrap_or_default(), MAX_SHOWN),
                count: raw.dropped.number().or(number).unwrap_or(1),
            })
        }
        _ => None,
    }
}

/// Parses a text line of journald about lines that it could not forward, or of rsyslog about lines that it lost.
pub(super) fn of_text(ident: &str, message: &str) -> Option<LogGap> {
    let number = |text: &str| text.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap_or(1);
    let is_lost = match ident {
        // `Forwarding to syslog missed 9 messages.`; `Suppressed 9 messages from ssh.service`
        "systemd-journald" => {
            message.starts_with("Forwarding to syslog missed ") || message.starts_with("Suppressed ")
        }
        // `imuxsock[pid 9]: begin to drop messages due to rate-limiting`; `imjournal: 9 messages lost due to
        // rate-limiting (20000 allowed within 600 seconds)`; `imuxsock lost 9 messages from pid 7`
        "rsyslogd" => {
            (message.contains("imuxsock") || message.contains("imjournal") || message.contains("main Q"))
                && (message.contains("lost ") || message.contains("drop messages"))
        }
        _ => false,
    };
    is_lost.then(|| LogGap::Dropped { count: number(message) })
}

/// A sum of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapCount {
    /// The number of lost lines. For absences of journald, the number of absences.
    pub count: u64,
    /// The moment of the first report.
    pub first: Moment,
    /// The moment of the last report.
    pub last: Moment,
}

impl GapCount {
    fn add(so_far: Option<Self>, count: u64, at: Moment) -> Self {
        let before = so_far.unwrap_or(Self { count: 0, first: at, last: at });
        Self { count: before.count.saturating_add(count), first: before.first, last: at }
    }
}

/// All losses that the log reports.
#[derive(Debug, Default)]
pub struct LogGaps {
    /// Lines that a rate limit dropped, by unit. The empty name counts unnamed units, and units beyond the limit of the
    /// list.
    pub suppressed: BTreeMap<String, GapCount>,
    /// Lines that a daemon of a text log lost.
    pub dropped: Option<GapCount>,
    /// Absences of journald that may have been too long for the buffers of its sockets.
    pub away: Option<GapCount>,
    /// The longest absence in microseconds. 0 if journald did not come back or did not report that it stopped.
    pub longest: u64,
    stopped: Option<Moment>,
    is_started: bool,
}

impl LogGaps {
    /// Whether the log reports no losses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.suppressed.is_empty() && self.dropped.is_none() && self.away.is_none()
    }

    /// Adds the next report. `counts`: whether it is in the queried time. `is_late`: whether sshd, logind or the agent
    /// has already written in this run of the machine. Before that, there is no line to lose.
    pub(super) fn take(&mut self, loss: LogGap, at: Moment, counts: bool, is_late: bool) {
        match loss {
            LogGap::Suppressed { unit, count } if counts => {
                let name = group(&unit);
                let has_room = self.suppressed.len() < MAX_UNITS || self.suppressed.contains_key(&name);
                let name = if has_room { name } else { String::new() };
                let sum = GapCount::add(self.suppressed.get(&name).copied(), count, at);
                self.suppressed.insert(name, sum);
            }
            LogGap::Dropped { count } if counts => {
                self.dropped = Some(GapCount::add(self.dropped, count, at));
            }
            LogGap::Suppressed { .. } | LogGap::Dropped { .. } => {}
            LogGap::Stopped => self.stopped = is_late.then_some(at),
            LogGap::Started => {
                let stopped = self.stopped.take();
                let away = stopped.and_then(|stopped| stopped.until(at));
                // A second start without a stop means that journald was killed.
                let is_killed = stopped.is_none() && self.is_started && is_late;
                if counts && (is_killed || away.is_some_and(|away| away > KEPT)) {
                    self.away = Some(GapCount::add(self.away, 1, at));
                    self.longest = self.longest.max(away.unwrap_or_default());
                }
                self.is_started = true;
            }
        }
    }

    /// The machine restarted.
    pub(super) fn restart(&mut self) {
        self.stopped = None;
        self.is_started = false;
    }

    /// The log ends in the current run of the machine.
    pub(super) fn end(&mut self, counts: impl FnOnce(Moment) -> bool) {
        if let Some(stopped) = self.stopped.take().filter(|stopped| counts(*stopped)) {
            self.away = Some(GapCount::add(self.away, 1, stopped));
        }
    }
}

/// One name for all units of a template (one unit for each connection), and for all session scopes.
fn group(unit: &str) -> String {
    if let Some((template, _)) = unit.strip_suffix(".service").and_then(|service| service.split_once('@')) {
        return format!("{template}@*.service");
    }
    if unit.strip_prefix("session-").is_some_and(|rest| rest.strip_suffix(".scope").is_some()) {
        return "session-*.scope".to_owned();
    }
    unit.to_owned()
}
