//! A credentials file: AWS's shared credentials file, with the emulator's own settings. AWS's clients ignore those, so
//! the same file serves both sides (AWS SDKs and Tools Reference Guide, "Shared config and credentials files").

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Principal, read_tag, unique_tags};
use crate::calendar::{from_basic, rfc3339};
use crate::policy::Policy;
use crate::sigv4::Credential;

/// The longest file, in bytes.
const LONGEST: u64 = 256 * 1024;
/// The most principals.
const PRINCIPALS: usize = 1000;
/// The most policies of a principal. IAM allows 10 and, on request, 20.
const POLICIES: usize = 20;

/// The settings of a section. AWS's clients also read `region` and `output` here, which are theirs alone.
const SETTINGS: [&str; 9] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "region",
    "output",
    "eic_arn",
    "eic_expires",
    "eic_policies",
    "eic_tags",
];

/// Reads the principals of a file. `owner` is the start of the ARN of a user without `eic_arn`. Policies are files,
/// relative to the folder of this file. An error names the line, but no value of a secret.
pub fn read_credentials(path: &Path, owner: &str) -> io::Result<Vec<Principal>> {
    let failed = |fault: String| failed(path, &fault);
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut access_keys = BTreeSet::new();
    let mut principals = Vec::new();
    for section in sections(&text).map_err(failed)? {
        let read = |path: &str| Policy::read(&folder.join(path)).map_err(|error| error.to_string());
        let principal = principal(&section, owner, read).map_err(|fault| failed(section.fault(&fault)))?;
        if !access_keys.insert(principal.credential.access_key.clone()) {
            return Err(failed(section.fault("its access key occurs twice")));
        }
        principals.push(principal);
    }
    Ok(principals)
}

/// Reads the credential of one section. Without a name, it is the section `default`, or the only one.
pub fn read_credential(path: &Path, name: Option<&str>) -> io::Result<Credential> {
    let failed = |fault: String| failed(path, &fault);
    let text = read_text(path)?;
    let sections = sections(&text).map_err(failed)?;
    let wanted = name.unwrap_or("default");
    let found = match (sections.iter().find(|section| section.name == wanted), sections.as_slice()) {
        (Some(section), _) => Some(section),
        (None, [only]) if name.is_none() => Some(only),
        _ => None,
    };
    let section = found.ok_or_else(|| {
        let names: Vec<_> = sections.iter().map(|section| section.name).collect();
        failed(format!("has no section [{wanted}], but {}", names.join(", ")))
    })?;
    credential(section).map_err(|fault| failed(section.fault(&fault)))
}

fn failed(path: &Path, fault: &str) -> io::Error {
    io::Error::other(format!("credentials file {}: {fault}", path.display()))
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = File::open(path).map_err(|error| failed(path, &error.to_string()))?;
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| failed(path, &error.to_string()))?;
    if text.len() > usize::try_from(LONGEST).unwrap_or(usize::MAX) {
        return Err(failed(path, &format!("is longer than {LONGEST} bytes")));
    }
    Ok(text)
}

struct Section<'t> {
    name: &'t str,
    line: usize,
    settings: BTreeMap<&'t str, &'t str>,
}

impl<'t> Section<'t> {
    fn setting(&self, name: &str) -> Option<&'t str> {
        self.settings.get(name).copied()
    }

    fn required(&self, name: &str) -> Result<&'t str, String> {
        self.setting(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is missing"))
    }

    fn fault(&self, fault: &str) -> String {
        format!("line {}: [{}]: {fault}", self.line, self.name)
    }
}

fn sections(text: &str) -> Result<Vec<Section<'_>>, String> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_end()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if line.starts_with([' ', '\t']) {
            return Err(format!("line {number}: an indented line has no meaning here"));
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').filter(|name| is_name(name));
            let name = name.ok_or_else(|| format!("line {number}: expected [NAME]"))?;
            if sections.iter().any(|section| section.name == name) {
                return Err(format!("line {number}: the section [{name}] occurs twice"));
            }
            sections.push(Section { name, line: number, settings: BTreeMap::new() });
            continue;
        }
        let section = sections.last_mut().ok_or_else(|| format!("line {number}: expected [NAME] first"))?;
        let (setting, value) =
            line.split_once('=').ok_or_else(|| format!("line {number}: expected SETTING = VALUE"))?;
        let setting = setting.trim_end();
        let known = SETTINGS.iter().find(|known| **known == setting);
        let known = known.ok_or_else(|| format!("line {number}: the emulator has no such setting"))?;
        if section.settings.insert(known, value.trim()).is_some() {
            return Err(format!("line {number}: {known} occurs twice"));
        }
    }
    if sections.is_empty() || sections.len() > PRINCIPALS {
        return Err(format!("has {} sections, not 1 to {PRINCIPALS}", sections.len()));
    }
    Ok(sections)
}

/// The name of an IAM user (IAM API Reference, `CreateUser`).
fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(is_good)
}

fn credential(section: &Section<'_>) -> Result<Credential, String> {
    let access_key = section.required("aws_access_key_id")?;
    if access_key.len() > 128 || !access_key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err("aws_access_key_id is not an access key".to_owned());
    }
    let expires = section.setting("eic_expires").map(|text| {
        let instant = from_basic(&text.replace(['-', ':'], ""));
        let is_written_so = |instant: &i64| rfc3339(*instant).replace(".000Z", "Z") == text;
        instant.filter(is_written_so).ok_or("eic_expires has not the form 2026-01-31T12:00:00Z")
    });
    Ok(Credential {
        access_key: access_key.to_owned(),
        secret_key: section.required("aws_secret_access_key")?.to_owned(),
        session_token: section
            .setting("aws_session_token")
            .filter(|token| !token.is_empty())
            .map(str::to_owned),
        expires: expires.transpose()?,
    })
}

fn principal(
    section: &Section<'_>,
    owner: &str,
    read: impl Fn(&str) -> Result<Policy, String>,
) -> Result<Principal, String> {
    let credential = credential(section)?;
    let arn =
        section.setting("eic_arn").map_or_else(|| format!("{owner}:user/{}", section.name), str::to_owned);
    if !is_arn(&arn) {
        return Err(
            "eic_arn is not the ARN of a user, of the root user, or of a session of a role".to_owned()
        );
    }
    let list = |name: &str| -> Option<Vec<&str>> {
        let parts = section.setting(name)?.split(',').map(str::trim);
        Some(parts.filter(|part| !part.is_empty()).collect())
    };
    let tags = list("eic_tags").unwrap_or_default().into_iter().map(read_tag).collect::<Result<_, _>>();
    let tags = tags.and_then(unique_tags).map_err(|fault| format!("eic_tags: {fault}"))?;
    let policies = list("eic_policies");
    if policies.as_ref().is_some_and(|policies| policies.len() > POLICIES) {
        return Err(format!("eic_policies has more than {POLICIES} policies"));
    }
    let policies = policies.map(|policies| policies.into_iter().map(read).collect::<Result<_, _>>());
    let name = section.name.to_owned();
    Ok(Principal { name, credential, arn, tags, policies: policies.transpose()? })
}

/// `arn:aws:iam::123456789012:user/NAME`, `…:root`, or `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION`.
fn is_arn(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts.as_slice() else { return false };
    let has_parts = |count| resource.split('/').count() == count && !resource.ends_with('/');
    let is_resource = match *service {
        "iam" => *resource == "root" || resource.starts_with("user/") && !resource.ends_with('/'),
        "sts" => resource.starts_with("assumed-role/") && has_parts(3),
        _ => false,
    };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    // The ARN is a line of the pushed entry.
    let is_text = arn.len() <= 512 && arn.chars().all(|c| c.is_ascii_graphic());
    partition.starts_with("aws") && is_account && is_resource && is_text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::TempDir;

    const OWNER: &str = "arn:aws:iam::123456789012";
    const KEYS: &str = "aws_access_key_id = AKIA1\naws_secret_access_key = s3cr3t/=+[x\n";

    fn read(text: &str) -> Result<Vec<Principal>, String> {
        let folder = TempDir::new("eic-credentials").unwrap();
        let allow = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
        std::fs::write(folder.path().join("all.json"), allow).unwrap();
        std::fs::write(folder.path().join("bad.json"), allow.replace("Allow", "allow")).unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, text).unwrap();
        read_credentials(&file, OWNER).map_err(|error| error.to_string())
    }

    #[test]
    fn section_is_a_principal() {
        let text = format!(
            "# of a test\n[default]\r\n{KEYS}region = us-east-1\n\n[bob@example.com]\n; comment\n\
             aws_access_key_id=ASIA2\naws_secret_access_key=b\naws_session_token = a=b==\n\
             eic_arn = arn:aws:sts::210987654321:assumed-role/Admin/bob\neic_expires = 2026-01-31T12:00:00Z\n\
             eic_policies = all.json, all.json\neic_tags = team = red, a=b=c\n\n[nobody]\n{}eic_policies =\n",
            KEYS.replace("AKIA1", "AKIA3")
        );
        let [default, bob, nobody] = <[Principal; 3]>::try_from(read(&text).unwrap()).unwrap();
        assert_eq!(
            (default.name.as_str(), default.arn.as_str()),
            ("default", "arn:aws:iam::123456789012:user/default")
        );
        assert_eq!(default.credential.secret_key, "s3cr3t/=+[x");
        assert!(default.policies.is_none() && default.credential.session_token.is_none());
        assert_eq!(bob.arn, "arn:aws:sts::210987654321:assumed-role/Admin/bob");
        assert_eq!(bob.credential.session_token.as_deref(), Some("a=b=="));
        assert_eq!(bob.credential.expires, Some(1_769_860_800));
        assert_eq!(bob.tags, BTreeMap::from([("team".into(), "red".into()), ("a".into(), "b=c".into())]));
        assert_eq!(bob.policies.map(|policies| policies.len()), Some(2));
        assert_eq!(nobody.policies.map(|policies| policies.len()), Some(0));
    }

    #[test]
    fn fault_is_named_without_a_secret() {
        let with = |line: &str| format!("[a]\n{KEYS}{line}\n");
        let of = |number: usize| format!("[u{number}]\n{}", KEYS.replace("AKIA1", &format!("AKIA{number}")));
        for (text, words) in [
            (String::new(), "has 0 sections"),
            ((0..1001).map(of).collect(), "has 1001 sections"),
            ("#".repeat(262_145), "longer than 262144 bytes"),
            (KEYS.to_owned(), "line 1: expected [NAME] first"),
            ("[a b]\n".to_owned(), "line 1: expected [NAME]"),
            ("[profile a]\n".to_owned(), "line 1: expected [NAME]"),
            ("[a\n".to_owned(), "line 1: expected [NAME]"),
            (with("s3cr3t"), "line 4: expected SETTING = VALUE"),
            (with("s3cr3t = 1"), "line 4: the emulator has no such setting"),
            (with("role_arn = a"), "line 4: the emulator has no such setting"),
            (with("  region = a"), "line 4: an indented line"),
            (with("aws_access_key_id = a"), "line 4: aws_access_key_id occurs twice"),
            (with("[a]"), "line 4: the section [a] occurs twice"),
            (with("[b]\naws_access_key_id = b"), "line 4: [b]: aws_secret_access_key is missing"),
            (with(&format!("[b]\n{KEYS}")), "line 4: [b]: its access key occurs twice"),
            (with("eic_expires = 2026-01-31"), "eic_expires"),
            (with("eic_expires = 20260131T120000Z"), "eic_expires"),
            (with("eic_arn = arn:aws:iam::1:user/a"), "eic_arn"),
            (with("eic_arn = arn:aws:iam::123456789012:role/a"), "eic_arn"),
            (with("eic_arn = arn:aws:sts::123456789012:assumed-role/a"), "eic_arn"),
            (with("eic_tags = a"), "eic_tags"),
            (with("eic_tags = =a"), "eic_tags"),
            (with("eic_tags = team=red, Team=blue"), "eic_tags: the key Team occurs twice"),
            (with("eic_policies = none.json"), "none.json"),
            (with("eic_policies = bad.json"), "Statement[0].Effect"),
            (with(&format!("eic_policies = {}", "all.json,".repeat(21))), "more than 20"),
        ] {
            let fault = read(&text).unwrap_err();
            assert!(fault.contains(words) && fault.contains("credentials file"), "{text:.200}: {fault}");
            assert!(!fault.contains("s3cr3t"), "{fault}");
        }
        let folder = TempDir::new("eic-credentials").unwrap();
        let file = folder.path().join("credentials");
        let mut binary = b"[a]\naws_access_key_id = ".to_vec();
        binary.push(0xff);
        std::fs::write(&file, binary).unwrap();
        assert!(read_credentials(&file, OWNER).is_err());
        assert!(read_credentials(&folder.path().join("none"), OWNER).is_err());
    }

    #[test]
    fn credential_of_one_section_needs_no_policy() {
        let folder = TempDir::new("eic-credentials").unwrap();
        let file = folder.path().join("credentials");
        let mut text = format!("[bob]\n{KEYS}eic_policies = none.json\n");
        let access_key = |text: &str, name| {
            std::fs::write(&file, text).unwrap();
            read_credential(&file, name).map(|found| found.access_key).map_err(|error| error.to_string())
        };
        assert_eq!(access_key(&text, None), Ok("AKIA1".to_owned()));
        text.push_str("[default]\n");
        text.push_str(&KEYS.replace("AKIA1", "AKIA2"));
        assert_eq!(access_key(&text, None), Ok("AKIA2".to_owned()));
        assert_eq!(access_key(&text, Some("bob")), Ok("AKIA1".to_owned()));
        let unknown = access_key(&text, Some("eve")).unwrap_err();
        assert!(unknown.ends_with("has no section [eve], but bob, default"), "{unknown}");
        let unclear = access_key(&text.replace("default", "alice"), None).unwrap_err();
        assert!(unclear.ends_with("has no section [default], but bob, alice"), "{unclear}");
    }
}
