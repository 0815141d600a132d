//! The caller of a request, and what the policies allow.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::{Config, DEFAULT_ACCOUNT, DEFAULT_CALLER};
use crate::http::Request;
use crate::location::{ENDPOINT_ID, partition_of, region_of};
use crate::policy::{Context, Decision, Policy, decide};

/// The kind of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The root user of an account.
    Account,
    /// A session of a role.
    AssumedRole,
    /// A user.
    User,
}

impl Kind {
    /// The value of `aws:PrincipalType`.
    fn principal_type(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::AssumedRole => "AssumedRole",
            Self::User => "User",
        }
    }
}

/// The caller of a request.
pub(crate) struct Caller<'c> {
    config: &'c Config,
    pub(crate) access_key: String,
    pub(crate) arn: String,
    tags: Option<&'c BTreeMap<String, String>>,
    /// `None` if there are no policies. Then the caller may do everything.
    policies: Option<Vec<&'c Policy>>,
}

impl<'c> Caller<'c> {
    /// The caller with an access key: a principal, or else the configured ARN, the user of `AKIAEXAMPLE<NAME>`, or the
    /// default caller.
    pub(crate) fn of(config: &'c Config, access_key: &str) -> Self {
        let mut principals = config.principals.iter();
        let principal = principals.find(|principal| principal.credential.access_key == access_key);
        let arn = principal.map_or_else(|| unverified(config, access_key), |known| known.arn.clone());
        let own = principal.and_then(|principal| principal.policies.as_ref());
        let is_limited = own.is_some() || !config.policies.is_empty();
        let policies = is_limited.then(|| config.policies.iter().chain(own.into_iter().flatten()).collect());
        let tags = principal.map(|principal| &principal.tags);
        Self { config, access_key: access_key.to_owned(), arn, tags, policies }
    }

    pub(crate) fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// The last part of the ARN: the name of the user or of the session.
    pub(crate) fn name(&self) -> &str {
        self.resource().rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.resource() {
            "root" => Kind::Account,
            resource if resource.starts_with("assumed-role/") => Kind::AssumedRole,
            _ => Kind::User,
        }
    }

    fn resource(&self) -> &str {
        self.arn.splitn(6, ':').nth(5).unwrap_or_default()
    }

    /// Whether the caller is of another account than the instance. Nothing is shared between accounts.
    pub(crate) fn is_foreign(&self) -> bool {
        self.account() != self.config.account
    }

    /// Whether the policies allow an operation. `resource` is an ARN, or `None` for an operation without resources, and
    /// `context` has the keys of the operation. An error is the message of AWS (IAM User Guide, "Troubleshoot access
    /// denied error messages"; public logs show both forms for SendSSHPublicKey).
    pub(crate) fn authorize(
        &self,
        request: &Request,
        action: &str,
        resource: Option<&str>,
        context: Context,
    ) -> Result<(), String> {
        let Some(policies) = &self.policies else { return Ok(()) };
        let context = self.with_own_keys(context, request);
        let decision = decide(policies.iter().copied(), action, resource.unwrap_or("*"), &context);
        let reason = match decision {
            Decision::Allowed => return Ok(()),
            Decision::NotAllowed => format!(" because no identity-based policy allows the {action} action"),
            Decision::Denied => " with an explicit deny in an identity-based policy".to_owned(),
        };
        let resource = resource.map(|arn| format!(" on resource: {arn}")).unwrap_or_default();
        Err(format!("User: {} is not authorized to perform: {action}{resource}{reason}", self.arn))
    }

    /// The ARN of an instance in the caller's account.
    pub(crate) fn instance_arn(&self, id: &str) -> String {
        resource_arn(self.config, self.account(), &format!("instance/{id}"))
    }

    /// Adds the keys that each request has.
    fn with_own_keys(&self, context: Context, request: &Request) -> Context {
        let kind = self.kind();
        let mut context = context
            .with("aws:PrincipalAccount", self.account())
            .with("aws:PrincipalArn", &self.principal_arn())
            .with("aws:PrincipalType", kind.principal_type())
            .with("aws:RequestedRegion", &region_of(&self.config.zone))
            // The APIs of AWS have TLS. The emulator's need none on loopback.
            .with("aws:SecureTransport", "true")
            .with("aws:SourceIp", &self.config.source_ip.to_string())
            .with("aws:ViaAWSService", "false");
        if let Some(agent) = request.header("user-agent") {
            context = context.with("aws:UserAgent", agent);
        }
        if kind == Kind::User {
            context = context.with("aws:username", self.name());
        }
        let tags = self.tags.into_iter().flatten();
        tags.fold(context, |context, (key, value)| context.with(&format!("aws:PrincipalTag/{key}"), value))
    }

    /// The ARN for policies. That of a session is the ARN of its role.
    fn principal_arn(&self) -> String {
        let mut parts = self.arn.split(':').skip(1);
        let role = self.resource().strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next());
        match (parts.next(), role) {
            (Some(partition), Some(role)) => format!("arn:{partition}:iam::{}:role/{role}", self.account()),
            _ => self.arn.clone(),
        }
    }
}

/// The caller's ARN if there are no principals.
fn unverified(config: &Config, access_key: &str) -> String {
    if let Some(arn) = config.callers.get(access_key) {
        return arn.clone();
    }
    match access_key.strip_prefix("AKIAEXAMPLE") {
        Some(name) if !name.is_empty() => {
            format!("arn:aws:iam::{}:user/{}", config.account, name.to_ascii_lowercase())
        }
        _ => DEFAULT_CALLER.replace(DEFAULT_ACCOUNT, &config.account),
    }
}

/// The ARN of the endpoint.
pub(crate) fn endpoint_arn(config: &Config) -> String {
    resource_arn(config, &config.account, &format!("instance-connect-endpoint/{ENDPOINT_ID}"))
}

fn resource_arn(config: &Config, account: &str, resource: &str) -> String {
    let region = region_of(&config.zone);
    let partition = partition_of(&region, &config.domain);
    format!("arn:{partition}:ec2:{region}:{account}:{resource}")
}

/// The keys of the tags of a resource.
pub(crate) fn with_tags(context: Context, tags: &BTreeMap<String, String>) -> Context {
    tags.iter().fold(context, |context, (key, value)| {
        context.with(&format!("aws:ResourceTag/{key}"), value).with(&format!("ec2:ResourceTag/{key}"), value)
    })
}

/// The keys of a tunnel.
pub(crate) fn tunnel_context(config: &Config, address: IpAddr, port: u16, seconds: u64) -> Context {
    with_tags(Context::default(), &config.endpoint_tags)
        .with("ec2-instance-connect:privateIpAddress", &address.to_string())
        .with("ec2-instance-connect:remotePort", &port.to_string())
        .with("ec2-instance-connect:maxTunnelDuration", &seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Principal;
    use crate::sigv4::Credential;

    #[test]
    fn access_key_determines_the_caller() {
        let mut config = Config::default();
        let caller = |config: &Config, key: &str| Caller::of(config, key).arn;
        assert_eq!(caller(&config, "AKIAEXAMPLEALICE"), "arn:aws:iam::123456789012:user/alice");
        assert_eq!(caller(&config, "ASIAOTHER"), DEFAULT_CALLER);
        config.callers.insert("AKIAEXAMPLEALICE".to_owned(), "arn:x".to_owned());
        assert_eq!(caller(&config, "AKIAEXAMPLEALICE"), "arn:x");
        config.account = "210987654321".to_owned();
        assert_eq!(caller(&config, "AKIAEXAMPLEBOB"), "arn:aws:iam::210987654321:user/bob");
        assert!(!Caller::of(&config, "ASIAOTHER").is_foreign());
    }

    #[test]
    fn keys_of_a_request_follow_from_the_caller() {
        let policy = |key: &str, value: &str| {
            let operator = if value == "none" { ("Null", "true") } else { ("StringEquals", value) };
            let statement = format!(
                r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{"{}": {{"{key}": "{}"}}}}}}"#,
                operator.0, operator.1
            );
            Policy::parse(&format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)).unwrap()
        };
        for (arn, key, value) in [
            ("arn:aws:iam::123456789012:user/team/alice", "aws:username", "alice"),
            ("arn:aws:iam::123456789012:user/team/alice", "aws:PrincipalType", "User"),
            (
                "arn:aws:iam::123456789012:user/team/alice",
                "aws:PrincipalArn",
                "arn:aws:iam::123456789012:user/team/alice",
            ),
            ("arn:aws:iam::123456789012:user/alice", "aws:PrincipalAccount", "123456789012"),
            ("arn:aws:iam::123456789012:user/alice", "aws:PrincipalTag/Team", "red"),
            ("arn:aws:iam::123456789012:user/alice", "aws:SourceIp", "203.0.113.5"),
            ("arn:aws:iam::123456789012:user/alice", "aws:RequestedRegion", "us-east-1"),
            ("arn:aws:iam::123456789012:user/alice", "aws:UserAgent", "test"),
            ("arn:aws:iam::123456789012:user/alice", "aws:MultiFactorAuthPresent", "none"),
            (
                "arn:aws:sts::123456789012:assumed-role/Admin/me",
                "aws:PrincipalArn",
                "arn:aws:iam::123456789012:role/Admin",
            ),
            ("arn:aws:sts::123456789012:assumed-role/Admin/me", "aws:PrincipalType", "AssumedRole"),
            ("arn:aws:sts::123456789012:assumed-role/Admin/me", "aws:username", "none"),
            ("arn:aws:iam::123456789012:root", "aws:PrincipalType", "Account"),
            ("arn:aws:iam::123456789012:root", "aws:username", "none"),
        ] {
            let credential = Credential {
                access_key: "AKIA1".to_owned(),
                secret_key: String::new(),
                session_token: None,
                expires: None,
            };
            let mut principal = Principal::new(credential, arn);
            principal.tags.insert("team".to_owned(), "red".to_owned());
            principal.policies = Some(vec![policy(key, value)]);
            let config = Config { principals: vec![principal], ..Config::default() };
            let headers = vec![("User-Agent".to_owned(), "test".to_owned())];
            let request = Request { headers, ..Request::default() };
            let caller = Caller::of(&config, "AKIA1");
            let answer = caller.authorize(&request, "ec2:DescribeInstances", None, Context::default());
            assert_eq!(answer, Ok(()), "{arn} {key} {value}");
        }
    }

    #[test]
    fn policies_of_all_and_of_one_principal_add_up() {
        let policy = |effect: &str, action: &str| {
            let statement = format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "*"}}"#);
            Policy::parse(&format!(r#"{{"Statement": {statement}}}"#)).unwrap()
        };
        let (all, none) = (policy("Allow", "*"), policy("Deny", "ec2:DescribeInstances"));
        let action = "ec2:DescribeInstances";
        let allowed = |of_all: &[&Policy], own: Option<&[&Policy]>| {
            let credential = crate::credentials::find(&[], "AKIA1", None).unwrap();
            let mut principal = Principal::new(credential, "arn:aws:iam::123456789012:user/alice");
            principal.policies = own.map(|own| own.iter().copied().cloned().collect());
            let policies = of_all.iter().copied().cloned().collect();
            let config = Config { principals: vec![principal], policies, ..Config::default() };
            Caller::of(&config, "AKIA1").authorize(&Request::default(), action, None, Context::default())
        };
        let user =
            "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: ec2:DescribeInstances";
        let implicit =
            Err(format!("{user} because no identity-based policy allows the ec2:DescribeInstances action"));
        let explicit = Err(format!("{user} with an explicit deny in an identity-based policy"));
        assert_eq!(allowed(&[], None), Ok(()));
        assert_eq!(allowed(&[], Some(&[])), implicit);
        assert_eq!(allowed(&[&all], Some(&[])), Ok(()));
        assert_eq!(allowed(&[&policy("Allow", "ec2:*")], None), Ok(()));
        assert_eq!(allowed(&[&policy("Allow", "s3:*")], None), implicit);
        assert_eq!(allowed(&[&all], Some(&[&none])), explicit);
        assert_eq!(allowed(&[&none], Some(&[&all])), explicit);
    }
}
