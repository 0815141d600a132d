//! The filter for sessions, keys and refusals.

use super::event::{Moment, Push};
use super::joined::Session;

/// The filter of a query. The join drops events that do not pass it, to save memory.
pub trait Wanted {
    /// Whether a session passes. The join calls this when the session's `end` is final.
    fn session(&self, session: &Session) -> bool;
    /// Whether a session that passes is listed. Other sessions are only counted.
    fn lists(&self, session: &Session) -> bool;
    /// Whether `at` is not before the start of the queried time.
    fn covers(&self, at: Moment) -> bool;
    /// Whether the query is about this login name alone.
    fn names(&self, user: &str) -> bool;
    /// Whether a refusal or an unused key passes.
    fn moment(&self, at: Moment, user: Option<&str>, push: Option<&Push>) -> bool;
}
