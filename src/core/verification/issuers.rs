//! Finds the roots of a trust store in which a chain can end, without parsing the others.
//!
//! A distribution trusts about 140 roots, and a chain ends in one or two of them. The subject of such a root is the
//! issuer of a certificate of the chain, byte for byte (RFC 5280 section 7.1 allows more, webpki does not). Parsing
//! all other roots would be most of the work of a run. A root is its own issuer, so this module reads the issuer,
//! which is the first name in the certificate.
//!
//! This module checks nothing. A wrong choice only costs time, because the caller then reads all roots.

use alloc::vec::Vec;

use data_encoding::BASE64;
use memchr::memmem;

use crate::evidence::chain::SignerChain;
use crate::evidence::structure;

/// The first line of a certificate in PEM (RFC 7468 section 5.1).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The number of characters on a line of PEM.
const LINE: usize = 64;

/// How many lines of a block are decoded. They contain the length of the issuer's name and its first 90 bytes, which
/// is enough to distinguish roots.
const LINES: usize = 3;
const DECODED: usize = LINES * LINE / 4 * 3;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`.
const VERSION: u8 = 0xa0;

/// The blocks of `pem` that may contain the issuer of a certificate of `chain`. Each includes the text up to the next
/// block. A block whose name cannot be read is included.
pub(super) fn blocks<'p>(pem: &'p [u8], chain: &SignerChain) -> Vec<&'p [u8]> {
    let issuers: Vec<_> = chain.certificates().iter().filter_map(|it| Name::of_issuer(it.der())).collect();
    let starts: Vec<_> = memmem::find_iter(pem, BEGIN).filter(|start| begins_line(pem, *start)).collect();
    let ends = starts.iter().skip(1).copied().chain([pem.len()]);
    let blocks = starts.iter().zip(ends).filter_map(|(start, end)| Some((*start, pem.get(*start..end)?)));
    let may_matter = |block| {
        let mut der = [0; DECODED];
        let name = head(block, &mut der).and_then(Name::of_issuer);
        name.is_none_or(|name| issuers.iter().any(|issuer| name.may_be(issuer)))
    };
    let is_open = |start| pem.get(..start).is_none_or(is_open);
    blocks.filter(|(start, block)| may_matter(block) && !is_open(*start)).map(|(_, block)| block).collect()
}

/// Whether `start` is at the beginning of a line. Elsewhere, a PEM parser treats a begin line as text. In this way, an
/// operator may have disabled the block.
fn begins_line(pem: &[u8], start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|before| pem.get(before));
    before.is_none_or(|before| matches!(before, b'\r' | b'\n'))
}

/// Whether the last block in `before` has no matching end line. A PEM parser then reads the next lines as part of
/// that block.
fn is_open(before: &[u8]) -> bool {
    let mut marks = before.rsplit(|b| matches!(b, b'\r' | b'\n')).filter(|line| line.starts_with(b"-----"));
    marks.next().is_some_and(|last| {
        let begins = marks.next().and_then(|line| line.strip_prefix(b"-----BEGIN "));
        begins.is_none() || begins != last.strip_prefix(b"-----END ")
    })
}

/// The first bytes of the certificate in a PEM block; `None` if its first lines do not have the usual length.
fn head<'d>(block: &[u8], der: &'d mut [u8; DECODED]) -> Option<&'d [u8]> {
    let mut text = block.strip_prefix(BEGIN)?;
    for place in der.chunks_exact_mut(LINE / 4 * 3) {
        text = text.strip_prefix(b"\r").unwrap_or(text).strip_prefix(b"\n")?;
        let (line, rest) = text.split_at_checked(LINE)?;
        BASE64.decode_mut(line, place).ok()?;
        text = rest;
    }
    // The last line must end here, too: the decoded bytes are then the start of a certificate in the usual form.
    matches!(text.first(), Some(b'\r' | b'\n')).then_some(der)
}

/// The issuer of a certificate (RFC 5280 section 4.1), without its tag: its length and its first bytes.
struct Name<'d> {
    length: usize,
    begins: &'d [u8],
}

impl<'d> Name<'d> {
    /// `None` if these first bytes of a certificate do not contain the start of the issuer in DER.
    fn of_issuer(der: &'d [u8]) -> Option<Self> {
        // The Certificate and the TBSCertificate are longer than these bytes, so only their headers are read.
        let (_, inside) = header(der, SEQUENCE)?;
        let (_, fields) = header(inside, SEQUENCE)?;
        let serial = element(fields, VERSION).unwrap_or(fields);
        let algorithm = element(serial, INTEGER)?;
        let issuer = element(algorithm, SEQUENCE)?;
        let (length, rest) = header(issuer, SEQUENCE)?;
        Some(Self { length, begins: rest.get(..length).unwrap_or(rest) })
    }

    fn may_be(&self, other: &Self) -> bool {
        self.length == other.length && other.begins.starts_with(self.begins)
    }
}

/// The bytes after a complete element with this tag.
fn element(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (length, contents) = header(der, tag)?;
    contents.get(length..)
}

/// The length of an element with this tag, and the bytes after its header.
fn header(der: &[u8], tag: u8) -> Option<(usize, &[u8])> {
    let (first, length, rest) = structure::header(der)?;
    (first == tag).then_some((length, rest))
}
