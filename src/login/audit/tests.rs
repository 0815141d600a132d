use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use eic_core::evidence::key_bundle::EntryError;
use eic_core::time::Timestamp;
use eic_core::verification::KeyError;

use super::*;

/// A folder with the sockets of journald and syslog.
struct Sockets {
    folder: PathBuf,
    journal: Option<UnixDatagram>,
    syslog: Option<UnixDatagram>,
}

impl Sockets {
    fn new(name: &str, journal: bool, syslog: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("eic-agent-audit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let bind = |wanted: bool, file: &str| {
            wanted.then(|| {
                let socket = UnixDatagram::bind(folder.join(file)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            })
        };
        Self { journal: bind(journal, "journal"), syslog: bind(syslog, "log"), folder: folder.clone() }
    }

    fn audit(&self) -> Audit {
        Audit::at(&self.folder.join("journal"), &self.folder.join("log"))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn received(socket: Option<&UnixDatagram>) -> Vec<String> {
    let Some(socket) = socket else { return Vec::new() };
    let mut buffer = vec![0; 65536];
    std::iter::from_fn(|| {
        socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
    })
    .collect()
}

fn user() -> LoginName {
    "ec2-user".parse().unwrap()
}

fn expired(principal: &str) -> Refusal {
    let error = KeyError::Expired(Timestamp::from_unix(1_738_238_400), Timestamp::from_unix(1_738_238_460));
    let claims =
        Claims { request_id: Some("r-1".into()), principal: Some(principal.into()), ..Claims::default() };
    Refusal { error: RefusalError::Key(error), claims }
}

#[test]
fn the_journal_gets_fields_and_syslog_nothing() {
    let sockets = Sockets::new("journal", true, true);
    sockets.audit().refused([expired("arn:aws:iam::1:user/a")].iter(), &user());
    let events = received(sockets.journal.as_ref());
    assert_eq!(events.len(), 1);
    let message = "MESSAGE=Refusing ssh key from EC2 Instance Connect for user ec2-user: expired: expired \
        2025-01-30T12:00:00Z, now 2025-01-30T12:01:00Z; request-id: r-1; IAM principal: arn:aws:iam::1:user/a\n";
    assert!(events[0].starts_with(message), "{}", events[0]);
    let pid = format!("SYSLOG_PID={}", std::process::id());
    let sshd = format!("EIC_SSHD_PID={}", std::os::unix::process::parent_id());
    for field in [
        "PRIORITY=6",
        "SYSLOG_FACILITY=10",
        "SYSLOG_IDENTIFIER=eic-agent",
        "EIC_EVENT=refused",
        "EIC_USER=ec2-user",
        "EIC_REASON=expired",
        "EIC_REQUEST_ID=r-1",
        "EIC_PRINCIPAL=arn:aws:iam::1:user/a",
        &pid,
        &sshd,
    ] {
        assert!(events[0].lines().any(|line| line == field), "{field} is not in {}", events[0]);
    }
    assert!(received(sockets.syslog.as_ref()).is_empty());
}

#[test]
fn syslog_gets_the_line_without_a_journal() {
    let sockets = Sockets::new("syslog", false, true);
    sockets.audit().failed(Reason::MetadataUnreachable, "no connection", &user());
    let line = format!(
        "<86>eic-agent[{}]: No ssh keys from EC2 Instance Connect for user ec2-user: metadata-unreachable: no connection",
        std::process::id()
    );
    assert_eq!(received(sockets.syslog.as_ref()), [line]);
}

#[test]
fn missing_log_daemons_do_not_fail_the_run() {
    let sockets = Sockets::new("neither", false, false);
    sockets.audit().failed(Reason::MetadataTimeout, "x", &user());
}

#[test]
fn stuck_daemon_delays_a_run_by_250_ms_at_most() {
    // There is no reader. The queue fills, the run uses up its wait budget once, and every send still returns.
    let sockets = Sockets::new("stuck", true, true);
    let audit = sockets.audit();
    let started = std::time::Instant::now();
    for _ in 0..2_000 {
        audit.failed(Reason::MetadataTimeout, "x", &user());
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    let kept = received(sockets.journal.as_ref()).len();
    assert!((1..2_000).contains(&kept), "the journal's queue held {kept}");
    assert!(received(sockets.syslog.as_ref()).is_empty(), "never to both");
}

#[test]
fn slow_daemon_loses_no_line() {
    let sockets = Sockets::new("slow", false, true);
    let reader = sockets.syslog.as_ref().unwrap().try_clone().unwrap();
    reader.set_nonblocking(false).unwrap();
    reader.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let audit = sockets.audit();
    let count = 60; // Several times what the kernel's default queue holds.
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 8192];
        (0..count).map(|_| reader.recv(&mut buffer).unwrap()).count()
    });
    for _ in 0..count {
        audit.failed(Reason::MetadataTimeout, "x", &user());
    }
    assert_eq!(reading.join().unwrap(), count);
}

#[test]
fn stream_socket_of_older_daemon_gets_the_line() {
    let sockets = Sockets::new("stream", false, false);
    let listener = std::os::unix::net::UnixListener::bind(sockets.folder.join("log")).unwrap();
    sockets.audit().failed(Reason::MetadataTimeout, "over a stream", &user());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut listener.accept().unwrap().0, &mut said).unwrap();
    assert!(
        said.starts_with("<86>eic-agent[") && said.ends_with("metadata-timeout: over a stream\0"),
        "{said:?}"
    );
}

#[test]
fn foreign_text_stays_inside_its_line() {
    let sockets = Sockets::new("foreign", true, false);
    let hostile = "arn\nMESSAGE=Providing ssh key\r\x1b[2J\u{202e}";
    sockets.audit().refused([expired(hostile)].iter(), &user());
    let event = received(sockets.journal.as_ref()).remove(0);
    assert_eq!(event.lines().filter(|line| line.starts_with("MESSAGE=")).count(), 1, "{event}");
    assert!(event.contains("arn\\x0aMESSAGE=Providing ssh key\\x0d\\x1b[2J\\u{202e}\n"), "{event}");
    assert!(event.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{event}");
}

#[test]
fn unsigned_claims_are_called_claimed() {
    let sockets = Sockets::new("claimed", false, true);
    let claims = expired("arn:x").claims;
    let refusals = [
        Refusal { error: RefusalError::Key(KeyError::BadSignature), claims: claims.clone() },
        Refusal { error: RefusalError::Entry(EntryError::NoInstance), claims },
    ];
    sockets.audit().refused(refusals.iter(), &user());
    for line in received(sockets.syslog.as_ref()) {
        assert!(line.ends_with("; claimed request-id: r-1; claimed IAM principal: arn:x"), "{line}");
    }
}

#[test]
fn unsigned_claims_have_separate_fields_in_the_journal() {
    let sockets = Sockets::new("fields", true, false);
    let refusal =
        Refusal { error: RefusalError::Key(KeyError::BadSignature), claims: expired("arn:x").claims };
    sockets.audit().refused([refusal].iter(), &user());
    let event = received(sockets.journal.as_ref()).remove(0);
    assert!(
        event.contains("\nEIC_CLAIMED_PRINCIPAL=arn:x\n") && event.contains("\nEIC_CLAIMED_REQUEST_ID=r-1\n")
    );
    assert!(!event.contains("EIC_PRINCIPAL") && !event.contains("EIC_REQUEST_ID"), "{event}");
}

#[test]
fn a_flood_of_refusals_is_counted() {
    let refusals: Vec<_> = (0..MAX_REFUSALS + 7).map(|_| expired("arn:x")).collect();
    let events = refusal_events(refusals.iter(), &user());
    assert_eq!(events.len(), MAX_REFUSALS + 1);
    let last = &events[MAX_REFUSALS].message;
    assert_eq!(last, "Refusing 7 more ssh keys from EC2 Instance Connect for user ec2-user");
    assert_eq!(refusal_events(refusals[..MAX_REFUSALS].iter(), &user()).len(), MAX_REFUSALS);
}

#[test]
fn chosen_inputs_are_named_in_the_line_and_in_a_field() {
    let sockets = Sockets::new("inputs", true, false);
    let chosen = [("--ca-file", "/x\nEIC_USER=root".to_owned()), ("--sysfs", "/s".to_owned())];
    let audit = sockets.audit().with_inputs(&chosen);
    audit.failed(Reason::MetadataTimeout, "late", &user());
    audit.refused([expired("arn:x")].iter(), &user());
    audit.provider("/p", Reason::ProviderFailed, "status 1", "u");
    let events = received(sockets.journal.as_ref());
    assert_eq!(events.len(), 3);
    for event in events {
        let inputs = "--ca-file /x\\x0aEIC_USER=root --sysfs /s";
        let message = event.lines().next().unwrap();
        assert!(message.ends_with(&format!("; chosen inputs: {inputs}")), "{event}");
        assert!(event.contains(&format!("\nEIC_INPUTS={inputs}\n")), "{event}");
        assert!(event.lines().filter(|line| line.starts_with("EIC_USER=")).count() == 1, "{event}");
    }
    sockets.audit().failed(Reason::MetadataTimeout, "late", &user());
    assert!(!received(sockets.journal.as_ref())[0].contains("inputs"), "no inputs were chosen");
}

/// Whether a log accepted an event.
fn accepted(audit: &Audit) -> bool {
    audit.send(event("failed", "u", "x".to_owned(), Vec::new()))
}

#[test]
fn event_counts_as_logged_only_in_a_daemons_queue() {
    assert!(accepted(&Sockets::new("accepted-journal", true, false).audit()));
    assert!(accepted(&Sockets::new("accepted-syslog", false, true).audit()));
    assert!(!accepted(&Sockets::new("accepted-neither", false, false).audit()));

    // A socket without a reader, and a dangling link.
    let sockets = Sockets::new("accepted-stale", false, false);
    drop(UnixDatagram::bind(sockets.folder.join("journal")).unwrap());
    std::os::unix::fs::symlink("/nonexistent/dev-log", sockets.folder.join("log")).unwrap();
    assert!(!accepted(&sockets.audit()));
    std::fs::remove_file(sockets.folder.join("log")).unwrap();
    let _syslog = UnixDatagram::bind(sockets.folder.join("log")).unwrap();
    assert!(accepted(&sockets.audit()), "syslog is used if the journal's socket has no reader");

    // A full queue: the reader finds exactly the accepted events.
    let sockets = Sockets::new("accepted-full", true, true);
    let audit = sockets.audit();
    let sent = (0..2_000).filter(|_| accepted(&audit)).count();
    assert_eq!(received(sockets.journal.as_ref()).len(), sent);
    assert!(sent < 2_000);
}

#[test]
fn stream_accepts_only_whole_lines() {
    let sockets = Sockets::new("accepted-stream", false, false);
    let listener = std::os::unix::net::UnixListener::bind(sockets.folder.join("log")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let audit = sockets.audit();
    assert!(accepted(&audit));
    // Longer than the kernel's buffer for one connection.
    let long = event("failed", "u", "x".repeat(64 << 20), Vec::new());
    assert!(!audit.send(long));
    // A daemon that accepts no connection has a queue of connections.
    let sent = (0..10_000).take_while(|_| accepted(&audit)).count();
    let mut whole = 0;
    while let Ok((mut connection, _)) = listener.accept() {
        let mut said = Vec::new();
        std::io::Read::read_to_end(&mut connection, &mut said).unwrap();
        whole += usize::from(said.ends_with(b": x\0"));
    }
    assert_eq!(whole, sent + 1);
}
