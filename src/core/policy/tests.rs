use super::*;
use crate::key_options::{KeyOptions, RuleOptions};
use crate::reason::Reason;
use crate::verification::testing::verified;

const ADMIN: &str = "arn:aws:sts::111111111111:assumed-role/Admin/alice";
const DEV: &str = "arn:aws:iam::222222222222:user/dev/bob";

/// 2025-01-30T12:00:00Z, a Thursday. The key of [`verified`] expires 60 seconds later.
const NOW: Timestamp = Timestamp::from_unix(1_738_238_400);

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(pattern)).collect()
}

fn rule(name: &str, action: Action) -> Rule {
    Rule {
        name: name.into(),
        action,
        users: Vec::new(),
        principals: Vec::new(),
        accounts: Vec::new(),
        key_types: Vec::new(),
        limits: Limits::default(),
    }
}

/// The name of the rule that denies a key that `principal` pushed for `user`.
fn denied(rules: &[Rule], user: &str, principal: Option<&str>) -> Option<String> {
    let policy = Policy { rules: rules.to_vec(), user: Some(user.parse().unwrap()), ..Policy::default() };
    policy.permit(verified(principal), NOW).err().map(|(denied, _)| denied.rule)
}

#[test]
fn globs_match_the_whole_text() {
    for (pattern, text, fits) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything/at:all", true),
        ("a*", "abc", true),
        ("a*", "ba", false),
        ("*c", "abc", true),
        ("*c", "abcd", false),
        ("a*c", "ac", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("?", "é", true),
        ("**", "x", true),
        ("arn:*:assumed-role/Admin/*", ADMIN, true),
        ("arn:*:assumed-role/admin/*", ADMIN, false),
        ("arn:*:assumed-role/Admin", ADMIN, false),
        ("[a]", "a", false),
    ] {
        assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern:?} on {text:?}");
    }
    // Pushed text cannot make a pattern slow.
    let slow = Glob::new(&"*a".repeat(50));
    assert!(!slow.matches(&"a".repeat(4000).replace("aa", "ab").replace('a', "b")));
    assert!(!Glob::new(&format!("{}b", "*a".repeat(50))).matches(&"a".repeat(4000)));
}

#[test]
fn key_is_permitted_without_a_rule() {
    assert_eq!(denied(&[], "root", Some(ADMIN)), None);
    assert_eq!(denied(&[], "root", None), None);
}

#[test]
fn the_first_match_decides() {
    let allow_admin =
        Rule { principals: globs(&["*:assumed-role/Admin/*"]), ..rule("admins", Action::Allow) };
    let deny_root = Rule { users: globs(&["root"]), ..rule("no root", Action::Deny) };
    let both = [allow_admin.clone(), deny_root.clone()];
    assert_eq!(denied(&both, "root", Some(ADMIN)), None);
    assert_eq!(denied(&both, "root", Some(DEV)).as_deref(), Some("no root"));
    assert_eq!(denied(&both, "ec2-user", Some(DEV)), None);
    let reversed = [deny_root, allow_admin];
    assert_eq!(denied(&reversed, "root", Some(ADMIN)).as_deref(), Some("no root"));
}

#[test]
fn permitted_key_has_the_name_of_its_rule() {
    let rule_of = |rules: &[Rule]| {
        let policy = Policy { rules: rules.to_vec(), ..Policy::default() };
        policy.permit(verified(Some(ADMIN)), NOW).unwrap().rule().map(str::to_owned)
    };
    let named = Rule { principals: globs(&["*Admin*"]), ..rule("admins\n", Action::Allow) };
    assert_eq!(rule_of(std::slice::from_ref(&named)).as_deref(), Some("admins\\x0a"), "made printable");
    assert_eq!(rule_of(&[Rule { principals: globs(&["*Dev*"]), ..named }]), None, "no rule matches");
}

#[test]
fn text_of_a_pattern_is_kept() {
    assert_eq!(Glob::new("arn:*:role/?").as_str(), "arn:*:role/?");
}

#[test]
fn every_list_must_match_and_any_of_its_patterns() {
    let strict = Rule {
        users: globs(&["root", "adm*"]),
        principals: globs(&["*:user/*", "*:role/*"]),
        accounts: globs(&["222222222222"]),
        key_types: globs(&["ssh-*"]),
        ..rule("strict", Action::Deny)
    };
    assert_eq!(denied(std::slice::from_ref(&strict), "admin", Some(DEV)).as_deref(), Some("strict"));
    assert_eq!(denied(std::slice::from_ref(&strict), "ec2-user", Some(DEV)), None, "another user");
    assert_eq!(denied(std::slice::from_ref(&strict), "admin", Some(ADMIN)), None, "another principal");
    let other_account = Rule { accounts: globs(&["111111111111"]), ..strict.clone() };
    assert_eq!(denied(&[other_account], "admin", Some(DEV)), None, "another account");
    let other_type = Rule { key_types: globs(&["sk-*"]), ..strict };
    assert_eq!(denied(&[other_type], "admin", Some(DEV)), None, "another key type");
}

#[test]
fn unknown_principal_matches_no_allow_and_every_deny() {
    for lists in [
        Rule { principals: globs(&["*"]), ..rule("x", Action::Allow) },
        Rule { accounts: globs(&["*"]), ..rule("x", Action::Allow) },
    ] {
        let deny_rest = rule("rest", Action::Deny);
        assert_eq!(denied(&[lists.clone(), deny_rest], "root", None).as_deref(), Some("rest"));
        let deny = Rule { action: Action::Deny, ..lists };
        assert_eq!(denied(&[deny], "root", None).as_deref(), Some("x"));
    }
    let by_user = [Rule { users: globs(&["root"]), ..rule("u", Action::Allow) }, rule("rest", Action::Deny)];
    assert_eq!(denied(&by_user, "root", None), None, "the first rule does not depend on the principal");
}

#[test]
fn denial_message_is_printable_ascii() {
    let policy = Policy { rules: vec![rule("r\n", Action::Deny)], ..Policy::default() };
    let (denied, _) = policy.permit(verified(Some("arn\x1b")), NOW).unwrap_err();
    assert_eq!(denied.to_string(), "r\\x0a (a rule of this instance), pushed by arn\\x1b");
}

#[test]
fn key_that_no_rule_matches_is_denied_by_a_default_of_deny() {
    let admins = Rule { principals: globs(&["*:assumed-role/Admin/*"]), ..rule("admins", Action::Allow) };
    let policy = Policy { rules: vec![admins], default: Action::Deny, ..Policy::default() };
    assert!(policy.permit(verified(Some(ADMIN)), NOW).is_ok());
    for principal in [Some(DEV), None] {
        let (denied, _) = policy.permit(verified(principal), NOW).unwrap_err();
        assert_eq!((denied.reason(), denied.number), (Reason::DeniedByDefault, None), "{principal:?}");
    }
    let (denied, _) = policy.permit(verified(Some(DEV)), NOW).unwrap_err();
    assert_eq!(
        denied.to_string(),
        format!(
            "no rule of this instance matches, and [policy] default is deny, pushed by {DEV}; rules that allow keys for \
             this user: admins"
        )
    );
}

#[test]
fn denial_names_the_rules_that_allow_keys_for_the_user() {
    let of = |name: &str, users: &[&str], action| Rule { users: globs(users), ..rule(name, action) };
    let only = |name: &str, users: &[&str]| Rule {
        principals: globs(&["*:user/nobody"]),
        ..of(name, users, Action::Allow)
    };
    let first = [only("a", &["root", "adm*"]), only("b\u{1b}", &[]), only("c", &["web"])];
    let last = [of("rest", &["root", "web"], Action::Deny), only("late", &["root"]), only("d", &["adm*"])];
    let denied = |rules: Vec<Rule>, user: &str| {
        let policy = Policy { rules, default: Action::Deny, user: user.parse().ok(), ..Policy::default() };
        policy.permit(verified(Some(DEV)), NOW).unwrap_err().0.to_string()
    };
    let all = || first.iter().chain(&last).cloned().collect::<Vec<_>>();
    let names = |user: &str| {
        let text = denied(all(), user);
        text.split_once("; rules that allow keys for this user: ").unwrap().1.to_owned()
    };
    assert_eq!(names("root"), "a, b\\x1b", "a rule after the deciding one does not count");
    assert_eq!(names("web"), "b\\x1b, c");
    assert_eq!(names("admin"), "a, b\\x1b, d");
    let many = (0..9).map(|number| only(&number.to_string(), &[])).collect();
    assert!(denied(many, "root").ends_with(": 0, 1, 2, ..."));
    assert!(denied(vec![only("c", &["web"])], "root").ends_with("; no rule allows keys for this user"));
    assert!(denied(vec![of("rest", &[], Action::Deny)], "root").ends_with(&format!("pushed by {DEV}")));
}

fn values(principal: &str) -> Values<'_> {
    Values { principal: Some(principal), request_id: Some("r-1") }
}

/// A rule that allows the Admin role within these limits, and a rule after it that allows all.
fn limited(limits: Limits) -> Policy {
    let first = Rule { principals: globs(&["*Admin*"]), limits, ..rule("office", Action::Allow) };
    Policy { rules: vec![first, rule("all", Action::Allow)], ..Policy::default() }
}

#[test]
fn age_is_counted_from_sixty_seconds_before_the_expiry() {
    for (most, age, is_allowed) in
        [(20, 0, true), (20, 20, true), (20, 21, false), (1, 1, true), (60, 59, true)]
    {
        let policy = limited(Limits { max_age: Some(most), ..Limits::default() });
        let result = policy.permit(verified(Some(ADMIN)), NOW.later(age));
        assert_eq!(result.is_ok(), is_allowed, "{most} {age}");
        if let Err((denied, _)) = result {
            assert_eq!(denied.reason(), Reason::PushTooOld);
            let words = "office (a rule of this instance) allows the key for 20 s after the push, that was 21 s ago, pushed by ";
            assert_eq!(denied.to_string(), format!("{words}{ADMIN}"));
        }
    }
    // The push of a key that stays for longer is taken as new.
    let policy = limited(Limits { max_age: Some(1), ..Limits::default() });
    let late = Subject { values: values(ADMIN), key_type: "ssh-rsa", expires: NOW.later(3600) };
    assert!(policy.judge(&late, NOW).is_ok());
}

fn hours(hours: &[&str], days: &[&str], zone: &str) -> Hours {
    let list = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    Hours::parse(&list(hours), &list(days), ZoneName::parse(zone).unwrap()).unwrap()
}

#[test]
fn rule_outside_its_hours_denies_and_no_later_rule_decides() {
    let policy =
        limited(Limits { hours: Some(hours(&["08:00-12:00"], &["Mon-Fri"], "UTC")), ..Limits::default() });
    let (denied, _) = policy.permit(verified(Some(ADMIN)), NOW).unwrap_err();
    assert_eq!((denied.reason(), denied.number), (Reason::OutsideHours, Some(1)));
    let words = "office (a rule of this instance) allows the key Mon-Fri 08:00-12:00 UTC, now it is Thu 12:00, pushed by ";
    assert_eq!(denied.to_string(), format!("{words}{ADMIN}"));
    assert_eq!(
        policy.permit(verified(Some(DEV)), NOW).unwrap().rule(),
        Some("all"),
        "the rule does not match"
    );
    let subject = Subject { values: values(ADMIN), key_type: "ssh-rsa", expires: NOW.later(60) };
    let before = Timestamp::from_unix(NOW.as_unix() - 1);
    assert_eq!(policy.judge(&subject, before).unwrap().rule.unwrap().0, 1, "11:59:59");
}

#[test]
fn rule_whose_time_zone_is_unknown_denies() {
    let limits = Limits { hours: Some(hours(&[], &["Mon-Sun"], "Europe/Berlin")), ..Limits::default() };
    let berlin = || ZoneName::parse("Europe/Berlin").unwrap();
    for (zones, why) in [
        (Zones::default(), "its data was not read"),
        (Zones::new(vec![(berlin(), Err("no such file".into()))]), "no such file"),
    ] {
        let machine = MachineFacts { zones, ..MachineFacts::default() };
        let policy = Policy { machine, ..limited(limits.clone()) };
        let (denied, _) = policy.permit(verified(Some(ADMIN)), NOW).unwrap_err();
        assert_eq!(denied.reason(), Reason::TimeZoneUnknown);
        let words =
            format!("allows the key Mon-Sun Europe/Berlin, and the time there is unknown: {why}, pushed by");
        assert!(denied.to_string().contains(&words), "{denied}");
    }
}

fn options(text: &str) -> Limits {
    Limits { options: Some(RuleOptions::parse(text).unwrap()), ..Limits::default() }
}

#[test]
fn options_are_those_of_the_rule_that_allows() {
    let prefix = LinePrefix { options: Some(KeyOptions::parse("restrict").unwrap()), environment: false };
    let policy = Policy { prefix, ..limited(options("pty,command=\"run %{session}\"")) };
    let of = |principal| policy.permit(verified(Some(principal)), NOW).unwrap().prefix().to_owned();
    assert_eq!(of(ADMIN), "restrict,pty,command=\"run alice\" ");
    assert_eq!(of(DEV), "restrict ");
}

#[test]
fn key_whose_options_sshd_would_not_accept_is_denied() {
    let release = |release| MachineFacts { release, ..MachineFacts::default() };
    let old = Some(Release(8, 3));
    for (text, machine, principal, reason, words) in [
        (
            "verify-required",
            release(old),
            ADMIN,
            Reason::OptionsUnsupported,
            "has options that need OpenSSH 8.4 or later, this instance has OpenSSH 8.3",
        ),
        (
            "verify-required",
            release(None),
            ADMIN,
            Reason::OptionsUnsupported,
            "or later, the release of this instance is unknown",
        ),
        (
            "expiry-time=\"20250128\"",
            release(old),
            ADMIN,
            Reason::OptionsExpired,
            "has options whose expiry-time is in the past: 20250128",
        ),
        (
            "command=\"run %{role}\"",
            release(old),
            "arn:aws:iam::1:user/Admin",
            Reason::OptionValueMissing,
            "has options with %{role}, and the push has no role",
        ),
    ] {
        let policy = Policy { machine, ..limited(options(text)) };
        let (denied, _) = policy.permit(verified(Some(principal)), NOW).unwrap_err();
        assert_eq!(denied.reason(), reason, "{text}");
        let words = format!("{words}, pushed by {principal}");
        assert!(
            denied.to_string().starts_with("office (a rule of this instance) has ")
                && denied.to_string().ends_with(&words),
            "{denied}"
        );
        assert!(policy.permit(verified(Some(DEV)), NOW).is_ok(), "another rule allows: {text}");
    }
    let policy = Policy { machine: release(Some(Release(8, 4))), ..limited(options("verify-required")) };
    assert!(policy.permit(verified(Some(ADMIN)), NOW).is_ok());
    // sshd uses the earlier of two ends, so a rule cannot lift that of `[keys]`.
    let prefix = LinePrefix {
        options: Some(KeyOptions::parse("expiry-time=\"20250128\"").unwrap()),
        environment: false,
    };
    let policy = Policy { prefix, machine: release(old), ..limited(options("expiry-time=\"20300101\"")) };
    assert!(policy.permit(verified(Some(ADMIN)), NOW).is_err());
    assert!(policy.permit(verified(Some(DEV)), NOW).is_err());
}
