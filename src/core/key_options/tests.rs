use super::*;
use crate::evidence::public_key::PublicKey;

#[test]
fn lists_are_read_as_sshd_reads_them() {
    for (text, needs) in [
        ("restrict", Release::OLDEST),
        ("restrict,pty", Release::OLDEST),
        ("Restrict,PTY,X11-Forwarding,no-X11-forwarding", Release::OLDEST),
        ("command=\"echo \\\"a, b\\\"\",no-pty", Release::OLDEST),
        ("from=\"10.0.0.0/8,!10.1.0.0/16\"", Release::OLDEST),
        ("expiry-time=\"20300101\"", Release(7, 7)),
        ("permitlisten=\"localhost:8080\",verify-required", Release(8, 4)),
    ] {
        let options = KeyOptions::parse(text).unwrap();
        assert_eq!((options.as_str(), options.needs()), (text, needs));
    }
}

#[test]
fn options_that_sshd_rejects_are_refused() {
    use KeyOptionsError as E;
    for (text, error) in [
        ("", E::Form),
        (",", E::Form),
        ("pty,", E::Form),
        ("pty pty", E::Form),
        ("restrict, pty", E::Form),
        ("command=\"x", E::Form),
        ("command=\"x\\\"", E::Form),
        ("command=\"x\" ssh-ed25519 AAAA", E::Form),
        ("command=x", E::Form),
        ("command", E::NoValue("command".into())),
        ("pty=\"x\"", E::OptionValue("pty".into())),
        ("no-such", E::Unknown("no-such".into())),
        ("ssh-ed25519", E::Unknown("ssh-ed25519".into())),
        ("cert-authority", E::NotForKeys("cert-authority".into())),
        ("restrict,Principals=\"x\"", E::NotForKeys("principals".into())),
        ("pty\nssh-ed25519 AAAA", E::Character('\n')),
        ("command=\"a\",command=\"b\"", E::Twice("command".into())),
        (
            "environment=\"EIC_PRINCIPAL=me\"",
            E::BadValue("environment".into(), OptionValue::Environment.words()),
        ),
        ("from=\"127.0.0.1/8\"", E::BadValue("from".into(), OptionValue::From.words())),
        ("command=\"\u{e9}\"", E::Character('\u{e9}')),
    ] {
        assert_eq!(KeyOptions::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn expiry_time_has_passed_only_if_it_has_in_every_time_zone() {
    // 2025-01-30T12:00:00Z
    let now = Timestamp::from_unix(1_738_238_400);
    for (value, is_over) in [
        ("20250130115959Z", true),
        ("20250130120000Z", false),
        ("202501301159Z", true),
        ("20250129115959", true),
        // In a time zone behind UTC, this is later.
        ("20250129120000", false),
        ("20250130", false),
        ("20250129", true),
        ("20250130Z", true),
        ("20990101", false),
        ("19000101", true),
        ("19700101Z", true),
        ("99991231235959", false),
    ] {
        let options = KeyOptions::parse(&format!("restrict,Expiry-Time=\"{value}\",pty")).unwrap();
        assert_eq!(options.has_expired(now), is_over, "{value}");
    }
    assert!(!KeyOptions::parse("restrict").unwrap().has_expired(now));
}

#[test]
fn forced_command_is_detected() {
    for (text, forces) in
        [("restrict,Command=\"x\"", true), ("restrict", false), ("environment=\"X=command=\"", false)]
    {
        assert_eq!(KeyOptions::parse(text).unwrap().forces_command(), forces, "{text}");
    }
}

#[test]
fn no_option_is_the_name_of_an_algorithm() {
    for name in KNOWN.iter().map(|(name, ..)| *name).chain(NOT_FOR_KEYS) {
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        let body = data_encoding::BASE64.encode(&[&length, name.as_bytes(), b"\0\0\0\x03key"].concat());
        let refused = PublicKey::parse(format!("{name} {body}").as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("an option of authorized_keys"), "{name}: {refused}");
    }
}

#[test]
fn lists_are_bounded() {
    let long = format!("command=\"{}\"", "x".repeat(MAX_BYTES - 10));
    assert_eq!(long.len(), MAX_BYTES);
    assert!(KeyOptions::parse(&long).is_ok());
    assert_eq!(KeyOptions::parse(&format!("{long},pty")), Err(KeyOptionsError::TooLong(MAX_BYTES + 4)));
}

#[test]
fn releases_are_found_in_the_output_of_sshd() {
    for (text, release) in [
        ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.22", Some(Release(9, 2))),
        ("unknown option -- V\nOpenSSH_7.4p1, OpenSSL 1.0.2k-fips\nusage: sshd", Some(Release(7, 4))),
        ("OpenSSH_10.0p2", Some(Release(10, 0))),
        ("dropbear", None),
        ("OpenSSH_x.y", None),
    ] {
        assert_eq!(Release::find(text), release, "{text}");
    }
    assert!(Release(10, 0) > Release(9, 9));
}

/// The prefix of a key that `principal` pushed with the request `r-1`.
fn prefix(keys: Option<&str>, rule: Option<&str>, principal: Option<&str>) -> Result<String, LineError> {
    let line = LinePrefix { options: keys.map(|keys| KeyOptions::parse(keys).unwrap()), environment: false };
    let rule = rule.map(|rule| RuleOptions::parse(rule).unwrap());
    line.of(rule.as_ref(), &Values { principal, request_id: Some("r-1") })
}

const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/Deploy/run-17";

#[test]
fn hostile_principal_cannot_close_its_quotes() {
    let line = LinePrefix { options: Some(KeyOptions::parse("restrict,pty").unwrap()), environment: true };
    let of =
        |principal| line.of(None, &Values { principal: Some(principal), request_id: Some("r-1") }).unwrap();
    assert_eq!(
        of("arn:aws:sts::1:assumed-role/Admin/a+b=c@d.e"),
        "restrict,pty,environment=\"EIC_PRINCIPAL=arn:aws:sts::1:assumed-role/Admin/a+b=c@d.e\",\
         environment=\"EIC_REQUEST_ID=r-1\" "
    );
    let hostile = of("x\" ssh-ed25519 AAAA\n\\,command=\"id %\u{e9}");
    assert_eq!(hostile.matches('"').count(), 4, "{hostile}");
    assert!(hostile.contains("x%22%20ssh-ed25519%20AAAA%0A%5C%2Ccommand=%22id%20%25%C3%A9\""), "{hostile}");
    assert_eq!(line.of(None, &Values::default()).unwrap(), "restrict,pty ");
    assert_eq!(prefix(None, None, Some("x")).unwrap(), "");
}

#[test]
fn options_of_a_rule_replace_values_and_follow_the_flags_of_all_keys() {
    for (keys, rule, both) in [
        ("", "restrict,pty", "restrict,pty "),
        ("restrict", "pty", "restrict,pty "),
        ("restrict,pty", "no-pty", "restrict,pty,no-pty "),
        ("Restrict,command=\"a\"", "Command=\"b\"", "restrict,command=\"b\" "),
        ("command=\"a\"", "pty", "command=\"a\",pty "),
        (
            "from=\"10.0.0.0/8\",expiry-time=\"20300101\"",
            "from=\"127.0.0.1\"",
            "expiry-time=\"20300101\",from=\"127.0.0.1\" ",
        ),
        (
            "permitopen=\"a:1\",permitopen=\"b:2\",permitlisten=\"8080\"",
            "permitopen=\"c:3\",permitopen=\"d:4\"",
            "permitlisten=\"8080\",permitopen=\"c:3\",permitopen=\"d:4\" ",
        ),
        (
            "environment=\"A=1\",environment=\"B=2\"",
            "environment=\"A=3\",environment=\"C=4\"",
            "environment=\"B=2\",environment=\"A=3\",environment=\"C=4\" ",
        ),
        ("command=\"say \\\"a, b\\\" c\\\\\"d\\x\"", "pty", "command=\"say \\\"a, b\\\" c\\\\\"d\\x\",pty "),
        // Templates are for rules only.
        ("command=\"%{role}\"", "pty", "command=\"%{role}\",pty "),
    ] {
        let keys = (!keys.is_empty()).then_some(keys);
        assert_eq!(prefix(keys, Some(rule), Some(SESSION)).unwrap(), both, "{keys:?} {rule}");
        // The merged list is itself a list that sshd reads, with no option twice.
        KeyOptions::parse(both.trim_end()).unwrap();
    }
}

#[test]
fn templates_are_replaced_by_signed_values() {
    let command = |command: &str, principal| {
        let prefix = prefix(None, Some(&format!("command=\"x {command}\"")), principal)?;
        Ok(prefix.strip_prefix("command=\"x ").unwrap().strip_suffix("\" ").unwrap().to_owned())
    };
    for (text, shown) in [
        ("deploy %{role} %{session}", "deploy Deploy run-17"),
        ("%{principal}", "arn:aws:sts::123456789012:assumed-role/Deploy/run-17"),
        ("a%{account}b%{request_id}", "a123456789012br-1"),
        ("date +%F %% 100% %", "date +%F %% 100% %"),
        ("curl -w '%%{http_code}' %{role}", "curl -w '%{http_code}' Deploy"),
        ("%%%{role}", "%%{role}"),
        ("%{role}%{role}", "DeployDeploy"),
        ("\u{5c}%{role}", "\u{5c}Deploy"),
    ] {
        assert_eq!(command(text, Some(SESSION)), Ok(shown.to_owned()), "{text}");
    }
    for (text, principal, template) in [
        ("%{role}", Some("arn:aws:iam::123456789012:user/bob"), Template::Role),
        ("%{session}", Some("arn:aws:sts::123456789012:federated-user/bob"), Template::Session),
        ("%{session}", Some("arn:aws:sts::123456789012:assumed-role/A/"), Template::Session),
        ("%{account}", Some("arn:aws:iam::aws:user/bob"), Template::Account),
        ("%{account}", Some("arn:aws:iam::12345678901x:user/bob"), Template::Account),
        ("%{principal}", Some(""), Template::Principal),
        ("%{principal}", None, Template::Principal),
    ] {
        assert_eq!(command(text, principal), Err(LineError::NoValue(template)), "{text} {principal:?}");
    }
}

#[test]
fn template_that_does_not_exist_or_is_elsewhere_is_refused() {
    use KeyOptionsError as E;
    for (text, error) in [
        ("command=\"%{user}\"", E::NoTemplate("user".into())),
        ("command=\"%{}\"", E::NoTemplate(String::new())),
        ("command=\"%{role\"", E::NoTemplate("role".into())),
        ("command=\"%{ role }\"", E::NoTemplate(" role ".into())),
        ("command=\"%{Role}\"", E::NoTemplate("Role".into())),
        ("from=\"%{account}\"", E::TemplateIn("from".into())),
        ("permitopen=\"%{role}:22\"", E::TemplateIn("permitopen".into())),
        ("tunnel=\"%{role}\"", E::BadValue("tunnel".into(), OptionValue::Tunnel.words())),
        ("environment=\"%{role}=x\"", E::BadValue("environment".into(), OptionValue::Environment.words())),
        ("no-such", E::Unknown("no-such".into())),
        ("command=\"%{session}\"", E::TemplateAsProgram),
        ("command=\"  /bin/%{session} x\"", E::TemplateAsProgram),
    ] {
        assert_eq!(RuleOptions::parse(text), Err(error), "{text}");
    }
    assert!(RuleOptions::parse("environment=\"DEPLOYER=%{role}\",restrict").is_ok());
    assert!(KeyOptions::parse("command=\"%{user}\"").is_ok(), "[keys] options have no templates");
}

#[test]
fn value_is_one_word_and_no_option_or_path_upwards() {
    let hostile = |session: &str| {
        let principal = format!("arn:aws:sts::123456789012:assumed-role/{session}");
        prefix(None, Some("command=\"x %{session}\""), Some(&principal)).unwrap()
    };
    for (session, shown) in [
        ("R/-rf", "%2Drf"),
        ("R/..", "%2E."),
        ("R/@x", "%40x"),
        ("R/=ls", "%3Dls"),
        ("R/+x", "%2Bx"),
        ("R/a b", "a%20b"),
        ("R/$(id)`id`;id|id&id", "%24%28id%29%60id%60%3Bid%7Cid%26id"),
        ("R/\"x\\", "%22x%5C"),
        ("R/a\nssh-rsa", "a%0Assh-rsa"),
        ("R/%41{a,b}*?[x]~!^#'<>", "%2541%7Ba%2Cb%7D%2A%3F%5Bx%5D%7E%21%5E%23%27%3C%3E"),
        ("R/a-b.c@d+f:g_", "a-b.c@d+f:g_"),
        ("R/LD_PRELOAD=x.so", "LD_PRELOAD%3Dx.so"),
        ("R/\u{e9}\0", "%C3%A9%00"),
    ] {
        assert_eq!(hostile(session), format!("command=\"x {shown}\" "), "{session:?}");
    }
    let upwards =
        prefix(None, Some("command=\"x %{principal}\""), Some("arn:aws:iam::1:user/../..//-x/b")).unwrap();
    assert_eq!(upwards, "command=\"x arn:aws:iam::1:user/%2E./%2E./%2F%2Dx/b\" ");
}

#[test]
fn line_that_old_sshd_does_not_read_is_refused() {
    let thrice = "%{principal}".repeat(3);
    let rule = format!("command=\"x {thrice}\"");
    let short = format!("arn:{}", "a".repeat(2044));
    assert!(prefix(None, Some(&rule), Some(&short)).is_ok());
    let hostile = "\"".repeat(2048);
    let length = rule.len() - thrice.len() + 3 * 3 * 2048 + 1;
    assert_eq!(prefix(None, Some(&rule), Some(&hostile)), Err(LineError::TooLong(length)));
    // The longest options and variables that `[keys]` can have.
    let line = LinePrefix {
        options: Some(KeyOptions::parse(&format!("command=\"{}\"", "x".repeat(MAX_BYTES - 10))).unwrap()),
        environment: true,
    };
    let request_id = "\"".repeat(128);
    assert!(line.of(None, &Values { principal: Some(&hostile), request_id: Some(&request_id) }).is_ok());
}
