use std::fs;

use eic_core::reason::Reason;
use eic_emulator::pki::{Hierarchy, KeyPool};

use super::places::is_hash_name;
use super::*;

#[test]
fn only_hash_names_count() {
    for good in ["b1159c4c.0", "B1159C4C.12"] {
        assert!(is_hash_name(good), "{good}");
    }
    for bad in ["b1159c4c", "b1159c4c.r0", "b1159c4.0", "root.pem", ".0", "b1159c4c."] {
        assert!(!is_hash_name(bad), "{bad}");
    }
}

#[test]
fn missing_trust_store_is_reported() {
    let absent = TrustStore { ca_file: Some("/nonexistent/ca.pem".into()), ..TrustStore::default() };
    assert_eq!(absent.load().unwrap_err().reason(), Reason::TrustStoreUnusable);
    let nothing = TrustStore::default()
        .open_system(&["/nonexistent/a.pem"], &["/nonexistent/b"], Owner::Root)
        .load()
        .unwrap_err();
    assert_eq!(nothing.to_string(), "no CA certificates found; install the package ca-certificates");
}

#[test]
fn first_store_with_roots_is_used() {
    let folder = std::env::temp_dir().join(format!("eic-agent-store-{}", std::process::id()));
    fs::create_dir_all(folder.join("hashed")).unwrap();
    fs::create_dir_all(folder.join("unhashed")).unwrap();
    let signer = "managed-ssh-signer.us-east-1.amazonaws.com";
    let root = Hierarchy::new(&KeyPool::shared(), signer, 1_738_238_400).anchor_pem();
    for (name, content) in [
        ("empty.pem", ""),
        ("comment.pem", "# nothing here\n"),
        ("good.pem", &root),
        ("hashed/0123abcd.0", &root),
        ("hashed/README", "not a root"),
        ("unhashed/root.pem", &root),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
    let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (absent, empty, comment, good) =
        (text("absent"), text("empty.pem"), text("comment.pem"), text("good.pem"));
    let (hashed, unhashed) = (text("hashed"), text("unhashed"));
    let load = |bundles: &[&str], directories: &[&str]| {
        TrustStore::default().open_system(bundles, directories, Owner::Anyone).load()
    };
    assert!(load(&[&absent, &empty, &comment, &hashed, &good], &[]).is_ok(), "a folder is no bundle");
    assert!(load(&[&absent, &empty], &[&unhashed, &hashed]).is_ok());
    let refused = load(&[&absent, &empty, &comment], &[&unhashed]).unwrap_err().to_string();
    for place in [&empty, &comment, &unhashed] {
        assert!(refused.contains(place.as_str()), "{refused}");
    }
    assert!(!refused.contains(&absent), "{refused}");
    let amazon = TrustStore {
        ca_file: Some(good.into()),
        roots: Roots::Amazon,
        owner: Owner::Anyone,
        ..TrustStore::default()
    };
    assert!(amazon.load().unwrap_err().to_string().contains("expected a root of Amazon Trust Services"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn search_for_issuers_finds_what_loading_finds() {
    let folder = std::env::temp_dir().join(format!("eic-agent-issuers-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let signer = "managed-ssh-signer.us-east-1.amazonaws.com";
    let hierarchy = Hierarchy::new(&KeyPool::shared(), signer, 1_738_238_400);
    let chain = SignerChain::parse(hierarchy.bundle_pem().as_bytes()).unwrap();
    let root = hierarchy.anchor_pem();
    let file = folder.join("roots.pem");
    let found = |content: &str| {
        fs::write(&file, content).unwrap();
        let store = TrustStore { ca_file: Some(file.clone()), owner: Owner::Anyone, ..TrustStore::default() };
        let store = store.open();
        let counts = [(); 2].map(|()| store.issuers(&chain).map(|anchors| anchors.count()));
        assert_eq!(counts.first(), counts.last(), "a second search begins at the start of the file");
        (counts.first().copied().flatten(), store.load().map(|anchors| anchors.count()).ok())
    };
    // Comments move the root over all places of a part.
    for lines in (0..700).step_by(13) {
        let comments = "# 0123456789012345678901234567890123456789\n".repeat(lines);
        assert_eq!(found(&format!("{root}{comments}{root}")), (Some(2), Some(2)), "{lines}");
    }
    let text = |bytes: usize| "#".repeat(bytes);
    let short = PART_BYTES.saturating_sub(root.len());
    assert_eq!(found(&format!("{}\n{root}", text(short.saturating_sub(2)))), (Some(1), Some(1)));
    // Only the whole file tells whether there are roots. A search is then inconclusive.
    assert_eq!(found(&format!("{}\n{root}", text(PART_BYTES))), (None, Some(1)));
    assert_eq!(found(&format!("{root}{}", text(PART_BYTES))), (None, Some(1)));
    assert_eq!(found(""), (None, None));
    let large = format!("{root}{}", "#\n".repeat(MAX_STORE_BYTES / 2));
    assert_eq!(found(&large), (None, None), "longer than a store may be");
    let amazon = TrustStore {
        ca_file: Some(file.clone()),
        roots: Roots::Amazon,
        owner: Owner::Anyone,
        ..TrustStore::default()
    };
    fs::write(&file, &root).unwrap();
    assert!(amazon.open().issuers(&chain).is_none(), "the root is not Amazon's");
    fs::remove_dir_all(folder).unwrap();
}
