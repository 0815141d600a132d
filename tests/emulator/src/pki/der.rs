//! A DER writer. Every function returns one complete element, so nested calls make nested elements.
//!
//! The writer checks nothing. A library that knows X.509 would not make the invalid certificates that the tests need.

use crate::calendar::Civil;

/// One element: `tag`, the length, `content`.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(significant.len()).expect("a length has at most eight bytes"));
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

/// `SEQUENCE` of the given elements.
pub fn sequence<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    element(0x30, &concat(parts))
}

/// `SET` of the given elements, in this order.
pub fn set<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    element(0x31, &concat(parts))
}

/// `[number]` around one complete element (explicit tagging), or around the contents of a constructed one.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// `[number]` instead of the tag of a primitive element (implicit tagging).
pub fn context_primitive(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// `INTEGER` from an unsigned big-endian magnitude of any length.
pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
    let mut content = magnitude[start..].to_vec();
    if content.first().is_none_or(|byte| *byte >= 0x80) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// `INTEGER` from a small number.
pub fn integer(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// `ENUMERATED`.
pub fn enumerated(value: u8) -> Vec<u8> {
    element(0x0a, &[value])
}

/// `BOOLEAN`.
pub fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// `NULL`.
pub fn null() -> Vec<u8> {
    element(0x05, &[])
}

/// `OCTET STRING`.
pub fn octets(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// `BIT STRING` of whole bytes.
pub fn bits(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

/// `BIT STRING` with the numbered bits set, as a named bit list: without trailing zero bits.
pub fn named_bits(numbers: &[u8]) -> Vec<u8> {
    let Some(last) = numbers.iter().max() else { return element(0x03, &[0]) };
    let mut content = vec![0; usize::from(last / 8) + 2];
    content[0] = 7 - last % 8;
    for number in numbers {
        content[usize::from(number / 8) + 1] |= 0x80 >> (number % 8);
    }
    element(0x03, &content)
}

/// `OBJECT IDENTIFIER` from its arcs.
pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = Vec::new();
    push_arc(&mut content, arcs[0] * 40 + arcs[1]);
    for arc in &arcs[2..] {
        push_arc(&mut content, *arc);
    }
    element(0x06, &content)
}

/// `UTF8String`.
pub fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// `PrintableString`.
pub fn printable(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// `GeneralizedTime` of an instant in Unix seconds.
pub fn generalized_time(instant: i64) -> Vec<u8> {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(instant);
    element(0x18, format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes())
}

/// A certificate's `Time`: `UTCTime` from 1950 to 2049, `GeneralizedTime` otherwise (RFC 5280, 4.1.2.5).
pub fn time(instant: i64) -> Vec<u8> {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(instant);
    if !(1950..2050).contains(&year) {
        return generalized_time(instant);
    }
    let year = year % 100;
    element(0x17, format!("{year:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes())
}

/// `Extension` of a certificate or an OCSP response (RFC 5280, 4.1), with an encoded value.
pub fn extension(arcs: &[u32], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(arcs)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(octets(value));
    sequence(&parts)
}

fn concat<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.as_ref().iter().copied()).collect()
}

fn push_arc(out: &mut Vec<u8>, arc: u32) {
    let groups = (0..5).rev().map(|group| (arc >> (7 * group)) & 0x7f);
    let significant: Vec<u32> = groups.skip_while(|group| *group == 0).collect();
    let (last, leading) = significant.split_last().unwrap_or((&0, &[]));
    out.extend(leading.iter().map(|group| 0x80 | group.to_le_bytes()[0]));
    out.push(last.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_short_and_the_long_form() {
        assert_eq!(element(4, &[])[..], [4, 0]);
        assert_eq!(element(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[7; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn integers_are_minimal_and_never_negative() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(integer(65537), [2, 3, 1, 0, 1]);
    }

    #[test]
    fn object_identifiers_use_base_128() {
        assert_eq!(oid(&[1, 2, 840, 113_549, 1, 1, 11]), [6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 11]);
        assert_eq!(oid(&[2, 5, 29, 0]), [6, 3, 85, 29, 0]);
    }

    #[test]
    fn named_bits_drop_trailing_zeros() {
        assert_eq!(named_bits(&[0, 2]), [3, 2, 5, 0b1010_0000]);
        assert_eq!(named_bits(&[5, 6]), [3, 2, 1, 0b0000_0110]);
        assert_eq!(named_bits(&[8]), [3, 3, 7, 0, 0x80]);
        assert_eq!(named_bits(&[]), [3, 1, 0]);
    }

    #[test]
    fn times_switch_form_in_2050() {
        assert_eq!(time(1_738_233_608), [&[0x17, 13], &b"250130104008Z"[..]].concat());
        assert_eq!(time(2_524_608_000), [&[0x18, 15], &b"20500101000000Z"[..]].concat());
    }
}
