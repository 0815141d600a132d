//! Who came in: the log's lines joined to sessions.
//!
//! ```text
//! line -> event, by a reader that knows who wrote it -> join -> report
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | [`event`] | what a line tells |
//! | [`message`] | the words of sshd, PAM and the agent |
//! | [`writer`], [`programs`] | who wrote an entry of the journal; the only place where a line or a principal comes to be trusted |
//! | [`journal`], `raw` | entries of `journalctl -o json` |
//! | [`text_log`], `header` | lines of `auth.log` and `secure`, which anybody may have written |
//! | [`losses`] | what the log says is missing in it |
//! | [`join`], `keys`, `ends` | events to sessions, keys that nobody used, and refusals |
//! | [`joined`], [`running`] | what came of that, and what of it goes on now |
//! | [`question`] | what is asked of it |
//! | [`report`], [`shown`], `warnings`, [`render`] | what is shown of it, as a document, as text and as CSV |
//!
//! None of it does I/O: lines, the clock and what the machine runs now are passed in.
//!
//! A principal is the word of the process that wrote the line. [`writer::TrustedPush`] is the word of the agent, by the
//! user id that journald had from the kernel. [`journal::Journal`] makes one, from a line:
//!
//! ```
//! use eic_core::sessions::{event::{Event, Push}, journal::Journal, programs::Programs,
//!     writer::AgentUser};
//! let line = r#"{"__REALTIME_TIMESTAMP":"1","__MONOTONIC_TIMESTAMP":"1","_UID":"990","_PID":"7",
//!     "_BOOT_ID":"c549ba29c241485f9f765481cf88c372","SYSLOG_IDENTIFIER":"eic-agent","EIC_EVENT":"provided",
//!     "EIC_USER":"u","EIC_SSHD_PID":"5","EIC_FINGERPRINT":"SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
//! let entry = Journal::new(AgentUser::new(990), Programs::default()).parse_line(line.as_bytes()).unwrap();
//! let Some(Event::Provided(handover)) = entry.event else { panic!() };
//! assert!(matches!(handover.push, Push::Trusted(_)));
//! ```
//!
//! There is no other constructor:
//!
//! ```
//! use eic_core::sessions::{event::PushClaim, writer::TrustedPush};
//! fn named(_: &TrustedPush) -> PushClaim { PushClaim { principal: None, request_id: None } }
//! ```
//!
//! ```compile_fail,E0451
//! use eic_core::sessions::{event::PushClaim, writer::TrustedPush};
//! let forged = TrustedPush { claim: PushClaim { principal: None, request_id: None } };
//! ```
//!
//! ```compile_fail,E0277
//! fn conjure<T: Default>() -> T { T::default() }
//! let forged: eic_core::sessions::writer::TrustedPush = conjure();
//! ```
//!
//! An entry says who wrote it, and nothing else does:
//!
//! ```
//! use eic_core::sessions::{programs::Programs, writer::Writer};
//! fn named(_: &Writer) -> Programs { Programs::default() }
//! ```
//!
//! ```compile_fail,E0624
//! use eic_core::sessions::{programs::Programs, writer::Writer};
//! let forged = Writer::new(0, Some("/usr/sbin/sshd"), Some("ssh.service"), &Programs::default());
//! ```
//!
//! A line of sshd or logind is attested by its entry alone:
//!
//! ```
//! use eic_core::sessions::writer::Attribution;
//! let honest = [Attribution::Unattributed, Attribution::Text];
//! fn named(_: &eic_core::sessions::writer::Attested) {}
//! ```
//!
//! ```compile_fail,E0451
//! use eic_core::sessions::writer::{Attested, Attribution};
//! let forged = Attribution::Attested(Attested { _private: () });
//! ```
//!
//! What is shown as verified is made of those types alone, and a text cannot be turned into it:
//!
//! ```
//! fn named(_: &eic_core::sessions::shown::ShownPush) {}
//! ```
//!
//! ```compile_fail,E0451
//! let forged = eic_core::sessions::shown::ShownPush {
//!     principal: None, account: None, request_id: None, verified: true,
//! };
//! ```

mod claim;
mod ends;
pub mod event;
mod header;
pub mod join;
pub mod joined;
pub mod journal;
mod keys;
mod log;
pub mod losses;
pub mod message;
mod moment;
pub mod programs;
pub mod question;
mod raw;
pub mod render;
pub mod report;
pub mod running;
pub mod shown;
pub mod text_log;
mod wanted;
mod warnings;
pub mod writer;

#[cfg(test)]
mod tests;

/// Longest line that is looked at, in bytes. An entry of the journal of which one field is longer than 4,096 bytes
/// comes without that field (journalctl(1), `--all`), and has some thirty fields.
pub const MAX_LINE: usize = 64 * 1024;

/// Most sessions that a report holds, and most keys that nobody used. With usual names, a hundred thousand sessions take
/// 130 MiB.
pub(crate) const MAX_ROWS: usize = 100_000;
