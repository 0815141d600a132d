//! Expands the patterns of an `Include` as glob(3) does.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use eic_core::order;
use eic_core::policy::Glob;

/// Maximum number of names that are read from one folder.
pub(super) const MAX_NAMES: usize = 10_000;

/// Whether a pattern matches a path, component by component: `*` and `?` do not match a `/`.
pub(super) fn fits(pattern: &Path, path: &Path) -> bool {
    let parts = |path: &Path| -> Vec<String> {
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (patterns, parts) = (parts(pattern), parts(path));
    patterns.len() == parts.len()
        && patterns.iter().zip(&parts).all(|(pattern, part)| fits_name(pattern, part))
}

/// A name that begins with a dot matches only a pattern that begins with a dot (glob(7)).
fn fits_name(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.')) && Glob::new(&without_sets(pattern)).matches(name)
}

/// Replaces each set `[…]` with `?`. The result can only match more files than sshd's pattern.
fn without_sets(pattern: &str) -> String {
    let mut simple = String::new();
    let mut rest = pattern;
    while let Some((before, set)) = rest.split_once('[') {
        // A `]` at the start of a set is a member of the set.
        let skipped = set.strip_prefix(['!', '^']).unwrap_or(set);
        let skipped = skipped.strip_prefix(']').unwrap_or(skipped);
        let Some((_, after)) = skipped.split_once(']') else { break };
        simple.push_str(before);
        simple.push('?');
        rest = after;
    }
    simple.push_str(rest);
    simple
}

/// Whether [`expand`] finds every file that glob(3) finds. `expand` supports sets, but neither backslashes nor
/// classes inside a set.
pub(super) fn is_covered(pattern: &Path) -> bool {
    let text = pattern.to_string_lossy();
    !["\\", "[:", "[.", "[="].iter().any(|piece| text.contains(piece))
        && text.split('[').skip(1).all(|set| set.get(1..).is_some_and(|rest| rest.contains(']')))
}

/// A simpler pattern that matches every file of `pattern`, including those of sets, classes and backslashes.
pub(super) fn wider(pattern: &Path) -> PathBuf {
    let part = |part: std::path::Component<'_>| {
        let part = part.as_os_str().to_string_lossy().into_owned();
        match part.split_once(['[', '\\']) {
            Some((before, _)) => format!("{before}*"),
            None => part,
        }
    };
    pattern.components().map(part).collect()
}

/// The longest literal folder at the start of a pattern.
pub(super) fn folder(pattern: &Path) -> PathBuf {
    let is_literal = |part: &std::path::Component<'_>| {
        !part.as_os_str().as_bytes().iter().any(|byte| b"*?[\\".contains(byte))
    };
    let literal: PathBuf = pattern.components().take_while(is_literal).collect();
    if literal == pattern { literal.parent().map(Path::to_owned).unwrap_or(literal) } else { literal }
}

/// The files that a pattern matches, sorted by name like the result of glob(3). Dangling links are included. The
/// flag is false if a folder has more than [`MAX_NAMES`] names, or if more than [`MAX_NAMES`] files match.
pub(super) fn expand(pattern: &Path) -> (Vec<PathBuf>, bool) {
    let mut found = vec![PathBuf::new()];
    let mut is_whole = true;
    for part in pattern.components() {
        let part = part.as_os_str();
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let (names, all) = matching(folder, &text);
            is_whole &= all;
            next.extend(names);
        }
        is_whole &= next.len() <= MAX_NAMES;
        next.truncate(MAX_NAMES);
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    (found, is_whole)
}

fn matching(folder: &Path, pattern: &str) -> (Vec<PathBuf>, bool) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let names: Vec<_> = entries.map(|entry| entry.file_name()).take(MAX_NAMES.saturating_add(1)).collect();
    let is_whole = names.len() <= MAX_NAMES;
    let names = names.into_iter().filter(|name| fits_name(pattern, &name.to_string_lossy())).collect();
    (order::by(names, Ord::cmp).into_iter().map(|name| folder.join(name)).collect(), is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_at_least_what_glob_does() {
        for (pattern, name, is_fit) in [
            ("[a]*.cfg", "a1.cfg", true),
            ("[!a]x", "bx", true),
            ("[]x]y", "]y", true),
            ("a[b", "a[b", true),
            ("*.conf", ".x.conf", false),
            ("[ab].conf", "abc.conf", false),
        ] {
            assert_eq!(fits_name(pattern, name), is_fit, "{pattern} {name}");
        }
    }

    #[test]
    fn wider_patterns_and_their_folders() {
        for (pattern, expected, place) in [
            ("/etc/ssh/[[:alpha:]]ob.conf", "/etc/ssh/*", "/etc/ssh"),
            ("/etc/ssh/x\\*.conf", "/etc/ssh/x*", "/etc/ssh"),
            ("/etc/[s]sh/*.conf", "/etc/*/*.conf", "/etc"),
            ("/etc/ssh/x.conf", "/etc/ssh/x.conf", "/etc/ssh"),
        ] {
            assert_eq!(wider(Path::new(pattern)), Path::new(expected));
            assert_eq!(folder(Path::new(pattern)), Path::new(place));
        }
        for (pattern, is_sound) in [
            ("/etc/[s]sh/*.conf", true),
            ("/etc/[!a-z]?/x", true),
            ("/etc/[]a]x", true),
            ("/etc/[[:alpha:]]", false),
            ("/etc/[[.a.]]", false),
            ("/etc/\\*", false),
            ("/etc/[a", false),
        ] {
            assert_eq!(is_covered(Path::new(pattern)), is_sound, "{pattern}");
        }
    }
}
