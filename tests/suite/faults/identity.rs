//! Wrong values for the instance id, the region, the zone and the domain.

use std::fs;

use eic_emulator::{Entry, Fault};

use super::Expected::{self, Key, Nothing, Refused, Undecided};
use super::{Bench, Row, faulty, hold_with, row, says};
use crate::metadata::KEYS;
use crate::world::{INSTANCE, test_path};

const TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";
const ID: &str = "instance-id";
const REGION: &str = "placement/region";
const ZONE: &str = "placement/availability-zone";
const DOMAIN: &str = "services/domain";

#[test]
fn every_fault_has_its_outcome() {
    hold_with(test_path!(), rows, |_| {
        let _ = fs::remove_dir_all("/sys/hypervisor");
        let _ = fs::remove_dir(TAG);
        fs::write(TAG, format!("{INSTANCE}\n")).unwrap();
    });
}

pub(super) fn rows() -> Vec<Row> {
    [machine_rows(), xen_rows(), entry_rows(), region_rows(), zone_rows(), domain_rows()]
        .into_iter()
        .flatten()
        .collect()
}

fn machine_rows() -> Vec<Row> {
    let tag = |name: &str, expected: Expected, text: &'static [u8]| {
        row(format!("an asset tag {name}"), expected, move |_: &Bench| fs::write(TAG, text).unwrap())
    };
    vec![
        tag(
            "of another instance",
            Refused("wrong-instance", "i-0123456789abcdef1", 1),
            b"i-0123456789abcdef1\n",
        ),
        tag("of no instance", Nothing, b"Not Specified\n"),
        tag("that is empty", Nothing, b""),
        tag("in upper case", Nothing, b"I-0123456789ABCDEF0\n"),
        tag("with more behind it", Nothing, b"i-0123456789abcdef0/../x\n"),
        tag("of other bytes", Nothing, b"i-\xff\xfe\n"),
        row("an asset tag that is a folder", Nothing, |_| {
            fs::remove_file(TAG).unwrap();
            fs::create_dir(TAG).unwrap();
        }),
    ]
}

/// Under Xen, only metadata contains the id.
fn xen_rows() -> Vec<Row> {
    let xen = |name: &str, expected: Expected, fault: Fault| {
        row(format!("under Xen, an instance id {name}"), expected, move |bench: &Bench| {
            bench.world.become_xen();
            bench.inject([fault.clone()]);
        })
    };
    let malformed = |got: &'static str| Undecided("instance-id-malformed", got);
    let at = || Fault::at(ID);
    vec![
        xen(
            "of another instance",
            Refused("wrong-instance", "i-0123456789abcdef1", 1),
            says(ID, "i-0123456789abcdef1"),
        ),
        xen("that is empty", malformed("got \"\""), says(ID, "")),
        xen("in upper case", malformed("got \"i-0123456789ABCDEF0\""), says(ID, "i-0123456789ABCDEF0")),
        xen(
            "in two lines",
            malformed("got \"i-0123456789abcdef0"),
            says(ID, "i-0123456789abcdef0\ni-0123456789abcdef0"),
        ),
        xen("with a terminal's sequence", malformed("got \"i-\\x1b[2J\""), says(ID, "i-\x1b[2J")),
        xen(
            "without end",
            Undecided("metadata-malformed", "expected at most 1024 bytes"),
            says(ID, vec![b'i'; 5000]),
        ),
        xen("that is not there", Undecided("metadata-missing", ID), at().status(404)),
        xen("that is forbidden", Undecided("metadata-forbidden", ID), at().status(403)),
        xen("that is refused", Undecided("metadata-token-refused", ID), at().status(401)),
        xen("at 400", Undecided("metadata-malformed", ID), at().status(400)),
        xen("at 500 for ever", Undecided("metadata-throttled", ID), at().status(500)).within(0.5),
        xen("at 503, then good", Key, at().status(503).times(1)),
        xen(
            "that never comes",
            Undecided("metadata-timeout", ID),
            at().delay(std::time::Duration::from_secs(3600)),
        )
        .within(0.5),
    ]
}

fn entry_rows() -> Vec<Row> {
    let signed = |name: &str, expected: Expected, instance: Option<&'static str>| {
        row(format!("a key that was signed {name}"), expected, move |bench: &Bench| {
            let emulator = &bench.world.emulator;
            let entry = Entry::new(bench.key.line()).timestamp(emulator.now() + 600);
            let entry = instance.map_or(entry.clone(), |id| entry.instance(id));
            bench.inject([says(KEYS, entry.sign(&emulator.hierarchy().leaf_key))]);
        })
    };
    vec![
        signed(
            "for another instance",
            Refused("wrong-instance", "i-0fedcba9876543210", 1),
            Some("i-0fedcba9876543210"),
        ),
        signed(
            "for the beginning of the id",
            Refused("wrong-instance", "\"i-01234567\"", 1),
            Some("i-01234567"),
        ),
        signed("for more than the id", Refused("wrong-instance", "", 1), Some("i-0123456789abcdef00")),
        signed("for the id in upper case", Refused("wrong-instance", "", 1), Some("i-0123456789ABCDEF0")),
        signed("for the id and a space", Refused("wrong-instance", "", 1), Some("i-0123456789abcdef0 ")),
        signed("for no instance", Refused("no-instance", "", 1), None),
        row("the keys of another user", Nothing, |bench| {
            bench.inject([Fault::at(KEYS).status(404)]);
            bench.world.emulator.push("ubuntu", &bench.key.line(), "arn:x");
        }),
    ]
}

fn region_rows() -> Vec<Row> {
    let region = |name: &str, text: &'static str, got: &'static str| {
        faulty(format!("a region {name}"), Undecided("region-malformed", got), [says(REGION, text)])
    };
    let mismatch = Undecided("signer-name-mismatch", "managed-ssh-signer.us-east-2.amazonaws.com");
    vec![
        region("that is empty", "", "expected an AWS region such as us-east-1, got \"\""),
        region("of nonsense", "nonsense", "got \"nonsense\""),
        region("in upper case", "US-EAST-1", "got \"US-EAST-1\""),
        region(
            "that reaches into the domain",
            "us-east-1.amazonaws.com.evil.example",
            "got \"us-east-1.amazon",
        ),
        region("with a slash", "us-east-1/..", "got \"us-east-1/..\""),
        region("in two lines", "us-east-1\nus-east-2", "got \"us-east-1\\x0aus-east-2\""),
        region("with NUL", "us-east-1\0", "got \"us-east-1\\x00\""),
        region("in other letters", "us-\u{435}ast-1", "got \""),
        region("with a terminal's sequence", "us-\x1b]0;x\x07-1", "got \"us-\\x1b]0;x\\x07-1\""),
        faulty("the region next door", mismatch, [says(REGION, "us-east-2")]),
        faulty("a region with white space around it", Key, [says(REGION, " us-east-1\r\n")]),
    ]
}

fn zone_rows() -> Vec<Row> {
    let zone = |name: &str, expected: Expected, text: &'static str| {
        let faults = [Fault::at(REGION).status(404), says(ZONE, text)];
        faulty(format!("a zone {name}, and no region"), expected, faults)
    };
    let malformed = |got: &'static str| Undecided("region-malformed", got);
    let next_door = Undecided("signer-name-mismatch", "managed-ssh-signer.us-east-2.amazonaws.com");
    vec![
        zone(
            "that is unknown",
            malformed("expected an availability zone such as us-east-1a, got \"nowhere\""),
            "nowhere",
        ),
        zone("that is empty", malformed("got \"\""), ""),
        zone("without its letter", malformed("got \"us-east-1\""), "us-east-1"),
        zone(
            "that reaches into the domain",
            malformed("got \"us-east-1a.evil.example\""),
            "us-east-1a.evil.example",
        ),
        zone("next door", next_door, "us-east-2a"),
        zone("of a local zone", Key, "us-east-1-bos-1a"),
    ]
}

fn domain_rows() -> Vec<Row> {
    let domain = |name: &str, text: &'static str, got: &'static str| {
        faulty(format!("a domain {name}"), Undecided("domain-unknown", got), [says(DOMAIN, text)])
    };
    vec![
        domain("that is empty", "", "expected the services domain of an AWS partition"),
        domain(
            "that begins like the right one",
            "amazonaws.com.evil.example",
            "got \"amazonaws.com.evil.example\"",
        )
        .with_login(),
        domain("that ends like the right one", "evil-amazonaws.com", "got \"evil-amazonaws.com\""),
        domain("below the right one", "evil.amazonaws.com", "got \"evil.amazonaws.com\""),
        domain("with a digit for a letter", "amaz0naws.com", "got \"amaz0naws.com\""),
        domain("in other letters", "\u{430}mazonaws.com", "got \""),
        domain("with a dot behind it", "amazonaws.com.", "got \"amazonaws.com.\""),
        domain("in upper case", "AMAZONAWS.COM", "got \"AMAZONAWS.COM\""),
        domain("in two lines", "amazonaws.com\nevil.example", "got \"amazonaws.com\\x0aevil.example\""),
        domain("with NUL", "amazonaws.com\0.evil.example", "got \"amazonaws.com\\x00.evil.example\""),
        domain("with a port", "amazonaws.com:80", "got \"amazonaws.com:80\""),
        faulty(
            "the domain of another partition",
            Undecided("signer-name-mismatch", "managed-ssh-signer.us-east-1.amazonaws.com.cn"),
            [says(DOMAIN, "amazonaws.com.cn")],
        ),
    ]
}
