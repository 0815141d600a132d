//! The principals of an emulator, and the credentials with which clients sign.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::Policy;
use crate::sigv4::Credential;

pub use file::{read_credential, read_credentials};

/// The secret of every access key of an emulator without principals: the example of AWS's documentation.
pub const DEFAULT_SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The session token of every temporary access key of such an emulator.
pub const DEFAULT_SESSION_TOKEN: &str = "EXAMPLE/SessionToken+0123456789==";

/// A user or a session of a role.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The name of its section in a credentials file.
    pub name: String,
    /// The credential.
    pub credential: Credential,
    /// The ARN.
    pub arn: String,
    /// The tags, for `aws:PrincipalTag/…`.
    pub tags: BTreeMap<String, String>,
    /// The policies, in addition to those of all principals. `None` means that there are none. Without any policy, a
    /// principal may do everything; an empty list allows nothing.
    pub policies: Option<Vec<Policy>>,
}

impl Principal {
    /// A principal without tags and policies.
    pub fn new(credential: Credential, arn: &str) -> Self {
        let (name, arn) = (credential.access_key.clone(), arn.to_owned());
        Self { name, credential, arn, tags: BTreeMap::new(), policies: None }
    }
}

/// Reads a tag: `KEY=VALUE`, with or without spaces.
pub fn read_tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err("expected KEY=VALUE".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The tags of one owner. Policies do not see the case of keys, so two keys with the same letters are an error.
pub fn unique_tags(list: Vec<(String, String)>) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for (key, value) in list {
        if !keys.insert(key.to_lowercase()) {
            return Err(format!("the key {key} occurs twice"));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}

/// The credential of an access key and a session token.
pub(crate) fn find(known: &[Principal], access_key: &str, token: Option<&str>) -> Option<Credential> {
    if !known.is_empty() {
        let mut known = known.iter().map(|principal| &principal.credential);
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
        let known = [Principal::new(temporary.clone(), "arn:aws:iam::123456789012:user/alice")];
        assert_eq!(find(&known, "ASIAEXAMPLE", Some(DEFAULT_SESSION_TOKEN)), Some(temporary));
        assert!(find(&known, "ASIAEXAMPLE", None).is_none());
        assert!(find(&known, "AKIAEXAMPLEALICE", None).is_none());
    }
}
