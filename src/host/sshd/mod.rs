//! The sshd of this machine: its effective configuration, its files, and the agent's lines in them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`server`] | sshd itself, run with `-t` and `-T` |
//! | [`keyword`] | the keywords, which ignore case |
//! | [`offer`] | settings that this sshd accepts, for advice |
//! | [`command`] | the words of an `AuthorizedKeysCommand`, and the program's owner |
//! | [`listener`] | the running server, and the options on its command line |
//! | [`host_keys`] | this host's public keys |
//! | [`last_read`] | whether the running server has read the files as they are now |
//! | [`sockets`] | the ports at which a process listens |
//! | [`environment`] | which variables sshd permits in sessions, and the record of that |
//! | [`session`] | what sshd does with sessions, and the record of that |
//! | [`record`] | the files of these records |
//! | [`pattern_list`] | sshd's pattern lists |
//! | [`trace`] | the files and folders that sshd reads |
//! | [`sources`], with `reading` and `globs` | the file and line of each setting |
//! | [`grammar`] | the lines that every release parses alike |
//! | [`block`] | the agent's lines in a file: insert, remove |
//! | [`place`] | a file held by descriptors, so that the checked file is the one read and replaced |
//! | [`replace`] | atomic replacement of files |
//! | [`release`] | the installed OpenSSH release |
//! | [`tokens`] | the tokens of sshd's commands |
//! | [`units`] | systemd units: reload; restart only for a socket |

pub mod block;
pub mod command;
pub mod environment;
mod globs;
pub mod grammar;
pub mod host_keys;
pub mod keyword;
pub mod last_read;
pub mod listener;
pub mod offer;
pub mod pattern_list;
pub mod place;
mod printed;
pub mod process;
mod reading;
pub mod record;
pub mod release;
pub mod replace;
pub mod server;
pub mod session;
pub mod sockets;
pub mod sources;
pub mod tokens;
pub mod trace;
pub mod units;
