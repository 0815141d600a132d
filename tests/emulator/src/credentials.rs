//! The credentials with which clients sign tunnels.

use crate::sigv4::Credential;

/// The secret of every access key of an emulator without configured credentials: the example of AWS's documentation.
pub const DEFAULT_SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The session token of every temporary access key of such an emulator.
pub const DEFAULT_SESSION_TOKEN: &str = "EXAMPLE/SessionToken+0123456789==";

/// The credential of an access key and a session token.
pub(crate) fn find(known: &[Credential], access_key: &str, token: Option<&str>) -> Option<Credential> {
    if !known.is_empty() {
        let mut known = known.iter();
        return known
            .find(|one| one.access_key == access_key && one.session_token.as_deref() == token)
            .cloned();
    }
    let is_temporary = access_key.starts_with("ASIA");
    let expected = is_temporary.then_some(DEFAULT_SESSION_TOKEN);
    (token == expected).then(|| Credential {
        access_key: access_key.to_owned(),
        secret_key: DEFAULT_SECRET_KEY.to_owned(),
        session_token: expected.map(str::to_owned),
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_and_token_belong_together() {
        assert!(find(&[], "AKIAEXAMPLEALICE", None).is_some());
        assert!(find(&[], "AKIAEXAMPLEALICE", Some(DEFAULT_SESSION_TOKEN)).is_none());
        assert!(find(&[], "ASIAEXAMPLE", None).is_none());
        assert!(find(&[], "ASIAEXAMPLE", Some("other")).is_none());
        let temporary = find(&[], "ASIAEXAMPLE", Some(DEFAULT_SESSION_TOKEN)).unwrap();
        let known = [temporary.clone()];
        assert_eq!(find(&known, "ASIAEXAMPLE", Some(DEFAULT_SESSION_TOKEN)), Some(temporary));
        assert!(find(&known, "ASIAEXAMPLE", None).is_none());
        assert!(find(&known, "AKIAEXAMPLEALICE", None).is_none());
    }
}
