//! The parts of the ARN of a principal, `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (IAM User Guide, "IAM identifiers").

/// The account id.
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    (parts.next()? == "arn").then_some(())?;
    parts.nth(3).filter(|account| !account.is_empty())
}

/// The role and the session of `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION`. `None` for any other principal.
pub(crate) fn role_and_session_of(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    (parts.next()? == "arn" && !parts.next()?.is_empty() && parts.next()? == "sts").then_some(())?;
    let (role, session) = parts.nth(2)?.strip_prefix("assumed-role/")?.split_once('/')?;
    (!role.is_empty() && !session.is_empty() && !session.contains('/')).then_some((role, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_arns_only() {
        for (arn, account) in [
            ("arn:aws:sts::111111111111:assumed-role/Admin/alice", Some("111111111111")),
            ("arn:aws-cn:iam::333333333333:root", Some("333333333333")),
            ("arn:aws:iam::aws:role/x", Some("aws")),
            ("arn:aws:iam:::role/x", None),
            ("111111111111", None),
            ("xarn:aws:iam::111111111111:user/x", None),
            ("", None),
        ] {
            assert_eq!(account_of(arn), account, "{arn}");
        }
    }

    #[test]
    fn role_and_session_are_read_from_sessions_of_roles_only() {
        for (arn, parts) in [
            ("arn:aws:sts::111111111111:assumed-role/Admin/alice", Some(("Admin", "alice"))),
            ("arn:aws-cn:sts::1:assumed-role/A/a=b,c@d.e", Some(("A", "a=b,c@d.e"))),
            ("arn:aws:sts::1:assumed-role/A/a:b", Some(("A", "a:b"))),
            ("arn:aws:sts::1:assumed-role/A/b/c", None),
            ("arn:aws:sts::1:assumed-role/A/", None),
            ("arn:aws:sts::1:assumed-role//a", None),
            ("arn:aws:sts::1:assumed-role/A", None),
            ("arn:aws:iam::1:user/x:assumed-role/A/a", None),
            ("arn:aws:iam::1:assumed-role/A/a", None),
            ("arn:aws:sts::1:federated-user/bob", None),
            ("", None),
        ] {
            assert_eq!(role_and_session_of(arn), parts, "{arn}");
        }
    }
}
