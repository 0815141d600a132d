//! What sshd reads: `authorized_keys` lines, made from permitted keys only, written once.

use alloc::string::{String, ToString};

use crate::key_options::LinePrefix;
use crate::policy::PermittedKey;

/// The `authorized_keys` lines of these keys: `[OPTIONS ]ALGORITHM BASE64`.
pub fn authorized_keys<'k>(keys: impl IntoIterator<Item = &'k PermittedKey>, prefix: &LinePrefix) -> String {
    let mut lines = String::new();
    for key in keys {
        let key = key.verified();
        lines.push_str(&prefix.of(key.claims()));
        lines.push_str(&key.key().to_string());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests;
