//! The addresses of the metadata service.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use eic_core::text::{MAX_SHOWN, printable};
use reqwest::Url;

/// `http://ADDRESS[:PORT]` of a metadata service.
///
/// The host is an IP address. With a host name, every login would wait for a resolver, and no deadline of the agent
/// limits that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// The text is not a valid endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnEndpoint(String);

impl fmt::Display for NotAnEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected http://ADDRESS[:PORT] with an IP address, got \"{}\"", self.0)
    }
}

impl std::error::Error for NotAnEndpoint {}

impl Endpoint {
    /// The service's own addresses, in the order in which they are tried ("Use IMDS", EC2 User Guide). The second
    /// exists only on Nitro instances, if it is enabled.
    #[must_use]
    pub fn of_service() -> Vec<Self> {
        let v4 = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
        let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
        [v4, v6].into_iter().filter_map(Self::at).collect()
    }

    fn at(address: IpAddr) -> Option<Self> {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        format!("http://{host}").parse().ok()
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.0.port_or_known_default()
    }

    /// The address and port of the service. An endpoint has no host name, so this asks no resolver.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let port = self.port()?;
        let host = self.0.host_str()?;
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Some(SocketAddr::new(literal.parse().ok()?, port))
    }

    /// The URL of `path`. The path begins with a slash.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let refuse = || NotAnEndpoint(printable(text, MAX_SHOWN));
        // An address is ASCII without percent-encoding, so refuse other texts before the URL parser sees them.
        // (`idna_adapter` 1.0 in its version without tables assumes that every upper-case letter is ASCII. Its
        // debug build panics on others.)
        if !text.is_ascii() || text.contains('%') {
            return Err(refuse());
        }
        let url = Url::parse(text).map_err(|_| refuse())?;
        let host = url.host_str().unwrap_or_default();
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let plain = url.scheme() == "http"
            && literal.parse::<IpAddr>().is_ok()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(Self(url)) } else { Err(refuse()) }
    }
}

/// `http://169.254.169.254`, without a trailing slash.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_address_is_tried_first() {
        let shown: Vec<_> = Endpoint::of_service().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["http://169.254.169.254", "http://[fd00:ec2::254]"]);
        let ports: Vec<_> = Endpoint::of_service().iter().map(Endpoint::port).collect();
        assert_eq!(ports, [Some(80), Some(80)]);
        assert_eq!("http://[::1]:8080".parse::<Endpoint>().unwrap().port(), Some(8080));
        let addresses: Vec<_> =
            Endpoint::of_service().iter().map(|endpoint| endpoint.address().unwrap().to_string()).collect();
        assert_eq!(addresses, ["169.254.169.254:80", "[fd00:ec2::254]:80"]);
    }

    #[test]
    fn only_plain_http_to_an_address_is_accepted() {
        for good in
            ["http://127.0.0.1:1338", "http://127.0.0.1:1338/", "http://[::1]:80", "http://169.254.169.254"]
        {
            assert!(good.parse::<Endpoint>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1",
            "https://127.0.0.1",
            "http://localhost",
            "http://metadata.example",
            "http://u@127.0.0.1",
            "http://u:p@127.0.0.1",
            "http://127.0.0.1/x",
            "http://127.0.0.1/?x",
            "http://127.0.0.1/#x",
            "ftp://127.0.0.1",
            "unix:/run/x",
            "http://127.0.0.1:99999",
            "http://A%ac",
            "http://A\u{e9}",
            "http://127.0.0.1%00",
            "http://\u{ff11}27.0.0.1",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
