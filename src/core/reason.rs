//! Reasons for a refusal: one stable name for each cause.

/// A cause of refusal.
///
/// The names are an interface: audit lines, the `verify` command and alerts of operators use them. A published name
/// keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    // --- an entry of the key bundle ---
    /// The entry has no key line.
    NoKey,
    /// The key line is not one OpenSSH public key.
    KeyMalformed,
    /// The key line is longer than the 4,096 characters that the API accepts.
    KeyTooLong,
    /// The key line holds an OpenSSH certificate; a certificate is not a key that can be authorized.
    KeyIsCertificate,
    /// The entry has no instant of expiry.
    NoTimestamp,
    /// The instant of expiry is not in plain decimal Unix seconds.
    TimestampMalformed,
    /// The entry has no instance id.
    NoInstance,
    /// A known `#` field occurs twice in the entry.
    RepeatedField,
    /// The entry has too many `#` lines, or a `#` line or a signature that is too long.
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
    /// The bundle holds more entries than the agent checks.
    TooManyEntries,
    /// A rule of this instance denies the key.
    DeniedByRule,
    /// No rule of this instance matches the key, and the settings then deny it.
    DeniedByDefault,
    /// The rule that decides allows the key at other hours.
    OutsideHours,
    /// The rule that decides has hours, and the local time of its time zone is unknown.
    TimeZoneUnknown,
    /// The rule that decides allows the key only for a shorter time after the push.
    PushTooOld,
    /// The rule that decides has options that this instance's OpenSSH does not know.
    OptionsUnsupported,
    /// The rule that decides allows the key with options whose expiry is in the past.
    OptionsExpired,
    /// The rule that decides has options with a value that the push does not contain.
    OptionValueMissing,
    /// The options for the key's line are longer than sshd reads.
    LineTooLong,

    // --- the signer certificate ---
    /// The bundle holds no certificate that can be read, or is too large.
    SignerMalformed,
    /// The common name or the alternative names of the certificate are not those of this region's signer.
    SignerNameMismatch,
    /// No valid path leads from the certificate to a trust anchor.
    SignerUntrusted,
    /// A certificate of the path has expired.
    SignerExpired,
    /// A certificate of the path is not valid yet.
    SignerNotYetValid,
    /// A name constraint of the path excludes the signer's name.
    SignerConstrained,
    /// The key usage of a certificate of the path does not permit its role in the path.
    SignerKeyUsage,
    /// A certificate of the path is revoked.
    SignerRevoked,
    /// The signer's key is not RSA with an allowed size and exponent.
    SignerKeyUnsuitable,
    /// The check of the certificates and staples would exceed the agent's work budget.
    SignerTooCostly,

    // --- the OCSP staples ---
    /// A certificate of the path has no staple.
    StapleMissing,
    /// The staple cannot be parsed, has a defect, or has dates that contradict each other.
    StapleMalformed,
    /// The staple's status is neither good nor revoked.
    StapleUnknown,
    /// The staple's nextUpdate has passed, or its thisUpdate is too long ago.
    StapleStale,
    /// The staple's thisUpdate is in the future.
    StapleNotYetValid,
    /// The staple has no nextUpdate.
    StapleNoNextUpdate,
    /// The staple's signature does not verify.
    StapleBadSignature,
    /// The staple's signer is not authorized to sign it.
    StapleResponder,

    // --- the run as a whole ---
    /// Nothing answers at the metadata address.
    MetadataUnreachable,
    /// The time limit of the run passed before the evidence was complete.
    MetadataTimeout,
    /// The metadata service is disabled, or refuses this caller.
    MetadataForbidden,
    /// The metadata service refuses a token that it has just issued.
    MetadataTokenRefused,
    /// The metadata service is overloaded or throttles this instance.
    MetadataThrottled,
    /// The metadata service lacks an item that every instance has.
    MetadataMissing,
    /// The metadata service's answer violates the protocol or a size limit.
    MetadataMalformed,
    /// The instance id has an invalid form.
    InstanceIdMalformed,
    /// Neither the region nor the availability zone has a valid form.
    RegionMalformed,
    /// The services domain belongs to no known AWS partition.
    DomainUnknown,
    /// The trust store is absent or unreadable, or has no root that the settings allow.
    TrustStoreUnusable,
    /// A user other than root can write to the trust store, or to a folder above it.
    TrustStoreInsecure,
    /// A user other than root can write to the settings file, or to a folder above it.
    SettingsInsecure,
    /// The settings file cannot be read.
    SettingsUnreadable,
    /// The settings file is invalid, or needs a feature that this instance's OpenSSH lacks.
    SettingsInvalid,
    /// The agent cannot find out whether sshd permits the variables that the settings add to sessions.
    EnvironmentUnknown,
    /// The agent cannot give up its privileges.
    PrivilegesKept,
    /// No log accepted the line about a key, and the settings require that line.
    AuditUnavailable,

    // --- a chained provider ---
    /// A user other than root can write to the provider, or to a folder above it.
    ProviderInsecure,
    /// The provider did not start, or its exit status was not 0.
    ProviderFailed,
    /// The provider did not end within its time limit.
    ProviderTimeout,
    /// The provider's output is longer than the agent reads.
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
        Self::DeniedByDefault,
        Self::OutsideHours,
        Self::TimeZoneUnknown,
        Self::PushTooOld,
        Self::OptionsUnsupported,
        Self::OptionsExpired,
        Self::OptionValueMissing,
        Self::LineTooLong,
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
            Self::DeniedByDefault => "denied-by-default",
            Self::OutsideHours => "outside-hours",
            Self::TimeZoneUnknown => "time-zone-unknown",
            Self::PushTooOld => "push-too-old",
            Self::OptionsUnsupported => "options-unsupported",
            Self::OptionsExpired => "options-expired",
            Self::OptionValueMissing => "option-value-missing",
            Self::LineTooLong => "line-too-long",
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
