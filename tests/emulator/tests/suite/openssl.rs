//! Checks the authority's certificates and staples with the openssl command, which shares no code with the emulator or
//! the agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use eic_emulator::directory::TempDir;
use eic_emulator::pki::ocsp::CertIdHash;
use eic_emulator::pki::{
    CertStatus, CertificateBuilder, Hierarchy, Issuer, KeyPool, Name, NameConstraints, ResponderId,
    SignatureScheme, Staple, StapleBuilder, oids,
};
use eic_emulator::{Entry, SignatureLayout};

const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";

struct Bench {
    directory: TempDir,
    hierarchy: Hierarchy,
    now: i64,
}

impl Bench {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap();
        Self {
            directory: TempDir::new("eic-emulator-openssl").unwrap(),
            hierarchy: Hierarchy::new(&KeyPool::shared(), SIGNER, now),
            now,
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Whether openssl builds a path from the leaf of this chain to the anchor.
    fn path_is_good(&self, hierarchy: &Hierarchy) -> Result<(), String> {
        let anchor = self.file("anchor.pem", hierarchy.anchor_pem());
        let bundle = self.file("bundle.pem", hierarchy.bundle_pem());
        let leaf = self.file("leaf.pem", hierarchy.leaf_certificate().pem());
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-x509_strict", "-auth_level", "2", "-purpose", "sslserver"]);
        openssl.args(["-verify_hostname", SIGNER]);
        openssl.arg("-CAfile").arg(anchor).arg("-untrusted").arg(bundle).arg(leaf);
        succeeds(&mut openssl).map(drop)
    }

    /// The output of openssl for a staple of the certificate at index `position` of the chain.
    fn staple_says(&self, staple: &Staple, position: usize) -> Result<String, String> {
        let (certificate, issuer) = &self.hierarchy.chain[position];
        let certificate = self.file("certificate.pem", certificate.pem());
        // The issuer is trusted directly here. Another test checks its path to the anchor.
        let issuer = self.file("issuer.pem", issuer.certificate().self_signed(&issuer.key).pem());
        let response = self.file("response.der", &staple.der);
        let mut openssl = Command::new("openssl");
        openssl.args(["ocsp", "-no_nonce", "-respin"]).arg(response).arg("-CAfile").arg(&issuer);
        openssl.arg("-verify_other").arg(&issuer).arg("-issuer").arg(issuer).arg("-cert").arg(certificate);
        succeeds(&mut openssl)
    }
}

/// Returns standard output and standard error, as an error if the command fails.
fn succeeds(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().expect("openssl runs");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(text) } else { Err(text) }
}

fn dgst_verifies(key: &Path, signature: &Path, text: &Path) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
    openssl.arg("-verify").arg(key).arg("-signature").arg(signature).arg(text);
    succeeds(&mut openssl).is_ok()
}

#[test]
fn usual_chain_is_good_with_and_without_cross_signs() {
    let bench = Bench::new();
    assert_eq!(bench.path_is_good(&bench.hierarchy), Ok(()));
    assert_eq!(bench.path_is_good(&bench.hierarchy.clone().truncated(2)), Ok(()));
    assert!(bench.path_is_good(&bench.hierarchy.clone().truncated(1)).is_err());
    assert_eq!(bench.hierarchy.bundle_pem().matches("BEGIN CERTIFICATE").count(), 4);
}

#[test]
fn openssl_refuses_each_hostile_chain_for_its_fault() {
    let bench = Bench::new();
    let usual = &bench.hierarchy;
    let leaf = || usual.leaf(SIGNER, bench.now);
    let constrained = NameConstraints { permitted: &["example.com"], excluded: &[] };
    let two_names = CertificateBuilder::new(
        Name::common(SIGNER).cn("other.example.com"),
        usual.leaf_key.public(),
        bench.now - 60,
        bench.now + 60,
    );
    for (hierarchy, complaint) in [
        (usual.clone().with_leaf(leaf().validity(bench.now - 7200, bench.now - 3600)), "has expired"),
        (usual.clone().with_leaf(leaf().validity(bench.now + 3600, bench.now + 7200)), "not yet valid"),
        (usual.clone().with_leaf(leaf().san(&["other.example.com"])), "hostname mismatch"),
        (usual.clone().with_leaf(leaf().extended_key_usage(&[oids::CODE_SIGNING])), "purpose"),
        (
            usual.clone().with_intermediate(usual.intermediate_certificate().basic_constraints(false, None)),
            "invalid CA certificate",
        ),
        (
            usual.clone().with_intermediate(usual.intermediate_certificate().name_constraints(&constrained)),
            "permitted subtree violation",
        ),
        (usual.clone().with_leaf(leaf().scheme(SignatureScheme::Pkcs1Sha1)), "digest algorithm too weak"),
    ] {
        let answer = bench.path_is_good(&hierarchy).unwrap_err();
        assert!(answer.contains(complaint), "expected {complaint:?}, got: {answer}");
    }
    let foreign = Hierarchy::of_family(&KeyPool::shared(), "foreign", SIGNER, bench.now);
    assert!(bench.path_is_good(&Hierarchy { anchor: usual.anchor.clone(), ..foreign }).is_err());

    let twice = bench.file("twice.pem", usual.clone().with_leaf(two_names).leaf_certificate().pem());
    let mut openssl = Command::new("openssl");
    let text = succeeds(openssl.args(["x509", "-noout", "-subject", "-in"]).arg(twice)).unwrap();
    assert_eq!(text.matches("CN").count(), 2, "{text}");
    let first = bench.file("v1.pem", usual.clone().with_leaf(leaf().version(1)).leaf_certificate().pem());
    let mut openssl = Command::new("openssl");
    let text = succeeds(openssl.args(["x509", "-noout", "-text", "-in"]).arg(first)).unwrap();
    assert!(text.contains("Version: 1 ") && !text.contains("X509v3"), "{text}");
    let pss = usual.clone().with_leaf(leaf().scheme(SignatureScheme::PssSha256 { salt: 32 }));
    assert_eq!(bench.path_is_good(&pss), Ok(()));
}

#[test]
fn every_certificate_has_a_good_staple() {
    let bench = Bench::new();
    let staples = bench.hierarchy.staples(bench.now);
    assert_eq!(staples.len(), 4);
    for (position, staple) in staples.iter().enumerate() {
        assert_eq!(staple.name, bench.hierarchy.chain[position].0.sha1_fingerprint());
        let answer = bench.staple_says(staple, position).unwrap();
        assert!(answer.contains("Response verify OK") && answer.contains(": good"), "{answer}");
    }
}

#[test]
fn staples_contain_what_the_builder_sets() {
    let bench = Bench::new();
    let staple = || bench.hierarchy.staple(0, bench.now);
    let (leaf, issuer) = bench.hierarchy.chain[0].clone();
    let says = |builder: StapleBuilder| match bench.staple_says(&builder.build(), 0) {
        Ok(answer) | Err(answer) => answer,
    };
    let revoked = CertStatus::Revoked { at: bench.now - 60, reason: Some(1) };
    assert!(says(staple().status(revoked)).contains("revoked"));
    assert!(says(staple().status(revoked)).contains("keyCompromise"));
    assert!(says(staple().status(CertStatus::Unknown)).contains("unknown"));
    assert!(says(staple().cert_id_hash(CertIdHash::Sha256)).contains("No Status found"));
    assert!(
        says(staple().updates(bench.now - 7200, Some(bench.now - 3600))).contains("Status times invalid")
    );
    assert!(!says(staple().updates(bench.now - 60, None)).contains("Next Update"));
    assert!(says(staple().responder(ResponderId::Name(issuer.name.clone()))).contains("Response verify OK"));
    assert!(says(staple().tampered()).contains("Response Verify Failure"));
    assert!(says(staple().signed_by(&bench.hierarchy.leaf_key)).contains("Response Verify Failure"));
    let sibling = issuer.sign(bench.hierarchy.leaf(SIGNER, bench.now).serial(&[42]));
    let other = StapleBuilder::new(&sibling, &issuer, bench.now).answer();
    let both = says(staple().preceded_by(other.clone()));
    assert!(both.contains("Response verify OK") && both.contains(": good"), "{both}");
    assert!(says(staple().about(other.id)).contains("No Status found"));

    let responder = Issuer::new("Emulator OCSP Responder", KeyPool::shared().get("responder"));
    for (purposes, verdict) in [
        (&[oids::OCSP_SIGNING][..], "Response verify OK"),
        (&[oids::SERVER_AUTH][..], "Response Verify Failure"),
    ] {
        let certificate = CertificateBuilder::new(
            responder.name.clone(),
            responder.key.public(),
            bench.now - 60,
            bench.now + 60,
        );
        let certificate = issuer.sign(certificate.extended_key_usage(purposes));
        let answer = says(staple().delegated_to(certificate, &responder.key));
        assert!(answer.contains(verdict), "{answer}");
    }
    let error = bench.staple_says(&staple().build_error(3), 0);
    assert!(format!("{error:?}").contains("trylater"), "{error:?}");
    assert_eq!(leaf.sha256_fingerprint().len(), 64);
}

#[test]
fn entries_carry_the_leafs_signature() {
    let bench = Bench::new();
    let entry = Entry::new(crate::KEY)
        .timestamp(bench.now + 60)
        .instance("i-0123456789abcdef0")
        .layout(SignatureLayout::Wrapped(76));
    let signed = String::from_utf8(entry.sign(&bench.hierarchy.leaf_key)).unwrap();
    let (text, base64) = signed.split_at(entry.signed_text().len());
    assert!(base64.ends_with("\n\n") && base64.lines().count() > 2);

    let leaf = bench.file("leaf.pem", bench.hierarchy.leaf_certificate().pem());
    let key = succeeds(Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(leaf)).unwrap();
    let key = bench.file("key.pem", key);
    let decode = |base64: &str| {
        let base64 = bench.file("signature.b64", base64.trim_end().to_owned() + "\n");
        let signature = bench.directory.path().join("signature");
        let mut openssl = Command::new("openssl");
        succeeds(openssl.args(["base64", "-d", "-in"]).arg(base64).arg("-out").arg(&signature)).unwrap();
        signature
    };
    let signature = decode(base64);
    assert!(dgst_verifies(&key, &signature, &bench.file("text", text)));
    assert!(!dgst_verifies(&key, &signature, &bench.file("text", text.replace("i-0", "i-1"))));
    let short_salt = entry.clone().scheme(SignatureScheme::PssSha256 { salt: 20 });
    let short_salt = String::from_utf8(short_salt.sign(&bench.hierarchy.leaf_key)).unwrap();
    let signature = decode(&short_salt[text.len()..]);
    assert!(!dgst_verifies(&key, &signature, &bench.file("text", text)));
}
