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
//! | [`journal`] | entries of `journalctl -o json`; the only place where a principal comes to be trusted |
//! | [`text_log`] | lines of `auth.log` and `secure`, which anybody may have written |
//! | [`join`], `keys` | events to sessions, keys that nobody used, and refusals |
//! | [`found`], [`running`] | what came of that, and what of it goes on now |
//! | [`question`] | what is asked of it |
//! | [`report`], `warnings`, [`render`] | what is shown of it, as a document, as text and as CSV |
//!
//! None of it does I/O: lines, the clock and what the machine runs now are passed in.
//!
//! A principal is the word of whoever wrote the line. [`journal::TrustedPush`] is the word of the agent, by the user
//! id that journald had from the kernel, and has no other constructor:
//!
//! ```compile_fail,E0451
//! use eic_agent::sessions::{event::Claim, journal::TrustedPush};
//! let forged = TrustedPush { claim: Claim { principal: None, request_id: None } };
//! ```
//!
//! nor is there another way to say who wrote an entry, or to have one without saying:
//!
//! ```compile_fail,E0451
//! let forged = eic_agent::sessions::journal::Writer { uid: 0 };
//! ```
//!
//! ```compile_fail,E0277
//! fn conjure<T: Default>() -> T { T::default() }
//! let forged: eic_agent::sessions::journal::TrustedPush = conjure();
//! ```
//!
//! What is shown as verified is made of that type alone, and a text cannot be turned into it:
//!
//! ```compile_fail,E0451
//! let forged = eic_agent::sessions::report::ShownPush {
//!     principal: None, account: None, request_id: None, verified: true,
//! };
//! ```

pub mod event;
pub mod found;
pub mod join;
pub mod journal;
mod keys;
pub mod message;
pub mod question;
pub mod render;
pub mod report;
pub mod running;
pub mod text_log;
mod warnings;

#[cfg(test)]
mod tests;

/// Longest line that is looked at, in bytes. An entry of the journal of which one field is longer than 4,096 bytes
/// comes without that field (journalctl(1), `--all`), and has some thirty fields.
pub const MAX_LINE: usize = 64 * 1024;

/// Most sessions that a report holds, and most keys that nobody used. With usual names, a hundred thousand sessions take
/// 130 MiB.
pub const MAX_ROWS: usize = 100_000;
