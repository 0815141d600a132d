//! Tests of the parsers: events, and the writers of their lines.

use super::super::event::{Accepted, Event, Grant, KeyName, KeyProvided, Push, PushClaim};
use super::super::message::of_agent;
use super::super::writer::TrustedPush;
use super::*;

fn login(message: &str) -> Option<Accepted> {
    match of_sshd(42, message)? {
        Event::Accepted(login, _) => Some(login),
        other => panic!("{other:?}"),
    }
}

#[test]
fn logins_are_read_as_sshd_writes_them() {
    let plain =
        format!("Accepted publickey for ec2-user from 192.0.2.1 port 4000 ssh2: ED25519 {}", key('a'));
    let expected = Accepted {
        pid: 42,
        user: "ec2-user".to_owned(),
        method: "publickey".to_owned(),
        address: "192.0.2.1".to_owned(),
        port: 4000,
        key: KeyName::parse(&key('a')),
    };
    assert_eq!(login(&plain), Some(expected));
    let md5 = "Accepted publickey for u from fe80::1%eth0 port 1 ssh2: RSA 16:27:AC:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48";
    let md5 = login(md5).unwrap();
    assert_eq!(md5.key.unwrap().as_str(), "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48");
    assert_eq!(md5.address, "fe80::1%eth0");
    let spaced = login("Accepted password for domain user from nowhere from ::1 port 65535 ssh2").unwrap();
    assert_eq!((spaced.user.as_str(), spaced.key), ("domain user from nowhere", None));
    let methods = login("Accepted keyboard-interactive/pam for a\u{1b}b from ::1 port 1 ssh2").unwrap();
    assert_eq!((methods.user.as_str(), methods.method.as_str()), ("a\\x1bb", "keyboard-interactive/pam"));
    let certificate = format!(
        "Accepted publickey for u from ::1 port 1 ssh2: ED25519-CERT {} ID x (serial 0) CA ED25519 {}",
        key('a'),
        key('b')
    );
    assert_eq!(login(&certificate).unwrap().key, None, "a certificate is no pushed key");
    let proof = format!("Partial publickey for u from ::1 port 1 ssh2: RSA {}", key('a'));
    assert!(matches!(of_sshd(1, &proof), Some(Event::Partial(..))));
}

#[test]
fn other_lines_are_no_login() {
    let long = format!("Accepted publickey for u from {} port 1 ssh2", "a".repeat(65));
    for message in [
        "",
        "Accepted",
        "Accepted publickey for ",
        "Accepted publickey for u",
        "Accepted publickey for u from ::1",
        "Accepted publickey for u from ::1 port x ssh2",
        "Accepted publickey for u from ::1 port 65536 ssh2",
        "Accepted publickey for u from <b> port 1 ssh2",
        "Accepted public key for u from ::1 port 1 ssh2",
        "Accepted publickey for  from ::1 port 1 ssh2",
        "accepted publickey for u from ::1 port 1 ssh2",
        "Invalid user Accepted publickey for root from ::1 port 1 ssh2 from ::1 port 1",
        "pam_unix(cron:session): session closed for user root",
        "pam_unix(sshd:auth): authentication failure",
        "error: Disconnected from user ec2-user 192.0.2.1 port 4000",
        long.as_str(),
    ] {
        assert_eq!(of_sshd(1, message), None, "{message}");
    }
}

#[test]
fn fingerprints_have_one_form() {
    let padded = format!("{}=", key('a'));
    assert_eq!(KeyName::parse(&padded), KeyName::parse(&key('a')));
    let pairs = "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48";
    assert_eq!(KeyName::parse(pairs), KeyName::parse(&format!("MD5:{}", pairs.to_uppercase())));
    assert!(KeyName::parse(pairs).unwrap().may_be(&KeyName::parse(&padded).unwrap()));
    assert!(!KeyName::parse(&key('b')).unwrap().may_be(&KeyName::parse(&padded).unwrap()));
    for bad in ["", "SHA256:", "SHA256:abc", "MD5:", "MD5:16:27", "16-27", "SHA512:x"] {
        assert_eq!(KeyName::parse(bad), None, "{bad}");
    }
    let foreign = format!("SHA256:{}", "!".repeat(43));
    assert_eq!(KeyName::parse(&foreign), None);
}

#[test]
fn text_of_the_agent_is_parsed() {
    let line = format!("Providing ssh key from EC2 Instance Connect with fingerprint: {}", key('a'));
    let read = |message: &str| match of_agent(message, Push::Unverified) {
        Some(Event::Provided(KeyProvided { push: Push::Unverified(claim), .. })) => Some(claim),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    let claim = |principal: Option<&str>, request_id: Option<&str>| {
        let claim = PushClaim { principal: principal.map(str::to_owned), ..PushClaim::default() };
        Some(PushClaim { request_id: request_id.map(str::to_owned), ..claim })
    };
    assert_eq!(read(&line), claim(None, None));
    let whole = format!(
        "{line}, request-id: r-1, for IAM principal: {ALICE},x=y; without an OCSP staple for CN=a, O=b"
    );
    assert_eq!(read(&whole), claim(Some(&format!("{ALICE},x=y")), Some("r-1")));
    let chosen = format!("{whole}; chosen inputs: --config /x, for IAM principal: arn:mallory");
    assert_eq!(read(&chosen), read(&whole), "inputs from the command line are not part of the claims");
    let rule = "; allowed by rule: night, shift; with options: restrict,command=\"a; allowed by rule: b\"";
    let by_rule = |text: &str| read(&format!("{text}{rule}"));
    let with_rule = |claim: Option<PushClaim>| {
        let grant = Grant {
            rule: Some("night, shift".to_owned()),
            options: Some("restrict,command=\"a; allowed by rule: b\"".to_owned()),
        };
        claim.map(|claim| PushClaim { grant: Some(grant.into()), ..claim })
    };
    for text in [&line, &whole] {
        assert_eq!(by_rule(text), with_rule(read(text)), "{text}");
    }
    assert_eq!(
        read(&format!("{whole}; with options: pty")).unwrap().grant.unwrap().options.as_deref(),
        Some("pty")
    );
    let long = read(&format!("{whole}{rule}{}", "\u{e9}".repeat(9000))).unwrap();
    assert_eq!(long.grant.unwrap().options.unwrap().len(), 1024 + 3);
    let foreign = format!("{line}, request-id: \u{1b}[2J\\x41, for IAM principal: {}", "a".repeat(3000));
    let shown = read(&foreign).unwrap();
    assert_eq!(shown.request_id.unwrap(), "\\x1b[2J\\x41", "escaped text is not escaped again");
    assert_eq!(shown.principal.unwrap().len(), 2048 + 3);
    assert_eq!(read("Providing ssh key from EC2 Instance Connect with fingerprint: x"), None);

    let refused = |message: &str| match of_agent(message, Push::Unverified) {
        Some(Event::Refused { reason, user, push: None, count, .. }) => Some((reason, user.unwrap(), count)),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    let expired = "Refusing ssh key from EC2 Instance Connect for user u: expired: expired 20";
    assert_eq!(refused(expired), Some((Some("expired".into()), "u".into(), 1)));
    let flood = "Refusing 12 more ssh keys from EC2 Instance Connect for user u";
    assert_eq!(refused(flood), Some((None, "u".into(), 12)));
    let chosen = format!("{flood}; chosen inputs: --sysfs /s");
    assert_eq!(refused(&chosen), refused(flood));
    let none = "No ssh keys from EC2 Instance Connect for user u: metadata-timeout: …";
    assert_eq!(refused(none), Some((Some("metadata-timeout".into()), "u".into(), 1)));
    for bad in [
        "Refusing x more ssh keys from EC2 Instance Connect for user u",
        "No ssh keys from EC2 Instance Connect for user u: Bad Reason: x",
        "Provider",
    ] {
        assert_eq!(refused(bad), None, "{bad}");
    }
}

fn event(log: &Log) -> Option<Event> {
    reader().parse_line(log.lines.last().unwrap().as_bytes()).unwrap().event
}

#[test]
fn principal_is_trusted_only_from_the_agents_user() {
    let trusted = |event: Option<Event>| match event {
        Some(Event::Provided(KeyProvided { push: Push::Trusted(push), .. })) => {
            Some(TrustedPush::claim(&push).clone())
        }
        Some(Event::Disbelieved { .. }) => None,
        other => panic!("{other:?}"),
    };
    let mut log = Log::new();
    let by_agent = trusted(event(log.provided(1, &key('a'), ALICE))).unwrap();
    assert_eq!(
        (by_agent.principal.as_deref(), by_agent.request_id.as_deref()),
        (Some(ALICE), Some("r-alice"))
    );
    // The agent gives up root's privileges before it has a key. So a line of root is not from the agent.
    for uid in [0, 1000, 65_534, u32::MAX] {
        assert_eq!(
            event(log.provided_by(uid, 1, &key('a'), ALICE)),
            Some(Event::Disbelieved { uid, program: None })
        );
    }
    // A line from syslog has the same user id. Only the sshd process is unknown.
    let text = format!(
        "Providing ssh key from EC2 Instance Connect with fingerprint: {}, for IAM principal: {BOB}",
        key('a')
    );
    let fields = json!({ "MESSAGE": text });
    assert_eq!(
        trusted(event(log.entry(AGENT, 7, "eic-agent", &fields))).unwrap().principal.as_deref(),
        Some(BOB)
    );
    assert_eq!(trusted(event(log.entry(1000, 7, "eic-agent", &fields))), None);
    // Output of a unit of the agent is no event.
    let printed = json!({ "MESSAGE": "sshd uses this program (/etc/ssh/sshd_config.d/10-eic-agent.conf:2)" });
    assert_eq!(event(log.entry(0, 7, "eic-agent", &printed)), None);
    // Without such a user, no line is believed.
    let without_agent = Journal::new(AgentUser::new(0), Programs::default())
        .parse_line(log.provided(1, &key('a'), ALICE).lines.last().unwrap().as_bytes());
    assert_eq!(without_agent.unwrap().event, Some(Event::Disbelieved { uid: AGENT, program: None }));
}

#[test]
fn line_of_sshd_or_the_agent_in_an_unknown_form_is_reported() {
    let mut log = Log::new();
    for value in [json!([ALICE, BOB]), json!([255, 254]), Value::Null] {
        log.entry(AGENT, 7, "eic-agent", &json!({ "EIC_EVENT": "provided", "EIC_USER": "u", "EIC_SSHD_PID": "1", "EIC_FINGERPRINT": value }));
        assert_eq!(event(&log), Some(Event::Unknown), "{value}");
        log.entry(0, 7, "sshd", &json!({ "MESSAGE": value }));
        assert_eq!(event(&log), Some(Event::Unknown), "{value}");
    }
    let mut journal = reader();
    for bad in
        ["", "{}", "[]", "null", "-- No entries --", "{\"__REALTIME_TIMESTAMP\":\"1\"", "{\"_UID\":{}}"]
    {
        assert_eq!(journal.parse_line(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(journal.parse_line(b"\xff\xfe"), None);
}

#[test]
fn a_line_of_sshd_or_logind_that_a_user_wrote_is_disbelieved() {
    let mut log = Log::new();
    let closed = json!({ "MESSAGE": "pam_unix(sshd:session): session closed for user u" });
    for name in ["sshd", "sshd-session"] {
        let by_root = event(log.entry(0, 5, name, &closed));
        assert!(
            matches!(by_root, Some(Event::Closed { pid: 5, source: Attribution::Attested(_) })),
            "{by_root:?}"
        );
        let by_user = event(log.entry(1000, 5, name, &closed));
        assert_eq!(by_user, Some(Event::Disbelieved { uid: 1000, program: None }));
    }
    // A session's own process may report that its client left. Another program may not.
    let own = json!({ "MESSAGE": "Disconnected from user u 192.0.2.1 port 4000" });
    let by_user = event(log.entry(1000, 5, "sshd", &own));
    assert!(
        matches!(by_user, Some(Event::Disconnected { source: Attribution::User, uid: Some(1000), .. })),
        "{by_user:?}"
    );
    let mut forged = own;
    forged["_EXE"] = json!("/usr/bin/logger");
    assert_eq!(
        event(log.entry(1000, 5, "sshd", &forged)),
        Some(Event::Disbelieved { uid: 1000, program: None })
    );
    let removed = json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "5", "MESSAGE": "Removed session 1." });
    let by_root = event(log.entry(0, 1, "systemd-logind", &removed));
    assert!(
        matches!(by_root, Some(Event::Removed { pid: 5, source: Attribution::Attested(_) })),
        "{by_root:?}"
    );
    let by_user = event(log.entry(1000, 1, "systemd-logind", &removed));
    assert_eq!(by_user, Some(Event::Disbelieved { uid: 1000, program: None }));
}

#[test]
fn a_line_that_another_program_wrote_as_root_is_disbelieved() {
    let mut log = Log::new();
    let mut by = |name: &str, program: Value, unit: &str, fields: Value| {
        let mut all = fields;
        all["_EXE"] = program;
        all["_SYSTEMD_UNIT"] = json!(unit);
        event(log.entry(0, 5, name, &all))
    };
    let sudo = || json!("/usr/bin/sudo");
    let forged = Some(Event::Disbelieved { uid: 0, program: Some("/usr/bin/sudo".to_owned()) });
    let accepted =
        || json!({ "MESSAGE": format!("Accepted publickey for u from ::1 port 1 ssh2: RSA {}", key('a')) });
    let closed = || json!({ "MESSAGE": "pam_unix(sshd:session): session closed for user u" });
    let removed = || json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "5" });
    let failed = || json!({ "EIC_EVENT": "failed", "EIC_USER": "u", "EIC_REASON": "settings-invalid" });
    for (name, fields) in
        [("sshd", accepted()), ("sshd", closed()), ("systemd-logind", removed()), ("eic-agent", failed())]
    {
        // A user who logs in without PAM runs processes in sshd's unit.
        assert_eq!(by(name, sudo(), "ssh.service", fields), forged, "{name}");
    }
    // Without the program's path, a line is unattributed. A login is attested only in sshd's unit.
    let source = |event: Option<Event>| match event {
        Some(
            Event::Accepted(_, source)
            | Event::Closed { source, .. }
            | Event::Removed { source, .. }
            | Event::Refused { source, .. },
        ) => source,
        other => panic!("{other:?}"),
    };
    for (name, fields) in
        [("sshd", accepted()), ("sshd", closed()), ("systemd-logind", removed()), ("eic-agent", failed())]
    {
        assert_eq!(source(by(name, Value::Null, "ssh.service", fields)), Attribution::Unattributed, "{name}");
    }
    let sshd = || json!("/usr/sbin/sshd");
    assert_eq!(source(by("sshd", sshd(), "session-1.scope", accepted())), Attribution::Unattributed);
    assert!(matches!(source(by("sshd", sshd(), "session-1.scope", closed())), Attribution::Attested(_)));
    assert_eq!(source(by("sshd", sshd(), "cron.service", closed())), Attribution::Unattributed);
}

#[test]
fn failure_of_an_agent_as_root_is_believed() {
    let mut log = Log::new();
    let failed = json!({ "EIC_EVENT": "failed", "EIC_USER": "u", "EIC_REASON": "settings-invalid" });
    let mut by_agent = failed.clone();
    by_agent["_EXE"] = json!("/usr/local/bin/eic-agent");
    by_agent["_SYSTEMD_UNIT"] = json!("ssh@1.service");
    let source = Some(event(log.entry(0, 1, "eic-agent", &by_agent)));
    assert!(
        matches!(source, Some(Some(Event::Refused { push: None, source: Attribution::Attested(_), .. }))),
        "{source:?}"
    );
    assert_eq!(
        event(log.entry(1000, 1, "eic-agent", &failed)),
        Some(Event::Disbelieved { uid: 1000, program: None })
    );
    assert_eq!(
        event(log.entry(
            AGENT,
            1,
            "eic-agent",
            &json!({ "EIC_EVENT": "provider", "EIC_REASON": "provider-failed" })
        )),
        None
    );
}
