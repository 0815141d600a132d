//! The agent, tested as a whole program.

// A test fails by a panic. `.clippy.toml` allows these lints in tests, but not in the helpers that tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    // A function that changes the whole machine is a method of the private instance, so it cannot run outside one.
    clippy::unused_self
)]

mod api;
mod audit;
mod capture;
mod chain_syntax;
mod chaining;
mod clients;
mod confinement;
mod doctor;
mod documents;
mod environment;
mod explain;
mod failures;
mod faults;
mod fixtures;
mod foreign;
mod forge;
mod fuzz_corpus;
mod guide;
mod host_keys;
mod hostile;
mod keys;
mod keywords;
mod limits;
mod link;
mod load;
mod logins;
mod lost_staples;
mod machines;
mod memory;
mod metadata;
mod openssl_tree;
mod pins;
mod properties;
mod pushes;
mod reference_cases;
mod rules;
mod screens;
mod security;
mod session_wrapper;
mod sessions;
mod settings;
mod stuck;
mod tests_readme;
mod trust;
mod tunnel;
mod wiring;
mod world;
