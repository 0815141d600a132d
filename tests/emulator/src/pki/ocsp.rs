//! OCSP responses (RFC 6960), which an instance receives as staples for its signer's chain.

use data_encoding::BASE64;

use super::{Certificate, Issuer, Name, RsaKey, SignatureScheme, der, oids, sha1, sha256, sha384, sha512};

/// A response and its name in the metadata listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// The name in the listing.
    pub name: String,
    /// The encoded `OCSPResponse`.
    pub der: Vec<u8>,
}

impl Staple {
    /// The base64 text that metadata serves.
    pub fn text(&self) -> String {
        BASE64.encode(&self.der) + "\n"
    }
}

/// The status of a certificate in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// The instant of the revocation, in Unix seconds.
        at: i64,
        /// The `CRLReason`, if any.
        reason: Option<u8>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// The digest of a [`CertId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertIdHash {
    /// SHA-1, which Amazon uses.
    Sha1,
    /// SHA-256, which Amazon may use later.
    Sha256,
    /// SHA-384. The agent does not accept a `good` status with it.
    Sha384,
    /// SHA-512. The agent does not accept a `good` status with it.
    Sha512,
}

/// The `CertID`, which identifies the certificate of a single response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId(Vec<u8>);

impl CertId {
    /// Identifies `certificate` by its issuer's name, its issuer's key and its serial number.
    pub fn new(hash: CertIdHash, certificate: &Certificate, issuer: &Issuer) -> Self {
        let (oid, digest) = match hash {
            CertIdHash::Sha1 => (oids::SHA1, sha1 as fn(&[u8]) -> Vec<u8>),
            CertIdHash::Sha256 => (oids::SHA256, sha256 as _),
            CertIdHash::Sha384 => (oids::SHA384, sha384 as _),
            CertIdHash::Sha512 => (oids::SHA512, sha512 as _),
        };
        let algorithm = der::sequence(&[der::oid(oid), der::null()]);
        Self::encoded(
            &algorithm,
            &digest(&issuer.name.der()),
            &digest(issuer.key.public().pkcs1_der()),
            certificate.serial(),
        )
    }

    /// A `CertID` of any encoded parts: an `AlgorithmIdentifier`, two digests and a serial number.
    pub fn encoded(algorithm: &[u8], name_hash: &[u8], key_hash: &[u8], serial: &[u8]) -> Self {
        Self(der::sequence(&[
            algorithm.to_vec(),
            der::octets(name_hash),
            der::octets(key_hash),
            der::unsigned(serial),
        ]))
    }
}

/// One `SingleResponse` of an OCSP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleResponse {
    /// The certificate.
    pub id: CertId,
    /// The status of the certificate.
    pub status: CertStatus,
    /// The start of validity, in Unix seconds.
    pub this_update: i64,
    /// The end of validity, in Unix seconds.
    pub next_update: Option<i64>,
    /// Encoded extensions.
    pub extensions: Vec<Vec<u8>>,
}

impl SingleResponse {
    fn der(&self) -> Vec<u8> {
        let status = match self.status {
            CertStatus::Good => der::context_primitive(0, &[]),
            CertStatus::Revoked { at, reason } => {
                let mut info = der::generalized_time(at);
                info.extend(reason.into_iter().flat_map(|code| der::context(0, &der::enumerated(code))));
                der::context(1, &info)
            }
            CertStatus::Unknown => der::context_primitive(2, &[]),
        };
        let mut parts = vec![self.id.0.clone(), status, der::generalized_time(self.this_update)];
        parts.extend(self.next_update.map(|until| der::context(0, &der::generalized_time(until))));
        if !self.extensions.is_empty() {
            parts.push(der::context(1, &der::sequence(&self.extensions)));
        }
        der::sequence(&parts)
    }
}

/// The identifier of the responder in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderId {
    /// The SHA-1 of the key that signs the response.
    SignersKey,
    /// This key hash, with any signing key.
    Key(Vec<u8>),
    /// A name.
    Name(Name),
}

/// The name of a staple in the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StapleName {
    /// The SHA-1 fingerprint of the certificate, the usual name.
    Sha1,
    /// The SHA-256 fingerprint of the certificate, which was seen in an outage.
    Sha256,
    /// Any other name.
    Other(String),
}

/// The contents of a staple, and its signing key.
#[derive(Clone, Debug)]
pub struct StapleBuilder {
    certificate: Certificate,
    issuer: Issuer,
    answer: SingleResponse,
    others: Vec<SingleResponse>,
    later: Vec<SingleResponse>,
    extensions: Vec<Vec<u8>>,
    produced_at: i64,
    responder: ResponderId,
    signer: RsaKey,
    responder_certificates: Vec<Certificate>,
    scheme: SignatureScheme,
    claimed: Option<SignatureScheme>,
    signature: Option<Vec<u8>>,
    tampered: bool,
    name: StapleName,
}

impl StapleBuilder {
    /// A staple with the status `good` by the certificate's issuer. It is valid for a week, from an hour before `now`.
    pub fn new(certificate: &Certificate, issuer: &Issuer, now: i64) -> Self {
        let this_update = now - 3600;
        Self {
            certificate: certificate.clone(),
            issuer: issuer.clone(),
            answer: SingleResponse {
                id: CertId::new(CertIdHash::Sha1, certificate, issuer),
                status: CertStatus::Good,
                this_update,
                next_update: Some(this_update + 7 * 86_400),
                extensions: Vec::new(),
            },
            others: Vec::new(),
            later: Vec::new(),
            extensions: Vec::new(),
            produced_at: this_update,
            responder: ResponderId::SignersKey,
            signer: issuer.key.clone(),
            responder_certificates: Vec::new(),
            scheme: SignatureScheme::Pkcs1Sha256,
            claimed: None,
            signature: None,
            tampered: false,
            name: StapleName::Sha1,
        }
    }

    /// Sets the status of the certificate.
    #[must_use]
    pub fn status(mut self, status: CertStatus) -> Self {
        self.answer.status = status;
        self
    }

    /// Sets the validity period, in Unix seconds. The end is optional.
    #[must_use]
    pub fn updates(mut self, this_update: i64, next_update: Option<i64>) -> Self {
        (self.answer.this_update, self.answer.next_update) = (this_update, next_update);
        self.produced_at = this_update;
        self
    }

    /// Sets `producedAt`, in Unix seconds.
    #[must_use]
    pub fn produced_at(mut self, instant: i64) -> Self {
        self.produced_at = instant;
        self
    }

    /// Sets the digest of the CertID.
    #[must_use]
    pub fn cert_id_hash(mut self, hash: CertIdHash) -> Self {
        self.answer.id = CertId::new(hash, &self.certificate, &self.issuer);
        self
    }

    /// Sets the CertID of another certificate. The name of the staple stays the same.
    #[must_use]
    pub fn about(mut self, id: CertId) -> Self {
        self.answer.id = id;
        self
    }

    /// Adds another single response before this one.
    #[must_use]
    pub fn preceded_by(mut self, other: SingleResponse) -> Self {
        self.others.push(other);
        self
    }

    /// Adds another single response after this one.
    #[must_use]
    pub fn followed_by(mut self, other: SingleResponse) -> Self {
        self.later.push(other);
        self
    }

    /// Adds an extension to the single response, with an encoded value.
    #[must_use]
    pub fn answer_extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        self.answer.extensions.push(der::extension(oid, critical, value));
        self
    }

    /// Adds an extension to the whole response, with an encoded value.
    #[must_use]
    pub fn extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, value));
        self
    }

    /// Sets the identifier of the responder.
    #[must_use]
    pub fn responder(mut self, responder: ResponderId) -> Self {
        self.responder = responder;
        self
    }

    /// Signs with another key and includes no certificate for it.
    #[must_use]
    pub fn signed_by(mut self, key: &RsaKey) -> Self {
        self.signer = key.clone();
        self
    }

    /// Signs with the key of a delegated responder and includes its certificate.
    #[must_use]
    pub fn delegated_to(mut self, responder: Certificate, key: &RsaKey) -> Self {
        self.responder_certificates.push(responder);
        self.signed_by(key)
    }

    /// Sets the signature scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: SignatureScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Names another signature scheme than the one that is used.
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

    /// Flips a bit of the signature.
    #[must_use]
    pub fn tampered(mut self) -> Self {
        self.tampered = true;
        self
    }

    /// Sets the name of the staple in the listing.
    #[must_use]
    pub fn named(mut self, name: StapleName) -> Self {
        self.name = name;
        self
    }

    /// The single response, for use in another response.
    pub fn answer(&self) -> SingleResponse {
        self.answer.clone()
    }

    /// Signs the response.
    pub fn build(&self) -> Staple {
        let data = self.response_data();
        let made = || self.signer.sign(self.scheme, &data);
        let mut signature = self.signature.clone().unwrap_or_else(made);
        if self.tampered {
            signature[0] ^= 1;
        }
        let scheme = self.claimed.unwrap_or(self.scheme);
        let mut parts = vec![data, scheme.identifier(), der::bits(&signature)];
        if !self.responder_certificates.is_empty() {
            let certificates: Vec<_> = self.responder_certificates.iter().map(Certificate::der).collect();
            parts.push(der::context(0, &der::sequence(&certificates)));
        }
        let bytes = der::sequence(&[der::oid(oids::OCSP_BASIC), der::octets(&der::sequence(&parts))]);
        let name = match &self.name {
            StapleName::Sha1 => self.certificate.sha1_fingerprint(),
            StapleName::Sha256 => self.certificate.sha256_fingerprint(),
            StapleName::Other(name) => name.clone(),
        };
        Staple { name, der: der::sequence(&[der::enumerated(0), der::context(0, &bytes)]) }
    }

    /// An `OCSPResponse` that contains only an error status, such as 3 (tryLater).
    pub fn build_error(&self, status: u8) -> Staple {
        Staple { der: der::sequence(&[der::enumerated(status)]), ..self.build() }
    }

    fn response_data(&self) -> Vec<u8> {
        let responder = match &self.responder {
            ResponderId::SignersKey => der::context(2, &der::octets(&self.signer.public().id())),
            ResponderId::Key(hash) => der::context(2, &der::octets(hash)),
            ResponderId::Name(name) => der::context(1, &name.der()),
        };
        let answers = self.others.iter().chain(std::iter::once(&self.answer)).chain(&self.later);
        let answers: Vec<_> = answers.map(SingleResponse::der).collect();
        let mut parts = vec![responder, der::generalized_time(self.produced_at), der::sequence(&answers)];
        if !self.extensions.is_empty() {
            parts.push(der::context(1, &der::sequence(&self.extensions)));
        }
        der::sequence(&parts)
    }
}
