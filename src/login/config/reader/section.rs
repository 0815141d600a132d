//! A table of the settings file, and the faults so far.

use eic_core::text::{MAX_SHOWN, printable};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::SettingFault;

/// Maximum number of faults that are reported. Later faults are rarely useful.
const MAX_FAULTS: usize = 50;

/// The faults so far, and the offset of each line of the text.
pub(super) struct Faults {
    line_starts: Vec<usize>,
    pub(super) list: Vec<SettingFault>,
}

impl Faults {
    pub(super) fn in_text(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = ends.map(|(end, _)| end.saturating_add(1)).collect();
        Self { line_starts, list: Vec::new() }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_add(1)
    }

    pub(super) fn add(&mut self, offset: usize, key: &str, what: String) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(SettingFault { line: self.line(offset), key: printable(key, MAX_SHOWN), what });
        }
    }
}

/// A table. Each known setting is removed when it is read. The rest is unknown.
pub(super) struct Section<'i> {
    pub(super) name: String,
    pub(super) table: DeTable<'i>,
}

impl<'i> Section<'i> {
    pub(super) fn key(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<(Spanned<DeValue<'i>>, usize)> {
        let (key, value) = self.table.remove_entry(name)?;
        Some((value, key.span().start))
    }

    pub(super) fn section(&mut self, name: &str, faults: &mut Faults) -> Option<Self> {
        let (value, offset) = self.take(name)?;
        match value.into_inner() {
            DeValue::Table(table) => Some(Self { name: name.to_owned(), table }),
            other => {
                faults.add(offset, name, format!("expected a table [{name}], got {}", other.type_str()));
                None
            }
        }
    }

    /// Reads a setting as serde's type `T` and converts it with `check`.
    pub(super) fn checked<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        faults: &mut Faults,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<(U, usize)> {
        let (value, offset) = self.take(name)?;
        let read = T::deserialize(ValueDeserializer::from(value))
            .map_err(|error| printable(error.message(), MAX_SHOWN));
        match read.and_then(check) {
            Ok(setting) => Some((setting, faults.line(offset))),
            Err(what) => {
                faults.add(offset, &self.key(name), what);
                None
            }
        }
    }

    pub(super) fn text<U>(
        &mut self,
        name: &str,
        faults: &mut Faults,
        check: impl FnOnce(&str) -> Result<U, String>,
    ) -> Option<(U, usize)> {
        self.checked(name, faults, |text: String| check(&text))
    }

    /// Where the setting begins. `None` if it is absent.
    pub(super) fn offset(&self, name: &str) -> Option<usize> {
        self.table.get_key_value(name).map(|(key, _)| key.span().start)
    }

    /// Takes a setting that must not be here. `what` says why.
    pub(super) fn refuse(&mut self, name: &str, what: &str, faults: &mut Faults) {
        if let Some((_, offset)) = self.take(name) {
            faults.add(offset, &self.key(name), what.to_owned());
        }
    }

    pub(super) fn had_fault(&self, name: &str, faults: &Faults) -> bool {
        let key = self.key(name);
        faults.list.iter().any(|fault| fault.key == key)
    }

    pub(super) fn nothing_else(self, known: &[&str], faults: &mut Faults) {
        for (key, _) in &self.table {
            let what = format!("no such setting; expected one of {}", known.join(", "));
            faults.add(key.span().start, &self.key(key.get_ref()), what);
        }
    }
}
