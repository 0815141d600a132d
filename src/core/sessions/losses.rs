//! What the log itself says is missing in it.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::moment::Moment;
use super::raw::Raw;
use crate::text::{MAX_SHOWN, printable};

/// `_TRANSPORT` of what journald itself writes (systemd.journal-fields(7)). No other process can set that field.
pub(super) const JOURNALD: &str = "driver";

/// systemd, sd-messages.h: `SD_MESSAGE_JOURNAL_START`, `_STOP` and `_DROPPED`. Two other messages do not
/// matter here: kernel messages that journald missed (`_MISSED`), and lines that it could not forward to syslog
/// (`SD_MESSAGE_FORWARD_SYSLOG_MISSED`). Neither means that the journal lacks a line about a login.
const STARTED: &str = "f77379a8490b408bbe5f6940505a777b";
const STOPPED: &str = "d93fb3c9c24d451a97cea615ce59c00b";
const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";

/// What journald is asked for beside the lines of logins: matches of journalctl, any of which will do.
pub const MATCHES: [&str; 3] = [
    "MESSAGE_ID=f77379a8490b408bbe5f6940505a777b",
    "MESSAGE_ID=d93fb3c9c24d451a97cea615ce59c00b",
    "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e",
];

/// If journald is away for at most this long, as during an upgrade, its sockets keep what is written. In microseconds.
const KEPT: u64 = 5_000_000;

/// Most units that are named.
const MAX_UNITS: usize = 20;

/// A statement of the log about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogGap {
    /// A rate limit: lines of this unit were dropped.
    Suppressed {
        /// The unit, printable; empty if the line does not tell.
        unit: String,
        /// How many lines.
        count: u64,
    },
    /// A daemon that writes a text log has lost lines.
    Dropped {
        /// How many lines.
        count: u64,
    },
    /// journald ended.
    Stopped,
    /// journald began.
    Started,
}

/// What an entry that journald itself wrote says of losses.
pub(super) fn of_journald(raw: &Raw<'_>) -> Option<LogGap> {
    match raw.message_id.text()? {
        STARTED => Some(LogGap::Started),
        STOPPED => Some(LogGap::Stopped),
        DROPPED => {
            // `Suppressed 34 messages from ssh.service`; up to systemd 235 the number is there alone, and the unit as the
            // path of its control group.
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

/// What a line of a text log says of losses: journald's line about what it could not forward, and rsyslog's.
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

/// How often, how much, from when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapCount {
    /// How many lines; for a time without journald, how many such times.
    pub count: u64,
    /// The first word of it.
    pub first: Moment,
    /// The last word of it.
    pub last: Moment,
}

impl GapCount {
    fn add(so_far: Option<Self>, count: u64, at: Moment) -> Self {
        let before = so_far.unwrap_or(Self { count: 0, first: at, last: at });
        Self { count: before.count.saturating_add(count), first: before.first, last: at }
    }
}

/// All that a log says is missing in it.
#[derive(Debug, Default)]
pub struct LogGaps {
    /// Lines that a rate limit dropped, by unit; an empty name stands for units that the log does not name, and for
    /// those that are too many.
    pub suppressed: BTreeMap<String, GapCount>,
    /// Lines that a daemon of a text log has lost.
    pub dropped: Option<GapCount>,
    /// Times without journald that its sockets may not have bridged.
    pub away: Option<GapCount>,
    /// The longest of them in microseconds; none where journald never came back, or ended without a word.
    pub longest: u64,
    stopped: Option<Moment>,
    is_started: bool,
}

impl LogGaps {
    /// Whether the log says nothing of the kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.suppressed.is_empty() && self.dropped.is_none() && self.away.is_none()
    }

    /// The next word. `counts` is whether it is in the requested time, `is_late` whether sshd or the agent have
    /// written in this run of the machine: before that, no line of theirs can be missing.
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
                // One that starts again and has not said that it stopped was killed.
                let is_killed = stopped.is_none() && self.is_started && is_late;
                if counts && (is_killed || away.is_some_and(|away| away > KEPT)) {
                    self.away = Some(GapCount::add(self.away, 1, at));
                    self.longest = self.longest.max(away.unwrap_or_default());
                }
                self.is_started = true;
            }
        }
    }

    /// The machine was started again.
    pub(super) fn restart(&mut self) {
        self.stopped = None;
        self.is_started = false;
    }

    /// The log is at its end, and this run of the machine goes on.
    pub(super) fn end(&mut self, counts: impl FnOnce(Moment) -> bool) {
        if let Some(stopped) = self.stopped.take().filter(|stopped| counts(*stopped)) {
            self.away = Some(GapCount::add(self.away, 1, stopped));
        }
    }
}

/// Units of which there is one for each connection or login, as one.
fn group(unit: &str) -> String {
    if let Some((template, _)) = unit.strip_suffix(".service").and_then(|service| service.split_once('@')) {
        return format!("{template}@*.service");
    }
    if unit.strip_prefix("session-").is_some_and(|rest| rest.strip_suffix(".scope").is_some()) {
        return "session-*.scope".to_owned();
    }
    unit.to_owned()
}
