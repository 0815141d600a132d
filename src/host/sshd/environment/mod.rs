//! What sshd permits of the `environment=` options of a key (`sshd_config(5)`, `PermitUserEnvironment`).
//!
//! | module | holds |
//! | --- | --- |
//! | [`record`] | what root learned, kept for runs that cannot ask sshd |
//! | [`source`] | the files and folders that sshd read it from, and whether they are still the same |

pub mod record;
pub mod source;

use eic_core::key_options::VARIABLES;

use super::pattern_list;

/// The value of `PermitUserEnvironment` in force. It is one value for all logins: sshd refuses the keyword inside a
/// `Match` (OpenSSH servconf.c, `SSHCFG_GLOBAL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittedVariables(String);

impl PermittedVariables {
    /// Of the value that sshd prints: `yes`, `no` or a list of patterns.
    #[must_use]
    pub fn of(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The value, in sshd's words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether sessions get every variable of [`VARIABLES`]. The words `yes` and `no` are lower case; in any other case
    /// they are patterns (OpenSSH servconf.c, `sPermitUserEnvironment`).
    #[must_use]
    pub fn has_ours(&self) -> bool {
        let is_permitted = |name: &str| match self.0.as_str() {
            "yes" => true,
            "no" => false,
            list => pattern_list::matches(list, name),
        };
        VARIABLES.into_iter().all(is_permitted)
    }
}

#[cfg(test)]
mod tests {
    use super::PermittedVariables;

    #[test]
    fn only_values_for_both_variables_permit() {
        for good in
            ["yes", "EIC_*", "LANG,EIC_*", "*", "EIC_PRINCIPAL,EIC_REQUEST_ID", "E*,LC_*", "EIC_????????*"]
        {
            assert!(PermittedVariables::of(good).has_ours(), "{good}");
        }
        for bad in ["no", "", "Yes", "EIC_PRINCIPAL", "EIC_REQUEST_ID", "LANG,LC_*", "EIC_*,!EIC_R*", "eic_*"]
        {
            assert!(!PermittedVariables::of(bad).has_ours(), "{bad}");
        }
    }
}
