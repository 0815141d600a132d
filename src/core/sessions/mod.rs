//! Reads logins from the log and joins its lines to sessions.
//!
//! ```text
//! line -> event and its writer -> join -> report
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | [`event`] | the events that lines report |
//! | [`message`] | parsers for messages of sshd, PAM and the agent |
//! | [`writer`], [`programs`] | the writer of a journal entry; only this code decides which lines are trusted |
//! | [`journal`], `raw` | entries of `journalctl -o json` |
//! | [`text_log`], `header` | lines of `auth.log` and `secure`, which any user can forge |
//! | [`losses`] | reports in the log about lost lines |
//! | [`join`], `keys`, `ends` | from events to sessions, unused keys and refusals |
//! | [`joined`], [`running`] | the joined sessions, and the processes that still run |
//! | [`stream`], [`streaming`] | the join as a stream of events |
//! | [`export`] | exports: lines and their ids, and the state |
//! | [`question`] | the filters of a query |
//! | [`report`], [`shown`], `warnings`, [`render`] | the report as a JSON document, as text and as CSV |
//!
//! This module does no I/O. The caller passes in the lines, the clock and the processes that run now.
//!
//! A principal is only as trustworthy as the process that wrote the line. [`writer::TrustedPush`] proves that the
//! agent's user wrote the line: journald got the user id from the kernel. [`journal::Journal`] makes one from a line:
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
//! fn named(_: &TrustedPush) -> PushClaim { PushClaim::default() }
//! ```
//!
//! ```compile_fail,E0451
//! use eic_core::sessions::{event::PushClaim, writer::TrustedPush};
//! let forged = TrustedPush { claim: PushClaim::default() };
//! ```
//!
//! ```compile_fail,E0277
//! fn conjure<T: Default>() -> T { T::default() }
//! let forged: eic_core::sessions::writer::TrustedPush = conjure();
//! ```
//!
//! Only an entry of the journal makes a [`writer::Writer`]:
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
//! A line of sshd or logind can only be attested by the fields of its entry:
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
//! A push that is shown as verified is made from those types only. It cannot be made from a text:
//!
//! ```
//! fn named(_: &eic_core::sessions::shown::ShownPush) {}
//! ```
//!
//! ```compile_fail,E0451
//! let forged = eic_core::sessions::shown::ShownPush {
//!     principal: None, account: None, request_id: None, verified: true, rule: None, options: None, recorder: None,
//! };
//! ```

mod claim;
mod ends;
pub mod event;
pub mod export;
mod header;
pub mod join;
pub mod joined;
pub mod journal;
mod keys;
mod log;
mod logins;
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
pub mod stream;
pub mod streaming;
pub mod text_log;
mod wanted;
mod warnings;
pub mod writer;

#[cfg(test)]
mod tests;

/// Longest line that is parsed, in bytes. journalctl omits a field of more than 4,096 bytes (journalctl(1), `--all`),
/// and an entry has about thirty fields.
pub const MAX_LINE: usize = 64 * 1024;

/// Maximum number of sessions in a report, and of unused keys. With names of usual length, 100,000 sessions take 130
/// MiB.
pub(crate) const MAX_ROWS: usize = 100_000;
