//! What the lists of a rule can match: callers of the API, their accounts, login names and key algorithms. If a pattern
//! matches none of them, the error says why, and which pattern would match.

use eic_core::identity::Domain;
use eic_core::policy::Glob;
use eic_core::text::{MAX_SHOWN, printable};

use super::forms::{Form, Set};

/// The AWS partitions, each with the services domain of its instances (botocore, `partitions.json`).
const PARTITIONS: [(&str, &str); 8] = [
    ("aws", "amazonaws.com"),
    ("aws-cn", "amazonaws.com.cn"),
    ("aws-us-gov", "amazonaws.com"),
    ("aws-iso", "c2s.ic.gov"),
    ("aws-iso-b", "sc2s.sgov.gov"),
    ("aws-iso-e", "cloud.adc-e.uk"),
    ("aws-iso-f", "csp.hci.ic.gov"),
    ("aws-eusc", "amazonaws.eu"),
];

/// Key algorithms of OpenSSH without certificates (`ssh -Q key-plain`, myproposal.h).
const ALGORITHMS: [&str; 9] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-xmss@openssh.com",
];

/// Maximum number of alternatives of `{A,B}` that are spelled out.
const MAX_ALTERNATIVES: usize = 8;

/// Why a pattern is a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// As the end of a sentence about the pattern.
    pub(crate) what: String,
    /// Whether nothing at all can match.
    pub(super) is_certain: bool,
}

impl Mistake {
    fn never(why: &str) -> Self {
        Self { what: format!("never matches: {why}"), is_certain: true }
    }
}

/// Words about a pattern that needs a rare character in the path of a user.
const ONLY_RARE: &str = "it matches only users with one of :{}[] in their IAM path";

/// Kinds of ARNs that a pattern can name although no caller with such an ARN matches it.
const KINDS: [&str; 5] = ["role", "assumed-role", "federated-user", "group", "instance-profile"];

/// Whether the principal of any signed key can match. The error says why not, and what would match.
///
/// The service signs the ARN of the caller as STS reports it (`GetCallerIdentity`): of a user, of a session of a role,
/// of a federated user, or of the account's root user. In `arn:aws:iam::*:role/Demo`, the `*` can match
/// `123456789012:user/x`, so that `:role/` is in the path of a user. But the author meant a role, and no role matches.
pub(crate) fn principal(pattern: &Glob, domain: Option<&Domain>) -> Result<(), Mistake> {
    if !can_be_caller(pattern, domain, &any_account()) {
        return Err(Mistake::never(&why_no_caller(pattern, domain)));
    }
    match named_kind(pattern.as_str()) {
        Some(kind) if !is_usual(pattern, domain, &any_account()) => {
            let why = why_no_caller(pattern, domain);
            let what = format!("matches no {}: {ONLY_RARE}; {why}", kind.replace('-', " "));
            Err(Mistake { what, is_certain: false })
        }
        _ => Ok(()),
    }
}

/// Why a pattern that can match is probably a mistake. `None` if it is not, or if [`principal`] reports it.
pub(crate) fn doubt(pattern: &Glob, domain: Option<&Domain>) -> Option<String> {
    if principal(pattern, domain).is_err() || is_usual(pattern, domain, &any_account()) {
        return None;
    }
    let is_set = pattern.as_str().contains(['{', '}', '[', ']']);
    let why = if is_set { format!("; {}", why_no_caller(pattern, domain)) } else { String::new() };
    Some(format!("{ONLY_RARE}{why}"))
}

/// The kind that the pattern names before its first slash. `None` if it names no kind, or a user.
fn named_kind(text: &str) -> Option<&'static str> {
    let (before, _) = text.split_once('/')?;
    let named = before.rsplit(':').next()?;
    KINDS.into_iter().find(|kind| *kind == named)
}

fn any_account() -> Form {
    Form::default().times(Set::Digit, 12)
}

fn why_no_caller(pattern: &Glob, domain: Option<&Domain>) -> String {
    let account = any_account();
    if pattern.as_str().is_empty() {
        return "expected an ARN or a pattern of one, got nothing".to_owned();
    }
    let text = pattern.as_str();
    let is_other_partition =
        !can_be_caller(pattern, domain, &account) && can_be_caller(pattern, None, &account);
    let (why, tries) = if is_other_partition {
        let wanted = domain.map_or("", Domain::as_str);
        let names: Vec<_> =
            PARTITIONS.iter().filter(|(_, of)| *of == wanted).map(|(name, _)| *name).collect();
        (
            format!("instances of the domain {wanted} are in the partition {}", names.join(" or ")),
            names.iter().map(|name| with_partition(text, name)).collect(),
        )
    } else {
        explain(text)
    };
    let is_good = |text: &Glob| {
        is_usual(text, domain, &account) || (is_other_partition && can_be_caller(text, domain, &account))
    };
    let good: Vec<_> = tries.into_iter().filter(|text| is_good(&Glob::new(text))).collect();
    with_advice(&why, &good)
}

/// Whether a caller whose account has this form can match.
pub(super) fn can_be_caller(pattern: &Glob, domain: Option<&Domain>, account: &Form) -> bool {
    is_caller(pattern, domain, account, Set::Path)
}

/// The same for callers without a rare character in their path.
fn is_usual(pattern: &Glob, domain: Option<&Domain>, account: &Form) -> bool {
    is_caller(pattern, domain, account, Set::UsualPath)
}

fn is_caller(pattern: &Glob, domain: Option<&Domain>, account: &Form, path: Set) -> bool {
    let wanted = |(_, of): &&(&str, &str)| domain.is_none_or(|domain| domain.as_str() == *of);
    PARTITIONS.iter().filter(wanted).any(|(partition, _)| {
        let arn = |service: &str| {
            Form::default()
                .text("arn:")
                .text(partition)
                .text(":")
                .text(service)
                .text("::")
                .then(account)
                .text(":")
        };
        [
            arn("sts").text("assumed-role/").some(Set::Name).text("/").some(Set::Name),
            arn("sts").text("federated-user/").some(Set::Name),
            arn("iam").text("user/").some(Set::Name),
            arn("iam").text("user/").some(path).text("/").some(Set::Name),
            arn("iam").text("root"),
        ]
        .iter()
        .any(|form| form.can_match(pattern))
    })
}

/// Why no caller matches, and patterns that were probably meant.
fn explain(text: &str) -> (String, Vec<String>) {
    if text.contains(['{', '}']) {
        return (
            "braces are not alternatives here: write one pattern for each".to_owned(),
            alternatives(text),
        );
    }
    if text.contains(['[', ']']) {
        let why = "brackets are not sets here: ? is one character, * is any number".to_owned();
        return (why, vec![without_brackets(text, "?"), without_brackets(text, "*")]);
    }
    if text.contains(char::is_whitespace) {
        return ("an ARN contains no space".to_owned(), vec![text.replace(char::is_whitespace, "")]);
    }
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        let names = ["assumed-role", "user"].map(|kind| match kind {
            "user" => format!("arn:aws:iam::*:user/{text}"),
            _ => format!("arn:aws:sts::*:assumed-role/{text}/*"),
        });
        let tries = if text.contains([':', '/']) { Vec::new() } else { names.to_vec() };
        return ("expected the ARN of a caller, arn:PARTITION:SERVICE::ACCOUNT:RESOURCE".to_owned(), tries);
    };
    let name = resource.rsplit('/').next().unwrap_or_default();
    let tries =
        |service: &str, resource: &str| vec![format!("{arn}:{partition}:{service}::{account}:{resource}")];
    let has = |kind: &str| resource.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/'));
    if is_never_account(account) {
        return (
            accounts_words(account),
            tries(service, resource).into_iter().map(|text| with_account(&text)).collect(),
        );
    }
    if !PARTITIONS.iter().any(|(known, _)| Glob::new(partition).matches(known)) {
        let known: Vec<_> = PARTITIONS.iter().map(|(name, _)| *name).collect();
        let near = match *partition {
            "aws-gov" | "aws_us_gov" | "aws-usgov" | "gov" => "aws-us-gov",
            "aws_cn" | "cn" | "aws-china" => "aws-cn",
            _ => "aws",
        };
        let why = format!(
            "there is no partition {}: they are {}",
            printable(partition, MAX_SHOWN),
            known.join(", ")
        );
        return (why, vec![with_partition(text, near)]);
    }
    if !region.is_empty() {
        return ("ARNs of callers have no region".to_owned(), tries(service, resource));
    }
    if has("role") {
        let why = "a role pushes keys under the ARN of its session, without the path of the role".to_owned();
        return (why, tries("sts", &format!("assumed-role/{name}/*")));
    }
    if has("assumed-role") {
        let words: Vec<_> = resource.split('/').collect();
        let role = words.iter().rev().nth(1).copied().unwrap_or(name);
        let (why, resource) = match words.as_slice() {
            [_, role] => {
                ("the name of the session follows the role".to_owned(), format!("assumed-role/{role}/*"))
            }
            [_, _, _] => ("assumed roles are of the service sts".to_owned(), (*resource).to_owned()),
            _ => (
                "the path of a role is not part of this ARN".to_owned(),
                format!("assumed-role/{role}/{name}"),
            ),
        };
        return (why, tries("sts", &resource));
    }
    if has("group") {
        return ("a group pushes no keys: name its users".to_owned(), Vec::new());
    }
    if has("instance-profile") {
        return ("an instance profile pushes no keys: name its role".to_owned(), Vec::new());
    }
    let service = if has("user") || *resource == "root" { "iam" } else { "sts" };
    (
        "expected user/NAME or root of iam, or assumed-role/ROLE/SESSION or federated-user/NAME of sts"
            .to_owned(),
        tries(service, resource),
    )
}

fn with_partition(text: &str, partition: &str) -> String {
    let mut parts: Vec<_> = text.splitn(3, ':').collect();
    if let Some(second) = parts.get_mut(1) {
        *second = partition;
    }
    parts.join(":")
}

/// Adds leading zeros to the account: YAML and spreadsheets remove them.
fn with_account(text: &str) -> String {
    let mut parts: Vec<_> = text.splitn(6, ':').map(str::to_owned).collect();
    if let Some(account) = parts.get_mut(4) {
        *account = format!("{account:0>12}");
    }
    parts.join(":")
}

/// Expands `x{A,B}y` to `xAy` and `xBy`. Expands only the first pair of braces.
fn alternatives(text: &str) -> Vec<String> {
    let Some((before, (inner, after))) =
        text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return Vec::new();
    };
    inner.split(',').take(MAX_ALTERNATIVES).map(|one| format!("{before}{}{after}", one.trim())).collect()
}

fn without_brackets(text: &str, by: &str) -> String {
    let mut result = String::new();
    let mut is_in_brackets = false;
    for c in text.chars() {
        match c {
            '[' if !is_in_brackets => is_in_brackets = true,
            ']' if is_in_brackets => {
                is_in_brackets = false;
                result.push_str(by);
            }
            _ if is_in_brackets => {}
            c => result.push(c),
        }
    }
    result.replace("**", "*").replace("?*", "*")
}

fn with_advice(why: &str, good: &[String]) -> String {
    let good: Vec<_> = good.iter().map(|text| format!("\"{}\"", printable(text, 2048))).collect();
    if good.is_empty() { why.to_owned() } else { format!("{why}; expected {}", good.join(", ")) }
}

fn is_never_account(pattern: &str) -> bool {
    !Form::default().times(Set::Digit, 12).can_match(&Glob::new(pattern))
}

fn accounts_words(pattern: &str) -> String {
    let digits = pattern.chars().filter(char::is_ascii_digit).count();
    if digits == pattern.len() {
        format!("an account id has twelve digits, this has {digits}")
    } else {
        "an account id has twelve digits".to_owned()
    }
}

/// Whether any account matches.
pub(super) fn account(pattern: &Glob) -> Result<(), Mistake> {
    let text = pattern.as_str();
    if !is_never_account(text) {
        return Ok(());
    }
    let is_short = (9..12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let good: Vec<_> = is_short.then(|| format!("{text:0>12}")).into_iter().collect();
    Err(Mistake::never(&with_advice(&accounts_words(text), &good)))
}

/// Whether a key can be pushed for any login name that matches (EC2 Instance Connect API reference, `InstanceOSUser`:
/// `^[A-Za-z_][A-Za-z0-9\@\._-]{0,30}[A-Za-z0-9\$_-]?$`).
pub(super) fn user(pattern: &Glob) -> Result<(), Mistake> {
    let form = Form::default().times(Set::UserFirst, 1).up_to(Set::User, 30).up_to(Set::UserLast, 1);
    if form.can_match(pattern) {
        return Ok(());
    }
    Err(Mistake::never(
        "no key can be pushed for such a login name: a name begins with a letter or _, and has at most 32 characters",
    ))
}

/// Whether any key algorithm matches.
pub(crate) fn key_type(pattern: &Glob) -> Result<(), Mistake> {
    if ALGORITHMS.iter().any(|known| pattern.matches(known)) {
        return Ok(());
    }
    let text = pattern.as_str();
    if text.contains("-cert-v0") {
        return Err(Mistake::never("a certificate cannot be pushed"));
    }
    let core = text.split('@').next().unwrap_or_default().trim_end_matches('*');
    let near: Vec<_> = ALGORITHMS
        .iter()
        .filter(|known| known.starts_with(core) || core.split('-').all(|part| known.contains(part)))
        .map(|known| (*known).to_owned())
        .collect();
    Err(Mistake::never(&with_advice("OpenSSH has no such key algorithm", &near)))
}
