//! Conditions (IAM User Guide, "IAM JSON policy elements: Condition operators").

use std::net::IpAddr;

use serde_json::Value;

use super::Context;
use super::network::Network;
use super::pattern::{Pattern, Syntax};

/// One operator with one key and its values.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    key: String,
    operand: Operand,
    is_negated: bool,
    if_exists: bool,
    quantifier: Option<Quantifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    AllValues,
    AnyValue,
}

#[derive(Clone, Debug)]
enum Operand {
    Text {
        values: Vec<Pattern>,
        fold_case: bool,
    },
    Arn(Vec<Pattern>),
    Number(Comparison, Vec<f64>),
    Bool(Vec<bool>),
    Network(Vec<Network>),
    /// Whether the key must be absent.
    Null(Vec<bool>),
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How an operator reads its values.
#[derive(Clone, Copy)]
enum Kind {
    Text { wildcards: bool, fold_case: bool },
    Arn,
    Number(Comparison),
    Bool,
    Network,
    Null,
}

impl Condition {
    /// Reads a condition. The error completes a sentence that begins with the place.
    pub(super) fn parse(operator: &str, key: &str, value: &Value, variables: bool) -> Result<Self, String> {
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Quantifier::AllValues), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::AnyValue), name),
            _ => (None, operator),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let (kind, is_negated) =
            kind(name).ok_or_else(|| format!("the emulator has no operator {operator}"))?;
        if matches!(kind, Kind::Null) && (if_exists || quantifier.is_some()) {
            return Err(format!("the emulator has no operator {operator}"));
        }
        let texts = texts(value)?;
        let syntax = |wildcards| Syntax { wildcards, variables };
        let patterns = |wildcards| -> Result<Vec<_>, String> {
            texts.iter().map(|text| Pattern::parse(text, syntax(wildcards))).collect()
        };
        let operand = match kind {
            Kind::Text { wildcards, fold_case } => Operand::Text { values: patterns(wildcards)?, fold_case },
            Kind::Arn => {
                each(&texts, "an ARN with its six parts", |text| is_arn(text).then_some(()))?;
                Operand::Arn(patterns(true)?)
            }
            Kind::Number(comparison) => Operand::Number(comparison, each(&texts, "a number", number)?),
            Kind::Bool => Operand::Bool(each(&texts, "true or false", boolean)?),
            Kind::Network => Operand::Network(each(&texts, "an IP address or a network", Network::parse)?),
            Kind::Null => Operand::Null(each(&texts, "true or false", boolean)?),
        };
        Ok(Self { key: key.to_lowercase(), operand, is_negated, if_exists, quantifier })
    }

    /// Whether a request fulfils the condition.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let value = context.get(&self.key);
        if let Operand::Null(values) = &self.operand {
            return values.contains(&value.is_none());
        }
        match (value, self.quantifier) {
            // Each key of the emulator has one value, so it is also each value, and any.
            (Some(value), _) => self.operand.has(value, context) != self.is_negated,
            (None, Some(Quantifier::AllValues)) => true,
            (None, Some(Quantifier::AnyValue)) => false,
            (None, None) => self.is_negated || self.if_exists,
        }
    }
}

impl Operand {
    /// Whether one of the values fits.
    fn has(&self, value: &str, context: &Context) -> bool {
        match self {
            Self::Text { values, fold_case } => {
                values.iter().any(|own| own.matches(value, context, *fold_case))
            }
            Self::Arn(values) => values.iter().any(|own| own.matches_arn(value, context)),
            Self::Number(comparison, values) => {
                number(value).is_some_and(|value| values.iter().any(|own| comparison.holds(value, *own)))
            }
            Self::Bool(values) => boolean(value).is_some_and(|value| values.contains(&value)),
            Self::Network(values) => {
                value.parse::<IpAddr>().is_ok_and(|address| values.iter().any(|own| own.contains(address)))
            }
            Self::Null(_) => false,
        }
    }
}

impl Comparison {
    #[expect(clippy::float_cmp, reason = "both numbers are as they were written")]
    fn holds(self, value: f64, own: f64) -> bool {
        match self {
            Self::Equal => value == own,
            Self::Less => value < own,
            Self::LessOrEqual => value <= own,
            Self::Greater => value > own,
            Self::GreaterOrEqual => value >= own,
        }
    }
}

/// How an operator reads its values, and whether it is the opposite of another.
fn kind(name: &str) -> Option<(Kind, bool)> {
    let text = |wildcards, fold_case| Kind::Text { wildcards, fold_case };
    Some(match name {
        "StringEquals" => (text(false, false), false),
        "StringNotEquals" => (text(false, false), true),
        "StringEqualsIgnoreCase" => (text(false, true), false),
        "StringNotEqualsIgnoreCase" => (text(false, true), true),
        "StringLike" => (text(true, false), false),
        "StringNotLike" => (text(true, false), true),
        // ArnEquals and ArnLike are the same.
        "ArnEquals" | "ArnLike" => (Kind::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Arn, true),
        "NumericEquals" => (Kind::Number(Comparison::Equal), false),
        "NumericNotEquals" => (Kind::Number(Comparison::Equal), true),
        "NumericLessThan" => (Kind::Number(Comparison::Less), false),
        "NumericLessThanEquals" => (Kind::Number(Comparison::LessOrEqual), false),
        "NumericGreaterThan" => (Kind::Number(Comparison::Greater), false),
        "NumericGreaterThanEquals" => (Kind::Number(Comparison::GreaterOrEqual), false),
        "Bool" => (Kind::Bool, false),
        "IpAddress" => (Kind::Network, false),
        "NotIpAddress" => (Kind::Network, true),
        "Null" => (Kind::Null, false),
        _ => return None,
    })
}

/// The values of a condition as texts. IAM also reads numbers and truth values as texts.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Array(list) if !list.is_empty() => list.iter().collect(),
        Value::Array(_) => return Err("has no value".to_owned()),
        one => vec![one],
    };
    list.into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            _ => Err("has a value that is neither a text, nor a number, nor a truth value".to_owned()),
        })
        .collect()
}

fn each<T>(texts: &[String], wanted: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| read(text).ok_or_else(|| format!("{text:?} is not {wanted}"))).collect()
}

/// A number in decimal. Names such as `inf` are not numbers, and neither is a number without an end.
fn number(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}

/// Whether a text with wildcards can be an ARN. A shorter one would fit no value, so a condition with the opposite
/// operator would always hold. The value of a variable can have colons.
fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && text.split(':').count() >= 6 || text.starts_with("${")
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}
