//! What sshd reads: `authorized_keys` lines, made from proven keys only, written once.

use std::io::{self, Write};

use crate::verification::VerifiedKey;

/// Writes `ALGORITHM BASE64` for each key, in one write.
///
/// sshd may have read enough and closed its end: that is success, since nobody is left to be told.
pub fn write_authorized_keys<'k>(
    keys: impl IntoIterator<Item = &'k VerifiedKey>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut lines = String::new();
    for key in keys {
        lines.push_str(&key.key().to_string());
        lines.push('\n');
    }
    if lines.is_empty() {
        return Ok(());
    }
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
