//! IAM policies of users and roles: who may push a key or open a tunnel (IAM User Guide, "Policy evaluation logic").
//!
//! The module is pure. It evaluates identity-based policies. AWS has more kinds, such as service control policies.

mod condition;
mod document;
mod keys;
mod network;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use self::condition::Condition;
use self::pattern::Pattern;

/// A policy of a user or role.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    is_deny: bool,
    /// Whether the element is `NotAction`, and its values.
    actions: (bool, Vec<Pattern>),
    /// Whether the element is `NotResource`, and its values.
    resources: (bool, Vec<Pattern>),
    conditions: Vec<Condition>,
}

/// The condition keys of a request with their values. The case of a key has no meaning.
#[derive(Clone, Debug, Default)]
pub struct Context(BTreeMap<String, String>);

/// The answer of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows the request, and none denies it.
    Allowed,
    /// No statement allows the request.
    NotAllowed,
    /// A statement denies the request.
    Denied,
}

impl Policy {
    /// Reads the JSON of a policy. The error names the place of an element, operator or condition key that the emulator
    /// does not evaluate.
    pub fn parse(text: &str) -> Result<Self, String> {
        document::parse(text)
    }

    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let failed = |fault: String| io::Error::other(format!("policy {}: {fault}", path.display()));
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        // One byte more than the limit, so that the parser sees that the file is longer.
        let limit = u64::try_from(document::LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }
}

impl Context {
    /// Sets a key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_lowercase(), value.to_owned());
        self
    }

    /// The value of a key in lower case.
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// Decides whether the owner of these policies may use an operation. `resource` is an ARN, or `*` for an operation that
/// has no resource.
pub fn decide<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: &str,
    resource: &str,
    context: &Context,
) -> Decision {
    let mut decision = Decision::NotAllowed;
    for statement in policies.into_iter().flat_map(|policy| &policy.statements) {
        let fits = statement.has_action(action)
            && statement.has_resource(resource, context)
            && statement.holds(context);
        match (fits, statement.is_deny) {
            (true, true) => return Decision::Denied,
            (true, false) => decision = Decision::Allowed,
            (false, _) => {}
        }
    }
    decision
}
