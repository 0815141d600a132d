//! The whole of the agent, from outside.

mod fixtures;
mod logins;
mod metadata;
mod openssl_tree;
mod reference_cases;
mod world;
