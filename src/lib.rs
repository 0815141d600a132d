//! `eic-agent` hands sshd the SSH keys that EC2 Instance Connect pushed to this instance, after proving
//! each one.
//!
//! # The house
//!
//! What sshd runs is one straight walk, and data goes one way:
//!
//! ```text
//! argv -> commands -> imds -> evidence -> verification -> decision -> output + audit
//!         (resolve)  (fetch)  (parse,     (prove)        (judge)     (print, log)
//!                             untrusted)
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`cli`] | the command line, and the names that the program may be called by |
//! | [`commands`] | one file a subcommand: the only place where steps are put in order |
//! | [`config`] | the settings file and the command line to resolved settings |
//! | [`identity`], [`fingerprint`], [`time`], [`reason`], [`text`] | names, instants and reasons; foreign text made printable |
//! | [`instance`] | is this machine an EC2 instance, and which |
//! | [`imds`] | the metadata session: token, bounded requests, deadline, retries |
//! | [`trust_store`] | the files that the roots are read from |
//! | [`evidence`] | bytes to parsed, untrusted values |
//! | [`verification`] | untrusted values to proof types |
//! | [`policy`] | this instance's own rules over proven keys |
//! | [`decision`] | evidence, expectations and an instant to accepted and refused keys |
//! | [`key_options`] | what stands before a key on its line |
//! | [`output`] | `authorized_keys` lines, from permitted keys only |
//! | [`providers`] | other providers asked beside us, each under a supervisor |
//! | [`privileges`], [`accounts`], [`ownership`], [`files`] | root's rights given up; users; sshd's rule for trusted files; reading without waiting |
//! | [`confinement`] | what a run cannot do any more once it looks at foreign bytes |
//! | [`audit`] | events for auditors and operators |
//! | [`sessions`] | the log's lines to who came in; a principal is trusted by its type |
//! | [`sshd`] | the machine's sshd: what it obeys, where that stands, our lines in its configuration |
//! | [`order`] | sorting, compiled once |
//! | [`process`] | other programs of the system, asked within a bound |
//! | [`capture`] | everything that metadata said, as one document |
//!
//! `evidence`, `verification`, `policy`, `decision` and `sessions` do no I/O: no file, network, environment, process,
//! thread, clock or log. They take bytes and an instant and return values, so all of them are tested without a machine.
//!
//! Nothing of ours reaches sshd but a [`policy::PermittedKey`]; only [`policy::Policy::permit`] can make one, of a
//! [`verification::VerifiedKey`], which only a [`verification::VerifiedSigner`] can make. The order of the checks is
//! thus kept by the compiler.
//!
//! # A run
//!
//! [`commands`] starts the providers, reads the settings, gives root's rights up, opens the trust store, confines the
//! process, and only then lets the straight walk above begin, on a thread that nobody waits for past the deadline: neither a peer that keeps the network code busy
//! nor a wait in the kernel can keep sshd waiting. What it found is logged and printed by the thread that waited, so
//! that nothing is logged as handed over that was not.
//!
//! # Threats
//!
//! Whoever can answer in place of the metadata service, or change its answers on the way, must not be able
//! to let anybody in: nothing that it says is believed without the signature of AWS's signer for the
//! region, for this very instance. The region is the one that the settings pin, and else the one that metadata tells. It can always keep pushed keys away; nobody can stop that from here.
//! Whoever may push keys must not get more than a login for a minute, nor keep others from theirs: entries
//! are judged one by one, and bounded. Any fault of ours costs EC2 Instance Connect's keys and nothing
//! else: sshd goes on to its other means, after no more than the deadline.
//!
//! Trusted are the kernel and its firmware tables, the trust store, the clock to within
//! [`verification::CLOCK_SKEW`] for staples, and root.

// Beyond what .clippy.toml grants tests: a test that stops half-way has failed, which is its purpose.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod accounts;
pub mod audit;
pub mod capture;
pub mod cli;
pub mod commands;
pub mod config;
pub mod confinement;
pub mod decision;
pub mod evidence;
pub mod files;
pub mod fingerprint;
pub mod identity;
pub mod imds;
pub mod instance;
pub mod key_options;
pub mod order;
pub mod output;
pub mod ownership;
pub mod policy;
pub mod privileges;
pub mod process;
pub mod providers;
pub mod reason;
pub mod sessions;
pub mod sshd;
pub mod text;
pub mod time;
pub mod trust_store;
pub mod verification;
