//! Why something was refused: one stable name for each cause.

/// A cause of refusal. The names are an interface: audit lines, `verify`, and every test speak them, and
/// operators alert on them, so a name once published keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    // --- an entry of the key bundle ---
    /// The entry has `#` lines and no key line.
    NoKey,
    /// The key line is not one OpenSSH public key.
    KeyMalformed,
    /// The key line is longer than the 4,096 characters that the API accepts.
    KeyTooLong,
    /// The key line holds an OpenSSH certificate; a certificate is not a key that can be authorized.
    KeyIsCertificate,
    /// The entry says no instant of expiry.
    NoTimestamp,
    /// The instant of expiry is not plain decimal Unix seconds.
    TimestampMalformed,
    /// The entry says no instance id.
    NoInstance,
    /// A known `#` field stands twice in the entry.
    RepeatedField,
    /// More or longer lines than an entry may have.
    EntryTooLarge,
    /// No signature follows the key line.
    NoSignature,
    /// The signature is not base64.
    SignatureMalformed,
    /// The signature does not verify with the signer's key.
    BadSignature,
    /// The entry was signed for another instance.
    WrongInstance,
    /// The entry's instant of expiry has passed.
    Expired,
    /// The bundle holds more entries than are judged.
    TooManyEntries,
    /// A rule of this instance denies the key.
    DeniedByRule,

    // --- the signer certificate ---
    /// The bundle holds no certificate, or its first one cannot be read.
    SignerMalformed,
    /// The certificate names another signer than this region's.
    SignerNameMismatch,
    /// No path leads from the certificate to a trust anchor.
    SignerUntrusted,
    /// A certificate of the path has expired.
    SignerExpired,
    /// A certificate of the path is not valid yet.
    SignerNotYetValid,
    /// A name constraint of the path stands against the signer's name.
    SignerConstrained,
    /// A certificate of the path may not be used for what it was used for.
    SignerKeyUsage,
    /// A certificate of the path is revoked.
    SignerRevoked,
    /// The signer's key is weak or of another kind than its entries take.
    SignerKeyUnsuitable,
    /// The certificates and staples take more work to judge than the agent does for them.
    SignerTooCostly,

    // --- the OCSP staples ---
    /// A certificate of the path has no staple.
    StapleMissing,
    /// The staple cannot be read.
    StapleMalformed,
    /// The staple says neither good nor revoked.
    StapleUnknown,
    /// The staple's nextUpdate has passed, or its thisUpdate is too long ago.
    StapleStale,
    /// The staple's thisUpdate is in the future.
    StapleNotYetValid,
    /// The staple does not say how long it holds.
    StapleNoNextUpdate,
    /// The staple's signature does not verify.
    StapleBadSignature,
    /// The staple was signed by somebody who may not.
    StapleResponder,

    // --- the run as a whole ---
    /// Nothing answers at the metadata address.
    MetadataUnreachable,
    /// The run's time was over before the evidence was complete.
    MetadataTimeout,
    /// The metadata service is switched off, or refuses this caller.
    MetadataForbidden,
    /// The metadata service refuses its own, fresh token.
    MetadataTokenRefused,
    /// The metadata service is overloaded or throttles this instance.
    MetadataThrottled,
    /// The metadata service lacks an item that every instance has.
    MetadataMissing,
    /// The metadata service's answer breaks the protocol or a bound.
    MetadataMalformed,
    /// The instance id has not the form of one.
    InstanceIdMalformed,
    /// Neither region nor zone has the form of one.
    RegionMalformed,
    /// The services domain is none of the AWS partitions'.
    DomainUnknown,
    /// The trust store is absent, unreadable or empty.
    TrustStoreUnusable,
    /// The trust store, or a folder on the way to it, can be written by others than root.
    TrustStoreInsecure,
    /// The settings file, or a folder above it, can be written by others than root.
    SettingsInsecure,
    /// The settings file cannot be read.
    SettingsUnreadable,
    /// The settings file is wrong, or asks for what this instance's OpenSSH cannot do.
    SettingsInvalid,
    /// It is not known whether sshd permits the variables that the settings give to sessions.
    EnvironmentUnknown,
    /// Privileges cannot be given up.
    PrivilegesKept,
    /// No log accepted the line about a key, and the settings demand one.
    AuditUnavailable,

    // --- a chained provider ---
    /// The provider, or a folder above it, can be written by others than root.
    ProviderInsecure,
    /// The provider could not be started, or ended with another status than 0.
    ProviderFailed,
    /// The provider did not end in time.
    ProviderTimeout,
    /// The provider printed more than is read.
    ProviderTooLarge,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::NoKey,
        Self::KeyMalformed,
        Self::KeyTooLong,
        Self::KeyIsCertificate,
        Self::NoTimestamp,
        Self::TimestampMalformed,
        Self::NoInstance,
        Self::RepeatedField,
        Self::EntryTooLarge,
        Self::NoSignature,
        Self::SignatureMalformed,
        Self::BadSignature,
        Self::WrongInstance,
        Self::Expired,
        Self::TooManyEntries,
        Self::DeniedByRule,
        Self::SignerMalformed,
        Self::SignerNameMismatch,
        Self::SignerUntrusted,
        Self::SignerExpired,
        Self::SignerNotYetValid,
        Self::SignerConstrained,
        Self::SignerKeyUsage,
        Self::SignerRevoked,
        Self::SignerKeyUnsuitable,
        Self::SignerTooCostly,
        Self::StapleMissing,
        Self::StapleMalformed,
        Self::StapleUnknown,
        Self::StapleStale,
        Self::StapleNotYetValid,
        Self::StapleNoNextUpdate,
        Self::StapleBadSignature,
        Self::StapleResponder,
        Self::MetadataUnreachable,
        Self::MetadataTimeout,
        Self::MetadataForbidden,
        Self::MetadataTokenRefused,
        Self::MetadataThrottled,
        Self::MetadataMissing,
        Self::MetadataMalformed,
        Self::InstanceIdMalformed,
        Self::RegionMalformed,
        Self::DomainUnknown,
        Self::TrustStoreUnusable,
        Self::TrustStoreInsecure,
        Self::SettingsInsecure,
        Self::SettingsUnreadable,
        Self::SettingsInvalid,
        Self::EnvironmentUnknown,
        Self::PrivilegesKept,
        Self::AuditUnavailable,
        Self::ProviderInsecure,
        Self::ProviderFailed,
        Self::ProviderTimeout,
        Self::ProviderTooLarge,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::KeyMalformed => "key-malformed",
            Self::KeyTooLong => "key-too-long",
            Self::KeyIsCertificate => "key-is-certificate",
            Self::NoTimestamp => "no-timestamp",
            Self::TimestampMalformed => "timestamp-malformed",
            Self::NoInstance => "no-instance",
            Self::RepeatedField => "repeated-field",
            Self::EntryTooLarge => "entry-too-large",
            Self::NoSignature => "no-signature",
            Self::SignatureMalformed => "signature-malformed",
            Self::BadSignature => "bad-signature",
            Self::WrongInstance => "wrong-instance",
            Self::Expired => "expired",
            Self::TooManyEntries => "too-many-entries",
            Self::DeniedByRule => "denied-by-rule",
            Self::SignerMalformed => "signer-malformed",
            Self::SignerNameMismatch => "signer-name-mismatch",
            Self::SignerUntrusted => "signer-untrusted",
            Self::SignerExpired => "signer-expired",
            Self::SignerNotYetValid => "signer-not-yet-valid",
            Self::SignerConstrained => "signer-constrained",
            Self::SignerKeyUsage => "signer-key-usage",
            Self::SignerRevoked => "signer-revoked",
            Self::SignerKeyUnsuitable => "signer-key-unsuitable",
            Self::SignerTooCostly => "signer-too-costly",
            Self::StapleMissing => "staple-missing",
            Self::StapleMalformed => "staple-malformed",
            Self::StapleUnknown => "staple-unknown",
            Self::StapleStale => "staple-stale",
            Self::StapleNotYetValid => "staple-not-yet-valid",
            Self::StapleNoNextUpdate => "staple-no-next-update",
            Self::StapleBadSignature => "staple-bad-signature",
            Self::StapleResponder => "staple-responder",
            Self::MetadataUnreachable => "metadata-unreachable",
            Self::MetadataTimeout => "metadata-timeout",
            Self::MetadataForbidden => "metadata-forbidden",
            Self::MetadataTokenRefused => "metadata-token-refused",
            Self::MetadataThrottled => "metadata-throttled",
            Self::MetadataMissing => "metadata-missing",
            Self::MetadataMalformed => "metadata-malformed",
            Self::InstanceIdMalformed => "instance-id-malformed",
            Self::RegionMalformed => "region-malformed",
            Self::DomainUnknown => "domain-unknown",
            Self::TrustStoreUnusable => "trust-store-unusable",
            Self::TrustStoreInsecure => "trust-store-insecure",
            Self::SettingsInsecure => "settings-insecure",
            Self::SettingsUnreadable => "settings-unreadable",
            Self::SettingsInvalid => "settings-invalid",
            Self::EnvironmentUnknown => "environment-unknown",
            Self::PrivilegesKept => "privileges-kept",
            Self::AuditUnavailable => "audit-unavailable",
            Self::ProviderInsecure => "provider-insecure",
            Self::ProviderFailed => "provider-failed",
            Self::ProviderTimeout => "provider-timeout",
            Self::ProviderTooLarge => "provider-too-large",
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_log_line() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
