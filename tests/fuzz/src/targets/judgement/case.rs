//! Evidence that starts as good and changes with the fuzzer's choices.

use eic_core::decision::Expectations;
use eic_core::fingerprint::Fingerprint;
use eic_core::key_options::KeyOptions;
use eic_core::policy::{Action, Limits, Policy, Rule};
use eic_core::verification::RevocationPolicy;
use eic_emulator::pki::wrapped_base64;

use super::super::tape::Tape;
use super::stock::{Draft, Entry, INSTANCES, NOW, SIGNERS, STOCK, Who};

/// The most changes per input, and the most lines of a bundle. More of them would only cost time.
const MAX_STEPS: usize = 64;
const MAX_LINES: usize = 256;

/// A certificate or staple of the stock, possibly changed.
pub(super) struct Piece {
    pub(super) der: Vec<u8>,
    /// The index in the stock. `None` after a change.
    pub(super) stock: Option<usize>,
    as_base64: bool,
}

pub(super) struct Case {
    pub(super) certificates: Vec<Piece>,
    pub(super) staples: Vec<Piece>,
    /// The lines of the key bundle, with line ends.
    lines: Vec<Vec<u8>>,
    /// Changes of bytes in the text of the chain.
    smudges: Vec<(usize, u8)>,
    /// The entries that were signed for this input only.
    pub(super) signed: Vec<Entry>,
    pub(super) now: i64,
    pub(super) expected: Expectations,
    pub(super) denied: bool,
    /// Whether the signer, the expectations and the instant are those of a usual run.
    pub(super) usual: bool,
}

impl Case {
    pub(super) fn of(input: &[u8]) -> Self {
        let mut tape = Tape::new(input);
        let mut case = Self {
            certificates: (0..4).map(certificate).collect(),
            staples: (0..4).map(staple).collect(),
            lines: Vec::new(),
            smudges: Vec::new(),
            signed: Vec::new(),
            now: NOW,
            expected: Expectations {
                signer: SIGNERS[0].parse().unwrap(),
                instance: INSTANCES[0].parse().unwrap(),
                offered: None,
                policy: Policy::default(),
                revocation: RevocationPolicy::Require,
            },
            denied: false,
            usual: true,
        };
        case.add_entry(&STOCK.entries[0].bytes);
        case.add_entry(&STOCK.entries[1].bytes);
        for _ in 0..MAX_STEPS {
            if tape.is_over() {
                break;
            }
            case.step(&mut tape);
        }
        case
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.pick(24) {
            0 => self.add_entry(&STOCK.entries[tape.pick(STOCK.entries.len())].bytes),
            1 => self.sign_entry(tape),
            2..=8 => self.change_lines(tape),
            9 => self.now = NOW + minutes(tape) * 60,
            10 => self.now = NOW + minutes(tape),
            11 => self.change_question(tape),
            12..=16 => change(&mut self.certificates, tape, STOCK.certificates.len(), certificate),
            17..=21 => change(&mut self.staples, tape, STOCK.staples.len(), staple),
            22 => self.smudges.push((tape.below(usize::from(u16::MAX)), tape.byte())),
            _ => {
                let place = tape.pick(self.staples.len());
                self.staples.iter_mut().skip(place).take(1).for_each(|staple| staple.as_base64 ^= true);
            }
        }
        let usual = |pieces: &[Piece]| pieces.iter().take(4).map(|piece| piece.stock).eq((0..4).map(Some));
        let asked = (0..30).contains(&(self.now - NOW)) && self.smudges.is_empty();
        self.usual &= asked && usual(&self.certificates) && usual(&self.staples);
        self.usual &= self.certificates.len() == 4 && self.staples.len() == 4;
    }

    fn add_entry(&mut self, bytes: &[u8]) {
        if self.lines.len() < MAX_LINES {
            self.lines.extend(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }

    fn sign_entry(&mut self, tape: &mut Tape<'_>) {
        let signers = [Who::Signer, Who::OtherRegion, Who::Expired, Who::Revoked, Who::Impostor];
        let draft = Draft {
            who: signers[tape.pick(signers.len())],
            key: tape.pick(STOCK.key_lines()),
            instance: INSTANCES[tape.pick(2)],
            expires: NOW + minutes(tape),
            strange: tape.pick(2) == 1,
            caller: tape.bytes(),
        };
        // Sign at most one entry per input. A signature takes 100 times as long as any other step.
        if self.signed.is_empty() {
            let entry = STOCK.sign(&draft);
            self.add_entry(&entry.bytes);
            self.signed.push(entry);
        }
    }

    fn change_lines(&mut self, tape: &mut Tape<'_>) {
        let count = self.lines.len();
        let (from, to) = (tape.pick(count), tape.pick(count));
        if count == 0 {
            return self.lines.push(tape.bytes().to_vec());
        }
        match tape.pick(8) {
            0 => self.lines.swap(from, to),
            1 => drop(self.lines.remove(from)),
            2 if count < MAX_LINES => self.lines.insert(to, self.lines[from].clone()),
            3 => {
                let line = self.lines.remove(from);
                self.lines.insert(to, line);
            }
            4 if count < MAX_LINES => self.lines.insert(to, tape.bytes().to_vec()),
            5 => {
                let at = tape.below(self.lines[from].len());
                let bytes = tape.bytes().iter().copied();
                self.lines[from].splice(at..at, bytes);
            }
            6 => {
                let at = tape.below(self.lines[from].len());
                let mask = tape.byte();
                self.lines[from].iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
            }
            _ => {
                let end = tape.below(self.lines[from].len());
                self.lines[from].truncate(end);
            }
        }
    }

    fn change_question(&mut self, tape: &mut Tape<'_>) {
        self.usual = false;
        match tape.pick(6) {
            0 => self.expected.signer = SIGNERS[tape.pick(2)].parse().unwrap(),
            1 => self.expected.instance = INSTANCES[tape.pick(2)].parse().unwrap(),
            2 => self.expected.revocation = RevocationPolicy::WhenStapled,
            3 => {
                let key = STOCK.entries[tape.pick(STOCK.entries.len())].key.clone().unwrap_or_default();
                let key = eic_core::evidence::public_key::PublicKey::parse(key.as_bytes());
                self.expected.offered = key.ok().map(|key| key.fingerprint().clone());
            }
            4 => {
                self.denied = true;
                self.expected.policy.rules.push(deny_all());
            }
            _ => {
                self.expected.policy.prefix.environment = tape.pick(2) == 1;
                self.expected.policy.prefix.options = KeyOptions::parse("restrict,pty").ok();
            }
        }
    }

    pub(super) fn chain_text(&self) -> Vec<u8> {
        let pem = |piece: &Piece| {
            let body = wrapped_base64(&piece.der, 64);
            format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
        };
        let mut text = self.certificates.iter().map(pem).collect::<String>().into_bytes();
        let length = text.len();
        for (at, mask) in &self.smudges {
            text.iter_mut().skip(at.checked_rem(length).unwrap_or(0)).take(1).for_each(|byte| *byte ^= mask);
        }
        text
    }

    pub(super) fn bundle(&self) -> Vec<u8> {
        self.lines.concat()
    }

    pub(super) fn offered(&self) -> Option<&Fingerprint> {
        self.expected.offered.as_ref()
    }
}

impl Piece {
    /// The bytes as the metadata service sends them.
    pub(super) fn served(&self) -> Vec<u8> {
        if self.as_base64 { wrapped_base64(&self.der, 64).into_bytes() } else { self.der.clone() }
    }
}

fn certificate(place: usize) -> Piece {
    Piece { der: STOCK.certificates[place].der.clone(), stock: Some(place), as_base64: false }
}

fn staple(place: usize) -> Piece {
    Piece { der: STOCK.staples[place].der.clone(), stock: Some(place), as_base64: false }
}

fn change(pieces: &mut Vec<Piece>, tape: &mut Tape<'_>, stocked: usize, fetch: impl Fn(usize) -> Piece) {
    let (from, to) = (tape.pick(pieces.len()), tape.pick(pieces.len()));
    let what = tape.pick(8);
    if what < 2 || pieces.is_empty() {
        if pieces.len() < 40 {
            pieces.insert(to, fetch(tape.pick(stocked)));
        }
        return;
    }
    let piece = &mut pieces[from];
    match what {
        2 => pieces.swap(from, to),
        3 => drop(pieces.remove(from)),
        4 => {
            piece.der.truncate(tape.below(piece.der.len()));
            piece.stock = None;
        }
        5 => {
            let at = tape.below(piece.der.len());
            piece.der.splice(at..at, tape.bytes().iter().copied());
            piece.stock = None;
        }
        _ => {
            let (at, mask) = (tape.below(piece.der.len()), tape.byte());
            piece.der.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
            piece.stock = None;
        }
    }
}

/// A number of minutes, up to three weeks in either direction.
fn minutes(tape: &mut Tape<'_>) -> i64 {
    i64::from(i16::from_be_bytes([tape.byte(), tape.byte()]))
}

fn deny_all() -> Rule {
    Rule {
        name: "nobody".to_owned(),
        action: Action::Deny,
        users: Vec::new(),
        principals: Vec::new(),
        accounts: Vec::new(),
        key_types: Vec::new(),
        limits: Limits::default(),
    }
}
