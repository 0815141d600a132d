//! Tests that only the necessary roots of a trust store are parsed.

use super::super::issuers::IssuerSearch;
use super::*;

/// How many blocks of this store are parsed for the chain of the emulator's hierarchy.
fn parsed(store: &str) -> usize {
    let chain = chain(&hierarchy());
    let mut search = IssuerSearch::new(&chain);
    search.last_part(store.as_bytes());
    search.blocks.len()
}

/// The roots that a search finds in files that are read at once.
fn issuers_of(files: &[&[u8]], chain: &SignerChain) -> Result<TrustAnchors, AnchorsError> {
    let mut search = IssuerSearch::new(chain);
    for pem in files {
        search.last_part(pem);
    }
    search.anchors()
}

/// The roots that a search finds in a file that is read in parts of this size; `None` if a part is inconclusive.
fn issuers_in_parts(
    pem: &[u8],
    chain: &SignerChain,
    size: usize,
) -> Option<Result<TrustAnchors, AnchorsError>> {
    let mut search = IssuerSearch::new(chain);
    let mut part = Vec::new();
    for read in pem.chunks(size) {
        part.extend_from_slice(read);
        let searched = search.part(&part)?;
        part.drain(..searched);
    }
    search.last_part(&part);
    Some(search.anchors())
}

/// A root with this name that no test chain needs.
fn stranger(name: Name) -> String {
    let issuer = Issuer { name, key: hierarchy().root.key.clone() };
    issuer.certificate().self_signed(&issuer.key).pem()
}

fn named(value: &str) -> Name {
    Name::new().attribute(oids::COMMON_NAME, &der::utf8(value))
}

#[test]
fn only_roots_named_in_the_chain_are_parsed() {
    let ours = hierarchy().anchor_pem();
    let others: String = (0..9).map(|number| stranger(named(&format!("Root {number}")))).collect();
    assert_eq!(parsed(&others), 0);
    let store = format!("# a comment\n{others}# another\n{ours}{others}");
    assert_eq!(parsed(&store), 1);
    let chain = chain(&hierarchy());
    let few = issuers_of(&[others.as_bytes(), store.as_bytes()], &chain).unwrap();
    assert_eq!(few.count(), 1);
    let certificates = |anchors: &TrustAnchors| {
        let path = SignerPath::find(&chain, anchors, &name(), at(NOW), &Budget::default()).unwrap();
        path.certificates().map(|certificate| certificate.der().clone()).collect::<Vec<_>>()
    };
    assert_eq!(certificates(&few), certificates(&anchors(&store)), "the same path");
    let none = issuers_of(&[others.as_bytes()], &chain);
    assert_eq!(none.unwrap_err(), AnchorsError::Empty(0), "inconclusive: search all roots");
}

#[test]
fn root_in_an_unusual_form_is_parsed() {
    let ours = hierarchy().anchor_pem();
    let spaced = ours.replace('\n', "\r\n");
    assert_eq!(parsed(&spaced), 1, "lines may end in CR LF");
    assert_eq!(parsed(&stranger(named("other")).replace('\n', "\r\n")), 0);
    // Other PEM parsers also accept one long line, and lines of another length.
    let (head, body) =
        stranger(named("other")).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (body, tail) = body.split_once("-----").unwrap();
    let joined = body.replace('\n', "");
    for width in [joined.len(), 76, 60, 1] {
        let lines: Vec<_> =
            joined.as_bytes().chunks(width).map(|line| core::str::from_utf8(line).unwrap()).collect();
        assert_eq!(parsed(&format!("{head}\n{}\n-----{tail}", lines.join("\n"))), 1, "lines of {width}");
    }
    assert_eq!(parsed(&stranger(named(&"long".repeat(200)))), 0, "its length differs");
    assert_eq!(parsed("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed("-----BEGIN CERTIFICATE----------END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed(&ours.replace("-----END", "")), 1, "the parser reports the missing end");
}

#[test]
fn roots_with_another_subject_are_skipped() {
    // Names that end near the last decoded byte. A name that is cut off is not treated as a shorter name.
    let ours = hierarchy().anchor_pem();
    // Lengths around the limits at which DER's length field grows, and lengths near the last decoded byte.
    for length in
        [0, 1, 40, 80, 81, 82, 83, 84, 85, 110, 111, 112, 113, 116, 117, 118, 127, 128, 199, 254, 255, 256]
    {
        let other = stranger(named(&"n".repeat(length)));
        assert!(parsed(&format!("{other}{ours}")) >= 1, "{length}");
        assert!(parsed(&other) <= 1, "{length}");
    }
    // A long name differs from ours in its length. A name of the same length differs in its characters.
    for length in [128, 150, 255] {
        assert_eq!(parsed(&stranger(named(&"n".repeat(length)))), 0, "{length}");
    }
    let names = ["1", "2", "3"].map(|number| Name::authority(&format!("Emulator Root CA {number}")));
    assert_eq!(names.map(|name| parsed(&stranger(name))), [1, 0, 0]);
    // Names that differ only after the decoded bytes are both parsed.
    let issuer =
        |end: &str| Issuer { name: named(&format!("{}{end}", "n".repeat(200))), key: hierarchy().root.key };
    let (one, other) = (issuer("1"), issuer("2"));
    let leaf = one.sign(hierarchy().leaf(SIGNER, NOW)).pem();
    let chain = SignerChain::parse(leaf.as_bytes()).unwrap();
    let root = |issuer: &Issuer| issuer.certificate().self_signed(&issuer.key).pem();
    let store = format!("{}{}{ours}", root(&one), root(&other));
    let found = issuers_of(&[store.as_bytes()], &chain).unwrap();
    assert_eq!(found.count(), 2);
    let path = SignerPath::find(&chain, &found, &name(), at(NOW), &Budget::default()).unwrap();
    assert_eq!(path.certificates().count(), 1);
}

/// Reads a store in two ways: only the roots that may have issued a certificate of the chain, and all roots. Returns
/// from each result the roots whose name is the issuer of a certificate of the chain.
fn chosen_and_all(store: &[u8], chain: &SignerChain) -> [Vec<Vec<u8>>; 2] {
    let names: Vec<_> = chain
        .certificates()
        .iter()
        .filter_map(|it| Some(webpki::EndEntityCert::try_from(it.der()).ok()?.issuer().to_vec()))
        .collect();
    let ders = |read: Result<TrustAnchors, AnchorsError>| {
        let Ok(anchors) = read else { return Vec::new() };
        let ends = anchors
            .as_slice()
            .iter()
            .enumerate()
            .filter(|(_, it)| names.iter().any(|name| *name == it.subject.as_ref()));
        ends.map(|(place, _)| anchors.certificate(place).unwrap().der().to_vec()).collect()
    };
    let [chosen, all] = [issuers_of(&[store], chain), TrustAnchors::from_pem([store])].map(ders);
    for size in [1, 2, 27, 63, 64, 65, 999] {
        if let Some(found) = issuers_in_parts(store, chain, size) {
            assert_eq!(ders(found), chosen, "in parts of {size} bytes");
        }
    }
    [chosen, all]
}

#[test]
fn store_is_searched_in_parts_as_a_whole() {
    let (ours, chain) = (hierarchy().anchor_pem(), chain(&hierarchy()));
    let other = stranger(named("other"));
    let crlf = |text: &str| text.replace('\n', "\r\n");
    for store in [
        format!("# a comment\n{other}\n# another\n{ours}# the end\n{other}"),
        format!("\u{feff}{ours}{other}{ours}"),
        crlf(&format!("{other}{ours}{other}")),
        format!("{other}{}", ours.trim_end()),
    ] {
        let whole = issuers_of(&[store.as_bytes()], &chain).unwrap().count();
        for size in (1..70).chain((70..store.len()).step_by(31)) {
            let parts = issuers_in_parts(store.as_bytes(), &chain, size).expect("each block ends");
            assert_eq!(parts.unwrap().count(), whole, "{store:?} in parts of {size} bytes");
        }
    }
    let open =
        other.replace("-----END CERTIFICATE-----", "-----BEGIN X509 CRL-----\n-----END CERTIFICATE-----");
    assert!(issuers_in_parts(open.as_bytes(), &chain, 64).is_none());
    // A part without the end of a certificate must be longer.
    assert_eq!(IssuerSearch::new(&chain).part(b"# text\n"), Some(0));
    assert_eq!(IssuerSearch::new(&chain).part(ours.trim_end().as_bytes()), Some(0), "the line may go on");
    assert_eq!(IssuerSearch::new(&chain).part(ours.as_bytes()), Some(ours.len()));
}

#[test]
fn text_that_the_pem_parser_skips_is_skipped() {
    let (ours, chain) = (hierarchy().anchor_pem(), chain(&hierarchy()));
    // An operator may have disabled the block. To every PEM parser, a block begins at the start of a line.
    for before in ["#", "# ", " ", "off: ", "\u{feff}\u{feff}", " \u{feff}", "-"] {
        let store = ours.replace("-----BEGIN", &format!("{before}-----BEGIN"));
        let all = TrustAnchors::from_pem([store.as_bytes()]);
        assert_eq!(all.unwrap_err(), AnchorsError::Empty(store.len()), "{before:?}");
        let chosen = issuers_of(&[store.as_bytes()], &chain);
        assert_eq!(chosen.map(|it| it.count()).unwrap_err(), AnchorsError::Empty(0), "{before:?}");
    }
    // The last line of the preceding block has no line end, as when files were joined.
    let joined = format!("{}{ours}", stranger(named("other")).trim_end());
    assert_eq!(anchors(&joined).count(), 1);
    assert_eq!(chosen_and_all(joined.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2]);
    // The parser reads the next lines as part of a block that has no matching end line.
    for end in ["", "#-----END CERTIFICATE-----\n", "-----END X509 CRL-----\n", "-----BEGIN X509 CRL-----\n"]
    {
        let open = stranger(named("other")).replace("-----END CERTIFICATE-----\n", end);
        let store = format!("{open}{ours}");
        assert_eq!(chosen_and_all(store.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2], "{end}");
        // The next block is complete again.
        let store = format!("{store}{ours}");
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{end}");
    }
    // After a complete block, other lines are text, even if they contain dashes.
    for between in ["text\n", "#-----BEGIN CERTIFICATE-----\n", " -----BEGIN X509 CRL-----\n", "----\n"] {
        let store = format!("{}{between}{ours}", stranger(named("other")));
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{between}");
    }
    // A block begins after a line end of any kind.
    for before in ["\n", "\r", "\r\n", "text\n", "text\r"] {
        let store = format!("{before}{ours}");
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{before:?}");
    }
}

/// OpenSSL skips a byte order mark at the start of a file. All readers of this crate do the same.
#[test]
fn byte_order_mark_at_the_start_of_a_file_is_skipped() {
    let (ours, chain) = (hierarchy().anchor_pem(), chain(&hierarchy()));
    let store = format!("\u{feff}{ours}{}", stranger(named("other")));
    let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
    assert_eq!((chosen.len(), &chosen), (1, &all));
    assert_eq!(anchors(&store).count(), 2);
    // Later in a file, it disables the block.
    let store = format!("{}\u{feff}{ours}", stranger(named("other")));
    assert_eq!(chosen_and_all(store.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2]);
    let marked = format!("\u{feff}{}", hierarchy().bundle_pem());
    assert_eq!(
        SignerChain::parse(marked.as_bytes()).unwrap().certificates().len(),
        chain.certificates().len()
    );
}
