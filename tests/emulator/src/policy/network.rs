//! Networks of a policy: an address, or an address with the length of a prefix.

use std::net::IpAddr;

/// A network, as the bits of its first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    bits: u128,
    prefix: u32,
    /// 32 or 128.
    length: u32,
}

impl Network {
    /// Reads `192.0.2.0/24`, `192.0.2.1` and the same of IPv6. Bits behind the prefix have no meaning.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let (bits, length) = bits(address.parse().ok()?);
        let prefix = match prefix {
            Some(digits) => {
                let number: u32 = digits.parse().ok()?;
                // Only the usual form: no sign, no leading zero.
                (number <= length && number.to_string() == digits).then_some(number)?
            }
            None => length,
        };
        Some(Self { bits, prefix, length })
    }

    /// Whether an address is in this network.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, length) = bits(address);
        let ignored = self.length - self.prefix;
        // A shift by all 128 bits would overflow. Every address is in such a network.
        let head = |bits: u128| bits.checked_shr(ignored).unwrap_or(0);
        length == self.length && head(bits) == head(self.bits)
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_network_is_checked() {
        for good in ["0.0.0.0/0", "10.0.1.0/31", "10.0.1.7", "::/0", "2001:db8::/32", "::1"] {
            assert!(Network::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "10.0.1.0/33",
            "10.0.1/24",
            "10.0.1.0/",
            "10.0.1.0/024",
            "10.0.1.0/+8",
            "::/129",
            "a/8",
            "1.2.3.4/8/9",
        ] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }

    /// The text of an address in binary.
    fn binary(address: IpAddr) -> String {
        match address {
            IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
            IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
        }
    }

    #[test]
    fn membership_agrees_with_the_binary_texts() {
        let addresses: Vec<IpAddr> = [
            "0.0.0.0",
            "10.0.1.0",
            "10.0.1.1",
            "10.0.1.2",
            "10.128.0.0",
            "127.255.255.255",
            "192.0.2.255",
            "255.255.255.255",
            "::",
            "::1",
            "2001:db8::",
            "2001:db8:8000::1",
            "fd00:ec2::254",
            "ffff:ffff::ffff",
            "::ffff:10.0.1.0",
            "::a00:100",
        ]
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
        for first in &addresses {
            let text = binary(*first);
            for prefix in 0..=text.len() {
                let network = Network::parse(&format!("{first}/{prefix}")).unwrap();
                for address in &addresses {
                    let expected =
                        first.is_ipv4() == address.is_ipv4() && binary(*address).starts_with(&text[..prefix]);
                    assert_eq!(network.contains(*address), expected, "{address} in {first}/{prefix}");
                }
            }
        }
    }
}
