use std::path::Path;

use eic_login::config::CommandLine;

use super::*;

fn of(text: &str) -> Vec<String> {
    let settings = Settings::of_text(&CommandLine::default(), Path::new("/x"), text).unwrap();
    problems(&settings).iter().map(ToString::to_string).collect()
}

/// The one problem of a pattern in a list. Empty if there is none.
fn of_pattern(list: &str, pattern: &str) -> String {
    let problems = of(&format!("[[rule]]\naction = \"allow\"\n{list} = ['{pattern}']\n"));
    assert!(problems.len() <= 1, "{problems:?}");
    problems.into_iter().next().unwrap_or_default()
}

#[test]
fn principal_that_no_caller_has_is_reported_with_one_that_matches() {
    for (pattern, why, would_match) in [
        (
            "arn:aws:iam::123456789012:role/Demo",
            "under the ARN of its session",
            "arn:aws:sts::123456789012:assumed-role/Demo/*",
        ),
        (
            "arn:aws:iam::123456789012:role/team/Demo",
            "without the path",
            "arn:aws:sts::123456789012:assumed-role/Demo/*",
        ),
        (
            "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef",
            "under the ARN of its session",
            "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/*",
        ),
        ("arn:aws:sts::*:assumed-role/Demo", "name of the session", "arn:aws:sts::*:assumed-role/Demo/*"),
        ("arn:aws:sts::*:assumed-role/a/Demo/s", "path of a role", "arn:aws:sts::*:assumed-role/Demo/s"),
        ("arn:aws:sts::*:user/bob", "expected user/NAME", "arn:aws:iam::*:user/bob"),
        (
            "arn:aws:sts::*:assumed-role/{Demo,Other}/*",
            "braces",
            "\"arn:aws:sts::*:assumed-role/Demo/*\", \"arn:aws:sts::*:assumed-role/Other/*",
        ),
        ("arn:aws:sts::[0-9]*:assumed-role/Demo/*", "brackets", "arn:aws:sts::*:assumed-role/Demo/*"),
        ("arn:aws:sts::*:assumed-role/Demo[12]/*", "brackets", "arn:aws:sts::*:assumed-role/Demo?/*"),
        ("arn:aws:iam::12345678901:user/bob", "this has 11", "arn:aws:iam::012345678901:user/bob"),
        (
            "arn:aws:sts:us-east-1:123456789012:assumed-role/Demo/*",
            "no region",
            "arn:aws:sts::123456789012:assumed-role/Demo/*",
        ),
        ("arn:aws_cn:iam::*:user/bob", "no partition aws_cn", "arn:aws-cn:iam::*:user/bob"),
        ("arn:aws-gov:iam::*:user/bob", "no partition aws-gov", "arn:aws-us-gov:iam::*:user/bob"),
        ("arn:aws:iam::123456789012:user/b ob", "no space", "arn:aws:iam::123456789012:user/bob"),
        ("arn:aws:iam::123456789012:root/x", "expected user/NAME", ""),
        ("arn:aws:s3:::bucket", "twelve digits", ""),
        ("*/", "expected the ARN of a caller", ""),
    ] {
        let said = of_pattern("principals", pattern);
        assert!(
            said.starts_with(&format!("1: rule 1.principals: \"{}", &pattern[..20.min(pattern.len())])),
            "{pattern}: {said}"
        );
        assert!(said.contains(why), "{pattern}: {said}");
        assert!(said.contains(would_match), "{pattern}: {said}");
        assert_eq!(said.contains("; expected \""), !would_match.is_empty(), "{pattern}: {said}");
        assert!(said.ends_with("; so the rule allows no key"), "{said}");
    }
}

#[test]
fn principal_that_names_a_kind_and_matches_only_rare_paths_is_reported() {
    for (pattern, kind, why, would_match) in [
        ("arn:aws:iam::*:role/Demo", "role", "of its session", "arn:aws:sts::*:assumed-role/Demo/*"),
        ("arn:aws:iam::*:role/team/Demo", "role", "without the path", "arn:aws:sts::*:assumed-role/Demo/*"),
        ("*:role/Demo", "role", "expected the ARN of a caller", ""),
        (
            "arn:aws:iam::*:assumed-role/Demo/*",
            "assumed role",
            "service sts",
            "arn:aws:sts::*:assumed-role/Demo/*",
        ),
        (
            "arn:aws:iam::*:federated-user/bob",
            "federated user",
            "expected user/NAME",
            "arn:aws:sts::*:federated-user/bob",
        ),
        ("arn:aws:iam::*:group/admins", "group", "group pushes no keys", ""),
        ("arn:aws:iam::*:instance-profile/x", "instance profile", "name its role", ""),
    ] {
        let said = of_pattern("principals", pattern);
        let words = format!("\"{pattern}\" matches no {kind}: it matches only users with one of :{{}}[]");
        assert!(said.contains(&words) && said.contains(why) && said.contains(would_match), "{said}");
        assert!(!said.contains("never") && !said.contains("so the rule"), "{said}");
        let text = format!("[[rule]]\naction = \"deny\"\nprincipals = ['{pattern}']\n");
        assert_eq!(doubts_of(&text), [""; 0], "{pattern}");
    }
}

#[test]
fn principal_that_a_caller_can_have_is_no_problem() {
    for pattern in [
        "*",
        "?*",
        "*:user/bob",
        "*:assumed-role/Admin/*",
        "arn:aws:sts::*:assumed-role/Admin/*",
        "arn:aws*:sts::123456789012:assumed-role/Admin/alice@example.com",
        "arn:aws-us-gov:iam::123456789012:user/division/team/bob",
        "arn:aws:iam::123456789012:user/a&b/c!/bob",
        "arn:aws:iam::123456789012:root",
        "arn:aws-eusc:iam::????????????:user/*",
        "arn:aws:sts::123456789012:federated-user/bob",
        "arn:aws:*/Demo/*",
        "*Demo*",
        "arn:*",
    ] {
        assert_eq!(of_pattern("principals", pattern), "", "{pattern}");
    }
}

/// What is probably a mistake, and is not certain.
fn doubts_of(text: &str) -> Vec<String> {
    let settings = Settings::of_text(&CommandLine::default(), Path::new("/x"), text).unwrap();
    doubts(&settings).iter().map(ToString::to_string).collect()
}

#[test]
fn principal_with_a_rare_character_in_the_path_is_probably_a_mistake() {
    for (pattern, words) in [
        ("arn:aws:iam::123456789012:user/a:b/bob", "in their IAM path"),
        ("arn:aws:iam::*:user/[team]/*", "brackets are not sets"),
        (
            "arn:aws:iam::*:user/{dev,ops}/bob",
            "expected \"arn:aws:iam::*:user/dev/bob\", \"arn:aws:iam::*:user/ops/bob\"",
        ),
        ("*/[a]/*", "brackets are not sets"),
        ("*:b/bob", "in their IAM path"),
        ("*:*:*:*:*:*:b/bob", "in their IAM path"),
        ("*{Admin,Dev}*", "in their IAM path"),
        ("*a:b*", "in their IAM path"),
    ] {
        for action in ["allow", "deny"] {
            let text = format!(
                "[[rule]]\naction = \"{action}\"\nprincipals = ['{pattern}']\naccounts = ['123456789012']\n"
            );
            assert_eq!(of(&text), [""; 0], "{pattern}");
            let said = doubts_of(&text);
            assert_eq!(said.len(), 1, "{pattern}");
            assert!(said[0].contains("\" is probably a mistake: ") && said[0].contains(words), "{said:?}");
            assert!(!said[0].contains("never") && !said[0].contains("so the rule"), "{said:?}");
        }
    }
    // Each names something else than a user with such a path.
    for pattern in [
        "arn:aws:iam::*:role/Demo",
        "arn:aws:iam::*:user/{bob,alice}",
        "arn:aws:sts::[0-9]*:assumed-role/Demo/*",
        "arn:aws:iam::12345678901:user/[team]/bob",
        "*:role/Demo",
    ] {
        let text = format!("[[rule]]\naction = \"deny\"\nprincipals = ['{pattern}']\n");
        assert_eq!((of(&text).len(), doubts_of(&text).len()), (1, 0), "{pattern}");
    }
}

#[test]
fn partition_of_another_domain_is_reported() {
    let pinned = |domain: &str, arn: &str| {
        of(&format!(
            "[trust]\ndomain = \"{domain}\"\n[[rule]]\naction = \"deny\"\nprincipals = [\"{arn}\"]\n"
        ))
    };
    let said = pinned("amazonaws.com.cn", "arn:aws:iam::123456789012:user/bob");
    assert!(
        said[0].contains("partition aws-cn; expected \"arn:aws-cn:iam::123456789012:user/bob\""),
        "{said:?}"
    );
    assert!(said[0].ends_with("; so the rule denies no key of a known principal"), "{said:?}");
    let said = pinned("amazonaws.com.cn", "arn:aws:iam::123456789012:user/[team]/bob");
    assert!(said[0].contains("expected \"arn:aws-cn:iam::123456789012:user/[team]/bob\""), "{said:?}");
    for (domain, partition) in [
        ("amazonaws.com", "aws"),
        ("amazonaws.com", "aws-us-gov"),
        ("amazonaws.com.cn", "aws-cn"),
        ("amazonaws.eu", "aws-eusc"),
        ("c2s.ic.gov", "aws-iso"),
    ] {
        let arn = format!("arn:{partition}:iam::123456789012:user/bob");
        assert_eq!(pinned(domain, &arn), [""; 0], "{domain}");
    }
}

#[test]
fn other_lists_are_compared_with_what_exists() {
    for (list, pattern, why) in [
        ("accounts", "12345678901", "twelve digits, this has 11; expected \"012345678901\""),
        ("accounts", "1234567890123", "twelve digits, this has 13"),
        ("accounts", "1*2?3456789012", "twelve digits"),
        ("users", "1admin", "begins with a letter or _"),
        ("users", "a23456789012345678901234567890123", "at most 32"),
        ("users", ".*", "begins with a letter"),
        ("key_types", "ssh-ed448", "no such key algorithm"),
        ("key_types", "ssh-ecdsa", "expected \"ecdsa-sha2-nistp256\""),
        ("key_types", "sk-ed25519", "expected \"sk-ssh-ed25519@openssh.com\""),
        ("key_types", "ssh-ed25519-cert-v01@openssh.com", "certificate cannot be pushed"),
    ] {
        let said = of_pattern(list, pattern);
        let is_exempt = pattern == "ssh-ecdsa" && said.contains("no such key algorithm");
        assert!(said.contains(why) || is_exempt, "{list} {pattern}: {said}");
    }
    for (list, pattern) in [
        ("accounts", "123456789012"),
        ("accounts", "1234*"),
        ("accounts", "????????????"),
        ("users", "root"),
        ("users", "*"),
        ("users", "a2345678901234567890123456789012"),
        ("users", "svc$"),
        ("users", "_*@example.com"),
        ("key_types", "ssh-*"),
        ("key_types", "sk-*"),
        ("key_types", "ecdsa-sha2-nistp???"),
        ("key_types", "*@openssh.com"),
    ] {
        assert_eq!(of_pattern(list, pattern), "", "{list} {pattern}");
    }
    let both = of(
        "[[rule]]\naction = \"deny\"\naccounts = [\"111111111111\"]\nprincipals = [\"arn:aws:iam::222222222222:user/*\"]\n",
    );
    assert!(
        both[0].contains("rule 1.accounts: no principal of this rule belongs to these accounts"),
        "{both:?}"
    );
    let one = of("[[rule]]\naction = \"deny\"\nusers = [\"root\", \"1x\"]\n");
    assert!(one.len() == 1 && !one[0].contains("so the rule"), "{one:?}");
}

#[test]
fn rule_after_one_that_matches_the_same_keys_is_reported() {
    let two =
        |first: &str, second: &str| of(&format!("[[rule]]\nname = \"one\"\n{first}\n[[rule]]\n{second}\n"));
    let deny = "action = \"deny\"";
    let allow = "action = \"allow\"";
    let root = "users = [\"root\"]";
    let bob = "principals = [\"arn:aws:iam::123456789012:user/bob\"]";
    for (first, second) in [
        (deny.to_owned(), format!("{allow}\n{root}")),
        (allow.to_owned(), deny.to_owned()),
        (format!("{deny}\nusers = [\"*\"]"), format!("{allow}\n{root}")),
        (format!("{deny}\nusers = [\"*\"]"), allow.to_owned()),
        (format!("{deny}\nprincipals = [\"*\"]"), allow.to_owned()),
        (format!("{deny}\nusers = [\"r*\", \"a*\"]"), format!("{allow}\nusers = [\"admin*\", \"root\"]")),
        (format!("{allow}\nprincipals = [\"arn:aws:*\"]"), format!("{allow}\n{bob}")),
        (format!("{deny}\n{root}"), format!("{allow}\n{root}\n{bob}")),
    ] {
        let said = two(&first, &second);
        assert_eq!(said.len(), 1, "{first} {second}");
        assert!(
            said[0].contains("rule 2: never decides: rule 1 (\"one\") matches the same keys"),
            "{said:?}"
        );
    }
    for (first, second) in [
        (format!("{allow}\n{root}"), deny.to_owned()),
        // A key of an unknown principal reaches the second rule.
        (format!("{allow}\nprincipals = [\"*\"]"), deny.to_owned()),
        (format!("{allow}\nprincipals = [\"*\"]"), format!("{deny}\n{bob}")),
        (format!("{deny}\nusers = [\"???t\"]"), format!("{allow}\nusers = [\"*t\"]")),
        (format!("{deny}\n{root}\n{bob}"), format!("{allow}\n{root}")),
    ] {
        assert_eq!(two(&first, &second), [""; 0], "{first} {second}");
    }
}

#[test]
fn limits_that_do_not_apply_to_some_keys_are_doubted() {
    let rule = |lines: &str| format!("[[rule]]\naction = \"allow\"\n{lines}\n");
    let admins = "users = [\"admin*\"]";
    let contractor = "principals = [\"arn:aws:sts::*:assumed-role/Contractor/*\"]";
    let young = "max_age = 20";
    for (first, second, is_doubted) in [
        // A contractor who logs in as an admin reaches only the first rule.
        (rule(admins), rule(&format!("{contractor}\n{young}")), true),
        (rule(admins), rule("users = [\"*-dev\"]\noptions = \"pty\""), true),
        (rule(&format!("{admins}\n{young}")), rule(&format!("{contractor}\n{young}")), false),
        (rule(admins), rule(contractor), false),
        (rule(admins), rule(&format!("users = [\"root\"]\n{young}")), false),
        (rule(&format!("{admins}\n{contractor}")), rule(&format!("{contractor}\n{young}")), false),
        (rule(admins).replace("allow", "deny"), rule(&format!("{contractor}\n{young}")), false),
    ] {
        let text = format!("{first}{second}");
        let said = doubts_of(&text);
        assert_eq!(of(&text), [""; 0], "{text}");
        assert_eq!(said.len(), usize::from(is_doubted), "{text} {said:?}");
        assert!(
            said.iter().all(|said| said.contains("rule 2: some keys match rule 1 (\"#1\") before it; ")),
            "{said:?}"
        );
    }
    let none = doubts_of("[policy]\ndefault = \"deny\"\n[[rule]]\naction = \"deny\"\n");
    assert_eq!(none, ["2: policy.default: no rule allows a key, so the agent refuses every pushed key"]);
}

#[test]
fn rules_of_the_largest_file_take_bounded_time() {
    let started = std::time::Instant::now();
    let names: Vec<_> = (0..25).map(|number| format!("\"u{number}*\"")).collect();
    let rule = format!("[[rule]]\naction = \"deny\"\nusers = [{}]\naccounts = [\"1*\"]\n", names.join(","));
    let deep = rule.replace("1*", "?1*");
    let said = of(&format!("{rule}{}", deep.repeat(999)));
    assert!(said.len() <= 50, "{}", said.len());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
