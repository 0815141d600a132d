//! Object identifiers as lists of arcs.

/// A list of arcs.
pub type Oid = &'static [u32];

/// Attribute: common name.
pub const COMMON_NAME: Oid = &[2, 5, 4, 3];
/// Attribute: country.
pub const COUNTRY: Oid = &[2, 5, 4, 6];
/// Attribute: organisation.
pub const ORGANIZATION: Oid = &[2, 5, 4, 10];

/// Key type: RSA.
pub const RSA_ENCRYPTION: Oid = &[1, 2, 840, 113_549, 1, 1, 1];
/// Signature: RSA PKCS #1 v1.5 with SHA-1.
pub const SHA1_WITH_RSA: Oid = &[1, 2, 840, 113_549, 1, 1, 5];
/// Signature: RSA PKCS #1 v1.5 with SHA-256.
pub const SHA256_WITH_RSA: Oid = &[1, 2, 840, 113_549, 1, 1, 11];
/// Signature: RSA-PSS. The parameters name the digests and the salt.
pub const RSASSA_PSS: Oid = &[1, 2, 840, 113_549, 1, 1, 10];
/// Mask generation function 1.
pub const MGF1: Oid = &[1, 2, 840, 113_549, 1, 1, 8];
/// Digest: SHA-1.
pub const SHA1: Oid = &[1, 3, 14, 3, 2, 26];
/// Digest: SHA-256.
pub const SHA256: Oid = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
/// Digest: SHA-384.
pub const SHA384: Oid = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
/// Digest: SHA-512.
pub const SHA512: Oid = &[2, 16, 840, 1, 101, 3, 4, 2, 3];

/// Extension: subject key identifier.
pub const SUBJECT_KEY_ID: Oid = &[2, 5, 29, 14];
/// Extension: key usage.
pub const KEY_USAGE: Oid = &[2, 5, 29, 15];
/// Extension: subject alternative name.
pub const SUBJECT_ALT_NAME: Oid = &[2, 5, 29, 17];
/// Extension: basic constraints.
pub const BASIC_CONSTRAINTS: Oid = &[2, 5, 29, 19];
/// Extension: name constraints.
pub const NAME_CONSTRAINTS: Oid = &[2, 5, 29, 30];
/// Extension: authority key identifier.
pub const AUTHORITY_KEY_ID: Oid = &[2, 5, 29, 35];
/// Extension: extended key usage.
pub const EXTENDED_KEY_USAGE: Oid = &[2, 5, 29, 37];
/// Extension: clients need not check the revocation of this OCSP responder's certificate.
pub const OCSP_NO_CHECK: Oid = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

/// Extension: marks a precertificate, always critical (RFC 6962, 3.1).
pub const PRECERTIFICATE_POISON: Oid = &[1, 3, 6, 1, 4, 1, 11_129, 2, 4, 3];
/// Extension: an identifier that no software knows.
pub const UNHEARD_OF: Oid = &[1, 3, 6, 1, 4, 1, 55_555, 1];

/// Extended key usage: any usage.
pub const ANY_USAGE: Oid = &[2, 5, 29, 37, 0];
/// Extended key usage: TLS server.
pub const SERVER_AUTH: Oid = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
/// Extended key usage: TLS client.
pub const CLIENT_AUTH: Oid = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
/// Extended key usage: code signing, a wrong usage for a signer.
pub const CODE_SIGNING: Oid = &[1, 3, 6, 1, 5, 5, 7, 3, 3];
/// Extended key usage: OCSP responder.
pub const OCSP_SIGNING: Oid = &[1, 3, 6, 1, 5, 5, 7, 3, 9];

/// OCSP: the basic response type.
pub const OCSP_BASIC: Oid = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
/// OCSP: the extension that carries a nonce.
pub const OCSP_NONCE: Oid = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];
