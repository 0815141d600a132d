//! Reads the JSON of a policy (IAM User Guide, "Grammar of the IAM JSON policy language"). The emulator refuses what it
//! does not evaluate, with the place, so that a policy never has another meaning than on AWS.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::condition::Condition;
use super::keys::{ACTIONS, is_known};
use super::pattern::{Pattern, Syntax};
use super::{Context, Policy, Statement};

/// The longest policy, in bytes. IAM's longest policies have 10,240 characters without white space.
pub(super) const LONGEST: usize = 64 * 1024;
/// The most statements.
const STATEMENTS: usize = 100;

/// Reads a policy. The error names the place.
pub(super) fn parse(text: &str) -> Result<Policy, String> {
    if text.len() > LONGEST {
        return Err(format!("the policy is longer than {LONGEST} bytes"));
    }
    let document: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if let Some(name) = repeated_name(text) {
        return Err(format!("the name {name:?} occurs twice in one object"));
    }
    let document = object(&document, "the policy")?;
    let mut variables = false;
    let mut statements = None;
    for (name, value) in document {
        match (name.as_str(), value) {
            ("Version", Value::String(version)) if version == "2012-10-17" => variables = true,
            ("Version", Value::String(version)) if version == "2008-10-17" => {}
            ("Version", _) => return Err("Version: is neither 2012-10-17 nor 2008-10-17".to_owned()),
            ("Id", Value::String(_)) => {}
            ("Statement", Value::Array(list)) => statements = Some(list.iter().collect()),
            ("Statement", one) => statements = Some(vec![one]),
            _ => return Err(format!("{name}: the emulator has no such element")),
        }
    }
    let statements: Vec<_> = statements.ok_or("Statement: is missing")?;
    if statements.len() > STATEMENTS {
        return Err(format!("Statement: has more than {STATEMENTS} statements"));
    }
    let statements = statements.into_iter().enumerate();
    let statements = statements.map(|(number, statement)| {
        read_statement(statement, variables).map_err(|fault| format!("Statement[{number}]{fault}"))
    });
    Ok(Policy { statements: statements.collect::<Result<_, _>>()? })
}

/// The error begins with the rest of the place.
fn read_statement(value: &Value, variables: bool) -> Result<Statement, String> {
    let elements = object(value, "").map_err(|fault| format!(":{fault}"))?;
    let mut is_deny = None;
    let (mut actions, mut resources, mut conditions) = (None, None, &Map::new());
    for (name, value) in elements {
        let failed = |fault: &str| format!(".{name}: {fault}");
        match name.as_str() {
            "Sid" if value.is_string() => {}
            "Effect" => {
                is_deny = match value.as_str() {
                    Some("Allow") => Some(false),
                    Some("Deny") => Some(true),
                    _ => return Err(failed("is neither Allow nor Deny")),
                }
            }
            "Action" | "NotAction" if actions.is_none() => {
                actions =
                    Some((name == "NotAction", read_list(value, action).map_err(|fault| failed(&fault))?));
            }
            "Resource" | "NotResource" if resources.is_none() => {
                let read = |text: &str| resource(text, variables);
                resources =
                    Some((name == "NotResource", read_list(value, read).map_err(|fault| failed(&fault))?));
            }
            "Action" | "NotAction" | "Resource" | "NotResource" => {
                return Err(failed("excludes the element of the opposite name"));
            }
            "Condition" => conditions = value.as_object().ok_or_else(|| failed("is not an object"))?,
            "Principal" | "NotPrincipal" => {
                return Err(failed("the policy of a user or role has no such element"));
            }
            _ => return Err(failed("the emulator has no such element")),
        }
    }
    let missing = |name: &str| format!(": {name} is missing");
    let mut statement = Statement {
        is_deny: is_deny.ok_or_else(|| missing("Effect"))?,
        actions: actions.ok_or_else(|| missing("Action"))?,
        resources: resources.ok_or_else(|| missing("Resource"))?,
        conditions: Vec::new(),
    };
    // Of other operations, the emulator need not know the keys.
    let concerns_emulator = ACTIONS.iter().any(|action| statement.has_action(action));
    for (operator, keys) in conditions {
        let place = format!(".Condition.{operator}");
        for (key, value) in object(keys, "").map_err(|fault| format!("{place}:{fault}"))? {
            let failed = |fault: String| format!("{place}.{key}: {fault}");
            if concerns_emulator && !is_known(key) {
                return Err(failed("the emulator does not know this key".to_owned()));
            }
            statement.conditions.push(Condition::parse(operator, key, value, variables).map_err(failed)?);
        }
    }
    Ok(statement)
}

/// A text or a list of texts, each read by `read`.
fn read_list(value: &Value, read: impl Fn(&str) -> Result<Pattern, String>) -> Result<Vec<Pattern>, String> {
    let list = match value {
        Value::Array(list) if list.is_empty() => return Err("has no value".to_owned()),
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    let text = |value: &'_ Value| value.as_str().map(str::to_owned).ok_or("has a value that is not a text");
    list.into_iter().map(|value| read(&text(value)?)).collect()
}

/// `*`, or `SERVICE:NAME` with wildcards in the name.
fn action(text: &str) -> Result<Pattern, String> {
    let is_service = |service: &str| {
        !service.is_empty() && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*?".contains(&byte))
    };
    if text == "*" || text.split_once(':').is_some_and(|(service, name)| is_service(service) && is_name(name))
    {
        return Pattern::parse(text, Syntax { wildcards: true, variables: false });
    }
    Err(format!("{text:?} is not the name of an operation"))
}

/// `*`, or an ARN with wildcards. Only its last part can have variables (IAM User Guide, "IAM policy elements:
/// Variables and tags").
fn resource(text: &str, variables: bool) -> Result<Pattern, String> {
    if text != "*" && text != "arn:*" && !(text.starts_with("arn:") && text.split(':').count() >= 6) {
        return Err(format!("{text:?} is neither * nor an ARN"));
    }
    let before = text.split_once("${").filter(|_| variables).map(|(before, _)| before);
    if before.is_some_and(|before| before.split(':').count() < 6) {
        return Err(format!("{text:?} has a variable before the fifth colon"));
    }
    Pattern::parse(text, Syntax { wildcards: true, variables })
}

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is not an object"))
}

impl Statement {
    pub(super) fn has_action(&self, action: &str) -> bool {
        let (is_negated, patterns) = &self.actions;
        patterns.iter().any(|own| own.matches(action, &Context::default(), true)) != *is_negated
    }

    /// The IAM User Guide says that a variable without a value "might" make a statement invalid. If it is in
    /// `NotResource`, a statement that allows does not apply, and one that denies does.
    pub(super) fn has_resource(&self, resource: &str, context: &Context) -> bool {
        let (is_negated, patterns) = &self.resources;
        if patterns.iter().any(|own| own.matches(resource, context, false)) {
            return !is_negated;
        }
        let is_complete = patterns.iter().all(|own| own.has_values(context));
        *is_negated && (is_complete || self.is_deny)
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        self.conditions.iter().all(|condition| condition.holds(context))
    }
}

/// The first name that occurs twice in an object of a valid JSON text. The parser keeps only the last value of such a
/// name, and IAM refuses the text.
fn repeated_name(text: &str) -> Option<String> {
    // The names of each open object. A list has none.
    let mut open: Vec<Option<BTreeSet<String>>> = Vec::new();
    let mut is_name = false;
    let mut rest = text;
    while let Some(next) = rest.find(['{', '}', '[', ']', ',', ':', '"']) {
        let (token, after) = rest.get(next..)?.split_at(1);
        rest = after;
        match token {
            "{" => open.push(Some(BTreeSet::new())),
            "[" => open.push(None),
            "}" | "]" => drop(open.pop()),
            "\"" => {
                let end = end_of_string(after)?;
                let string = format!("\"{}\"", after.get(..end)?);
                rest = after.get(end + 1..)?;
                if let (true, Some(Some(names))) = (is_name, open.last_mut()) {
                    let Ok(Value::String(name)) = serde_json::from_str(&string) else { return None };
                    if !names.insert(name.clone()) {
                        return Some(name);
                    }
                }
            }
            _ => {}
        }
        is_name = matches!(token, "{" | ",") && matches!(open.last(), Some(Some(_)));
    }
    None
}

/// The place of the quote that ends a string.
fn end_of_string(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_name_is_found() {
        for good in [
            "{}",
            r#"{"a": {"a": ["a", "a", {"a": 1}]}, "b": "a", "c": "\"a\": {,"}"#,
            r#"[{"a": 1}, {"a": 1}]"#,
            r#"{"a\\": 1, "a": 2}"#,
            r#""a""#,
        ] {
            assert_eq!(repeated_name(good), None, "{good}");
        }
        for bad in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": [], "\u0061": 1}"#,
            r#"{"b": {"a": "}", "a": 1}}"#,
            r#"[1, {"a": {}, "a": 1}]"#,
        ] {
            assert_eq!(repeated_name(bad).as_deref(), Some("a"), "{bad}");
        }
    }
}
