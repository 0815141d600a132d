//! Keys and accounts that sshd or the system refuses.

use std::fs;

use data_encoding::BASE64;

use super::{Finding, Row, edited, either, ending, follow, mode, refused, row, with};
use crate::wiring::CONFIG;
use crate::world::BOB;

/// A key line of this algorithm.
fn key_of(algorithm: &str) -> String {
    let wire = |part: &[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    let blob = [wire(algorithm.as_bytes()), wire(&[7; 32])].concat();
    format!("{algorithm} {}", BASE64.encode(&blob))
}

#[expect(clippy::too_many_lines, reason = "one table")]
pub(super) fn key_rows() -> Vec<Row> {
    vec![
        row(
            "PubkeyAuthentication",
            with("PubkeyAuthentication no\n"),
            Finding {
                check: "public-keys",
                verdict: "fail",
                seen: "PubkeyAuthentication is no (/etc/ssh/sshd_config:1)",
                fix: "set PubkeyAuthentication yes",
            },
        ),
        row(
            "PubkeyAuthentication for this user",
            ending("Match User ec2-user\n PubkeyAuthentication no\n"),
            Finding {
                check: "public-keys",
                verdict: "fail",
                seen: "inside \"Match User ec2-user\"",
                fix: "sudo kill -HUP",
            },
        ),
        row(
            "AuthenticationMethods without keys",
            with("AuthenticationMethods password\n"),
            Finding {
                check: "public-keys",
                verdict: "fail",
                seen: "AuthenticationMethods is password (/etc/ssh/sshd_config:1): sshd accepts no key",
                fix: "add publickey",
            },
        ),
        refused(row(
            "AuthenticationMethods with more than keys",
            with("PasswordAuthentication yes\nAuthenticationMethods publickey,password\n"),
            Finding {
                check: "public-keys",
                verdict: "warn",
                seen: "a key alone is not enough",
                fix: "add publickey",
            },
        )),
        row(
            "neither ed25519 nor RSA",
            with("PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256\n"),
            Finding {
                check: "key-types",
                verdict: "fail",
                seen: "refuses ed25519 and RSA keys (/etc/ssh/sshd_config:1)",
                fix: "add ssh-ed25519,rsa-sha2-512,rsa-sha2-256",
            },
        ),
        refused(row(
            "no ed25519",
            with("PubkeyAcceptedAlgorithms -ssh-ed25519\n"),
            Finding {
                check: "key-types",
                verdict: "warn",
                seen: "PubkeyAcceptedAlgorithms refuses ed25519 keys (/etc/ssh/sshd_config:1)",
                fix: "push a key of another type",
            },
        )),
        either(row(
            "a pushed key of a type that sshd does not know",
            |world| drop(world.emulator.push("ec2-user", &key_of("ssh-future@example.com"), BOB)),
            Finding {
                check: "key-types",
                verdict: "fail",
                seen: "PubkeyAcceptedAlgorithms refuses ssh-future@example.com keys",
                fix: "push a key of another type (ed25519 or RSA); this sshd does not support the refused keys",
            },
        )),
        either(row(
            "pushed keys of types that sshd knows and does not know",
            |world| {
                with("PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256\n")(world);
                for algorithm in ["ssh-future@example.com", "ssh-ed25519", "ssh-future2@example.com"] {
                    world.emulator.push("ec2-user", &key_of(algorithm), BOB);
                }
            },
            Finding {
                check: "key-types",
                verdict: "fail",
                seen: "refuses ssh-future@example.com and ed25519 and ssh-future2@example.com keys",
                fix: "add ssh-ed25519 to PubkeyAcceptedAlgorithms, then: sudo kill -HUP",
            },
        )),
        row(
            "RSA with SHA-1 only",
            with("PubkeyAcceptedKeyTypes ssh-ed25519,ssh-rsa\n"),
            Finding {
                check: "key-types",
                verdict: "warn",
                seen: "refuses RSA keys",
                fix: "rsa-sha2-512,rsa-sha2-256",
            },
        ),
        row(
            "no list of revoked keys",
            with("RevokedKeys /etc/ssh/revoked_keys\n"),
            Finding {
                check: "revoked-keys",
                verdict: "fail",
                seen: "RevokedKeys /etc/ssh/revoked_keys (/etc/ssh/sshd_config:1): No such file",
                fix: "restore /etc/ssh/revoked_keys",
            },
        ),
        row(
            "a folder instead of the list of revoked keys",
            with("RevokedKeys /etc/ssh\n"),
            Finding {
                check: "revoked-keys",
                verdict: "fail",
                seen: "Is a directory",
                fix: "replace /etc/ssh by a readable list",
            },
        ),
        row(
            "long RSA keys only",
            with("RequiredRSASize 3072\n"),
            Finding {
                check: "key-types",
                verdict: "warn",
                seen: "refuses RSA keys below 3072 bits (/etc/ssh/sshd_config:1)",
                fix: "RequiredRSASize 2048",
            },
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "one table")]
pub(super) fn account_rows() -> Vec<Row> {
    let root = |row: Row| Row { user: "root", ..row };
    vec![
        row(
            "AllowUsers",
            with("AllowUsers ubuntu admin\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "AllowUsers does not contain ec2-user (/etc/ssh/sshd_config:1)",
                fix: "add ec2-user to AllowUsers, then: sudo kill -HUP",
            },
        ),
        refused(row(
            "AllowUsers from another address",
            with("AllowUsers ubuntu ec2-user@10.0.0.0/8\n"),
            Finding {
                check: "access",
                verdict: "warn",
                seen: "AllowUsers contains only ec2-user@10.0.0.0/8",
                fix: "log in from that address",
            },
        )),
        row(
            "DenyUsers",
            with("DenyUsers nobody ec2-*\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "DenyUsers contains ec2-* (/etc/ssh/sshd_config:1)",
                fix: "remove ec2-* from DenyUsers",
            },
        ),
        row(
            "AllowGroups",
            with("AllowGroups provider sudo\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "ec2-user is in no group of AllowGroups provider sudo",
                fix: "sudo usermod -aG provider ec2-user",
            },
        ),
        row(
            "DenyGroups",
            with("DenyGroups ec2-user\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "DenyGroups contains ec2-user",
                fix: "remove ec2-user from DenyGroups",
            },
        ),
        root(row(
            "PermitRootLogin",
            with("PermitRootLogin no\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "PermitRootLogin is no (/etc/ssh/sshd_config:1)",
                fix: "log in as another user",
            },
        )),
        root(row(
            "PermitRootLogin for commands",
            with("PermitRootLogin forced-commands-only\n"),
            Finding {
                check: "access",
                verdict: "fail",
                seen: "PermitRootLogin is forced-commands-only",
                fix: "prohibit-password",
            },
        )),
        follow(
            &["access", "shell"],
            Row {
                user: "nosuch",
                ..row(
                    "no such user",
                    |_| {},
                    Finding {
                        check: "account",
                        verdict: "fail",
                        seen: "there is no user nosuch",
                        fix: "useradd",
                    },
                )
            },
        ),
        row(
            "a locked account",
            edited("/etc/shadow", "ec2-user:*:", "ec2-user:!:"),
            Finding {
                check: "account",
                verdict: "fail",
                seen: "ec2-user is locked (! in /etc/shadow), and UsePAM is no",
                fix: "sudo usermod -p '*' ec2-user",
            },
        ),
        row(
            "an expired account",
            edited("/etc/shadow", "ec2-user:*:19000:0:99999:7:::", "ec2-user:*:19000:0:99999:7::19001:"),
            Finding {
                check: "account",
                verdict: "fail",
                seen: "ec2-user expired ",
                fix: "sudo chage -E -1 ec2-user",
            },
        ),
        follow(
            &["pam"],
            row(
                "a password to be changed",
                |world| {
                    edited("/etc/shadow", "ec2-user:*:19000:", "ec2-user:*:0:")(world);
                    edited(CONFIG, "UsePAM no", "UsePAM yes")(world);
                },
                Finding {
                    check: "account",
                    verdict: "fail",
                    seen: "the password of ec2-user has to be changed",
                    fix: "sudo chage -d",
                },
            ),
        ),
        row(
            "nologin",
            edited("/etc/passwd", "/home/ec2-user:/bin/sh", "/home/ec2-user:/usr/sbin/nologin"),
            Finding {
                check: "shell",
                verdict: "fail",
                seen: "/usr/sbin/nologin, ends every session",
                fix: "sudo usermod -s /bin/sh ec2-user",
            },
        ),
        row(
            "no shell",
            edited("/etc/passwd", "/home/ec2-user:/bin/sh", "/home/ec2-user:/bin/nosuch"),
            Finding {
                check: "shell",
                verdict: "fail",
                seen: "/bin/nosuch: No such file",
                fix: "sudo usermod -s /bin/sh ec2-user",
            },
        ),
        row(
            "a shell that cannot be run",
            edited("/etc/passwd", "/home/ec2-user:/bin/sh", "/home/ec2-user:/etc/passwd"),
            Finding {
                check: "shell",
                verdict: "fail",
                seen: "/etc/passwd, is not an executable file",
                fix: "sudo usermod -s /bin/sh ec2-user",
            },
        ),
        row(
            "a shell that only root may run",
            |world| {
                let shell = world.path("bin/shell");
                fs::copy("/bin/sh", &shell).unwrap();
                mode(&shell, 0o700);
                let passwd = fs::read_to_string("/etc/passwd").unwrap();
                let entry = format!("/home/ec2-user:{}", shell.display());
                fs::write("/etc/passwd", passwd.replace("/home/ec2-user:/bin/sh", &entry)).unwrap();
            },
            Finding {
                check: "shell",
                verdict: "fail",
                seen: "bin/shell is 0700, and ec2-user needs the right to run it",
                fix: "sudo chmod a+x /",
            },
        ),
        row(
            "/etc/nologin",
            |_| fs::write("/etc/nologin", "Be back soon\n").unwrap(),
            Finding {
                check: "shell",
                verdict: "fail",
                seen: "/etc/nologin blocks all users",
                fix: "sudo rm /etc/nologin",
            },
        ),
    ]
}
