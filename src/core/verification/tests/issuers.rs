//! Which roots of a trust store are parsed for a chain.

use super::super::issuers::blocks;
use super::*;

/// How many of the blocks of this store are parsed for the chain of an emulator's hierarchy.
fn parsed(store: &str) -> usize {
    blocks(store.as_bytes(), &chain(&hierarchy())).len()
}

/// A root of this name that nobody needs.
fn stranger(name: Name) -> String {
    let issuer = Issuer { name, key: hierarchy().root.key.clone() };
    issuer.certificate().self_signed(&issuer.key).pem()
}

fn named(value: &str) -> Name {
    Name::new().attribute(oids::COMMON_NAME, &der::utf8(value))
}

#[test]
fn only_roots_that_the_chain_names_are_parsed() {
    let ours = hierarchy().anchor_pem();
    let others: String = (0..9).map(|number| stranger(named(&format!("Root {number}")))).collect();
    assert_eq!(parsed(&others), 0);
    let store = format!("# a comment\n{others}# another\n{ours}{others}");
    assert_eq!(parsed(&store), 1);
    let chain = chain(&hierarchy());
    let few = TrustAnchors::issuers_from_pem([others.as_bytes(), store.as_bytes()], &chain).unwrap();
    assert_eq!(few.count(), 1);
    let certificates = |anchors: &TrustAnchors| {
        let path = SignerPath::find(&chain, anchors, &name(), at(NOW), &Budget::default()).unwrap();
        path.certificates().map(|certificate| certificate.der().clone()).collect::<Vec<_>>()
    };
    assert_eq!(certificates(&few), certificates(&anchors(&store)), "the same path");
    let none = TrustAnchors::issuers_from_pem([others.as_bytes()], &chain);
    assert_eq!(none.unwrap_err(), AnchorsError::Empty(0), "says nothing: all have to be asked");
}

#[test]
fn a_root_of_another_form_is_parsed_to_be_sure() {
    let ours = hierarchy().anchor_pem();
    let spaced = ours.replace('\n', "\r\n");
    assert_eq!(parsed(&spaced), 1, "lines may end in CR LF");
    assert_eq!(parsed(&stranger(named("other")).replace('\n', "\r\n")), 0);
    // One line, and lines of another length, are read by others as well.
    let (head, body) =
        stranger(named("other")).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (body, tail) = body.split_once("-----").unwrap();
    let joined = body.replace('\n', "");
    for width in [joined.len(), 76, 60, 1] {
        let lines: Vec<_> =
            joined.as_bytes().chunks(width).map(|line| core::str::from_utf8(line).unwrap()).collect();
        assert_eq!(parsed(&format!("{head}\n{}\n-----{tail}", lines.join("\n"))), 1, "lines of {width}");
    }
    assert_eq!(parsed(&stranger(named(&"long".repeat(200)))), 0, "its length tells it apart");
    assert_eq!(parsed("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed("-----BEGIN CERTIFICATE----------END CERTIFICATE-----\n"), 1);
    assert_eq!(parsed(&ours.replace("-----END", "")), 1, "that there is no end is the parser's to say");
}

#[test]
fn roots_of_another_subject_are_not_taken() {
    // Both names at the very edges of what is looked at: what is cut off is not told, and not taken for shorter.
    let ours = hierarchy().anchor_pem();
    // Around every length that DER writes differently, and where what is looked at ends.
    for length in
        [0, 1, 40, 80, 81, 82, 83, 84, 85, 110, 111, 112, 113, 116, 117, 118, 127, 128, 199, 254, 255, 256]
    {
        let other = stranger(named(&"n".repeat(length)));
        assert!(parsed(&format!("{other}{ours}")) >= 1, "{length}");
        assert!(parsed(&other) <= 1, "{length}");
    }
    // A long name is told from ours by its length, and one of the same length by its characters.
    for length in [128, 150, 255] {
        assert_eq!(parsed(&stranger(named(&"n".repeat(length)))), 0, "{length}");
    }
    let names = ["1", "2", "3"].map(|number| Name::authority(&format!("Emulator Root CA {number}")));
    assert_eq!(names.map(|name| parsed(&stranger(name))), [1, 0, 0]);
    // Names that only end differently, far behind what is looked at, are both parsed.
    let issuer =
        |end: &str| Issuer { name: named(&format!("{}{end}", "n".repeat(200))), key: hierarchy().root.key };
    let (one, other) = (issuer("1"), issuer("2"));
    let leaf = one.sign(hierarchy().leaf(SIGNER, NOW)).pem();
    let chain = SignerChain::parse(leaf.as_bytes()).unwrap();
    let root = |issuer: &Issuer| issuer.certificate().self_signed(&issuer.key).pem();
    let store = format!("{}{}{ours}", root(&one), root(&other));
    let found = TrustAnchors::issuers_from_pem([store.as_bytes()], &chain).unwrap();
    assert_eq!(found.count(), 2);
    let path = SignerPath::find(&chain, &found, &name(), at(NOW), &Budget::default()).unwrap();
    assert_eq!(path.certificates().count(), 1);
}

/// The roots of a store that have the issuer of a certificate of the chain for their name: of those that are chosen, and of
/// all there are.
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
    [TrustAnchors::issuers_from_pem([store], chain), TrustAnchors::from_pem([store])].map(ders)
}

#[test]
fn text_that_the_pem_parser_skips_is_skipped() {
    let (ours, chain) = (hierarchy().anchor_pem(), chain(&hierarchy()));
    // Switched off by whoever owns the file: to every parser of PEM a block begins with its line.
    for before in ["#", "# ", " ", "off: ", "\u{feff}\u{feff}", " \u{feff}", "-"] {
        let store = ours.replace("-----BEGIN", &format!("{before}-----BEGIN"));
        let all = TrustAnchors::from_pem([store.as_bytes()]);
        assert_eq!(all.unwrap_err(), AnchorsError::Empty(store.len()), "{before:?}");
        let chosen = TrustAnchors::issuers_from_pem([store.as_bytes()], &chain);
        assert_eq!(chosen.map(|it| it.count()).unwrap_err(), AnchorsError::Empty(0), "{before:?}");
    }
    // The last line of the one before has no end, as of files that were joined.
    let joined = format!("{}{ours}", stranger(named("other")).trim_end());
    assert_eq!(anchors(&joined).count(), 1);
    assert_eq!(chosen_and_all(joined.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2]);
    // One that has no end takes what follows with it, whatever stands in its place.
    for end in ["", "#-----END CERTIFICATE-----\n", "-----END X509 CRL-----\n", "-----BEGIN X509 CRL-----\n"]
    {
        let open = stranger(named("other")).replace("-----END CERTIFICATE-----\n", end);
        let store = format!("{open}{ours}");
        assert_eq!(chosen_and_all(store.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2], "{end}");
        // The next one is whole again.
        let store = format!("{store}{ours}");
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{end}");
    }
    // Behind a whole one, text is text, and no dashes in it count.
    for between in ["text\n", "#-----BEGIN CERTIFICATE-----\n", " -----BEGIN X509 CRL-----\n", "----\n"] {
        let store = format!("{}{between}{ours}", stranger(named("other")));
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{between}");
    }
    // Whatever ends the line before, a block begins behind it.
    for before in ["\n", "\r", "\r\n", "text\n", "text\r"] {
        let store = format!("{before}{ours}");
        let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
        assert_eq!((chosen.len(), &chosen), (1, &all), "{before:?}");
    }
}

/// OpenSSL passes over a byte order mark at the very beginning of a file, and so does every reader here.
#[test]
fn a_byte_order_mark_before_a_file_is_passed_over() {
    let (ours, chain) = (hierarchy().anchor_pem(), chain(&hierarchy()));
    let store = format!("\u{feff}{ours}{}", stranger(named("other")));
    let [chosen, all] = chosen_and_all(store.as_bytes(), &chain);
    assert_eq!((chosen.len(), &chosen), (1, &all));
    assert_eq!(anchors(&store).count(), 2);
    // Later in a file it switches a block off.
    let store = format!("{}\u{feff}{ours}", stranger(named("other")));
    assert_eq!(chosen_and_all(store.as_bytes(), &chain), [const { Vec::<Vec<u8>>::new() }; 2]);
    let marked = format!("\u{feff}{}", hierarchy().bundle_pem());
    assert_eq!(
        SignerChain::parse(marked.as_bytes()).unwrap().certificates().len(),
        chain.certificates().len()
    );
}
