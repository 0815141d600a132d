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
use memchr::memmem::Finder;

use super::anchors::{AnchorsError, TrustAnchors};
use crate::evidence::chain::{SignerChain, without_mark};
use crate::evidence::structure;

/// The first line of a certificate in PEM (RFC 7468 section 5.1).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Begin lines and end lines begin and end with it.
const MARK: &[u8] = b"-----";

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

/// The last line.
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Searches a trust store for the self-issued roots that may have issued a certificate of a chain. A path under these
/// roots is also a path under all roots. If there is no such path, search again with all roots: a path may end in another
/// root, and only that search returns the correct error.
///
/// A store is searched in parts, so that its reader can use a small buffer again and again: most of the cost of a large
/// buffer is its fresh memory.
pub struct IssuerSearch<'c> {
    issuers: Vec<Name<'c>>,
    pub(super) blocks: Vec<Vec<u8>>,
    is_start: bool,
    begin: Finder<'static>,
    end: Finder<'static>,
    mark: Finder<'static>,
}

impl<'c> IssuerSearch<'c> {
    /// Begins a search for the issuers of the certificates in `chain`.
    #[must_use]
    pub fn new(chain: &'c SignerChain) -> Self {
        let issuers = chain.certificates().iter().filter_map(|it| Name::of_issuer(it.der())).collect();
        let [begin, end, mark] = [BEGIN, END, MARK].map(Finder::new);
        Self { issuers, blocks: Vec::new(), is_start: true, begin, end, mark }
    }

    /// Searches the complete blocks of a part of a PEM file, and returns their length. The next part begins with the byte
    /// after them. If the length is 0, the part must be longer. `None` if the last complete block contains another begin or
    /// end line: then only a parser can tell what the next lines mean.
    #[must_use]
    pub fn part(&mut self, pem: &[u8]) -> Option<usize> {
        let text = self.text(pem);
        let mut starts = self.starts(text);
        let end = |start: &usize| Some((*start, self.end_of_block(text.get(*start..)?)?));
        let Some((start, length)) = starts.iter().rev().find_map(end) else {
            return Some(0);
        };
        let (complete, rest) = text.split_at_checked(start.checked_add(length)?)?;
        let marks = self.mark.find_iter(complete.get(start..)?).filter(|mark| *mark > BEGIN.len());
        // The end line begins and ends with a mark.
        if marks.count() != 2 {
            return None;
        }
        starts.retain(|start| *start < complete.len());
        self.search(complete, starts);
        pem.len().checked_sub(rest.len())
    }

    /// Searches the last part of a PEM file. Another file may follow.
    pub fn last_part(&mut self, pem: &[u8]) {
        let text = self.text(pem);
        self.search(text, self.starts(text));
        self.is_start = true;
    }

    /// A byte order mark is ignored only at the start of a file.
    fn text<'p>(&self, pem: &'p [u8]) -> &'p [u8] {
        if self.is_start { without_mark(pem) } else { pem }
    }

    /// Where blocks of certificates begin.
    fn starts(&self, pem: &[u8]) -> Vec<usize> {
        self.begin.find_iter(pem).filter(|start| begins_line(pem, *start)).collect()
    }

    /// The length of the block at the start of `pem`, up to the line end after its end line; `None` if that is not in `pem`.
    fn end_of_block(&self, pem: &[u8]) -> Option<usize> {
        let ends = self.end.find_iter(pem).filter(|start| begins_line(pem, *start));
        let mut ends = ends.filter_map(|start| start.checked_add(END.len()));
        ends.find_map(|end| matches!(pem.get(end)?, b'\r' | b'\n').then_some(end.checked_add(1)?))
    }

    fn search(&mut self, pem: &[u8], starts: Vec<usize>) {
        self.is_start = false;
        self.blocks.extend(blocks(pem, starts, &self.issuers).map(<[u8]>::to_vec));
    }

    /// Parses the roots that were found.
    pub fn anchors(self) -> Result<TrustAnchors, AnchorsError> {
        TrustAnchors::from_pem(self.blocks.iter().map(Vec::as_slice))
    }
}

/// The blocks of `pem` that may contain one of these issuers. Each includes the text up to the next block. A block whose
/// name cannot be read is included.
fn blocks<'p>(pem: &'p [u8], starts: Vec<usize>, issuers: &[Name<'_>]) -> impl Iterator<Item = &'p [u8]> {
    let ends: Vec<_> = starts.iter().skip(1).copied().chain([pem.len()]).collect();
    let blocks = starts.into_iter().zip(ends).filter_map(|(start, end)| Some((start, pem.get(start..end)?)));
    let may_matter = |block| {
        let mut der = [0; DECODED];
        let name = head(block, &mut der).and_then(Name::of_issuer);
        name.is_none_or(|name| issuers.iter().any(|issuer| name.may_be(issuer)))
    };
    let is_open = |start| pem.get(..start).is_none_or(is_open);
    blocks.filter(move |(start, block)| may_matter(block) && !is_open(*start)).map(|(_, block)| block)
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
