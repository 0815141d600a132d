//! Options of `[keys]` that the options of a rule replace.

use eic_core::key_options::{LinePrefix, RuleOptions};
use eic_core::text::{MAX_SHOWN, printable};
use eic_login::config::{Origin, Settings, Sourced};

use super::{MAX_PROBLEMS, RuleProblem};

/// Each option of `[keys]` that does not apply to the keys of a rule, because the rule has another value for it. This can be
/// intended, so it is no mistake.
pub(crate) fn replaced(settings: &Settings) -> Vec<RuleProblem> {
    let prefix = settings.line_prefix();
    let rules = (1_usize..).zip(&settings.rules);
    let found = rules.filter_map(|(number, Sourced { value: rule, origin })| {
        let what = words(&prefix, rule.limits.options.as_ref()?)?;
        let line = if let Origin::File(line) = origin { *line } else { 0 };
        Some(RuleProblem { line, key: format!("rule {number}.options"), what })
    });
    found.take(MAX_PROBLEMS).collect()
}

/// Which options of `[keys]` do not apply to the keys of a rule with these options. `None` if all of them apply.
pub(crate) fn words(prefix: &LinePrefix, rule: &RuleOptions) -> Option<String> {
    let replaced = prefix.replaced(rule);
    let shown = printable(&replaced.join(","), MAX_SHOWN);
    (!replaced.is_empty()).then(|| {
        format!("replaces these options of [keys], which do not apply to the keys of this rule: {shown}")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use eic_login::config::CommandLine;

    use super::*;

    fn of(keys: &str, rule: &str) -> Vec<String> {
        let text = format!(
            "[keys]\noptions = '{keys}'\n[[rule]]\naction = \"allow\"\nusers = [\"a\"]\n[[rule]]\naction = \"allow\"\noptions = '{rule}'\n"
        );
        let settings = Settings::of_text(&CommandLine::default(), Path::new("/x"), &text).unwrap();
        replaced(&settings).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn option_of_keys_that_a_rule_replaces_is_reported() {
        let words = "6: rule 2.options: replaces these options of [keys], which do not apply to the keys of this rule: ";
        for (keys, rule, replaced) in [
            ("command=\"a\"", "command=\"b\"", "command=\"a\""),
            ("restrict,FROM=\"10.0.0.0/8\",pty", "from=\"192.0.2.1\"", "from=\"10.0.0.0/8\""),
            (
                "permitopen=\"a:1\",permitopen=\"b:2\",permitlisten=\"1\"",
                "permitopen=\"a:1\",permitlisten=\"2\"",
                "permitopen=\"b:2\",permitlisten=\"1\"",
            ),
            ("tunnel=\"0\",command=\"say \\\"x\\\"\"", "tunnel=\"any\"", "tunnel=\"0\""),
        ] {
            assert_eq!(of(keys, rule), [format!("{words}{replaced}")], "{keys} {rule}");
        }
        let long = of(&format!("command=\"{}\"", "x".repeat(3000)), "command=\"y\"");
        assert!(long[0].len() < 400 && long[0].ends_with("..."), "{long:?}");
    }

    #[test]
    fn option_that_applies_or_is_written_again_is_not_reported() {
        for (keys, rule) in [
            ("command=\"a\"", "pty"),
            ("command=\"a\"", "command=\"a\",pty"),
            ("from=\"10.0.0.0/8\"", "command=\"a\""),
            ("restrict", "pty,port-forwarding"),
            // A variable is replaced by name, and the earliest end counts.
            ("environment=\"A=1\"", "environment=\"A=2\""),
            ("expiry-time=\"20300101\"", "expiry-time=\"20310101\""),
        ] {
            assert_eq!(of(keys, rule), [""; 0], "{keys} {rule}");
        }
    }
}
