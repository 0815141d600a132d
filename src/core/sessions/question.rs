//! The filters of a query.

use alloc::string::String;

use super::event::{Moment, Push};
use super::join::Wanted;
use super::joined::{End, Session};
use super::shown::SECOND;
use crate::policy::Glob;
use crate::time::Timestamp;

/// The filters of a query. A filter that is `None` or `false` does not restrict it. `all` is different: it extends the
/// query.
#[derive(Clone, Debug)]
pub struct Question {
    /// Omit sessions that ended before this instant, and keys and refusals from before it.
    pub since: Option<Timestamp>,
    /// Omit all that began after this instant.
    pub until: Option<Timestamp>,
    /// Only this login name.
    pub user: Option<String>,
    /// Only keys whose principal matches.
    pub principal: Option<Glob>,
    /// Only open sessions.
    pub open: bool,
    /// List logins without a pushed key too.
    pub all: bool,
}

impl Question {
    fn is_in_time(&self, from: Moment, to: Option<Moment>) -> bool {
        let is_over = |since: Timestamp| to.is_some_and(|to| to.wall / SECOND < since.as_unix());
        let is_later = |until: Timestamp| from.wall / SECOND > until.as_unix();
        !self.since.is_some_and(is_over) && !self.until.is_some_and(is_later)
    }

    fn fits(&self, push: &Push) -> bool {
        let principal = push.claim().principal.as_deref();
        self.principal.as_ref().is_none_or(|glob| principal.is_some_and(|arn| glob.matches(arn)))
    }

    fn is_user(&self, user: Option<&str>) -> bool {
        self.user.as_deref().is_none_or(|wanted| user == Some(wanted))
    }
}

impl Wanted for Question {
    fn session(&self, session: &Session) -> bool {
        let end = match session.end {
            End::Open => None,
            End::Closed(end) => Some(end),
            // The session may have ended before `not_after`, but it may also have been open until then. So it counts as
            // open until then.
            End::Unknown(_, not_after) => not_after,
        };
        let is_pushed = session.pushes.iter().any(|push| self.fits(push));
        self.is_in_time(session.start, end)
            && self.is_user(Some(&session.login.user))
            && (is_pushed || (session.pushes.is_empty() && self.principal.is_none()))
            && (!self.open || session.end == End::Open)
    }

    fn lists(&self, session: &Session) -> bool {
        self.all || !session.pushes.is_empty()
    }

    fn covers(&self, at: Moment) -> bool {
        // Do not check `until`: a later report of lost lines can be about lines from before `until`.
        self.since.is_none_or(|since| at.wall / SECOND >= since.as_unix())
    }

    fn names(&self, user: &str) -> bool {
        self.user.as_deref() == Some(user)
    }

    fn moment(&self, at: Moment, user: Option<&str>, push: Option<&Push>) -> bool {
        let is_theirs = self.principal.is_none() || push.is_some_and(|push| self.fits(push));
        self.is_in_time(at, Some(at)) && self.is_user(user) && is_theirs && !self.open
    }
}
