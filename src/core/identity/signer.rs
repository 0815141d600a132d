//! The signer's name and its parts: region and domain.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

use super::MalformedName;

checked_text!(
    /// An AWS region such as `us-east-1`: lower-case words and a number, joined by `-`. A region has no dot, so it
    /// cannot change the domain in the signer's name.
    Region,
    "an AWS region such as us-east-1",
    |text| {
        let Some((words, number)) = text.rsplit_once('-') else { return false };
        text.len() <= 63
            && words.split('-').count() >= 2
            && words.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    }
);

checked_text!(
    /// The domain of an AWS partition's services. This is an allow-list: under any other domain, a public CA could sign
    /// a certificate with a signer name that looks like the service's.
    Domain,
    "the services domain of an AWS partition (amazonaws.com, amazonaws.com.cn, ...)",
    |text| AWS_DOMAINS.contains(&text)
);

checked_text!(
    /// The signer's name. It must be the only common name of the signer's certificate.
    SignerName,
    "a host name of at most 253 letters, digits, dots and hyphens",
    |text| {
        (1..=253).contains(&text.len())
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            })
    }
);

/// The values of the metadata item `services/domain` in the AWS partitions aws and aws-us-gov (both `amazonaws.com`),
/// aws-cn, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f and aws-eusc.
const AWS_DOMAINS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "amazonaws.eu",
];

impl SignerName {
    /// The service's signer for `region`: `managed-ssh-signer.<region>.<domain>`.
    #[must_use]
    pub fn of_service(region: &Region, domain: &Domain) -> Self {
        Self(format!("managed-ssh-signer.{region}.{domain}"))
    }
}

/// The parts of the signer's name that the operator has pinned. Metadata cannot change them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// The region. `None`: from metadata.
    pub region: Option<Region>,
    /// The domain of the partition's services. `None`: from metadata.
    pub domain: Option<Domain>,
}

impl Pins {
    /// Whether neither part is pinned.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.region.is_none() && self.domain.is_none()
    }
}

/// `region us-east-1 and domain amazonaws.com`, or the one of the two that is pinned.
impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.region, &self.domain) {
            (Some(region), Some(domain)) => write!(f, "region {region} and domain {domain}"),
            (Some(region), None) => write!(f, "region {region}"),
            (None, Some(domain)) => write!(f, "domain {domain}"),
            (None, None) => f.write_str("nothing"),
        }
    }
}

impl Region {
    /// The region of an availability zone (`us-east-1a`), a local zone (`us-west-2-lax-1a`) or a wavelength zone
    /// (`us-east-1-wl1-bos-wlz-1`).
    ///
    /// The region ends after its first number. The rest names the zone.
    pub fn of_zone(zone: &str) -> Result<Self, MalformedName> {
        let refuse = || MalformedName::new("an availability zone such as us-east-1a", zone);
        let number = zone.find(|c: char| c.is_ascii_digit()).ok_or_else(refuse)?;
        let (words, rest) = zone.split_at_checked(number).ok_or_else(refuse)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let (digits, tail) = rest.split_at_checked(digits).ok_or_else(refuse)?;
        let tail_is_sound = match tail.strip_prefix('-') {
            Some(local) => {
                !local.is_empty()
                    && local.split('-').all(|part| {
                        !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
                    })
            }
            None => tail.len() == 1 && tail.bytes().all(|b| b.is_ascii_lowercase()),
        };
        if !tail_is_sound {
            return Err(refuse());
        }
        Self::try_from(format!("{words}{digits}").as_str()).map_err(|_| refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<T: for<'a> TryFrom<&'a str>>(text: &str) -> bool {
        T::try_from(text).is_ok()
    }

    #[test]
    fn regions_and_zones() {
        for (zone, region) in [
            ("us-east-1a", "us-east-1"),
            ("us-gov-west-1b", "us-gov-west-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
            ("ap-southeast-12c", "ap-southeast-12"),
            ("eusc-de-east-1a", "eusc-de-east-1"),
        ] {
            assert_eq!(Region::of_zone(zone).unwrap().as_str(), region);
        }
        for bad in [
            "",
            "us-east-1",
            "us-east-1.evil.example",
            "us-east-1a.b",
            "us-east-1A",
            "1a",
            "us-east-1-",
            "us1a",
            "us-east-1-a--b",
        ] {
            assert!(Region::of_zone(bad).is_err(), "{bad:?}");
        }
        for bad in
            ["", "us-east", "us-1", "us-east-1a", "us-east-1.x", "us--east-1", "-us-east-1", "US-east-1"]
        {
            assert!(!accepts::<Region>(bad), "{bad:?}");
        }
    }

    #[test]
    fn domains_are_an_allow_list() {
        assert!(accepts::<Domain>("amazonaws.com") && accepts::<Domain>("amazonaws.eu"));
        for bad in [
            "",
            "amazonaws.com.",
            "amazonaws.com.evil.example",
            "amazonaws.co",
            "evil.amazonaws.com",
            "AMAZONAWS.COM",
        ] {
            assert!(!accepts::<Domain>(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_signer_is_named_after_region_and_domain() {
        let name = SignerName::of_service(&"us-east-1".parse().unwrap(), &"amazonaws.com".parse().unwrap());
        assert_eq!(name.as_str(), "managed-ssh-signer.us-east-1.amazonaws.com");
        assert!(accepts::<SignerName>(name.as_str()));
        for bad in ["", ".", "a..b", "*.example.com", "a b", "-a.example"] {
            assert!(!accepts::<SignerName>(bad), "{bad:?}");
        }
    }
}
