//! Which variables sshd permits in the `environment=` options of a key (`sshd_config(5)`, `PermitUserEnvironment`).
//!
//! | module | holds |
//! | --- | --- |
//! | [`record`] | what root read from sshd, stored for runs that cannot query sshd |
//! | [`source`] | the files and folders of sshd's configuration, and whether they have changed |

pub mod record;
pub mod source;

use eic_core::key_options::VARIABLES;

use super::pattern_list;

/// The effective value of `PermitUserEnvironment`. It is the same for all logins, because sshd refuses the keyword
/// inside a `Match` (OpenSSH servconf.c, `SSHCFG_GLOBAL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittedVariables(String);

impl PermittedVariables {
    /// Takes the value as sshd prints it: `yes`, `no` or a list of patterns.
    #[must_use]
    pub fn of(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The value as sshd printed it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether sshd permits every variable of [`VARIABLES`] in sessions. Only the words `yes` and `no` in lower
    /// case have a special meaning. sshd treats `YES` as a pattern (OpenSSH servconf.c, `sPermitUserEnvironment`).
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
