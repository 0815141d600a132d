//! OCSP responses (RFC 6960), as an instance gets them stapled to its signer's chain.

use data_encoding::BASE64;

use super::{Certificate, Issuer, Name, RsaKey, SignatureScheme, der, oids, sha1, sha256, sha384, sha512};

/// A response and the name under which metadata lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// The name in the listing.
    pub name: String,
    /// The encoded `OCSPResponse`.
    pub der: Vec<u8>,
}

impl Staple {
    /// The content that metadata serves: base64 text.
    pub fn text(&self) -> String {
        BASE64.encode(&self.der) + "\n"
    }
}

/// What the responder says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked at an instant, with a reason code when there is one.
    Revoked {
        /// When, Unix seconds.
        at: i64,
        /// `CRLReason`.
        reason: Option<u8>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// The digest that a [`CertId`] is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertIdHash {
    /// What Amazon uses today.
    Sha1,
    /// What it may use tomorrow.
    Sha256,
    /// What the agent takes for no more than an answer against a certificate.
    Sha384,
    /// The same.
    Sha512,
}

/// Which certificate an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId(Vec<u8>);

impl CertId {
    /// Identifies `certificate` by its issuer's name and key, and its serial number.
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

    /// Identifies nothing in particular: an `AlgorithmIdentifier`, two digests and a serial number.
    pub fn encoded(algorithm: &[u8], name_hash: &[u8], key_hash: &[u8], serial: &[u8]) -> Self {
        Self(der::sequence(&[
            algorithm.to_vec(),
            der::octets(name_hash),
            der::octets(key_hash),
            der::unsigned(serial),
        ]))
    }
}

/// One answer inside a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleResponse {
    /// About which certificate.
    pub id: CertId,
    /// What is said of it.
    pub status: CertStatus,
    /// True from, Unix seconds.
    pub this_update: i64,
    /// True until.
    pub next_update: Option<i64>,
    /// Extensions, encoded.
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

/// How the responder names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderId {
    /// By the SHA-1 of whichever key signs.
    SignersKey,
    /// By this key hash, whoever signs.
    Key(Vec<u8>),
    /// By name.
    Name(Name),
}

/// How the staple is called in the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StapleName {
    /// The certificate's SHA-1 fingerprint: the usual way.
    Sha1,
    /// The certificate's SHA-256 fingerprint: seen in an outage.
    Sha256,
    /// Anything.
    Other(String),
}

/// What stands in a staple, and who signs it.
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
    /// `certificate` is good, says its issuer, from an hour before `now` to a week after that.
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

    /// What is said of the certificate.
    #[must_use]
    pub fn status(mut self, status: CertStatus) -> Self {
        self.answer.status = status;
        self
    }

    /// True from and until, Unix seconds; the end may be missing.
    #[must_use]
    pub fn updates(mut self, this_update: i64, next_update: Option<i64>) -> Self {
        (self.answer.this_update, self.answer.next_update) = (this_update, next_update);
        self.produced_at = this_update;
        self
    }

    /// When it says that it was signed, Unix seconds.
    #[must_use]
    pub fn produced_at(mut self, instant: i64) -> Self {
        self.produced_at = instant;
        self
    }

    /// The digest of the CertID.
    #[must_use]
    pub fn cert_id_hash(mut self, hash: CertIdHash) -> Self {
        self.answer.id = CertId::new(hash, &self.certificate, &self.issuer);
        self
    }

    /// Speaks of another certificate than the one whose name it carries.
    #[must_use]
    pub fn about(mut self, id: CertId) -> Self {
        self.answer.id = id;
        self
    }

    /// Puts another answer before this one.
    #[must_use]
    pub fn preceded_by(mut self, other: SingleResponse) -> Self {
        self.others.push(other);
        self
    }

    /// Puts another answer after this one.
    #[must_use]
    pub fn followed_by(mut self, other: SingleResponse) -> Self {
        self.later.push(other);
        self
    }

    /// Adds an extension to the answer, its value already encoded.
    #[must_use]
    pub fn answer_extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        self.answer.extensions.push(der::extension(oid, critical, value));
        self
    }

    /// Adds an extension to the response as a whole, its value already encoded.
    #[must_use]
    pub fn extension(mut self, oid: &[u32], critical: bool, value: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, value));
        self
    }

    /// How the responder names itself.
    #[must_use]
    pub fn responder(mut self, responder: ResponderId) -> Self {
        self.responder = responder;
        self
    }

    /// Signs with another key, and sends no certificate for it.
    #[must_use]
    pub fn signed_by(mut self, key: &RsaKey) -> Self {
        self.signer = key.clone();
        self
    }

    /// Signs with the key of a responder, and sends its certificate along.
    #[must_use]
    pub fn delegated_to(mut self, responder: Certificate, key: &RsaKey) -> Self {
        self.responder_certificates.push(responder);
        self.signed_by(key)
    }

    /// How the response is signed.
    #[must_use]
    pub fn scheme(mut self, scheme: SignatureScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Says that it was signed in another way than it was.
    #[must_use]
    pub fn claimed_scheme(mut self, scheme: SignatureScheme) -> Self {
        self.claimed = Some(scheme);
        self
    }

    /// These bytes in the place of a signature.
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

    /// How the staple is called in the listing.
    #[must_use]
    pub fn named(mut self, name: StapleName) -> Self {
        self.name = name;
        self
    }

    /// The answer as it stands, to be put into another response.
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

    /// An `OCSPResponse` that carries nothing but an error status, such as 3, try later.
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
