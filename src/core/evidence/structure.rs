//! Limits the structure of DER before it is decoded.
//!
//! A decoder sorts the elements of a SET. This takes time proportional to the square of their number. A decoder may
//! also recurse once for every level. Certificates and OCSP responses need few elements and few levels.

use alloc::vec;
use core::fmt;

/// Maximum number of elements in a SET. Each SET of a name has one attribute, rarely two.
const MAX_SET: usize = 16;

/// Maximum depth of nested elements. An OCSP response with a responder's certificate has 11 levels.
const MAX_DEPTH: usize = 32;

/// Maximum number of elements in total. An OCSP response with a responder's certificate has about 150.
const MAX_ELEMENTS: usize = 1024;

const SET: u8 = 0x31;
/// Bit of a tag: the contents are elements (X.690 section 8.1.2.5).
const CONSTRUCTED: u8 = 0x20;
/// Bits of a tag: the tag number follows in further octets (X.690 section 8.1.2.4).
const LONG_TAG: u8 = 0x1f;

/// Why the agent refuses to decode DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StructureError {
    /// An element exceeds its parent, or its encoding is not DER.
    Malformed,
    /// A SET of more than 16 elements.
    Set,
    /// Elements more than 32 levels deep.
    Depth,
    /// More than 1,024 elements.
    Elements,
}

impl fmt::Display for StructureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("expected DER, got an invalid tag or length"),
            Self::Set => write!(f, "expected at most {MAX_SET} elements in a SET, got more"),
            Self::Depth => write!(f, "expected elements at most {MAX_DEPTH} levels deep, got more"),
            Self::Elements => write!(f, "expected at most {MAX_ELEMENTS} elements, got more"),
        }
    }
}

/// An element that is being read: its unread bytes, and how many more elements it may have.
struct Open<'d> {
    rest: &'d [u8],
    allowed: usize,
}

/// Checks the first element of `der`. Bytes after it are not checked.
pub(crate) fn check(der: &[u8]) -> Result<(), StructureError> {
    let (first, _) = split(der).ok_or(StructureError::Malformed)?;
    let mut open = vec![Open { rest: first, allowed: 1 }];
    let mut elements = 0_usize;
    while let Some(innermost) = open.last_mut() {
        if innermost.rest.is_empty() {
            open.pop();
            continue;
        }
        innermost.allowed = innermost.allowed.checked_sub(1).ok_or(StructureError::Set)?;
        let (tag, contents, rest) = element(innermost.rest).ok_or(StructureError::Malformed)?;
        innermost.rest = rest;
        elements = elements.saturating_add(1);
        if elements > MAX_ELEMENTS {
            return Err(StructureError::Elements);
        }
        if tag & CONSTRUCTED != 0 {
            if open.len() > MAX_DEPTH {
                return Err(StructureError::Depth);
            }
            let allowed = if tag == SET { MAX_SET } else { MAX_ELEMENTS };
            open.push(Open { rest: contents, allowed });
        }
    }
    Ok(())
}

/// Splits off the first element, with its header.
pub(crate) fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, _, rest) = element(der)?;
    der.split_at_checked(der.len().checked_sub(rest.len())?)
}

/// The tag and the contents of the first element, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = header(der)?;
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// The tag and the length of the first element (X.690 section 8.1.3), and the bytes after its header. The contents
/// may be incomplete. Lengths of more than four octets are refused: no input is that long.
#[expect(clippy::inline_always, reason = "a trust store takes a thousand calls: 0.3 % of a run")]
#[inline(always)]
pub(crate) fn header(der: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (tag, rest) = der.split_first().filter(|(tag, _)| **tag & LONG_TAG != LONG_TAG)?;
    let (first, rest) = rest.split_first()?;
    let (length, octets) = match first {
        0..=0x7f => (u32::from(*first), 0),
        0x81 => (u32::from(*rest.first()?), 1),
        0x82 => (u32::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        0x83 => {
            let [high, middle, low] = *rest.first_chunk()?;
            (u32::from_be_bytes([0, high, middle, low]), 3)
        }
        0x84 => (u32::from_be_bytes(*rest.first_chunk()?), 4),
        _ => return None,
    };
    Some((*tag, usize::try_from(length).ok()?, rest.get(octets..)?))
}

#[cfg(test)]
mod tests {
    use eic_emulator::pki::der;

    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        (1..levels).fold(der::sequence::<&[u8]>(&[]), |inner, _| der::sequence(&[inner]))
    }

    #[test]
    fn sets_levels_and_elements_are_bounded() {
        for (der, expected) in [
            (der::set(&vec![der::null(); 16]), Ok(())),
            (der::set(&vec![der::null(); 17]), Err(StructureError::Set)),
            (
                der::sequence(&[der::null(), der::set(&vec![der::set(&[der::null()]); 17])]),
                Err(StructureError::Set),
            ),
            (der::sequence(&vec![der::set(&vec![der::null(); 16]); 2]), Ok(())),
            (nested(32), Ok(())),
            (nested(33), Err(StructureError::Depth)),
            (der::context(0, &nested(32)), Err(StructureError::Depth)),
            (der::sequence(&vec![der::null(); 1023]), Ok(())),
            (der::sequence(&vec![der::null(); 1024]), Err(StructureError::Elements)),
            (der::sequence(&vec![der::sequence(&vec![der::null(); 40]); 24]), Ok(())),
            (der::sequence(&vec![der::sequence(&vec![der::null(); 40]); 25]), Err(StructureError::Elements)),
            (der::octets(&der::set(&vec![der::null(); 17])), Ok(())),
        ] {
            assert_eq!(check(&der), expected, "{der:x?}");
        }
        for (error, words) in [
            (StructureError::Set, "expected at most 16 elements in a SET, got more"),
            (StructureError::Depth, "expected elements at most 32 levels deep, got more"),
            (StructureError::Elements, "expected at most 1024 elements, got more"),
            (StructureError::Malformed, "expected DER, got an invalid tag or length"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn invalid_der_is_malformed() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x80\x00\x00",
            b"\x30\x02\x05",
            b"\x30\x01\x05",
            b"\x30\x02\x05\x01",
            b"\x1f\x01\x00",
            b"\x3f\x01\x00",
            b"\x04\x85\x00\x00\x00\x00\x01\x00",
            b"\x04\xff",
            b"\x04\x84\xff\xff\xff\xff",
        ] {
            assert_eq!(check(bytes), Err(StructureError::Malformed), "{bytes:x?}");
        }
        // BER's indefinite length. A reader that takes 0x80 as a length of 128 would find the 128 bytes and accept
        // them.
        let indefinite = [&b"\x04\x80"[..], &[0; 128]].concat();
        assert_eq!(check(&indefinite), Err(StructureError::Malformed));
    }

    #[test]
    fn element_ends_at_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 8000] {
            let octets = der::octets(&vec![0x31; length]);
            let bytes = [&octets[..], b"\xff"].concat();
            assert_eq!(split(&bytes), Some((&octets[..], &b"\xff"[..])), "{length}");
            assert_eq!(check(&bytes), Ok(()), "{length}: later bytes are not checked");
        }
        assert_eq!(
            split(b"\x04\x84\x00\x00\x00\x01\x07"),
            Some((&b"\x04\x84\x00\x00\x00\x01\x07"[..], &b""[..]))
        );
        assert_eq!(split(b"\x04\x02\x07"), None);
    }
}
