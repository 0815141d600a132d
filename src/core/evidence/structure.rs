//! The shape of DER, bounded before anything decodes it.
//!
//! A decoder sorts the parts of a SET while it reads them, in time that grows with the square of their number, and may
//! call itself once for every level. Certificates and responses need few of both.

use alloc::vec;
use core::fmt;

/// Most elements of a SET. A name has one attribute in each, rarely two.
const MAX_SET: usize = 16;

/// Most levels of elements inside each other. A response with a responder's certificate has 11.
const MAX_DEPTH: usize = 32;

/// Most elements in all. A response with a responder's certificate has about 150.
const MAX_ELEMENTS: usize = 1024;

const SET: u8 = 0x31;
/// The bit of a tag that says that the contents are elements (X.690 section 8.1.2.5).
const CONSTRUCTED: u8 = 0x20;
/// The bits of a tag that say that its number follows (X.690 section 8.1.2.4).
const LONG_TAG: u8 = 0x1f;

/// Why DER is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StructureError {
    /// An element does not fit into the one around it, or is written in a way that DER does not know.
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
            Self::Malformed => f.write_str("expected DER, got a tag or a length that is none"),
            Self::Set => write!(f, "expected at most {MAX_SET} elements in a SET, got more"),
            Self::Depth => write!(f, "expected elements at most {MAX_DEPTH} levels deep, got more"),
            Self::Elements => write!(f, "expected at most {MAX_ELEMENTS} elements, got more"),
        }
    }
}

/// An element that is being read: the bytes of it that are left, and how many more elements it may have.
struct Open<'d> {
    rest: &'d [u8],
    allowed: usize,
}

/// Checks the first element of `der`. What follows it is not looked at.
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

/// The first element, whole, and what follows it.
pub(crate) fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, _, rest) = element(der)?;
    der.split_at_checked(der.len().checked_sub(rest.len())?)
}

/// The tag and the contents of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = header(der)?;
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// The tag and the length of the first element (X.690 section 8.1.3), and what follows its header. The contents may be
/// cut off. Four octets of length are more than is ever read.
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
            (StructureError::Malformed, "expected DER, got a tag or a length that is none"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn what_is_no_element_is_malformed() {
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
        // BER's indefinite length, before as many bytes as its octet would count.
        let indefinite = [&b"\x04\x80"[..], &[0; 128]].concat();
        assert_eq!(check(&indefinite), Err(StructureError::Malformed));
    }

    #[test]
    fn an_element_ends_where_its_length_says() {
        for length in [0, 1, 127, 128, 255, 256, 8000] {
            let octets = der::octets(&vec![0x31; length]);
            let bytes = [&octets[..], b"\xff"].concat();
            assert_eq!(split(&bytes), Some((&octets[..], &b"\xff"[..])), "{length}");
            assert_eq!(check(&bytes), Ok(()), "{length}: what follows is not looked at");
        }
        assert_eq!(
            split(b"\x04\x84\x00\x00\x00\x01\x07"),
            Some((&b"\x04\x84\x00\x00\x00\x01\x07"[..], &b""[..]))
        );
        assert_eq!(split(b"\x04\x02\x07"), None);
    }
}
