//! What sshd does with sessions, from configurations.

use std::fs;

use super::*;

fn facts_of(config: &str, printed: &str, options: &[&str]) -> Result<SessionFacts, String> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("eic-agent-session-{}-{number}", std::process::id()));
    fs::write(&file, config).unwrap();
    let sources = Sources::read_by(&file, false);
    fs::remove_file(&file).unwrap();
    let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
    SessionFacts::of(&EffectiveConfig::parse(printed), &sources, &options)
}

#[test]
fn chroot_and_two_keys_hinder_the_users_they_may_apply_to() {
    let chroot = Some("ChrootDirectory of sshd may apply");
    let keys = Some("AuthenticationMethods of sshd may need two keys");
    for (config, user, expected) in [
        ("ChrootDirectory /srv\n", "a", chroot),
        ("ChrootDirectory none\n", "a", None),
        ("Match User b\nChrootDirectory /srv\n", "a", None),
        ("Match User b\nChrootDirectory /srv\n", "b", chroot),
        ("Match User *,!b\nChrootDirectory /srv\n", "b", None),
        ("Match Group sftp\nChrootDirectory /srv\n", "a", chroot),
        ("Match Group sftp\nChrootDirectory /srv\nForceCommand internal-sftp\n", "a", None),
        (
            "Match Group sftp\nChrootDirectory /srv\nForceCommand internal-sftp\nMatch User a\nForceCommand none\n",
            "a",
            chroot,
        ),
        ("Match Address 10.0.0.0/8 User b\nChrootDirectory /srv\n", "a", None),
        ("Match User=b\nChrootDirectory /srv\n", "a", None),
        ("Match User = b\nChrootDirectory /srv\n", "a", None),
        ("AuthenticationMethods publickey,publickey\n", "a", keys),
        ("AuthenticationMethods publickey publickey,password,publickey\n", "a", keys),
        ("AuthenticationMethods publickey,keyboard-interactive:pam publickey\n", "a", None),
        ("Match User b\nAuthenticationMethods publickey,publickey\n", "a", None),
    ] {
        let found = facts_of(config, "", &[]).unwrap().hindrance(user);
        let found = found.as_deref().map(|found| found.split(" (Match").next().unwrap());
        assert_eq!(found, expected, "{config} {user}");
    }
    let by_option = facts_of("", "", &["ChrootDirectory=/srv"]).unwrap();
    assert_eq!(by_option.hindrance("a").as_deref(), chroot);
    let printed = facts_of("", "chrootdirectory /srv\nauthenticationmethods any", &[]).unwrap();
    assert_eq!(printed.hindrance("a").as_deref(), chroot);
    for option in ["Include=/etc/ssh/other", "Match all"] {
        assert!(facts_of("", "", &[option]).is_err(), "{option}");
    }
    let unclear = facts_of("Match User \"a b\"\n", "", &[]).unwrap_err();
    assert!(unclear.starts_with("sshd may read a line differently: "), "{unclear}");
}
