//! `sessions` on a real journal.

use eic_emulator::Config;

use super::{ALICE, CAROL, as_user, is_valid, offer_only, push, push_expired, ran, report, session, told};
use crate::documents::assert_screen;
use crate::world::{BOB, Journald, Key, Sshd, World, on_an_instance, test_path, until};

/// Writes to the log as `ubuntu` and imitates the agent and sshd: with plain lines, with the agent's own fields, and
/// by running the agent itself.
fn forge(world: &World, journal: &Journald, key: &Key, sshd_pid: u64) {
    let line = format!(
        "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: forged-1, \
         for IAM principal: arn:aws:iam::123456789012:user/forged",
        key.fingerprint()
    );
    let fields = format!(
        "MESSAGE={line}\nSYSLOG_IDENTIFIER=eic-agent\nEIC_EVENT=provided\nEIC_USER=ec2-user\nEIC_FINGERPRINT={}\n\
         EIC_REQUEST_ID=forged-2\nEIC_PRINCIPAL=arn:aws:iam::123456789012:user/forged\nEIC_SSHD_PID={sshd_pid}\n\
         _UID=0\n",
        key.fingerprint()
    );
    let accepted =
        format!("Accepted publickey for root from 198.51.100.7 port 22 ssh2: ED25519 {}", key.fingerprint());
    let closed = "pam_unix(sshd:session): session closed for user ec2-user";
    as_user(
        world,
        "ubuntu",
        &format!(
            "logger -p authpriv.info -t eic-agent '{line}'\n\
             printf '%s' '{fields}' | logger --journald\n\
             logger -p authpriv.info -t sshd --id={sshd_pid} '{closed}'\n\
             logger -p authpriv.info -t sshd '{accepted}'\n\
             logger -p authpriv.info -t sshd-session '{accepted}'"
        ),
    );
    journal.wait_for("Accepted publickey for root");
    // The user also runs the real agent: with the machine's settings, and with a metadata service of the user's choice.
    // The log has this user's id for both runs.
    assert!(world.run_as("ubuntu", &["ec2-user"]).keys().contains("ssh-ed25519"));
    let chosen = ["--imds-endpoint", "http://169.254.169.254", "ec2-user"];
    assert!(world.run_as("ubuntu", &chosen).keys().contains("ssh-ed25519"));
}

#[test]
fn real_journal_shows_who_logged_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs, carols, old, own] =
            ["alice", "bob", "carol", "old", "own"].map(|name| Key::ed25519(world, name));

        // Two people use one account at the same time. The key of a third person is not used.
        let alices_push = world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        let bobs_push = world.emulator.push("ec2-user", &bobs.line(), BOB);
        let bob = world.ssh_stay("ec2-user", &bobs);
        let carols_push = world.emulator.push("ec2-user", &carols.line(), CAROL);
        offer_only(world, "ec2-user", &carols);
        push_expired(world, "ubuntu", &old);
        world.authorize("admin", &own);
        assert!(world.ssh("admin", &[&own]).ok);
        journal.wait_for("session closed for user admin");

        let now = report(world, &[]);
        for (key, id, principal) in [(&alices, &alices_push, ALICE), (&bobs, &bobs_push, BOB)] {
            let session = session(&now, key);
            assert_eq!(push(session), (principal, "123456789012", id.as_str(), true));
            assert_eq!((&session["state"], &session["end"]), (&"open".into(), &().into()), "{session:#}");
            assert_eq!((&session["user"], &session["address"]), (&"ec2-user".into(), &"127.0.0.1".into()));
            assert_eq!(session["joined_by"], "pid-and-key");
        }
        assert_eq!(now["sessions"].as_array().unwrap().len(), 2);

        // The log is rotated while sessions are open, and another user forges lines.
        journal.rotate();
        let pid = session(&now, &alices)["sshd_pid"].as_u64().unwrap();
        forge(world, &journal, &own, pid);
        alice.leave();
        journal.wait_for("session closed for user ec2-user");
        // The first line with these words was forged. The real one follows when sshd has seen the end.
        until("alice's end", || session(&report(world, &[]), &alices)["state"] == "closed");

        let then = report(world, &[]);
        let left = session(&then, &alices);
        assert_eq!(push(left), (ALICE, "123456789012", alices_push.as_str(), true));
        assert!(left["end"].is_string() && left["seconds"].is_u64(), "{left:#}");
        assert_eq!(session(&then, &bobs)["state"], "open");
        assert_eq!(then["sessions"].as_array().unwrap().len(), 2, "{then:#}");
        assert!(
            !then.to_string().contains("forged") && !then.to_string().contains("198.51.100.7"),
            "{then:#}"
        );
        let unused = then["unused"].as_array().unwrap();
        assert_eq!(unused.len(), 1, "{then:#}");
        assert_eq!(push(&unused[0]), (CAROL, "210987654321", carols_push.as_str(), true));
        assert_eq!(
            (&unused[0]["user"], &unused[0]["fingerprint"]),
            (&"ec2-user".into(), &carols.fingerprint().into())
        );
        assert_eq!(then["refusals"][0]["reason"], "expired");
        assert_eq!(then["other_logins"], serde_json::json!([{ "method": "publickey", "count": 1 }]));
        // Two lines in the agent's name, three in sshd's, and one for each key in both runs of the agent.
        let disbelieved = serde_json::json!([{ "uid": world.uid("ubuntu"), "lines": 2 + 3 + 3 + 3 }]);
        assert_eq!(then["disbelieved"], disbelieved, "{then:#}");
        schema_rejects_other_forms(world, &then);
        assert_screen("docs/audit.md", "2026-11-21T18:41:33Z to", &ran(world, &[]).out);
        assert_eq!((&then["log"]["kind"], told(&then)), (&"journal".into(), (vec![], true)));

        filters_and_formats_agree(world, &bobs, &own);
        bob.leave();
        until("bob's end", || session(&report(world, &[]), &bobs)["state"] == "closed");
        assert_eq!(report(world, &["--open"])["sessions"], serde_json::json!([]));
    });
}

fn schema_rejects_other_forms(world: &World, report: &serde_json::Value) {
    is_valid(world, report).unwrap();
    for (from, to) in [
        ("\"closed\"", "\"ended\""),
        ("\"schema_version\":2", "\"schema_version\":1"),
        ("\"verified\":true", "\"verified\":\"yes\""),
        ("\"why\":null", "\"why\":\"restart\""),
    ] {
        let other = report.to_string().replace(from, to);
        let other = serde_json::from_str(&other).unwrap();
        assert!(is_valid(world, &other).is_err(), "{to} must not match the schema");
    }
}

fn filters_and_formats_agree(world: &World, bobs: &Key, own: &Key) {
    let count = |arguments: &[&str]| {
        let report = report(world, arguments);
        ["sessions", "unused", "refusals"].map(|list| report[list].as_array().unwrap().len())
    };
    assert_eq!(count(&["--user", "ec2-user"]), [2, 1, 0]);
    assert_eq!(count(&["--user", "ubuntu"]), [0, 0, 1]);
    assert_eq!(count(&["--principal", "*:user/*"]), [1, 1, 1]);
    assert_eq!(count(&["--principal", BOB]), [1, 0, 0]);
    assert_eq!(count(&["--open"]), [1, 0, 0]);
    assert_eq!(count(&["--until", "2020-01-01"]), [0, 0, 0]);
    assert_eq!(count(&["--since", "2100-01-01"]), [1, 0, 0], "an open session has no end");
    let early = report(world, &["--since", "2020-01-01"]);
    assert_eq!((told(&early).0, &early["complete"]), (vec!["log-begins-later"], &false.into()));
    let all = report(world, &["--all"]);
    let other = session(&all, own);
    assert_eq!(
        (&other["pushes"], &other["user"], &other["state"]),
        (&serde_json::json!([]), &"admin".into(), &"closed".into())
    );
    let text = ran(world, &[]).out;
    assert!(text.contains(&format!("    principal  {BOB} (account 123456789012)\n")), "{text}");
    assert!(
        text.contains(" and open, ")
            && text.contains("Logins by other means (--all lists them): 1 publickey"),
        "{text}"
    );
    assert!(text.contains(&format!("    key        {}", bobs.fingerprint())), "{text}");
    let csv = ran(world, &["--csv"]);
    assert_eq!(csv.out.lines().count(), 4, "{}", csv.out);
    assert!(csv.err.is_empty() || csv.err.starts_with("warning: unattributed: 1 "), "{}", csv.err);
    assert!(csv.out.lines().all(|line| line.split(',').count() == 19), "{}", csv.out);
    // A user who may not read the journal gets an error and not an empty report.
    let uid = world.uid("ubuntu").to_string();
    let said = std::process::Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
        .arg(world.agent())
        .arg("sessions")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("no log can be read: "), "{said:?}");
}
