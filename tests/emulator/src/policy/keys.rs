//! The condition keys and the operations that the emulator knows.

/// The operations that the emulator has.
pub(super) const ACTIONS: [&str; 5] = [
    "ec2-instance-connect:SendSSHPublicKey",
    "ec2-instance-connect:OpenTunnel",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceConnectEndpoints",
    "cloudtrail:LookupEvents",
];

/// Keys that a request can have (Service Authorization Reference, "Amazon EC2 Instance Connect"; IAM User Guide, "AWS
/// global condition context keys").
const KNOWN: [&str; 13] = [
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:SecureTransport",
    "aws:SourceIp",
    "aws:UserAgent",
    "aws:username",
    "aws:ViaAWSService",
    "ec2:osuser",
    "ec2-instance-connect:maxTunnelDuration",
    "ec2-instance-connect:privateIpAddress",
    "ec2-instance-connect:remotePort",
];

/// Keys of which the emulator knows that its requests do not have them: they come from the internet, with an access
/// key, to an account outside an organization, and without a second factor.
const ABSENT: [&str; 8] = [
    "aws:CalledVia",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:VpcSourceIp",
];

/// The beginnings of keys that end with the key of a tag.
const TAGS: [&str; 3] = ["aws:PrincipalTag/", "aws:ResourceTag/", "ec2:ResourceTag/"];

/// Whether the emulator knows the value of a condition key, or knows that a request does not have it. The case of a key
/// has no meaning.
pub(super) fn is_known(key: &str) -> bool {
    let is_tag = |start: &&str| {
        key.len() > start.len() && key.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start))
    };
    KNOWN.iter().chain(&ABSENT).any(|own| own.eq_ignore_ascii_case(key)) || TAGS.iter().any(is_tag)
}
