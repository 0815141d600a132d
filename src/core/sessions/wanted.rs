//! What is asked of the log.

use super::event::{Moment, Push};
use super::joined::Session;

/// What is asked of the log: what does not fit is forgotten at once.
pub trait Wanted {
    /// Whether a session that has ended, or will be looked at as it is, is asked for.
    fn session(&self, session: &Session) -> bool;
    /// Whether one that is asked for is listed, too, or only counted.
    fn lists(&self, session: &Session) -> bool;
    /// Whether a moment is not before the time that is asked for.
    fn covers(&self, at: Moment) -> bool;
    /// Whether a refusal, or a key that nobody used, is asked for.
    fn moment(&self, at: Moment, user: Option<&str>, push: Option<&Push>) -> bool;
}
