//! Floods of entries, bytes, certificates and staples. The run must end within the deadline, within the memory limit
//! of any run. A good entry among the first ones is still accepted.

use eic_emulator::pki::{Issuer, ResponderId, StapleName};

use super::evidence::{Content, Evidence, Served};
use super::{FIRST, LAST, Row, bad, good, judge_rows, judged};
use crate::fixtures::{SIGNER, key_line};

/// The most entries that are judged. One more refusal covers the rest.
const ENTRIES: usize = 2048;

judge_rows!();

fn rows() -> Vec<Row> {
    [entries(), lines(), certificates(), staples()].into_iter().flatten().collect()
}

/// `count` refusals with one reason, and the refusal for the rest.
fn refusals(reason: &'static str, count: usize) -> Vec<&'static str> {
    [vec![reason; count], vec!["too-many-entries"]].concat()
}

/// A good entry, and a flood after it.
fn then(e: &mut Evidence, flood: impl AsRef<[u8]>) {
    e.bundle = Some([&e.signed(FIRST), flood.as_ref()].concat());
}

fn entries() -> Vec<Row> {
    vec![
        judged("10,000 good entries", &[FIRST], &["too-many-entries"], |e| {
            e.bundle = Some(e.signed(FIRST).repeat(10_000));
        }),
        judged(
            "10,000 forged entries after a good one",
            &[FIRST],
            &refusals("bad-signature", ENTRIES - 1),
            |e| {
                let forged = e.entry(key_line("other")).sign(&e.stranger.leaf_key);
                then(e, forged.repeat(10_000));
            },
        ),
        judged(
            "10,000 entries of one byte after a good one",
            &[FIRST],
            &refusals("no-key", ENTRIES - 1),
            |e| {
                then(e, "#\n\n".repeat(10_000));
            },
        ),
        // A caller who may push keys can prevent another key from being accepted. The throttling of the service has
        // the same effect. The flood cannot make the agent accept a key.
        judged("a good entry after 10,000 of one byte", &[], &refusals("no-key", ENTRIES), |e| {
            e.bundle = Some(["#\n\n".repeat(10_000).into_bytes(), e.signed(FIRST)].concat());
        }),
        judged("a good entry as the last that is judged", &[FIRST], &["no-key"; ENTRIES - 1], |e| {
            e.bundle = Some(["#\n\n".repeat(ENTRIES - 1).into_bytes(), e.signed(FIRST)].concat());
        }),
        judged(
            "10,000 key lines without anything else",
            &[FIRST],
            &refusals("no-timestamp", ENTRIES - 1),
            |e| {
                then(e, format!("{}\n", key_line("other")).repeat(10_000));
            },
        ),
    ]
}

const MEGABYTE: usize = 1 << 20;

/// A line of a megabyte between two good entries.
fn megabyte(e: &mut Evidence, before: &str, fill: &str, after: &str) {
    e.between(format!("{before}{}{after}\n\n", fill.repeat(MEGABYTE / fill.len())));
}

fn lines() -> Vec<Row> {
    const BOTH: &[&str] = &[FIRST, LAST];
    vec![
        judged("a field of 1 MB", BOTH, &["entry-too-large"], |e| megabyte(e, "#Caller=", "a", "")),
        judged("a field of 1 MB in a signed entry", BOTH, &["entry-too-large"], |e| {
            let entry =
                e.entry(key_line("other")).line(format!("#New={}", "a".repeat(MEGABYTE))).sign(e.key());
            e.between(entry);
        }),
        judged("a key of 1 MB", BOTH, &["key-too-long"], |e| megabyte(e, "ssh-ed25519 ", "A", "")),
        judged("a comment of 1 MB", BOTH, &["key-too-long"], |e| {
            let key = key_line("other") + " ";
            megabyte(e, &key, "c", "");
        }),
        judged("a key line of 1 MB of spaces", BOTH, &["key-too-long"], |e| megabyte(e, "x", " ", "x")),
        judged("a signature of 1 MB", BOTH, &["entry-too-large"], |e| {
            let text = String::from_utf8(e.entry(key_line("other")).signed_text()).unwrap();
            megabyte(e, &text, "A", "");
        }),
        judged("1 MB of base64 and nothing else", BOTH, &["entry-too-large"], |e| megabyte(e, "", "A", "")),
        judged("1 MB of NULs", BOTH, &["entry-too-large"], |e| megabyte(e, "", "\0", "")),
        judged("1 MB of number signs", BOTH, &["entry-too-large"], |e| megabyte(e, "", "#", "")),
        judged("1 MB of blank lines", BOTH, &[], |e| megabyte(e, "", "\n", "")),
        judged("1 MB of blanks", BOTH, &[], |e| megabyte(e, "", " ", "")),
        judged("1 MB of fields of one byte", BOTH, &["entry-too-large"], |e| megabyte(e, "", "#\n", "")),
        judged("a last line of 3 MB that never ends", &[FIRST], &["too-many-entries"], |e| {
            then(e, "A".repeat(3 * MEGABYTE));
        }),
        judged("3 MB of blanks, then a good entry", &[FIRST], &["too-many-entries"], |e| {
            let late = [" ".repeat(3 * MEGABYTE).into_bytes(), b"\n".to_vec(), e.signed(LAST)].concat();
            then(e, late);
        }),
    ]
}

fn certificates() -> Vec<Row> {
    vec![
        bad("a signer's bundle of more than 128 KiB", "metadata-malformed", |e| {
            let blocks = e.blocks().iter().map(|block| block.repeat(60)).collect::<Vec<_>>();
            e.serve_pem(&blocks);
        })
        .only_served(),
        // Each has the intermediate's name as its subject and its issuer, so any of them may follow any other.
        good("thirty unsigned certificates with the intermediate's name", |e| {
            let blocks = e.blocks();
            let posing =
                Issuer { name: e.signer.intermediate.name.clone(), key: e.stranger.root.key.clone() };
            let junk = (0..30).map(|serial| {
                let forger = &e.stranger.older_root.key;
                posing.certificate().serial(&[2, serial]).sign(&posing.name, forger).pem()
            });
            let junk: Vec<_> = junk.collect();
            e.serve_pem(&[&blocks[..1], &junk, &blocks[1..2]].concat());
        }),
        bad("thirty-two leaves signed by another key in the root's name", "signer-untrusted", |e| {
            let leaf = |serial| {
                e.signer.leaf(SIGNER, e.now).serial(&[3, serial]).sign(&e.signer.root.name, e.key()).pem()
            };
            let leaves: Vec<_> = (0..32).map(leaf).collect();
            e.serve_pem(&leaves);
        }),
        // Five authorities have the same name, and each of them certifies all five. The signatures of every path are
        // valid.
        bad("a mesh of authorities with keys of their own", "signer-too-costly", |e| {
            let keys = ["mesh-1", "mesh-2", "mesh-3", "mesh-4", "mesh-5"]
                .map(|key| Issuer { name: e.signer.intermediate.name.clone(), key: e.pool.get(key) });
            let mut blocks = vec![keys[0].sign(e.signer.leaf(SIGNER, e.now)).pem()];
            blocks.extend(keys.iter().map(|key| e.signer.root.sign(key.certificate()).pem()));
            for above in &keys {
                blocks.extend(keys.iter().map(|below| above.sign(below.certificate()).pem()));
            }
            e.serve_pem(&blocks);
        }),
        // A customer's authority, which the root has constrained, may really sign these.
        bad("a mesh of authorities that a customer's authority signed", "signer-constrained", |e| mesh(e, 1)),
        bad("the same mesh under eight leaves with the signer's name", "signer-constrained", |e| mesh(e, 8)),
        good("a byte order mark before the signer's bundle", |e| {
            e.pem = Some(format!("\u{feff}{}", e.signer.bundle_pem()).into_bytes());
        }),
        good("a byte order mark before the roots", |e| e.anchors.insert(0, '\u{feff}')),
    ]
}

/// Thirty-two certificates: one authority that the trusted root signed, more authorities with the same name and key,
/// and leaves with the signer's name. The key of these authorities signed all certificates except the first
/// authority's.
fn mesh(e: &mut Evidence, leaves: u8) {
    let tenant = e.authority("tenant");
    let root = e.signer.root.clone();
    let others = eic_emulator::pki::NameConstraints { permitted: &["tenant.example"], excluded: &[] };
    let first = root.sign(tenant.certificate().name_constraints(&others));
    let leaf = |serial| tenant.sign(e.signer.leaf(SIGNER, e.now).serial(&[3, serial])).pem();
    let link = |serial| tenant.sign(tenant.certificate().serial(&[4, serial])).pem();
    let mut blocks: Vec<_> = (0..leaves).map(leaf).collect();
    blocks.extend((0..31 - leaves).map(link));
    blocks.push(first.pem());
    e.serve_pem(&blocks);
}

fn staples() -> Vec<Row> {
    vec![
        good("four hundred staples on the list", |e| {
            let name = |at| StapleName::Other(format!("{at}"));
            e.staples =
                Some((0..2).map(|at| e.signer.staple(at, e.now).named(name(at)).build().into()).collect());
            let stranger = e.stranger.staple(0, e.now).build();
            for number in 2..400 {
                let content = Content::Der(stranger.der.clone());
                // The names of these staples sort after the two good ones. A list may be 16 KiB long.
                e.staples_mut().push(Served { name: format!("z{number}"), content });
            }
        })
        .only_served(),
        bad("a list of more than 16 KiB", "metadata-malformed", |e| {
            let stranger = e.stranger.staple(0, e.now).build();
            let named = |number| Served {
                name: format!("{number:0100}"),
                content: Content::Der(stranger.der.clone()),
            };
            e.staples = Some((0..200).map(named).collect());
        })
        .only_served(),
        // The decoder sorts the parts of a SET. Sixteen of these staples once took a second.
        good("fourteen staples of a responder with 300 names in one RDN", |e| {
            let names: Vec<_> = (0..300).rev().map(|number| format!("{number:03}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let name = eic_emulator::pki::Name::new().cns_in_one_place(&names);
            let staple = e.signer.staple(0, e.now).responder(ResponderId::Name(name)).build();
            assert!((4000..6000).contains(&staple.der.len()), "{}", staple.der.len());
            e.staples_mut().truncate(2);
            for number in 0..14 {
                let content = Content::Der(staple.der.clone());
                e.staples_mut().push(Served { name: format!("{number}"), content });
            }
        }),
        good("sixteen staples of 8 KiB of rubbish", |e| {
            let rubbish = (0..14).map(|number| Served {
                name: format!("{number}"),
                content: Content::Raw(eic_emulator::pki::der::sequence(&[vec![0x30; 8 * 1024 - 4]])),
            });
            let rubbish: Vec<_> = rubbish.collect();
            e.staples_mut().truncate(2);
            e.staples_mut().extend(rubbish);
        }),
    ]
}
