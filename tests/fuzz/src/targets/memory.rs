//! The file that runs share. Any process of the agent's user can write it.

use eic_core::evidence::ocsp::MAX_STAPLES;
use eic_emulator::pki::sha256;
use eic_login::memory::{KeptEvidence, MAX_RECORD_BYTES, Record, SignerBytes};

const FORM: &[u8] = b"eic-agent evidence 1\n";
const DIGEST_BYTES: usize = 32;

/// Properties: a record that is read is written as the same bytes, and so is its evidence. What is read is part of the
/// input.
///
/// A writer can also make the right digests, so the input is read a second time with these.
pub fn run(input: &[u8]) {
    check(input);
    if let Some(repaired) = with_right_digests(input) {
        check(&repaired);
    }
}

fn check(input: &[u8]) {
    let Some(record) = Record::parse(input) else { return };
    assert!(input.len() <= MAX_RECORD_BYTES);
    assert_eq!(record.to_bytes().as_deref(), Some(input));
    assert!(record.token.as_ref().is_none_or(|token| token.value.len() <= input.len()));
    let Some(evidence) = record.evidence else { return };
    let Some(signer) = evidence.signer() else { return };
    assert_eq!(KeptEvidence::new(evidence.since, &signer), evidence);
    let SignerBytes { chain, staples, .. } = signer;
    let size: usize = staples.iter().map(Vec::len).sum();
    assert!(staples.len() <= MAX_STAPLES && chain.len() + size <= input.len());
}

/// The same bytes with the digests of the head and of the evidence, if the input has the form of a record. The digest of
/// the evidence is at the end of the head.
fn with_right_digests(input: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = input.strip_prefix(FORM)?.split_at_checked(DIGEST_BYTES)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (head, content) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut head = head.to_vec();
    let size = u64::try_from(DIGEST_BYTES).unwrap().to_le_bytes();
    if let Some((before, digest)) = head.split_last_chunk_mut::<DIGEST_BYTES>() {
        if before.ends_with(&size) {
            digest.copy_from_slice(&sha256(content));
        }
    }
    Some([FORM, &sha256(&head), length, &head, content].concat())
}
