//! Command lines and titles of servers.

use super::*;

fn read(cmdline: &str) -> Option<(Option<PathBuf>, Vec<String>, bool)> {
    let listener = Listener::parse(7, cmdline.as_bytes())?;
    Some((listener.config, listener.options, listener.is_clear))
}

fn options(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn command_lines_of_old_and_new_releases_are_read() {
    let amazons = [
        "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f",
        "AuthorizedKeysCommandUser ec2-instance-connect",
    ];
    for (cmdline, expected) in [
        ("/usr/sbin/sshd\0-D\0", Some((None, vec![], true))),
        (
            "/usr/sbin/sshd\0-D\0-f\0/etc/other\0-oCiphers=a,b\0",
            Some((Some("/etc/other".into()), options(&["Ciphers=a,b"]), true)),
        ),
        ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0\0\0", Some((None, vec![], true))),
        (
            "sshd: /usr/sbin/sshd -D -o AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f -o AuthorizedKeysCommandUser ec2-instance-connect [listener] 0 of 10-100 startups",
            Some((None, options(&amazons), true)),
        ),
        (
            "sshd: /usr/sbin/sshd -D -oCiphers=a -De -f /x y [listener] 1 of 2",
            Some((Some("/x".into()), options(&["Ciphers=a"]), false)),
        ),
        (
            "sshd: /usr/sbin/sshd -o Port 22 -o UsePAM=no [listener] 1 of 2",
            Some((None, options(&["Port 22", "UsePAM=no"]), true)),
        ),
        // `-f` may be an argument of the command.
        (
            "sshd: /usr/sbin/sshd -oForceCommand=/x -f /y [listener] 1 of 2",
            Some((Some("/y".into()), options(&["ForceCommand=/x"]), false)),
        ),
        (
            "sshd: /usr/sbin/sshd -o authorizedKeysCommand=/x -D [listener] 1 of 2",
            Some((None, options(&["authorizedKeysCommand=/x"]), false)),
        ),
        // `-q` and `-f` may belong to the value or be options.
        (
            "sshd: /usr/sbin/sshd -o ForceCommand /bin/x -q foo -f /mnt/other [listener] 1 of 2",
            Some((None, options(&["ForceCommand /bin/x -q foo -f /mnt/other"]), false)),
        ),
        // Cut off because there was no room.
        ("sshd: /usr/sbin/sshd -D -o Authorize", Some((None, options(&["Authorize"]), false))),
        ("sshd: /usr/sbin/sshd -o\0Authorize", Some((None, options(&["Authorize"]), false))),
        ("sshd: ec2-user [priv]", None),
        ("sshd: ec2-user@pts/0", None),
        ("/usr/sbin/sshd\0-T\0-C\0user=x", None),
        ("/usr/sbin/sshd\0-i", None),
        ("/usr/sbin/sshd\0-D\0-R", None),
        ("/usr/bin/vi\0sshd", None),
        ("", None),
        ("/usr/sbin/sshd\0-f", None),
    ] {
        assert_eq!(read(cmdline), expected, "{cmdline:?}");
    }
    let sets = |cmdline: String| Listener::parse(1, cmdline.as_bytes()).unwrap().sets_command();
    assert!(sets(format!("/usr/sbin/sshd\0-o\0{}\0", amazons[0])));
    for option in
        ["AUTHORIZEDKEYSCOMMAND=none", "authorizedKeysCommandUser x", " \"AuthorizedKeysCommand\" /x"]
    {
        assert!(sets(format!("/usr/sbin/sshd\0-o\0{option}\0")), "{option}");
    }
    for option in ["Port=22", "AuthorizedKeysCommandX=/x"] {
        assert!(!sets(format!("/usr/sbin/sshd\0-o{option}")), "{option}");
    }
}

#[test]
fn process_that_is_not_sshd_is_ignored() {
    // This test process does not run sshd, under any name.
    let own = std::process::id();
    assert!(Listener::all(Path::new("/usr/sbin/sshd")).iter().all(|listener| listener.pid != own));
    // Use another process: under a CPU emulator, the links of the test process itself point to the emulated
    // program.
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let place = format!("/proc/{}", other.id());
    let process = ProcFolder::open(Path::new(&place)).unwrap();
    let program = std::fs::read_link(format!("{place}/exe")).unwrap();
    let runs = [program.as_path(), Path::new("/usr/sbin/sshd")].map(|program| process.runs(program));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(runs, [true, false], "{}", program.display());
    let process = ProcFolder::open(Path::new(&format!("/proc/{own}"))).unwrap();
    assert!(process.sees(Path::new("/etc/passwd")) && process.sees(Path::new("/not/there")));
    assert!(!process.is_same("root/etc/passwd", Path::new("/etc/group")));
}

#[test]
fn unknown_configuration_is_reported() {
    let told = |cmdline: &str| {
        Listener::parse(7, cmdline.as_bytes()).unwrap().unknown_config().map(|(seen, _)| seen)
    };
    for (cmdline, words) in [
        ("/usr/sbin/sshd\0-f\0alt.conf\0", "-f alt.conf, expected an absolute path"),
        ("/usr/sbin/sshd\0-D\0-f./alt.conf\0", "-f ./alt.conf, expected an absolute path"),
        ("sshd: /usr/sbin/sshd -D -f ../x [listener] 0 of 10-100 startups", "expected an absolute path"),
        (
            "sshd: /usr/sbin/sshd -D -f /my conf [listener] 0 of 10-100 startups",
            "cannot separate its arguments",
        ),
        ("sshd: /usr/sbin/sshd -D -f /etc/ssh/ss", "cannot separate its arguments"),
    ] {
        assert!(told(cmdline).is_some_and(|told| told.contains(words)), "{cmdline}: {:?}", told(cmdline));
    }
    for cmdline in ["/usr/sbin/sshd\0-D\0-f\0/etc/my conf\0", "/usr/sbin/sshd\0-D\0"] {
        assert_eq!(told(cmdline), None, "{cmdline}");
    }
}
