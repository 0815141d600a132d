//! The rules of a step of PAM, read as Linux-PAM reads them (`pam.conf(5)`, `libpam/pam_handlers.c`).

use std::path::{Path, PathBuf};

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::files::read_regular;

use super::answer::{Answer, Step};

/// Maximum number of bytes of a file.
const MAX_BYTES: usize = 64 * 1024;

/// Maximum number of rules of a stack.
const MAX_RULES: usize = 256;

/// Maximum depth of files that include each other.
const MAX_DEPTH: usize = 16;

/// Maximum number of files of a stack. A file that is included twice counts twice.
const MAX_FILES: usize = 64;

/// Folders of rules, in the order of libpam: the administrator's, then the vendor's.
const FOLDERS: [&str; 3] = ["etc/pam.d", "usr/lib/pam.d", "usr/etc/pam.d"];

/// The service whose rules apply if a service has none.
const OTHER: &str = "other";

/// What libpam does after a module's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ok,
    Done,
    Bad,
    Die,
    Ignore,
    Reset,
    Jump(usize),
}

/// One entry of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// How many substacks the entry is inside of.
    pub(super) level: usize,
    /// `FILE:LINE`
    pub(super) place: String,
    /// `None` for the beginning of a substack.
    pub(super) module: Option<Module>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// As written: a file name, or an absolute path.
    pub(super) file: String,
    pub(super) arguments: Vec<String>,
    /// The action for each value. `None` means `default`.
    actions: Vec<(Option<String>, Action)>,
}

impl Module {
    /// The name without folder and `.so`.
    pub(super) fn name(&self) -> &str {
        let base = self.file.rsplit('/').next().unwrap_or_default();
        base.strip_suffix(".so").unwrap_or(base)
    }

    /// The action for an answer. libpam treats an answer without an action as `bad`.
    pub(super) fn action(&self, answer: Answer) -> Action {
        let of = |wanted: Option<&str>| {
            self.actions.iter().find(|(value, _)| value.as_deref() == wanted).map(|(_, action)| *action)
        };
        of(Some(answer.name())).or_else(|| of(None)).unwrap_or(Action::Bad)
    }
}

/// The rules of `step` of `service`. An error says why they are not known.
pub(super) fn read(root: &Path, service: &str, step: Step) -> Result<Vec<Rule>, String> {
    let mut reader = Reader { root, step, rules: Vec::new(), files: 0 };
    let found = find(root, service);
    if let Some(file) = &found {
        reader.read(file, 0, 0)?;
    }
    if reader.rules.is_empty() {
        let Some(other) = find(root, OTHER) else {
            return Err(format!("PAM has no rules for the service {}", printable(service, MAX_SHOWN)));
        };
        reader.read(&other, 0, 0)?;
    }
    Ok(reader.rules)
}

fn find(root: &Path, name: &str) -> Option<PathBuf> {
    if name.starts_with('/') {
        return Some(root.join(name.trim_start_matches('/')));
    }
    FOLDERS.iter().map(|folder| root.join(folder).join(name)).find(|file| file.exists())
}

struct Reader<'r> {
    root: &'r Path,
    step: Step,
    rules: Vec<Rule>,
    /// The number of files that were read.
    files: usize,
}

impl Reader<'_> {
    fn read(&mut self, file: &Path, level: usize, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("{} is included too deeply", file.display()));
        }
        if self.files >= MAX_FILES {
            return Err(format!("{}: more than {MAX_FILES} files are included", file.display()));
        }
        self.files = self.files.saturating_add(1);
        let text = read_regular(file, MAX_BYTES).map_err(|error| format!("{}: {error}", file.display()))?;
        for (number, line) in lines(&String::from_utf8_lossy(&text)) {
            let place = format!("{}:{number}", file.display());
            let mut words = words(&line).into_iter();
            let Some(kind) = words.next() else { continue };
            let Some(control) = words.next() else { return Err(unclear(&place)) };
            let kind = kind.trim_start_matches('-').to_ascii_lowercase();
            // Debian's `@include` is for the rules of all steps.
            let is_debians = kind == "@include";
            if !is_debians && kind != self.step.name() {
                continue;
            }
            let is_substack = control == "substack";
            if is_debians || is_substack || control == "include" {
                let name = if is_debians { Some(control) } else { words.next() };
                let name = name.ok_or_else(|| unclear(&place))?;
                let inner = find(self.root, &name)
                    .ok_or_else(|| format!("{place} includes {}, which is missing", printable(&name, 64)))?;
                if is_substack {
                    self.push(Rule { level, place, module: None })?;
                }
                self.read(&inner, level.saturating_add(usize::from(is_substack)), depth.saturating_add(1))?;
                continue;
            }
            let actions = actions(&control).ok_or_else(|| unclear(&place))?;
            let file = words.next().ok_or_else(|| unclear(&place))?;
            let module = Module { file, arguments: words.collect(), actions };
            self.push(Rule { level, place, module: Some(module) })?;
        }
        Ok(())
    }

    fn push(&mut self, rule: Rule) -> Result<(), String> {
        if self.rules.len() >= MAX_RULES {
            return Err(format!("{}: more than {MAX_RULES} rules", rule.place));
        }
        self.rules.push(rule);
        Ok(())
    }
}

fn unclear(place: &str) -> String {
    format!("the rule at {place} cannot be parsed")
}

/// Lines without comments, with the number of the first line of each. A backslash continues a line.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let (part, goes_on) = match line.trim_end().strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let (_, whole) = open.get_or_insert_with(|| (index.saturating_add(1), String::new()));
        whole.push_str(part);
        whole.push(' ');
        if !goes_on {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines
}

/// Words are separated by white space. Brackets hold words together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = if let Some(inner) = rest.strip_prefix('[') {
            // Without the closing bracket, the control is not understood.
            let (inside, after) = inner.split_once(']').unwrap_or((inner, ""));
            (format!("[{}", inside.trim()), after)
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (word.to_owned(), after)
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// The actions of a control: a word, or `[value=action …`. `None` if it is not understood.
fn actions(control: &str) -> Option<Vec<(Option<String>, Action)>> {
    let value = |name: &str, action| (Some(name.to_owned()), action);
    let usual = |good, ignored, rest| {
        let mut actions = vec![value("success", good), value("new_authtok_reqd", good), (None, rest)];
        if ignored {
            actions.push(value("ignore", Action::Ignore));
        }
        actions
    };
    match control.to_ascii_lowercase().as_str() {
        "required" => return Some(usual(Action::Ok, true, Action::Bad)),
        "requisite" => return Some(usual(Action::Ok, true, Action::Die)),
        "sufficient" => return Some(usual(Action::Done, false, Action::Ignore)),
        "optional" => return Some(usual(Action::Ok, false, Action::Ignore)),
        _ => {}
    }
    let pairs = control.strip_prefix('[')?.split_whitespace();
    pairs
        .map(|pair| {
            let (value, action) = pair.split_once('=')?;
            let action = match action {
                "ok" => Action::Ok,
                "done" => Action::Done,
                "bad" => Action::Bad,
                "die" => Action::Die,
                "ignore" => Action::Ignore,
                "reset" => Action::Reset,
                number => Action::Jump(number.parse().ok().filter(|number| *number > 0)?),
            };
            Some(((value != "default").then(|| value.to_owned()), action))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_linux_pam_reads_them() {
        let root = std::env::temp_dir().join(format!("eic-agent-pam-{}", std::process::id()));
        let folder = root.join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write(
            "sshd",
            "#%PAM-1.0\nauth required pam_env.so\naccount [success=1 new_authtok_reqd=done \\\n  default=ignore] pam_unix.so no_pass_expiry # x\n\
             -account requisite pam_deny.so\n@include common\nACCOUNT substack sub\n",
        );
        write("common", "session required pam_x.so\naccount include sub\n");
        write("sub", "account sufficient /lib/pam_y.so [a b] c\n");
        let rules = read(&root, "sshd", Step::Account).unwrap();
        let shown: Vec<_> =
            rules.iter().map(|rule| (rule.level, rule.module.as_ref().map_or("-", Module::name))).collect();
        assert_eq!(shown, [(0, "pam_unix"), (0, "pam_deny"), (0, "pam_y"), (0, "-"), (1, "pam_y")]);
        let session = read(&root, "sshd", Step::Session).unwrap();
        assert!(session.len() == 1 && session[0].place.ends_with("/etc/pam.d/common:1"), "{session:?}");
        let first = rules[0].module.as_ref().unwrap();
        assert_eq!(first.arguments, ["no_pass_expiry"]);
        assert_eq!(first.action(Answer::Success), Action::Jump(1));
        assert_eq!(first.action(Answer::AcctExpired), Action::Ignore);
        assert_eq!(rules[1].module.as_ref().unwrap().action(Answer::AuthErr), Action::Die);
        assert!(rules[0].place.ends_with("/etc/pam.d/sshd:3"), "{}", rules[0].place);
        for bad in [
            "account\n",
            "account [success=often] pam_unix.so\n",
            "account include gone\n",
            "@include sshd\n",
        ] {
            write("sshd", bad);
            assert!(read(&root, "sshd", Step::Account).is_err(), "{bad}");
        }
        write("sshd", "auth required pam_env.so\n");
        assert!(read(&root, "sshd", Step::Account).unwrap_err().contains("no rules"));
        write("other", "account required pam_deny.so\n");
        assert_eq!(read(&root, "sshd", Step::Account).unwrap().len(), 1);
        assert_eq!(read(&root, "gone", Step::Account).unwrap().len(), 1);
        std::fs::remove_dir_all(root).unwrap();
    }

    /// Without a bound, 16 levels of 1,000 includes each would be read.
    #[test]
    fn files_that_are_included_are_bounded_in_number() {
        let root = std::env::temp_dir().join(format!("eic-agent-pam-many-{}", std::process::id()));
        let folder = root.join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("empty"), "").unwrap();
        for (count, is_read) in [(MAX_FILES - 1, true), (MAX_FILES, false), (2 * MAX_FILES, false)] {
            let text = format!("account required pam_deny.so\n{}", "account include empty\n".repeat(count));
            std::fs::write(folder.join("sshd"), text).unwrap();
            let rules = read(&root, "sshd", Step::Account);
            assert_eq!(rules.is_ok(), is_read, "{count}: {rules:?}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
