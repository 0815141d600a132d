//! What each fuzz target does with its input, and what must hold whatever that is.

pub mod http;
pub mod slowest;
pub mod targets;
