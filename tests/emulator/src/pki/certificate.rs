//! A builder for X.509 certificates, valid and invalid ones.

use data_encoding::BASE64;

use super::{Name, PublicKey, RsaKey, SignatureScheme, der, hex, oids, sha1, sha256};

/// A bit of the key usage extension. The value is its bit number (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// May sign anything except certificates and revocation lists.
    DigitalSignature = 0,
    /// May encrypt keys.
    KeyEncipherment = 2,
    /// May sign certificates.
    CertSign = 5,
    /// May sign revocation lists.
    CrlSign = 6,
}

/// The DNS subtrees that a CA certificate permits and excludes for the certificates below it.
#[derive(Clone, Debug, Default)]
pub struct NameConstraints<'a> {
    /// Permitted DNS subtrees.
    pub permitted: &'a [&'a str],
    /// Excluded DNS subtrees.
    pub excluded: &'a [&'a str],
}

/// A finished certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Vec<u8>,
    subject: Name,
    issuer: Name,
    public: PublicKey,
}

impl Certificate {
    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM encoding.
    pub fn pem(&self) -> String {
        let body = super::wrapped_base64(&self.der, 64);
        format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    }

    /// The serial number, as an unsigned magnitude.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The subject.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The issuer.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The certified key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The SHA-1 fingerprint in upper-case hexadecimal, the format of staple names.
    pub fn sha1_fingerprint(&self) -> String {
        hex(&sha1(&self.der))
    }

    /// The SHA-256 fingerprint in upper-case hexadecimal.
    pub fn sha256_fingerprint(&self) -> String {
        hex(&sha256(&self.der))
    }

    /// The DER encoding as one line of base64.
    pub fn base64(&self) -> String {
        BASE64.encode(&self.der)
    }
}

/// The contents of a certificate. Setting an extension again replaces it.
#[derive(Clone, Debug)]
pub struct CertificateBuilder {
    subject: Name,
    key: PublicKey,
    not_before: i64,
    not_after: i64,
    serial: Option<Vec<u8>>,
    version: u8,
    extensions: Vec<(Vec<u32>, Vec<u8>)>,
    scheme: SignatureScheme,
    claimed: Option<SignatureScheme>,
    signature: Option<Vec<u8>>,
}

impl CertificateBuilder {
    /// A certificate of version 3. Its only extension is the subject key identifier.
    pub fn new(subject: Name, key: &PublicKey, not_before: i64, not_after: i64) -> Self {
        Self {
            subject,
            key: key.clone(),
            not_before,
            not_after,
            serial: None,
            version: 3,
            extensions: Vec::new(),
            scheme: SignatureScheme::Pkcs1Sha256,
            claimed: None,
            signature: None,
        }
        .extension(oids::SUBJECT_KEY_ID, false, &der::octets(&key.id()))
    }

    /// Sets the extensions of a signer: SAN, key usage, extended key usage, and basic constraints that say "not a CA".
    #[must_use]
    pub fn signer_profile(self, dns_name: &str) -> Self {
        self.san(&[dns_name])
            .key_usage(&[KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment])
            .extended_key_usage(&[oids::SERVER_AUTH, oids::CLIENT_AUTH])
            .basic_constraints(false, None)
    }

    /// Sets the profile of an issuing or a root authority.
    #[must_use]
    pub fn authority_profile(self, path_length: Option<u64>) -> Self {
        self.key_usage(&[KeyUsage::DigitalSignature, KeyUsage::CertSign, KeyUsage::CrlSign])
            .basic_constraints(true, path_length)
    }

    /// Sets the validity period, in Unix seconds.
    #[must_use]
    pub fn validity(mut self, not_before: i64, not_after: i64) -> Self {
        (self.not_before, self.not_after) = (not_before, not_after);
        self
    }

    /// Sets the serial number, an unsigned magnitude. The default is a hash of the other contents.
    #[must_use]
    pub fn serial(mut self, magnitude: &[u8]) -> Self {
        self.serial = Some(magnitude.to_vec());
        self
    }

    /// Sets the version, 1 to 3. Below 3 the certificate has no extensions.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Sets the issuer's signature scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: SignatureScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Names another scheme in the outer `signatureAlgorithm` than in the signed part.
    #[must_use]
    pub fn claimed_scheme(mut self, scheme: SignatureScheme) -> Self {
        self.claimed = Some(scheme);
        self
    }

    /// Sets these bytes instead of a signature.
    #[must_use]
    pub fn signature(mut self, bytes: &[u8]) -> Self {
        self.signature = Some(bytes.to_vec());
        self
    }

    /// Sets the subject alternative names, all DNS names.
    #[must_use]
    pub fn san(self, dns_names: &[&str]) -> Self {
        let names: Vec<_> = dns_names.iter().map(|name| der::context_primitive(2, name.as_bytes())).collect();
        self.extension(oids::SUBJECT_ALT_NAME, false, &der::sequence(&names))
    }

    /// Sets the key usage, critical.
    #[must_use]
    pub fn key_usage(self, usages: &[KeyUsage]) -> Self {
        let numbers: Vec<u8> = usages.iter().map(|usage| *usage as u8).collect();
        self.extension(oids::KEY_USAGE, true, &der::named_bits(&numbers))
    }

    /// Sets the extended key usage.
    #[must_use]
    pub fn extended_key_usage(self, purposes: &[&[u32]]) -> Self {
        let purposes: Vec<_> = purposes.iter().map(|purpose| der::oid(purpose)).collect();
        self.extension(oids::EXTENDED_KEY_USAGE, false, &der::sequence(&purposes))
    }

    /// Sets the basic constraints, critical.
    #[must_use]
    pub fn basic_constraints(self, authority: bool, path_length: Option<u64>) -> Self {
        let mut parts = Vec::new();
        if authority {
            parts.push(der::boolean(true));
        }
        parts.extend(path_length.map(der::integer));
        self.extension(oids::BASIC_CONSTRAINTS, true, &der::sequence(&parts))
    }

    /// Sets name constraints on DNS names, critical.
    #[must_use]
    pub fn name_constraints(self, constraints: &NameConstraints<'_>) -> Self {
        let subtrees = |number, names: &[&str]| {
            let subtree = |name: &&str| der::sequence(&[der::context_primitive(2, name.as_bytes())]);
            let all: Vec<u8> = names.iter().flat_map(subtree).collect();
            if all.is_empty() { all } else { der::context(number, &all) }
        };
        let value = der::sequence(&[subtrees(0, constraints.permitted), subtrees(1, constraints.excluded)]);
        self.extension(oids::NAME_CONSTRAINTS, true, &value)
    }

    /// Sets any extension, with an encoded value. Replaces an extension with the same identifier.
    #[must_use]
    pub fn extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        let encoded = der::extension(oid, critical, value);
        match self.extensions.iter_mut().find(|(existing, _)| existing == oid) {
            Some((_, existing)) => *existing = encoded,
            None => self.extensions.push((oid.to_vec(), encoded)),
        }
        self
    }

    /// Adds an extension and keeps one with the same identifier. RFC 5280, 4.2, forbids such a duplicate.
    #[must_use]
    pub fn another_extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        self.extensions.push((oid.to_vec(), der::extension(oid, critical, value)));
        self
    }

    /// Removes an extension.
    #[must_use]
    pub fn without(mut self, oid: &[u32]) -> Self {
        self.extensions.retain(|(existing, _)| existing != oid);
        self
    }

    /// Builds a certificate that `key` signs, with the subject as issuer.
    pub fn self_signed(self, key: &RsaKey) -> Certificate {
        let issuer = self.subject.clone();
        self.sign(&issuer, key)
    }

    /// Builds a certificate that `key` signs in the name of `issuer`.
    pub fn sign(self, issuer: &Name, key: &RsaKey) -> Certificate {
        let authority = der::sequence(&[der::context_primitive(0, &key.public().id())]);
        let content = self.extension(oids::AUTHORITY_KEY_ID, false, &authority);
        let serial = content.serial.clone().unwrap_or_else(|| content.derived_serial(issuer));
        let signed = content.to_be_signed(&serial, issuer);
        let signature = content.signature.unwrap_or_else(|| key.sign(content.scheme, &signed));
        let scheme = content.claimed.unwrap_or(content.scheme);
        let der = der::sequence(&[signed, scheme.identifier(), der::bits(&signature)]);
        Certificate { der, serial, subject: content.subject, issuer: issuer.clone(), public: content.key }
    }

    /// A serial number from the contents. A restart therefore makes the same certificates again.
    fn derived_serial(&self, issuer: &Name) -> Vec<u8> {
        let mut serial = sha256(&self.to_be_signed(&[0], issuer));
        serial.truncate(16);
        serial[0] = serial[0] & 0x7f | 0x40;
        serial
    }

    fn to_be_signed(&self, serial: &[u8], issuer: &Name) -> Vec<u8> {
        let mut parts = Vec::new();
        if self.version > 1 {
            parts.push(der::context(0, &der::integer(u64::from(self.version - 1))));
        }
        parts.extend([
            der::unsigned(serial),
            self.scheme.identifier(),
            issuer.der(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject.der(),
            self.key.spki(),
        ]);
        if self.version >= 3 {
            let extensions: Vec<_> = self.extensions.iter().map(|(_, encoded)| encoded).collect();
            parts.push(der::context(3, &der::sequence(&extensions)));
        }
        der::sequence(&parts)
    }
}
