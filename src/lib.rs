//! eic-agent
pub mod evidence;
pub mod identity;
pub mod reason;
pub mod text;
pub mod time;
pub mod verification;
pub mod decision;
pub mod instance;
pub mod output;
pub mod trust_store;
