//! Types of values in the settings file, with the error for a value of another type.

use std::fmt;
use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::parse_seconds;

/// A list of strings.
pub(super) struct TextList(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextListVisitor)
    }
}

struct TextListVisitor;

impl<'de> Visitor<'de> for TextListVisitor {
    type Value = TextList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list: [\"root\"]")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TextList, E> {
        let text = shown(text);
        Err(E::custom(format_args!("expected a list: [{text}], got {text}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextList, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(TextList(texts))
    }
}

/// Seconds, as an integer or a float.
pub(super) struct Seconds(pub(super) Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, 0.1 to 60")
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Seconds, E> {
        parse_seconds(&seconds.to_string()).map(Seconds).map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Seconds, E> {
        parse_seconds(&seconds.to_string()).map(Seconds).map_err(E::custom)
    }
}

/// A whole number of seconds.
pub(super) struct WholeSeconds(pub(super) i64);

impl<'de> Deserialize<'de> for WholeSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeSecondsVisitor)
    }
}

struct WholeSecondsVisitor;

impl Visitor<'_> for WholeSecondsVisitor {
    type Value = WholeSeconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of seconds, 0 to 300")
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<WholeSeconds, E> {
        Ok(WholeSeconds(seconds))
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<WholeSeconds, E> {
        Err(E::custom(format_args!("expected a whole number of seconds, 0 to 300, got {seconds}")))
    }
}

pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", printable(text, MAX_SHOWN))
}
