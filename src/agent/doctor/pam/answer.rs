//! The answers of PAM's modules.

/// A module's answer, by its name in `pam.conf(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Answer {
    Success,
    Ignore,
    PermDenied,
    AuthErr,
    AuthinfoUnavail,
    UserUnknown,
    NewAuthtokReqd,
    AcctExpired,
    AuthtokExpired,
    ModuleUnknown,
    SessionErr,
    ServiceErr,
}

/// A step of a login that PAM has rules for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Account,
    Session,
}

impl Step {
    /// Its name in a rule.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Session => "session",
        }
    }

    /// The function of a module that libpam calls in this step (`libpam/pam_handlers.c`).
    pub(super) const fn function(self) -> &'static [u8] {
        match self {
            Self::Account => b"pam_sm_acct_mgmt",
            Self::Session => b"pam_sm_open_session",
        }
    }
}

impl Answer {
    /// All answers that an unknown module of the account step may give.
    pub(super) const ALL: [Self; 12] = [
        Self::Success,
        Self::Ignore,
        Self::PermDenied,
        Self::AuthErr,
        Self::AuthinfoUnavail,
        Self::UserUnknown,
        Self::NewAuthtokReqd,
        Self::AcctExpired,
        Self::AuthtokExpired,
        Self::ModuleUnknown,
        Self::SessionErr,
        Self::ServiceErr,
    ];

    /// The same without those about an old password, which only modules that check passwords give.
    pub(super) const ALL_BUT_PASSWORD: [Self; 9] = [
        Self::Success,
        Self::Ignore,
        Self::PermDenied,
        Self::AuthErr,
        Self::AuthinfoUnavail,
        Self::UserUnknown,
        Self::AcctExpired,
        Self::SessionErr,
        Self::ServiceErr,
    ];

    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Ignore => "ignore",
            Self::PermDenied => "perm_denied",
            Self::AuthErr => "auth_err",
            Self::AuthinfoUnavail => "authinfo_unavail",
            Self::UserUnknown => "user_unknown",
            Self::NewAuthtokReqd => "new_authtok_reqd",
            Self::AcctExpired => "acct_expired",
            Self::AuthtokExpired => "authtok_expired",
            Self::ModuleUnknown => "module_unknown",
            Self::SessionErr => "session_err",
            Self::ServiceErr => "service_err",
        }
    }
}
