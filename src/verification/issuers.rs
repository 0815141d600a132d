//! Which roots of a trust store a chain can end in at all, found without reading the others.
//!
//! A distribution trusts some 140 roots, and a chain ends in one or two of them: the root whose subject is the issuer of
//! one of its certificates, byte for byte (RFC 5280 section 7.1 would allow more; webpki does not). Decoding all the
//! others is most of what a run would cost. A root is issued by itself, so the first name in it is looked at, its
//! issuer. Nothing is judged here: what is told apart wrongly costs the time of reading all of them, never a check.

use data_encoding::BASE64;
use memchr::{memchr_iter, memmem};

use crate::evidence::chain::SignerChain;

/// Where a certificate begins and ends in PEM (RFC 7468 section 5.1).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// How many lines of a block are decoded to find its issuer, and how long they are: that ends within 240 bytes in all
/// but a few roots.
const LINES: usize = 6;
const LINE: usize = 64;
const DECODED: usize = LINES * LINE / 4 * 3;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`.
const VERSION: u8 = 0xa0;

/// The blocks of `pem` that may hold the issuer of a certificate of `chain`. A block whose name cannot be told may.
pub(super) fn blocks<'p>(pem: &'p [u8], chain: &SignerChain) -> Vec<&'p [u8]> {
    let issuers: Vec<_> = chain.certificates().iter().filter_map(|it| issuer(it.der())).collect();
    let end = memmem::Finder::new(END);
    let blocks = memmem::find_iter(pem, BEGIN).filter_map(|at| {
        let block = pem.get(at..)?;
        let length = end.find(block)?.saturating_add(END.len());
        block.get(..length)
    });
    let may_matter = |block: &&[u8]| {
        let mut der = [0; DECODED];
        issuer(head(block, &mut der)).is_none_or(|name| issuers.contains(&name))
    };
    blocks.filter(may_matter).collect()
}

/// The first bytes of the certificate in a block of PEM: as many as its first lines hold, where they have the usual
/// length, and none where they have not.
fn head<'d>(block: &[u8], der: &'d mut [u8; DECODED]) -> &'d [u8] {
    let mut filled = 0_usize;
    let mut from = 0_usize;
    for at in memchr_iter(b'\n', block).take(LINES.saturating_add(1)) {
        let line = block.get(from..at).unwrap_or_default();
        let is_first = from == 0;
        from = at.saturating_add(1);
        if is_first {
            continue;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let until = filled.saturating_add(LINE / 4 * 3);
        let Some(place) = der.get_mut(filled..until).filter(|_| line.len() == LINE) else { break };
        if BASE64.decode_mut(line, place).is_err() {
            break;
        }
        filled = until;
    }
    der.get(..filled).unwrap_or_default()
}

/// The issuer of a certificate (RFC 5280 section 4.1), without its tag and length. None where it does not lie, in DER,
/// in these first bytes of one.
fn issuer(der: &[u8]) -> Option<&[u8]> {
    // The certificate itself, and what is signed of it, may both go on behind these bytes.
    let (_, inside) = header(der, SEQUENCE)?;
    let (_, fields) = header(inside, SEQUENCE)?;
    let serial = element(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_, algorithm) = element(serial, INTEGER)?;
    let (_, issuer) = element(algorithm, SEQUENCE)?;
    element(issuer, SEQUENCE).map(|(name, _)| name)
}

/// The contents of a whole element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, contents) = header(der, tag)?;
    contents.split_at_checked(length)
}

/// The length of an element with this tag, and what follows its header (X.690 section 8.1.3, as far as certificates
/// need it).
fn header(der: &[u8], tag: u8) -> Option<(usize, &[u8])> {
    let (first, rest) = der.split_first()?;
    let (short, rest) = rest.split_first().filter(|_| *first == tag)?;
    let (length, used) = match short {
        0..=0x7f => (usize::from(*short), 0),
        0x81 => (usize::from(*rest.first()?), 1),
        0x82 => (usize::from(u16::from_be_bytes(rest.first_chunk().copied()?)), 2),
        _ => return None,
    };
    Some((length, rest.get(used..)?))
}
