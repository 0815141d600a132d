//! The whole of the agent, from outside.

// A test that stops half-way has failed, which is its purpose; .clippy.toml grants this to tests, but not to
// what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    // What touches the whole machine is a method of the private one, so that it cannot be called outside.
    clippy::unused_self
)]

mod audit;
mod capture;
mod chain_syntax;
mod chaining;
mod confinement;
mod doctor;
mod environment;
mod explain;
mod failures;
mod faults;
mod fixtures;
mod foreign;
mod forge;
mod fuzz_corpus;
mod hostile;
mod keys;
mod keywords;
mod load;
mod logins;
mod lost_staples;
mod metadata;
mod openssl_tree;
mod pins;
mod properties;
mod readme;
mod reference_cases;
mod security;
mod sessions;
mod settings;
mod stuck;
mod tests_readme;
mod trust;
mod wiring;
mod world;
