//! Which certificates of a bundle a path can lead through at all.
//!
//! webpki walks from the leaf up and believes names until it meets an anchor; a bundle of a dozen unsigned
//! certificates of one name keeps it busy for seconds. Seen from the anchors down, such a certificate is
//! never reached: nobody signed it.

use webpki::EndEntityCert;

use super::anchors::TrustAnchors;
use super::primitives::{contents, is_signed_by};
use crate::evidence::chain::{Certificate, SignerChain};
use crate::evidence::signed::Signed;

/// Bundles up to this size are searched as they are: the real one has four certificates, and the worst that
/// six can be made to cost is some milliseconds, as much as looking at each of them.
const SMALL: usize = 6;

/// A certificate, taken apart for this one question.
struct Node<'c> {
    certificate: &'c Certificate,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    key_info: Vec<u8>,
    signed: Signed,
    reached: bool,
}

/// The certificates that an anchor signed, or a certificate that is reached itself. Every pair of issuer and
/// certificate is tried once, so that the work is bounded by the square of the bundle.
pub(super) fn reachable<'c>(
    chain: &'c SignerChain,
    anchors: &TrustAnchors,
) -> Box<dyn Iterator<Item = &'c Certificate> + 'c> {
    let all = chain.certificates();
    if all.len() <= SMALL {
        return Box::new(all.iter());
    }
    let mut nodes: Vec<_> = all.iter().filter_map(Node::of).collect();
    // The issuers that are known, each looked at once.
    let mut issuers: Vec<(Vec<u8>, Vec<u8>)> = anchors
        .as_slice()
        .iter()
        .filter(|anchor| nodes.iter().any(|node| node.issuer == anchor.subject.as_ref()))
        .map(|anchor| (anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec()))
        .collect();
    while let Some((name, key_info)) = issuers.pop() {
        for node in &mut nodes {
            if !node.reached && node.issuer == name && is_signed_by(&node.signed, &key_info) {
                node.reached = true;
                issuers.push((node.subject.clone(), node.key_info.clone()));
            }
        }
    }
    let reached: Vec<_> =
        nodes.into_iter().filter(|node| node.reached).map(|node| node.certificate).collect();
    Box::new(reached.into_iter())
}

impl<'c> Node<'c> {
    fn of(certificate: &'c Certificate) -> Option<Self> {
        let parsed = EndEntityCert::try_from(certificate.der()).ok()?;
        Some(Self {
            certificate,
            issuer: parsed.issuer().to_vec(),
            subject: parsed.subject().to_vec(),
            key_info: contents(&parsed.subject_public_key_info()).to_vec(),
            signed: Signed::read(certificate.der()).ok()?,
            reached: false,
        })
    }
}
