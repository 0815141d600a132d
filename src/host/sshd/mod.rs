//! The sshd of this machine: what it obeys, where that stands, and our own lines in its configuration.
//!
//! | module | holds |
//! | --- | --- |
//! | [`server`] | sshd itself, asked with `-t` and `-T` |
//! | [`keyword`] | the keywords, compared without case |
//! | [`offer`] | settings that this sshd accepts, for advice |
//! | [`command`] | the words of an `AuthorizedKeysCommand`, and whose it is |
//! | [`listener`] | the running server's own command line |
//! | [`environment`] | what it permits of a session's variables, and the record of that |
//! | [`pattern_list`] | its lists of patterns |
//! | [`trace`] | which files and folders sshd itself read |
//! | [`sources`], with `reading` and `globs` | which file and line says what |
//! | [`grammar`] | which lines every release reads in one way |
//! | [`block`] | our lines inside a file: put in, taken out |
//! | [`place`] | a file held by descriptors: what was checked is what is read and replaced |
//! | [`replace`] | files replaced at once or not at all |
//! | [`release`] | which OpenSSH is installed |
//! | [`tokens`] | the tokens of its commands |
//! | [`units`] | systemd's units: reloaded, restarted only for a socket |

pub mod block;
pub mod command;
pub mod environment;
mod globs;
pub mod grammar;
pub mod keyword;
pub mod listener;
pub mod offer;
pub mod pattern_list;
pub mod place;
mod printed;
pub mod process;
mod reading;
pub mod release;
pub mod replace;
pub mod server;
pub mod sources;
pub mod tokens;
pub mod trace;
pub mod units;
