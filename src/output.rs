//! What sshd reads: `authorized_keys` lines, made from permitted keys only, written once.

use std::io::{self, Write};

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

/// Writes `bytes` at once.
///
/// sshd may have read enough and closed its end: that is success, since nobody is left to be told.
pub fn write_once(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
