//! The lines for sshd. All pushes of a key whose line would be the same are one line.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::order;
use crate::policy::PermittedKey;

/// The permitted pushes of one key by one principal. The key and the principal determine the rule, so all have the same
/// options, except for the id of the push request.
#[derive(Debug)]
pub struct Pushes<'k> {
    newest: &'k PermittedKey,
    older: Vec<&'k PermittedKey>,
}

impl<'k> Pushes<'k> {
    const fn of(newest: &'k PermittedKey) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// The push that expires last. If several expire at the same time, the first of them in the bundle.
    #[must_use]
    pub const fn newest(&self) -> &'k PermittedKey {
        self.newest
    }

    /// All pushes, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &'k PermittedKey> {
        core::iter::once(self.newest).chain(self.older.iter().copied())
    }
}

/// One line for sshd, and all pushes that it is for.
#[derive(Debug)]
pub struct KeyLine<'k> {
    first: Pushes<'k>,
    /// Pushes by other principals, for which the line is the same.
    others: Vec<Pushes<'k>>,
}

impl<'k> KeyLine<'k> {
    /// The push whose options the line has. It is the newest one.
    #[must_use]
    pub const fn decisive(&self) -> &'k PermittedKey {
        self.first.newest
    }

    /// The pushes by principal, that of the newest push first.
    pub fn pushes(&self) -> impl Iterator<Item = &Pushes<'k>> {
        core::iter::once(&self.first).chain(&self.others)
    }

    fn pushes_mut(&mut self, place: usize) -> Option<&mut Pushes<'k>> {
        match place.checked_sub(1) {
            None => Some(&mut self.first),
            Some(place) => self.others.get_mut(place),
        }
    }
}

/// The lines for these keys, which are in the order of the bundle.
///
/// The pushes of a key by one principal are one line, with the options of the newest push. If the lines of several
/// principals are equal, they are one line, too. If they differ, each is one line: sshd uses the first one that it accepts,
/// and an option such as `from` can exclude a client that another line admits. The lines of one key begin with that of
/// the newest push. Different keys have the order of the bundle.
pub(super) fn key_lines<'k>(keys: impl Iterator<Item = &'k PermittedKey>) -> Vec<KeyLine<'k>> {
    let mut first_places = BTreeMap::new();
    let placed = keys.enumerate().map(|(place, key)| {
        let fingerprint = key.verified().key().fingerprint().as_str();
        (*first_places.entry(fingerprint).or_insert(place), key)
    });
    let placed = placed.collect();
    let newest_first = order::by_key(placed, |(place, key)| (*place, Reverse(key.verified().expires())));
    let mut lines: Vec<KeyLine<'k>> = Vec::new();
    let mut of_prefix = BTreeMap::new();
    let mut of_principal = BTreeMap::new();
    for (key, permitted) in newest_first {
        let principal = permitted.verified().claims().principal.as_deref();
        if let Some((line, place)) = of_principal.get(&(key, principal)) {
            if let Some(pushes) =
                lines.get_mut(*line).and_then(|line: &mut KeyLine<'k>| line.pushes_mut(*place))
            {
                pushes.older.push(permitted);
            }
            continue;
        }
        let line = *of_prefix.entry((key, permitted.prefix())).or_insert(lines.len());
        let place = if let Some(line) = lines.get_mut(line) {
            line.others.push(Pushes::of(permitted));
            line.others.len()
        } else {
            lines.push(KeyLine { first: Pushes::of(permitted), others: Vec::new() });
            0
        };
        of_principal.insert((key, principal), (line, place));
    }
    lines
}

/// The text of these lines for sshd: `[OPTIONS ]ALGORITHM BASE64`.
pub fn authorized_keys<'l, 'k: 'l>(lines: impl IntoIterator<Item = &'l KeyLine<'k>>) -> String {
    let mut text = String::new();
    for line in lines {
        let key = line.decisive();
        text.push_str(key.prefix());
        text.push_str(&key.verified().key().to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use eic_emulator::Entry;

    use super::*;
    use crate::decision::tests::{FIRST, INSTANCE, NOW, SECOND, at, evidence, expected, hierarchy};
    use crate::decision::{Decision, Expectations, decide};
    use crate::key_options::{LinePrefix, RuleOptions};
    use crate::policy::{Action, Glob, Limits, Policy, Rule};
    use crate::verification::Budget;

    const ALICE: &str = "arn:aws:iam::111111111111:user/alice";
    const BOB: &str = "arn:aws:iam::222222222222:user/bob";

    /// A push: key, principal, request id, and seconds until it expires.
    type Push = (&'static str, &'static str, &'static str, i64);

    fn decision(policy: Policy, pushes: &[Push]) -> Decision {
        let hierarchy = hierarchy();
        let entries = pushes.iter().map(|(key, caller, request, seconds)| {
            let entry = Entry::new(key).timestamp(NOW + seconds).instance(INSTANCE);
            entry.caller(caller).request(request).sign(&hierarchy.leaf_key)
        });
        let evidence = evidence(&hierarchy, &entries.collect::<Vec<_>>().concat());
        decide(&evidence, &Expectations { policy, ..expected() }, at(NOW), &Budget::default()).unwrap()
    }

    /// The text for sshd, and for each line the request ids of each principal.
    fn lines(policy: Policy, pushes: &[Push]) -> (String, Vec<String>) {
        let decision = decision(policy, pushes);
        let lines = decision.key_lines();
        let ids = |pushes: &Pushes<'_>| {
            let claims: Vec<_> = pushes.all().map(|push| push.verified().claims()).collect();
            assert!(claims.iter().all(|it| it.principal == claims[0].principal), "principals are not mixed");
            claims.iter().map(|it| it.request_id.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        };
        let shown = lines.iter().map(|line| line.pushes().map(ids).collect::<Vec<_>>().join(" | "));
        (authorized_keys(&lines), shown.collect())
    }

    fn rule(principal: &str, options: &str) -> Rule {
        let options = (!options.is_empty()).then(|| RuleOptions::parse(options).unwrap());
        Rule {
            name: principal.to_string(),
            action: Action::Allow,
            users: Vec::new(),
            principals: alloc::vec![Glob::new(principal)],
            accounts: Vec::new(),
            key_types: Vec::new(),
            limits: Limits { options, ..Limits::default() },
        }
    }

    fn rules(of: &[(&str, &str)]) -> Policy {
        Policy {
            rules: of.iter().map(|(principal, options)| rule(principal, options)).collect(),
            ..Policy::default()
        }
    }

    fn environment() -> Policy {
        Policy { prefix: LinePrefix { environment: true, ..LinePrefix::default() }, ..Policy::default() }
    }

    #[test]
    fn each_key_is_one_line_with_its_own_prefix() {
        let (text, _) = lines(environment(), &[(FIRST, ALICE, "r-1", 60), (SECOND, BOB, "r-2", 60)]);
        let line = |key, principal, id| {
            format!("environment=\"EIC_PRINCIPAL={principal}\",environment=\"EIC_REQUEST_ID={id}\" {key}\n")
        };
        assert_eq!(text, line(FIRST, ALICE, "r-1") + &line(SECOND, BOB, "r-2"));
        assert_eq!(authorized_keys([]), "");
    }

    #[test]
    fn pushes_of_one_principal_are_one_line_with_the_options_of_the_newest() {
        let pushes = [
            (FIRST, ALICE, "r-1", 20),
            (FIRST, ALICE, "r-2", 40),
            (SECOND, ALICE, "r-3", 60),
            (FIRST, ALICE, "r-4", 40),
        ];
        let (text, ids) = lines(Policy::default(), &pushes);
        assert_eq!(text, format!("{FIRST}\n{SECOND}\n"), "in the order of the bundle");
        assert_eq!(ids, ["r-2 r-4 r-1", "r-3"]);
        let (text, ids) = lines(environment(), &pushes[..2]);
        let variables =
            |id| format!("environment=\"EIC_PRINCIPAL={ALICE}\",environment=\"EIC_REQUEST_ID={id}\"");
        assert_eq!(text, format!("{} {FIRST}\n", variables("r-2")));
        assert_eq!(ids, ["r-2 r-1"]);
        let (text, _) = lines(rules(&[("*", "command=\"echo %{request_id}\"")]), &pushes[..2]);
        assert_eq!(text, format!("command=\"echo r-2\" {FIRST}\n"));
    }

    #[test]
    fn equal_lines_of_several_principals_are_one_line() {
        let pushes = [(FIRST, ALICE, "r-1", 20), (FIRST, BOB, "r-2", 30), (FIRST, ALICE, "r-3", 10)];
        let line = format!("{FIRST}\n");
        for policy in [Policy::default(), rules(&[(ALICE, ""), (BOB, "")])] {
            assert_eq!(lines(policy, &pushes), (line.clone(), alloc::vec!["r-2 | r-1 r-3".to_string()]));
        }
        let (text, ids) = lines(rules(&[("*", "restrict")]), &pushes);
        assert_eq!((text, ids.len()), (format!("restrict {line}"), 1));
    }

    #[test]
    fn different_lines_of_several_principals_begin_with_the_newest_push() {
        let pushes = [(FIRST, ALICE, "r-1", 20), (FIRST, BOB, "r-2", 30), (FIRST, ALICE, "r-3", 10)];
        let (text, ids) = lines(rules(&[(ALICE, "from=\"10.0.0.1\"")]), &pushes);
        assert_eq!(text, format!("{FIRST}\nfrom=\"10.0.0.1\" {FIRST}\n"));
        assert_eq!(ids, ["r-2", "r-1 r-3"]);
        let (text, ids) = lines(environment(), &pushes);
        assert_eq!((text.lines().count(), ids), (2, alloc::vec!["r-2".to_string(), "r-1 r-3".to_string()]));
        assert!(text.starts_with(&format!("environment=\"EIC_PRINCIPAL={BOB}\"")), "{text}");
    }

    #[test]
    fn key_is_handed_over_if_one_of_its_pushes_is_permitted() {
        let deny = Rule { action: Action::Deny, ..rule(BOB, "") };
        let policy = || Policy { rules: alloc::vec![deny.clone()], ..Policy::default() };
        // The newest push is denied, and another one has expired.
        let pushes = [(FIRST, BOB, "r-1", 60), (FIRST, ALICE, "r-2", 10), (FIRST, ALICE, "r-3", 0)];
        assert_eq!(lines(policy(), &pushes), (format!("{FIRST}\n"), alloc::vec!["r-2".to_string()]));
        assert_eq!(lines(policy(), &pushes[..1]), (String::new(), Vec::new()));
        assert_eq!(decision(policy(), &pushes).refused().count(), 2, "each refusal is reported");
    }
}
