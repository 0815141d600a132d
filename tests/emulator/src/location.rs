//! The region, the partition and the names of the signer and of the endpoint, from the availability zone and the
//! services' domain.

/// The region of a zone: the name up to and including the first number. This also covers local and wavelength zones.
pub fn region_of(zone: &str) -> String {
    let mut region = Vec::new();
    for part in zone.split('-') {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            region.push(&part[..digits]);
            break;
        }
        region.push(part);
    }
    region.join("-")
}

/// The partition's name, as in the metadata item `services/partition`.
pub fn partition_of(region: &str, domain: &str) -> &'static str {
    match domain {
        "amazonaws.com.cn" => "aws-cn",
        "c2s.ic.gov" => "aws-iso",
        "sc2s.sgov.gov" => "aws-iso-b",
        "cloud.adc-e.uk" => "aws-iso-e",
        "csp.hci.ic.gov" => "aws-iso-f",
        "amazonaws.eu" => "aws-eusc",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The common name of the region's signer.
pub fn signer_name(region: &str, domain: &str) -> String {
    format!("managed-ssh-signer.{region}.{domain}")
}

/// The ID of the EC2 Instance Connect Endpoint.
pub const ENDPOINT_ID: &str = "eice-0123456789abcdef0";

/// The endpoint's DNS name. The domain `test` never exists in DNS (RFC 6761, 6.2), so a client cannot reach another
/// server by mistake.
pub fn endpoint_name(region: &str) -> String {
    format!("{ENDPOINT_ID}.ec2-instance-connect-endpoint.{region}.test")
}

/// The endpoint's DNS name for clients that use FIPS endpoints.
pub fn fips_endpoint_name(region: &str) -> String {
    format!("{ENDPOINT_ID}.fips.ec2-instance-connect-endpoint.{region}.test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_follows_from_every_kind_of_zone() {
        for (zone, region) in [
            ("us-east-1a", "us-east-1"),
            ("us-gov-west-1b", "us-gov-west-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
            ("ap-southeast-12c", "ap-southeast-12"),
        ] {
            assert_eq!(region_of(zone), region);
        }
    }
}
