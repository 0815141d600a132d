//! The links before sshd: the machine, its metadata, its clock, and the signer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use eic_emulator::Fault;
use eic_emulator::http::Response;
use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool};

use super::{Broken, Finding, Row, Undo, edited, either, follow, mode, open, refused, row, run};
use crate::wiring::OURS;
use crate::world::{BOB, INSTANCE, Key, World};

const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";
const SETTINGS: &str = "/etc/eic-agent.toml";
const SIGNER_CERT: &str = "managed-ssh-keys/signer-cert";

pub(super) const NO_METADATA: &[&str] = &[
    "metadata-v6",
    "proxy",
    "metadata",
    "instance",
    "clock",
    "region",
    "trust-store",
    "signer",
    "staples",
    "memory",
    "answer",
];
/// Checks that are skipped if the metadata service does not answer: the first one only if the settings name one address.
pub(super) const NO_ANSWER: &[&str] =
    &["metadata-v6", "instance", "clock", "region", "trust-store", "signer", "staples", "answer"];

/// Restores what `Sound` does not: the emulator, the trust store, the settings and the asset tag.
pub(super) fn restore(world: &World) {
    world.emulator.clear_faults();
    world.emulator.set_clock_offset(0);
    world.emulator.set_hierarchy(Hierarchy::new(&KeyPool::shared(), SIGNER, world.emulator.now()));
    world.trust(&world.emulator.ca_pem());
    world.configure_unhurried("");
    mode(Path::new(SETTINGS), 0o644);
    fs::write("/sys/devices/virtual/dmi/id/board_asset_tag", format!("{INSTANCE}\n")).unwrap();
}

/// Replaces the service's answer on one path.
fn answers(path: &'static str, text: &'static str) -> impl Fn(&World) {
    move |world| world.emulator.inject(Fault::at(path).respond(Response::text(text)))
}

/// Shortens the time limit. This is for rows that test the timeout, or something that happens before it.
fn hasten(world: &World) {
    world.configure("[imds]\ntimeout = 2\n");
}

fn injected(fault: impl Fn() -> Fault) -> impl Fn(&World) {
    move |world| world.emulator.inject(fault())
}

/// Replaces the usual signer.
fn signer(change: impl Fn(Hierarchy, i64) -> Hierarchy) -> impl Fn(&World) {
    move |world| {
        let now = world.emulator.now();
        world.emulator.set_hierarchy(change(Hierarchy::new(&KeyPool::shared(), SIGNER, now), now));
    }
}

/// Replaces the staple of the signer's own certificate.
fn stapled(
    change: impl Fn(eic_emulator::pki::StapleBuilder, i64) -> eic_emulator::pki::StapleBuilder,
) -> impl Fn(&World) {
    move |world| {
        let (signer, now) = (world.emulator.hierarchy(), world.emulator.now());
        world
            .emulator
            .set_staples(vec![change(signer.staple(0, now), now).build(), signer.staple(1, now).build()]);
    }
}

fn shifted(seconds: i64) -> impl Fn(&World) {
    move |world| world.emulator.set_clock_offset(seconds)
}

pub(super) fn rows() -> Vec<Row> {
    [metadata_rows(), place_rows(), signer_rows(), run_rows()].into_iter().flatten().collect()
}

/// The kernel drops packets to metadata, as a firewall does.
fn dropped(world: &World) -> Broken {
    hasten(world);
    run(&["nft", "add table ip away"]);
    run(&["nft", "add chain ip away out { type filter hook output priority 0; }"]);
    run(&["nft", "add rule ip away out ip daddr 169.254.169.254 drop"]);
    Box::new(Undo(|| run(&["nft", "delete table ip away"])))
}

/// The kernel rejects packets from `nobody` to metadata, and sshd runs the agent as `nobody`.
fn refused_to_nobody(world: &World) -> Broken {
    edited(OURS, "User eic-agent", "User nobody")(world);
    edited(OURS, "authorized-keys ", "authorized-keys --timeout 2 ")(world);
    run(&["nft", "add table ip away"]);
    run(&["nft", "add chain ip away out { type filter hook output priority 0; }"]);
    run(&["nft", "add rule ip away out ip daddr 169.254.169.254 meta skuid nobody reject"]);
    Box::new(Undo(|| run(&["nft", "delete table ip away"])))
}

/// Results that only a run under sshd's user shows.
fn run_rows() -> Vec<Row> {
    vec![
        follow(
            &["answer"],
            row(
                "settings that only root reads",
                |_| mode(Path::new(SETTINGS), 0o600),
                Finding {
                    check: "settings",
                    verdict: "fail",
                    seen: "settings-unreadable: the mode of /etc/eic-agent.toml is 0600, and eic-agent needs the right to read it",
                    fix: "sudo chmod a+r /etc/eic-agent.toml",
                },
            ),
        ),
        Row {
            breaks: Box::new(refused_to_nobody),
            ..row(
                "a firewall against AuthorizedKeysCommandUser",
                |_| {},
                Finding {
                    check: "answer",
                    verdict: "fail",
                    seen: "eic-agent gets an answer, so a firewall may refuse the user nobody",
                    fix: "sudo -u nobody /",
                },
            )
        },
        refused(row(
            "a rule against the pushed key",
            |world| {
                world.configure_unhurried(
                    "[[rule]]\nname = \"deny\"\naction = \"deny\"\nusers = [\"ec2-user\"]\n",
                );
                world.emulator.push("ec2-user", &Key::ed25519(world, "denied").line(), BOB);
            },
            Finding {
                check: "answer",
                verdict: "fail",
                seen: "no key for ec2-user; refused: denied-by-rule",
                fix: "explain ec2-user",
            },
        )),
        row(
            "a pushed key",
            |world| {
                world.emulator.push("ec2-user", &Key::ed25519(world, "good").line(), BOB);
            },
            Finding { check: "answer", verdict: "ok", seen: "1 key for ec2-user", fix: "" },
        ),
    ]
}

fn metadata_rows() -> Vec<Row> {
    let metadata = |name, fault: fn() -> Fault, seen, fix| {
        let breaks = move |world: &World| {
            hasten(world);
            injected(fault)(world);
        };
        follow(
            &NO_ANSWER[1..],
            refused(row(name, breaks, Finding { check: "metadata", verdict: "fail", seen, fix })),
        )
    };
    vec![
        follow(
            NO_METADATA,
            refused(row(
                "not EC2",
                World::without_asset_tag,
                Finding {
                    check: "machine",
                    verdict: "fail",
                    seen: "board_asset_tag",
                    fix: "log in by other means",
                },
            )),
        ),
        follow(
            NO_METADATA,
            refused(row(
                "settings",
                |world| world.configure("[imds]\ntimout = 3\n"),
                Finding {
                    check: "settings",
                    verdict: "fail",
                    seen: "settings-invalid: /etc/eic-agent.toml:2: imds.timout",
                    fix: "correct /etc/eic-agent.toml",
                },
            )),
        ),
        metadata(
            "403",
            || Fault::token().status(403),
            "metadata-forbidden",
            "modify-instance-metadata-options --instance-id i-0123456789abcdef0 --http-endpoint enabled",
        ),
        metadata(
            "silent",
            || Fault::token().delay(Duration::from_secs(3600)),
            "metadata-timeout",
            "--instance-id i-0123456789abcdef0 --http-put-response-hop-limit 2",
        ),
        metadata("429", || Fault::token().status(429), "metadata-throttled", "1,024 packets a second"),
        metadata(
            "a page",
            || Fault::token().respond(Response::text("<html> </html>")),
            "metadata-malformed",
            "find out what answers",
        ),
        Row {
            breaks: Box::new(dropped),
            // The attempts and the deadline end within milliseconds of each other, so the reason varies.
            ..metadata("nft", || Fault::at("nothing").status(404), "metadata-", "nft list ruleset")
        },
    ]
}

/// The instance, the clock, the region and the trust store.
fn place_rows() -> Vec<Row> {
    let region = |path, text, seen| {
        follow(
            &["signer", "staples"],
            refused(row(
                text,
                answers(path, text),
                Finding { check: "region", verdict: "fail", seen, fix: "find out what answers" },
            )),
        )
    };
    vec![
        either(row(
            "another instance's metadata",
            answers("instance-id", "i-0fedcba9876543210"),
            Finding {
                check: "instance",
                verdict: "fail",
                seen: "the machine's firmware says i-0123456789abcdef0, metadata says i-0fedcba9876543210",
                fix: "the metadata of another instance",
            },
        )),
        open(row(
            // The service reports whole seconds, so the last digit varies.
            "ten minutes behind",
            shifted(605),
            Finding { check: "clock", verdict: "fail", seen: "60# s behind", fix: "chronyc makestep" },
        )),
        refused(row(
            "ten minutes ahead",
            shifted(-605),
            Finding { check: "clock", verdict: "fail", seen: "60# s ahead", fix: "chronyc makestep" },
        )),
        row(
            "a little behind",
            shifted(105),
            Finding { check: "clock", verdict: "warn", seen: "10# s behind", fix: "chronyc makestep" },
        ),
        region("placement/region", "us-east-1.evil", "region-malformed"),
        region("services/domain", "amazonaws.com.evil.example", "domain-unknown"),
        follow(
            &["signer", "staples"],
            refused(row(
                "no roots",
                |world| {
                    fs::write("/etc/empty.pem", "# none\n").unwrap();
                    world.configure_unhurried("[trust]\nca_file = \"/etc/empty.pem\"\n");
                },
                Finding {
                    check: "trust-store",
                    verdict: "fail",
                    seen: "/etc/empty.pem",
                    fix: "correct the files that [trust] in /etc/eic-agent.toml names",
                },
            )),
        ),
    ]
}

fn signer_rows() -> Vec<Row> {
    let unsigned = |name, change: fn(Hierarchy, i64) -> Hierarchy, seen, fix| {
        follow(
            &["staples"],
            refused(row(name, signer(change), Finding { check: "signer", verdict: "fail", seen, fix })),
        )
    };
    vec![
        unsigned(
            "another authority",
            |_, now| Hierarchy::of_family(&KeyPool::shared(), "foreign", SIGNER, now),
            "signer-untrusted",
            "update the package ca-certificates",
        ),
        unsigned(
            "another region's signer",
            |usual, now| {
                let leaf = usual.leaf("managed-ssh-signer.eu-west-1.amazonaws.com", now);
                usual.with_leaf(leaf)
            },
            "signer-name-mismatch",
            "find out what answers",
        ),
        unsigned(
            "an expired signer",
            |usual, now| {
                let leaf = usual.leaf(SIGNER, now).validity(now - 7200, now - 3600);
                usual.with_leaf(leaf)
            },
            "signer-expired",
            "check the clock",
        ),
        follow(
            &["staples"],
            refused(row(
                "no signer",
                injected(|| Fault::at(SIGNER_CERT).status(404)),
                Finding {
                    check: "signer",
                    verdict: "fail",
                    seen: "metadata-missing",
                    fix: "ask AWS support",
                },
            )),
        ),
        refused(row(
            "no staples",
            |world| world.emulator.set_staples(Vec::new()),
            Finding {
                check: "staples",
                verdict: "fail",
                seen: "staple-missing",
                fix: "wait until the metadata service has the staples again",
            },
        )),
        refused(row(
            "a stale staple",
            stapled(|staple, now| staple.updates(now - 9000, Some(now - 4000))),
            Finding { check: "staples", verdict: "fail", seen: "staple-stale", fix: "check the clock" },
        )),
        refused(row(
            "a revoked signer",
            stapled(|staple, now| staple.status(CertStatus::Revoked { at: now - 9, reason: None })),
            Finding {
                check: "staples",
                verdict: "fail",
                seen: "signer-revoked",
                fix: "do not trust any key of this signer",
            },
        )),
    ]
}
