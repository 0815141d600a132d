//! Which keys sshd accepts for this login: `public-keys`, `auth-tries`, `key-types` and `revoked-keys`.

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::pattern_list;

use super::check::{Check, PUBLIC_KEYS};
use super::pushed_key::PushedKey;
use super::revoked_keys::{REVOKED, revoked_keys};
use super::sshd::{Sshd, SshdUnavailable};
use crate::sshd_setup::shown_reload;

const KEYS: &str = "a pushed key is a public key; sshd must accept public keys, and require nothing else";
const TRIES: &str =
    "sshd counts each key that it refuses, and a client may offer the keys of its agent first";
const TYPES: &str = "sshd never runs the command for a key whose algorithm it does not accept";

/// The keyword since OpenSSH 8.5, and the older one.
const ACCEPTED: [Keyword; 2] = [Keyword::PubkeyAcceptedAlgorithms, Keyword::PubkeyAcceptedKeyTypes];

/// Algorithms of the key types that EC2 Instance Connect accepts (SendSSHPublicKey, "Supported key types").
const USUAL: [&str; 2] = ["ssh-ed25519", "ssh-rsa"];

/// Maximum number of algorithms of pushed keys that are checked. sshd is queried about each, and a fake metadata
/// service could name many.
const MAX_KINDS: usize = 8;

/// sshd's default of `MaxAuthTries`.
const USUAL_TRIES: u32 = 6;

/// Length of the shortest RSA key that clients push, in bits.
const RSA_BITS: usize = 2048;

/// All checks of this file. `pushed` has the keys that are pushed now, if known.
pub(super) fn checks(sshd: &Result<Sshd, SshdUnavailable>, pushed: &[PushedKey]) -> Vec<Check> {
    match sshd {
        Ok(sshd) => {
            vec![public_keys(sshd), auth_tries(sshd), key_types(sshd, pushed), revoked_keys(sshd, pushed)]
        }
        Err(blind) => vec![
            blind.skipped(PUBLIC_KEYS, KEYS),
            blind.skipped("auth-tries", TRIES),
            blind.skipped("key-types", TYPES),
            blind.skipped("revoked-keys", REVOKED),
        ],
    }
}

fn public_keys(sshd: &Sshd) -> Check {
    const ID: &str = PUBLIC_KEYS;
    const TAKES: Keyword = Keyword::PubkeyAuthentication;
    const METHODS: Keyword = Keyword::AuthenticationMethods;
    let reload = shown_reload(&sshd.machine);
    if sshd.running.value(TAKES) == Some("no") {
        let place = sshd.place(TAKES, "no");
        let seen = format!("PubkeyAuthentication is no{place}");
        let fix = sshd.offer(TAKES, "yes").map_or_else(
            || format!("remove that line, then: {reload}"),
            |offer| format!("set {offer} there, then: {reload}"),
        );
        return Check::fail(ID, KEYS, seen, fix);
    }
    // Space-separated lists of methods. One list is enough for a login. `any` if none is set.
    let value = sshd.running.value(METHODS).unwrap_or("any");
    let methods = |list: &str| -> Vec<String> { list.split(',').map(str::to_owned).collect() };
    let lists: Vec<_> = value.split_whitespace().map(methods).collect();
    let is_key = |method: &String| method == "publickey" || method.starts_with("publickey:");
    let is_enough =
        |list: &Vec<String>| matches!(list.as_slice(), [method] if is_key(method) || method == "any");
    if lists.is_empty() || lists.iter().any(is_enough) {
        return Check::ok(ID, KEYS, "PubkeyAuthentication is yes, and a key is enough");
    }
    let first = value.split_whitespace().next().unwrap_or_default();
    let seen =
        format!("AuthenticationMethods is {}{}", printable(value, MAX_SHOWN), sshd.place(METHODS, first));
    let fix = sshd.offer(METHODS, &format!("publickey {value}")).map_or_else(
        || format!("remove AuthenticationMethods, then: {reload}"),
        |offer| format!("add publickey as a list of its own: {offer}, then: {reload}"),
    );
    if lists.iter().any(|list| list.iter().any(is_key)) {
        Check::warn(ID, KEYS, format!("{seen}: a key alone is not enough"), fix).left_open()
    } else {
        Check::fail(ID, KEYS, format!("{seen}: sshd accepts no key"), fix)
    }
}

/// `auth-tries`: `MaxAuthTries`. A low value is no warning: hardened images set it, and a client can offer only one
/// key.
fn auth_tries(sshd: &Sshd) -> Check {
    const ID: &str = "auth-tries";
    const KEYWORD: Keyword = Keyword::MaxAuthTries;
    let Some(text) = sshd.running.value(KEYWORD) else {
        return Check::skipped(ID, TRIES, "sshd does not report MaxAuthTries");
    };
    let Ok(tries) = text.parse::<i64>() else {
        return Check::skipped(
            ID,
            TRIES,
            format!("MaxAuthTries {} cannot be parsed", printable(text, MAX_SHOWN)),
        );
    };
    let seen = format!("MaxAuthTries is {tries}{}", sshd.place(KEYWORD, text));
    if tries < 1 {
        let reload = shown_reload(&sshd.machine);
        let fix = sshd.offer(KEYWORD, &USUAL_TRIES.to_string()).map_or_else(
            || format!("remove MaxAuthTries, then: {reload}"),
            |offer| format!("set {offer} there, then: {reload}"),
        );
        return Check::fail(ID, TRIES, format!("{seen}: sshd ends each login before it looks at a key"), fix);
    }
    if tries >= i64::from(USUAL_TRIES) {
        return Check::ok(ID, TRIES, format!("MaxAuthTries is {tries}"));
    }
    let keys = if tries == 1 { "1 other key".to_owned() } else { format!("{tries} other keys") };
    Check::ok(
        ID,
        TRIES,
        format!(
            "{seen}; after {keys}, sshd refuses a client. Such a client needs: ssh -o IdentitiesOnly=yes -i KEY"
        ),
    )
}

fn key_types(sshd: &Sshd, pushed: &[PushedKey]) -> Check {
    const ID: &str = "key-types";
    let found = ACCEPTED.iter().find_map(|keyword| Some((*keyword, sshd.running.value(*keyword)?)));
    let Some((keyword, accepted)) = found else {
        return Check::skipped(ID, TYPES, "sshd does not report which algorithms it accepts");
    };
    let (wanted, whose) =
        if pushed.is_empty() { (USUAL.to_vec(), "usual") } else { (kinds(pushed), "pushed") };
    let refused: Vec<_> = wanted.iter().copied().filter(|algorithm| !takes(accepted, algorithm)).collect();
    let reload = shown_reload(&sshd.machine);
    if !refused.is_empty() {
        let mut places = ACCEPTED.iter().map(|keyword| sshd.place(*keyword, accepted));
        let place = places.find(|place| !place.is_empty()).unwrap_or_default();
        let shown: Vec<_> = refused.iter().map(|name| shown_type(name)).collect();
        let seen = format!("{keyword} refuses {} keys{place}", shown.join(" and "));
        let fix = fix_of(sshd, keyword, accepted, &refused);
        return if refused.len() == wanted.len() {
            Check::fail(ID, TYPES, seen, fix)
        } else {
            // It depends on the key.
            Check::warn(ID, TYPES, seen, fix).left_open()
        };
    }
    let bits =
        sshd.running.value(Keyword::RequiredRSASize).and_then(|bits| bits.parse::<usize>().ok()).unwrap_or(0);
    let is_short = |key: &PushedKey| key.rsa_bits.is_some_and(|length| length < bits);
    let may_be_short = if pushed.is_empty() { bits > RSA_BITS } else { pushed.iter().any(is_short) };
    if may_be_short {
        let place = sshd.place(Keyword::RequiredRSASize, &bits.to_string());
        let seen = format!("RequiredRSASize refuses RSA keys below {bits} bits{place}");
        let other = "push an ed25519 key or a longer RSA key";
        let fix = sshd
            .offer(Keyword::RequiredRSASize, &RSA_BITS.to_string())
            .map_or_else(|| other.to_owned(), |offer| format!("{other}, or set {offer}, then: {reload}"));
        return if !pushed.is_empty() && pushed.iter().all(is_short) {
            Check::fail(ID, TYPES, seen, fix)
        } else {
            Check::warn(ID, TYPES, seen, fix).left_open()
        };
    }
    let names: Vec<_> = wanted.iter().map(|name| shown_type(name)).collect();
    Check::ok(ID, TYPES, format!("the {whose} types are accepted: {}", names.join(", ")))
}

/// The algorithms of these keys without duplicates, at most `MAX_KINDS`.
fn kinds(pushed: &[PushedKey]) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for PushedKey { algorithm, .. } in pushed {
        if kinds.len() < MAX_KINDS && !kinds.contains(&algorithm.as_str()) {
            kinds.push(algorithm);
        }
    }
    kinds
}

/// What to do about a list that refuses these algorithms. Recommends only names that this sshd knows: with an unknown
/// name in the list, sshd does not start.
fn fix_of(sshd: &Sshd, keyword: Keyword, accepted: &str, refused: &[&str]) -> String {
    let server = &sshd.machine.server;
    let add = |algorithms: &[&str]| {
        let names = algorithms.iter().flat_map(|name| signed_as(name));
        let offer = server.accepts_of(keyword, names)?;
        Some(format!("add {} to {keyword}, then: {}", offer.value(), shown_reload(&sshd.machine)))
    };
    let usable = USUAL.iter().filter(|name| takes(accepted, name));
    let usable: Vec<_> = usable.map(|name| shown_type(name)).collect();
    let push = (!usable.is_empty()).then(|| format!("push a key of another type ({})", usable.join(" or ")));
    match (push, add(refused)) {
        (Some(push), Some(add)) => format!("{push}, or {add}"),
        (Some(push), None) => format!("{push}; this sshd does not support the refused keys"),
        (None, Some(add)) => add,
        (None, None) => add(&USUAL).map_or_else(
            || format!("push a key of a type that {keyword} accepts"),
            |add| format!("push an {} key, and {add}", USUAL.map(shown_type).join(" or ")),
        ),
    }
}

/// Whether a key of this algorithm can log in. RSA keys must sign with SHA-2: since OpenSSH 8.8, clients make no other
/// signatures by default.
fn takes(accepted: &str, algorithm: &str) -> bool {
    let names: &[&str] =
        if algorithm == "ssh-rsa" { &["rsa-sha2-256", "rsa-sha2-512"] } else { &[algorithm] };
    names.iter().any(|name| pattern_list::matches(accepted, name))
}

/// The names of an algorithm in sshd's lists.
fn signed_as(algorithm: &str) -> Vec<&str> {
    if algorithm == "ssh-rsa" { vec!["rsa-sha2-512", "rsa-sha2-256"] } else { vec![algorithm] }
}

fn shown_type(algorithm: &str) -> String {
    match algorithm {
        "ssh-ed25519" => "ed25519".to_owned(),
        "ssh-rsa" => "RSA".to_owned(),
        other => printable(other, MAX_SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_algorithms_are_patterns() {
        for (accepted, ed25519, rsa) in [
            ("ssh-ed25519,rsa-sha2-512", true, true),
            ("ssh-ed25519,ssh-rsa", true, false),
            ("ecdsa-sha2-nistp256,rsa-sha2-256", false, true),
            ("*", true, true),
            ("!ssh-ed25519,*", false, true),
            ("*,!rsa-*", true, false),
            ("", false, false),
        ] {
            assert_eq!(
                (takes(accepted, "ssh-ed25519"), takes(accepted, "ssh-rsa")),
                (ed25519, rsa),
                "{accepted}"
            );
        }
    }
}
