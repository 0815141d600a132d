//! The answers of PAM's modules.

/// A module's answer, by its name in `pam.conf(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Answer {
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
        }
    }
}
