//! A key that was pushed several times: a run prints one line for equal options, and logs one event for each principal, with
//! the id of every request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use eic_emulator::{Config, Entry};
use serde_json::{Value, json};

use crate::sessions::{is_valid, report, session};
use crate::wiring::agent;
use crate::world::{
    BOB, INSTANCE, Journal, Journald, Key, Sshd, Syslog, World, on_an_instance, on_an_instance_for, test_path,
};

const USER: &str = "ec2-user";
/// With this rule, the options of a line name the principal and the request.
const NAMED: &str = "[[rule]]\nname = \"named\"\naction = \"allow\"\noptions = 'command=\"echo %{principal} %{request_id}\"'\n";

const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";

/// What the signer signs about one push.
struct Push<'k> {
    key: &'k Key,
    caller: &'k str,
    /// Empty: the push has none.
    request: String,
    /// Seconds until the key expires.
    left: i64,
    is_signed: bool,
}

impl<'k> Push<'k> {
    fn new(key: &'k Key, caller: &'k str, request: &str, left: i64) -> Self {
        Self { key, caller, request: request.to_owned(), left, is_signed: true }
    }
}

fn serve(world: &World, pushes: &[Push<'_>]) {
    let (now, signer) = (world.emulator.now(), world.emulator.hierarchy());
    let entry = |push: &Push<'_>| {
        let entry = Entry::new(push.key.line()).timestamp(now + push.left).instance(INSTANCE);
        let entry = entry.caller(push.caller);
        let entry = if push.request.is_empty() { entry } else { entry.request(&push.request) };
        if push.is_signed { entry.sign(&signer.leaf_key) } else { entry.with_signature(&[1; 256]) }
    };
    world.emulator.set_entries(USER, pushes.iter().flat_map(entry).collect::<Vec<_>>());
}

/// The request ids in an event, in the order of the event.
fn ids(event: &BTreeMap<String, String>) -> Vec<String> {
    let further = event.get("EIC_FURTHER_REQUEST_IDS").map(String::as_str).unwrap_or_default();
    let first = event.get("EIC_REQUEST_ID").cloned();
    first.into_iter().chain(further.split_whitespace().map(str::to_owned)).collect()
}

#[test]
fn login_with_a_key_that_was_pushed_often_has_one_line_with_every_request_id() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let key = Key::ed25519(world, "key");
        let pushed: Vec<_> = (0..5).map(|_| world.emulator.push(USER, &key.line(), ALICE)).collect();
        let expected: BTreeSet<&str> = pushed.iter().map(String::as_str).collect();
        assert_eq!(expected.len(), 5);
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        assert!(world.ssh(USER, &[&key]).ok);
        journal.wait_for("session closed for user ec2-user");

        let provided = journal.entries("EIC_EVENT=provided");
        assert_eq!(provided.len(), 3, "one line for each run: {provided:#?}");
        for entry in &provided {
            let text = |name: &str| entry[name].as_str().unwrap();
            let named = text("EIC_FURTHER_REQUEST_IDS").split(' ').chain([text("EIC_REQUEST_ID")]);
            assert_eq!(named.collect::<BTreeSet<_>>(), expected, "{entry:#}");
            assert_eq!((text("EIC_PRINCIPAL"), text("EIC_FINGERPRINT")), (ALICE, key.fingerprint().as_str()));
            let start = format!(
                "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {}, for IAM principal: {ALICE}; \
                 further request-ids: {}",
                key.fingerprint(),
                text("EIC_REQUEST_ID"),
                text("EIC_FURTHER_REQUEST_IDS"),
            );
            assert_eq!(text("MESSAGE"), start);
        }

        let shown = report(world, &[]);
        is_valid(world, &shown).unwrap();
        let listed = session(&shown, &key)["pushes"].as_array().unwrap();
        let named: BTreeSet<_> = listed.iter().map(|push| push["request_id"].as_str().unwrap()).collect();
        assert_eq!((named, listed.len()), (expected, 5), "{shown:#}");
        assert!(
            listed.iter().all(|push| push["principal"] == ALICE && push["verified"] == true),
            "{shown:#}"
        );
        assert_eq!(shown["unused"], json!([]), "{shown:#}");
    });
}

#[test]
fn explain_counts_lines_and_shows_each_push() {
    on_an_instance(test_path!(), Config::default(), |world| {
        crate::wiring::lay_out("", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let key = Key::ed25519(world, "key");
        for (settings, lines) in [("", 1), (NAMED, 2)] {
            world.configure_unhurried(settings);
            let push = |caller, request, left| Push::new(&key, caller, request, left);
            serve(world, &[push(ALICE, "r-1", 300), push(BOB, "r-2", 200), push(ALICE, "r-3", 400)]);
            let printed = world.run(&[USER]).keys();
            assert_eq!(printed.lines().count(), lines, "{printed}");
            let explained: Value =
                serde_json::from_str(&agent(world, &["explain", USER, "--json"]).out).unwrap();
            assert_eq!(explained["keys_given"], lines, "{explained:#}");
            let keys = explained["judgement"]["keys"].as_array().unwrap();
            let shares: Vec<_> = keys.iter().map(|key| key.get("shares_line").is_some()).collect();
            assert_eq!(shares, [true, lines == 1, false], "{explained:#}");
            for entry in keys {
                let options =
                    entry["options"].as_str().map_or_else(String::new, |options| format!("{options} "));
                assert!(printed.contains(&format!("{options}{}\n", key.bare_line())), "{entry:#} {printed}");
            }
            let text = agent(world, &["explain", USER]).out;
            assert_eq!(
                text.matches("  line       that of another push of this key").count(),
                3 - lines,
                "{text}"
            );
        }
    });
}

#[test]
fn each_principal_has_its_own_line_in_the_log_and_the_newest_push_decides_about_the_session() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journal::bind();
        let key = Key::ed25519(world, "key");
        let _sshd = Sshd::start(world);
        for (newest, other) in [(ALICE, BOB), (BOB, ALICE)] {
            let serve_both = || {
                serve(world, &[Push::new(&key, other, "r-old", 200), Push::new(&key, newest, "r-new", 400)]);
            };
            world.configure_unhurried("");
            serve_both();
            let before = journal.events().len();
            assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()), "the lines are equal");
            let events = journal.events().split_off(before);
            let of = |event: &BTreeMap<String, String>| (event["EIC_PRINCIPAL"].clone(), ids(event));
            let expected = [(newest, "r-new"), (other, "r-old")];
            let expected = expected.map(|(principal, id)| (principal.to_owned(), vec![id.to_owned()]));
            assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected);

            world.configure_unhurried(NAMED);
            serve_both();
            assert_eq!(world.run(&[USER]).keys().lines().count(), 2, "the lines differ");
            let said = world.ssh_run(USER, &[&key], "true").said;
            assert_eq!(said, format!("{newest} r-new\n"));
        }
    });
}

#[test]
fn key_logs_in_if_the_options_of_one_principal_admit_the_client() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let rule = |name: &str, principal: &str, options: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\naction = \"allow\"\nprincipals = [\"{principal}\"]\noptions = '{options}'\n"
            )
        };
        let rules = |of_alice: &str, of_bob: &str| rule("a", ALICE, of_alice) + &rule("b", BOB, of_bob);
        let (here, elsewhere) = ("from=\"127.0.0.1\"", "from=\"203.0.113.9\"");
        for (of_alice, of_bob, logs_in) in
            [(here, elsewhere, true), (elsewhere, here, true), (elsewhere, elsewhere, false)]
        {
            world.configure_unhurried(&rules(of_alice, of_bob));
            for (first, second) in [(200, 400), (400, 200), (300, 300)] {
                serve(world, &[Push::new(&key, ALICE, "r-1", first), Push::new(&key, BOB, "r-2", second)]);
                assert_eq!(world.ssh(USER, &[&key]).ok, logs_in, "{of_alice} {of_bob} {first} {second}");
            }
        }
        // A denied push does not deny another principal's.
        world.configure_unhurried(&format!(
            "[[rule]]\nname = \"no\"\naction = \"deny\"\nprincipals = [\"{BOB}\"]\n"
        ));
        serve(world, &[Push::new(&key, BOB, "r-1", 400), Push::new(&key, ALICE, "r-2", 100)]);
        assert!(world.ssh(USER, &[&key]).ok);
        serve(world, &[Push::new(&key, BOB, "r-1", 400)]);
        assert!(!world.ssh(USER, &[&key]).ok);
    });
}

#[test]
fn flood_of_pushes_of_one_key_has_short_lines_with_every_request_id() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let id = |number: usize| format!("ea46ab38-4454-451f-bf75-{number:012x}");
        let usual: Vec<_> = (0..2000).map(|number| Push::new(&key, ALICE, &id(number), 400)).collect();
        // The longest principal, and request ids that the log escapes. Such a line has no room for further ids.
        let long_caller = format!("arn:aws:sts::123456789012:assumed-role/Admin/{}", "x".repeat(2000));
        let long_id = |number: usize| format!("{number:03}{}", " ".repeat(120));
        let long: Vec<_> =
            (0..200).map(|number| Push::new(&key, &long_caller, &long_id(number), 400)).collect();
        for (pushes, most_lines, longest) in [(usual, 80, 1200), (long, 200, 4096)] {
            let journal = Journal::bind();
            serve(world, &pushes);
            let run = world.run(&[USER, &key.fingerprint()]);
            assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{}", run.notes());
            let events = journal.events();
            drop(journal);
            fs::remove_file("/run/systemd/journal/socket").unwrap();
            assert!(events.len() <= most_lines, "{}", events.len());
            let named: BTreeSet<_> = events.iter().flat_map(ids).collect();
            assert_eq!(named.len(), pushes.len(), "each id is in the log");
            for event in &events {
                let (length, further) = (event["MESSAGE"].len(), event.get("EIC_FURTHER_REQUEST_IDS"));
                assert!(
                    length <= longest && further.is_none_or(|ids| ids.len() <= 1024),
                    "{length}: {event:#?}"
                );
            }
        }
    });
}

#[test]
fn required_log_must_accept_every_line_about_a_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        world.configure_unhurried("[audit]\nrequired = true\n");
        let [often, once] = ["often", "once"].map(|name| Key::ed25519(world, name));
        let mut pushes = vec![Push::new(&once, ALICE, "once", 400)];
        pushes.extend((0..2000).map(|number| Push::new(&often, ALICE, &format!("request-{number}"), 400)));
        serve(world, &pushes);
        // The queue has room for the first lines, and nothing reads it.
        let unread = UnixDatagram::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
        let run = world.run(&[USER]);
        assert_eq!(run.keys(), format!("{}\n", once.bare_line()), "{}", run.notes());
        assert!(run.notes().contains("no log accepted the line about 1 of the keys"), "{}", run.notes());
        drop(unread);
        fs::remove_file("/dev/log").unwrap();
        let syslog = Syslog::bind();
        assert_eq!(world.run(&[USER]).keys().lines().count(), 2);
        assert_eq!(syslog.agent_lines().len(), 1 + 80);
    });
}

#[test]
fn required_log_withholds_no_key_because_of_the_pushes_of_another_principal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        world.configure_unhurried("[audit]\nrequired = true\n");
        let [shared, flooded, quiet] = ["shared", "flooded", "quiet"].map(|name| Key::ed25519(world, name));
        let unread = UnixDatagram::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
        let flood = |key| (0..2000).map(move |number| Push::new(key, BOB, &format!("flood-{number}"), 450));
        for (flooded, alices) in [(&shared, &shared), (&flooded, &quiet)] {
            let pushes: Vec<_> = flood(flooded).chain([Push::new(alices, ALICE, "r-alice", 400)]).collect();
            serve(world, &pushes);
            let run = world.run(&[USER]);
            assert_eq!(run.keys(), format!("{}\n", alices.bare_line()), "{}", run.notes());
            // The reader finds the line about the key that sshd got.
            unread.set_nonblocking(true).unwrap();
            let mut buffer = [0; 8192];
            let mut next =
                || unread.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned());
            let lines: Vec<_> = std::iter::from_fn(&mut next).collect();
            assert!(lines.iter().any(|line| line.contains("request-id: r-alice")), "{lines:#?}");
        }
    });
}

#[test]
fn further_ids_leave_room_for_the_rule_and_the_options() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let options = format!("command=\"echo {}\"", "o".repeat(1000));
        world.configure_unhurried(&format!(
            "[[rule]]\nname = \"long\"\naction = \"allow\"\noptions = '{options}'\n"
        ));
        let id = |number: usize| format!("ea46ab38-4454-451f-bf75-{number:012x}");
        let pushes: Vec<_> = (0..60).map(|number| Push::new(&key, ALICE, &id(number), 400)).collect();
        serve(world, &pushes);
        let syslog = Syslog::bind();
        assert_eq!(world.run(&[USER]).keys(), format!("{options} {}\n", key.bare_line()));
        let lines = syslog.agent_lines();
        for line in &lines {
            // The daemon adds a time and the name of the host.
            assert!(line.len() <= 2048 - 80, "{}: {line}", line.len());
            assert!(line.ends_with(&format!("; allowed by rule: long; with options: {options}")), "{line}");
        }
        assert!(lines.len() < 10, "{}", lines.len());
        assert!((0..60).all(|number| lines.iter().any(|line| line.contains(&id(number)))), "{lines:#?}");
    });
}

#[test]
fn id_of_an_older_push_is_never_that_of_the_newest() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journal::bind();
        let key = Key::ed25519(world, "key");
        for (of_newest, first, further) in
            [("", None, "r-1 r-2"), ("r-3", Some("r-3"), "r-1 r-2"), ("r-1", Some("r-1"), "r-2")]
        {
            let push = |id, left| Push::new(&key, ALICE, id, left);
            serve(world, &[push("r-2", 300), push("r-1", 350), push("", 320), push(of_newest, 400)]);
            let before = journal.events().len();
            assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
            let events = journal.events().split_off(before);
            let of = |event: &BTreeMap<String, String>, name| event.get(name).cloned();
            let named: Vec<_> = events
                .iter()
                .map(|event| {
                    (of(event, "EIC_REQUEST_ID"), of(event, "EIC_FURTHER_REQUEST_IDS").unwrap_or_default())
                })
                .collect();
            assert_eq!(named, [(first.map(str::to_owned), further.to_owned())]);
        }
    });
}

/// Numbers that look random and are the same in every run.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as usize % end
    }
}

/// What a run must print and log, computed from the pushes alone.
fn assert_agrees(
    case: &str,
    pushes: &[Push<'_>],
    is_named: bool,
    printed: &str,
    events: &[BTreeMap<String, String>],
) {
    let valid: Vec<_> = pushes.iter().filter(|push| push.is_signed && push.left > 0).collect();
    let of =
        |key: &Key| valid.iter().copied().filter(|push| push.key.line() == key.line()).collect::<Vec<_>>();
    let lines_of =
        |key: &Key| printed.lines().filter(|line| line.ends_with(&key.bare_line())).collect::<Vec<_>>();
    let mut keys: Vec<&Key> = Vec::new();
    for push in &valid {
        if keys.iter().all(|key| key.line() != push.key.line()) {
            keys.push(push.key);
        }
    }
    let mut lines = 0;
    for key in &keys {
        let pushes = of(key);
        let callers: BTreeSet<_> = pushes.iter().map(|push| push.caller).collect();
        let printed = lines_of(key);
        lines += printed.len();
        assert_eq!(printed.len(), if is_named { callers.len() } else { 1 }, "{case}: {printed:#?}");
        let latest = pushes.iter().map(|push| push.left).max().unwrap();
        let newest = pushes.iter().find(|push| push.left == latest).unwrap();
        if is_named {
            let options = format!("command=\"echo {} {}\" ", newest.caller, newest.request);
            assert!(printed[0].starts_with(&options), "{case}: {printed:#?}");
        }
        for caller in callers {
            let expected: BTreeSet<_> =
                pushes.iter().filter(|push| push.caller == caller).map(|push| push.request.clone()).collect();
            let told = events.iter().filter(|event| {
                event["EIC_EVENT"] == "provided"
                    && event["EIC_FINGERPRINT"] == key.fingerprint()
                    && event["EIC_PRINCIPAL"] == caller
            });
            let told: Vec<_> = told.map(ids).collect();
            assert_eq!(told.len(), 1, "{case}: one line for a principal");
            assert_eq!(told[0].iter().cloned().collect::<BTreeSet<_>>(), expected, "{case}");
            assert_eq!(told[0].len(), expected.len(), "{case}: no id occurs twice");
        }
    }
    assert_eq!(printed.lines().count(), lines, "{case}: no other key");
    let provided = events.iter().filter(|event| event["EIC_EVENT"] == "provided").count();
    let principals: BTreeSet<_> = valid.iter().map(|push| (push.key.line(), push.caller)).collect();
    assert_eq!(provided, principals.len(), "{case}");
}

#[test]
fn random_bundles_with_repeated_keys_have_one_line_for_equal_options_and_lose_no_request_id() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let journal = Journal::bind();
        let keys = ["one", "two", "three"].map(|name| Key::ed25519(world, name));
        let callers = [ALICE, BOB, "arn:aws:iam::210987654321:user/carol"];
        for seed in 0..60 {
            let mut numbers = Numbers(seed * 7919 + 17);
            let count = 1 + numbers.below(9);
            let pushes: Vec<_> = (0..count)
                .map(|_| Push {
                    key: &keys[numbers.below(keys.len())],
                    caller: callers[numbers.below(callers.len())],
                    // The same id may occur again.
                    request: format!("r-{}", numbers.below(12)),
                    left: [0, 300, 300, 310, 330][numbers.below(5)],
                    is_signed: numbers.below(6) > 0,
                })
                .collect();
            let is_named = seed % 2 == 1;
            world.configure_unhurried(if is_named { NAMED } else { "" });
            serve(world, &pushes);
            let before = journal.events().len();
            let run = world.run(&[USER]);
            let events = journal.events().split_off(before);
            let shown = pushes.iter().map(|Push { key, caller, request, left, is_signed }| {
                format!("{} {caller} {request} {left} {is_signed}\n", key.fingerprint())
            });
            let case = format!("seed {seed}:\n{}{}", shown.collect::<String>(), run.notes());
            assert_agrees(&case, &pushes, is_named, &run.keys(), &events);
        }
    });
}
