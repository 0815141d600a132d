//! sshd's pattern lists, with commas as separators.

use eic_core::policy::Glob;

/// Longest pattern that sshd reads, in bytes. If sshd reaches a longer pattern, the list matches nothing (OpenSSH
/// match.c, `match_pattern_list`).
const MAX_PATTERN: usize = 1022;

/// Whether a list matches `name` (OpenSSH match.c, `match_pattern_list`): at least one pattern must match, and no
/// pattern with a leading `!` may match.
#[must_use]
pub fn matches(list: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',') {
        let (is_negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
        if pattern.len() > MAX_PATTERN {
            return false;
        }
        if Glob::new(pattern).matches(name) {
            if is_negated {
                return false;
            }
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn lists_match_as_sshd_matches_them() {
        let long = "x".repeat(super::MAX_PATTERN + 1);
        for (list, expected) in [
            ("EIC_*", true),
            ("LANG,EIC_*", true),
            ("*", true),
            ("EIC_?RINCIPAL", true),
            ("EIC_PRINCIPAL", true),
            ("eic_*", false),
            ("", false),
            ("!EIC_*", false),
            ("EIC_*,!EIC_P*", false),
            ("!EIC_P*,EIC_*", false),
            ("!LANG,EIC_*", true),
            ("EIC_* ,LANG", false),
            (format!("EIC_*,{long}").as_str(), false),
            (format!("EIC_*,{}", &long[1..]).as_str(), true),
        ] {
            assert_eq!(matches(list, "EIC_PRINCIPAL"), expected, "{}", list.get(..20).unwrap_or(list));
        }
    }
}
