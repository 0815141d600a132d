//! The parts of a random machine, and the random numbers that choose them.

/// Random numbers from a seed: `SplitMix64` (Steele, Lea and Flood, 2014). A seed gives the same machine until the
/// choices below change.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len());
        &of[index]
    }

    /// True in `times` of 100 cases.
    pub(super) fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }
}

/// Commands that change the folder of the memory and the file in it.
pub(super) const MEMORIES: &[&str] = &[
    "rm -r /run/eic-agent",
    "rm -r /run/eic-agent && touch /run/eic-agent",
    "rm -r /run/eic-agent && ln -s /var/lib /run/eic-agent",
    "chown root /run/eic-agent",
    "chown nobody /run/eic-agent && chmod 755 /run/eic-agent",
    "chmod 755 /run/eic-agent",
    "chmod 500 /run/eic-agent",
    "chmod 0 /run/eic-agent",
    "rm -f /run/eic-agent/evidence",
    "rm -rf /run/eic-agent/evidence && mkdir /run/eic-agent/evidence",
    "rm -f /run/eic-agent/evidence && ln -s /etc/passwd /run/eic-agent/evidence",
    "rm -f /run/eic-agent/evidence && mkfifo -m 600 /run/eic-agent/evidence && chown eic-agent /run/eic-agent/evidence",
    "rm -f /run/eic-agent/evidence && head -c 9000 /dev/zero >/run/eic-agent/evidence && chown eic-agent /run/eic-agent/evidence",
    "touch /run/eic-agent/evidence && chmod 644 /run/eic-agent/evidence",
    "touch /run/eic-agent/evidence && chown root /run/eic-agent/evidence",
    "touch /run/eic-agent/evidence && truncate -s 100 /run/eic-agent/evidence",
];

/// Keywords of `sshd_config(5)` with valid values. `GROUP` is the group of the tests.
pub(super) const SETTINGS: &[(&str, &[&str])] = &[
    ("PubkeyAuthentication", &["yes", "no"]),
    (
        "AuthenticationMethods",
        &["any", "publickey", "publickey,publickey", "password", "publickey,password password publickey"],
    ),
    (
        "AllowUsers",
        &[
            "ec2-user",
            "ec2-* ubuntu root",
            "ubuntu admin",
            "*",
            "ec2-user@127.0.0.1 root",
            "ec2-user@10.0.0.0/8 ubuntu",
            "!ec2-user *",
            "ec2-use?",
        ],
    ),
    ("DenyUsers", &["admin", "ec2-*", "ubuntu@127.0.0.1", "root", "*@192.0.2.*", "!ec2-user admin"]),
    ("AllowGroups", &["ec2-user root ubuntu", "GROUP", "GROUP root", "*", "ubuntu", "!GROUP *", "ec2-*"]),
    ("DenyGroups", &["GROUP", "admin", "root", "ubuntu", "!ubuntu GROUP"]),
    ("PermitRootLogin", &["yes", "no", "prohibit-password", "without-password", "forced-commands-only"]),
    (
        "PubkeyAcceptedKeyTypes",
        &[
            "+ssh-dss",
            "-ssh-ed25519",
            "-rsa-sha2-*",
            "ssh-ed25519",
            "rsa-sha2-512,rsa-sha2-256",
            "ecdsa-sha2-nistp256",
            "^ssh-ed25519",
            "ssh-ed25519,ssh-rsa",
        ],
    ),
    (
        "RevokedKeys",
        &[
            "none",
            "/etc/ssh/revoked",
            "/etc/ssh",
            "/dev/null",
            "/etc/ssh/revoked-list",
            "/etc/ssh/revoked-cut",
            "/etc/ssh/revoked-lines",
            "/etc/ssh/revoked-text",
            "/etc/ssh/revoked-pushed",
        ],
    ),
    ("PerSourceMaxStartups", &["none", "0", "5"]),
    ("MaxStartups", &["10:30:100", "1:100:1"]),
    ("LoginGraceTime", &["0", "45", "2m"]),
    ("MaxAuthTries", &["0", "1", "2", "6", "20"]),
    ("RequiredRSASize", &["1024", "2048", "3072"]),
    ("StrictModes", &["yes", "no"]),
    ("AuthorizedKeysFile", &["none", ".ssh/authorized_keys", "/etc/ssh/none/%u"]),
    ("UsePAM", &["yes", "no"]),
    ("ForceCommand", &["none", "/bin/true", "internal-sftp"]),
    ("PermitUserEnvironment", &["yes", "no"]),
    ("LogLevel", &["QUIET", "VERBOSE", "DEBUG3"]),
    ("MaxSessions", &["10", "1", "0"]),
    ("PermitTTY", &["no"]),
    ("DisableForwarding", &["yes"]),
    ("ChrootDirectory", &["none", "/var/empty"]),
    ("TrustedUserCAKeys", &["none", "/etc/ssh/ca.pub"]),
    ("ClientAliveInterval", &["0", "300"]),
    ("Banner", &["none", "/etc/issue"]),
    ("AuthorizedKeysCommandUser", &["nobody", "root", "eic-agent", "nosuch"]),
    ("AuthorizedKeysCommand", &["none", "/usr/bin/env", "/usr/bin/nosuch %u", "AGENT authorized-keys %u %f"]),
];

/// Conditions of a `Match` block.
pub(super) const CONDITIONS: &[&str] = &[
    "all",
    "User ec2-user",
    "User ubuntu,root",
    "User *,!root",
    "User \"ec2-*\"",
    "Group GROUP",
    "Group ubuntu,ec2-user",
    "Address 127.0.0.0/8",
    "Address 10.0.0.0/8",
    "LocalPort 22",
    "Host *",
    "User ec2-user Address *,!10.0.0.0/8",
    "User ec2-user Group ec2-user",
    "User = ec2-user Address = 127.0.0.0/8",
    "Address 127.0.0.1 User ubuntu,ec2-user",
];

/// Keywords that sshd does not accept in a `Match` block (OpenSSH servconf.c, `SSHCFG_GLOBAL`).
pub(super) const NOT_IN_MATCH: &[&str] = &[
    "UsePAM",
    "StrictModes",
    "PermitUserEnvironment",
    "PerSourceMaxStartups",
    "MaxStartups",
    "LoginGraceTime",
];

/// Modes of folders and files. The usual one comes several times.
pub(super) const MODES: &[u32] = &[
    0o755, 0o755, 0o755, 0o711, 0o750, 0o751, 0o700, 0o775, 0o777, 0o1777, 0o2775, 0o1775, 0o705, 0o555,
    0o644, 0o600, 0o4755,
];

/// The fields of `shadow(5)` after the name.
pub(super) const SHADOWS: &[&str] = &[
    "*:19000:0:99999:7:::",
    "!:19000:0:99999:7:::",
    "!!:19000:0:99999:7:::",
    "!*:19000::::::",
    "*:0:0:99999:7:::",
    "!!:0:0:99999:7:::",
    "*:19000:0:90:7:::",
    "*:19000:0:90:7:14::",
    "*:19000:0:99999:7::19001:",
    "*:19000:0:99999:7::99999:",
    "*::::::0:",
    "*:::::::",
    "*LK*:19000:0:99999:7:::",
    ":19000:0:99999:7:::",
    "x:19000:0:99999:7:::",
    "*:99999:0:99999:7:::",
];

pub(super) const SHELLS: &[&str] = &[
    "/bin/sh",
    "/bin/sh",
    "/bin/bash",
    "",
    "/usr/sbin/nologin",
    "/bin/false",
    "/bin/true",
    "/bin/nosuch",
    "/etc/passwd",
    "/bin",
];

/// Account rules of PAM.
pub(super) const PAM: &[&str] = &[
    "account required pam_nologin.so\naccount required pam_unix.so\n",
    "account required pam_permit.so\n",
    "account required pam_deny.so\n",
    "account sufficient pam_localuser.so\naccount required pam_deny.so\n",
    "account [success=1 default=ignore] pam_succeed_if.so uid >= 1000 quiet\naccount requisite pam_deny.so\naccount required pam_permit.so\n",
    "account required pam_unix.so no_pass_expiry\n",
    "account required pam_unix.so\naccount required pam_access.so\n",
    "@include common-account\n",
    "account required pam_nosuch.so\n",
    "-account required pam_nosuch.so\naccount required pam_unix.so\n",
];

/// Session rules of PAM. The usual one comes several times.
pub(super) const SESSIONS: &[&str] = &[
    "session required pam_permit.so\n",
    "session required pam_permit.so\n",
    "session required pam_permit.so\n",
    "@include common-session\n",
    "session required pam_deny.so\n",
    "session optional pam_deny.so\nsession required pam_permit.so\n",
    "session required pam_nosuch.so\n",
    "session required pam_limits.so\n",
    "session required pam_limits.so\nsession optional pam_exec.so /bin/false\n",
    "session required pam_exec.so /bin/false\n",
    "session sufficient pam_localuser.so\nsession required pam_nologin.so\n",
    "",
];

/// Lines of `limits.conf`. `USER` is the user of the login.
pub(super) const LIMITS: &[&str] = &[
    "",
    "* hard core 0\n",
    "* hard maxlogins 10\n",
    "USER - maxlogins 0\n",
    "* - maxlogins 0\nUSER - maxlogins 2\n",
    "@GROUP - maxlogins 0\n",
    "USER -\n* - maxlogins 0\n",
];

/// Settings of the agent.
pub(super) const AGENT_SETTINGS: &[&str] = &[
    "",
    "[keys]\nenvironment = true\n",
    "[keys]\noptions = \"no-port-forwarding\"\n",
    "[keys]\noptions = 'from=\"10.0.0.1\"'\n",
    "[keys]\noptions = 'expiry-time=\"20200101\"'\n",
    "[[rule]]\nname = \"users\"\naction = \"deny\"\nusers = [\"ec2-user\"]\n",
    "[[rule]]\nname = \"bob\"\naction = \"allow\"\nprincipals = [\"*:user/bob\"]\n[[rule]]\nname = \"rest\"\naction = \"deny\"\n",
    "[[rule]]\nname = \"dead\"\naction = \"allow\"\nprincipals = [\"arn:aws:iam::*:role/Demo\"]\n",
    "[trust]\nca_file = \"/etc/nosuch.pem\"\n",
    "[trust]\nregion = \"eu-west-1\"\n",
    "[audit]\nrequired = true\n",
    "[imds]\ntimout = 3\n",
    "nonsense",
];
