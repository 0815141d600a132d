//! The session wrapper: a `command` on the key's line that starts the agent in the session, as the user. The agent then
//! names the caller to the session and becomes the user's shell or command.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::template::{Values, decoded, encoded_all, encoded_word, percent_encoded};
use crate::identity::{LoginName, account_of};

/// How a session with a pushed key starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionStart {
    /// As sshd starts it. The settings do not ask for the wrapper.
    #[default]
    Plain,
    /// With the wrapper.
    Wrapped(SessionWrapper),
    /// As sshd starts it, although the settings ask for the wrapper. Holds the reason.
    NotWrapped(String),
}

/// The wrapper for the sessions of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionWrapper {
    program: String,
    user: String,
    shell: String,
    audit_required: bool,
}

/// Why a key has no wrapper, although the machine can wrap sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWrapped {
    /// The machine cannot wrap sessions of this user. Holds the reason.
    Machine(String),
    /// sshd itself runs this forced command, without a shell (OpenSSH session.h, `INTERNAL_SFTP_NAME`).
    InternalSftp,
    /// Old releases of sshd do not read a line of this length. Holds the length of its options in bytes.
    TooLong(usize),
    /// csh refuses a word of this length. Holds the length in bytes.
    TooLongForCsh(usize),
}

impl fmt::Display for NotWrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(why) => f.write_str(why),
            Self::InternalSftp => f.write_str("sshd itself runs internal-sftp"),
            Self::TooLong(bytes) => {
                write!(f, "the options would have {bytes} bytes, and old releases of sshd ignore such a line")
            }
            Self::TooLongForCsh(bytes) => {
                write!(f, "an argument would have {bytes} bytes, and csh reads at most {MAX_WORD_OF_CSH}")
            }
        }
    }
}

/// Longest argument of the wrapper for csh, in bytes. The original csh ends with an error at a word of 8 KB.
const MAX_WORD_OF_CSH: usize = 8000;

impl SessionWrapper {
    /// A wrapper that starts `program`, an absolute path, from the user's login shell. `None` if a shell could read one of
    /// the paths as something else than one word.
    #[must_use]
    pub fn new(program: &str, user: &LoginName, shell: &str, audit_required: bool) -> Option<Self> {
        let is_plain = |path: &str| {
            path.starts_with('/')
                && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte))
        };
        (is_plain(program) && is_plain(shell)).then(|| Self {
            program: program.to_owned(),
            user: user.as_str().to_owned(),
            shell: shell.to_owned(),
            audit_required,
        })
    }

    /// Why the user's shell cannot read this value of `command`.
    pub(super) fn unreadable(&self, command: &str) -> Option<NotWrapped> {
        let longest = command.split(' ').map(str::len).max().unwrap_or_default();
        let is_too_long = self.shell.ends_with("/csh") && longest > MAX_WORD_OF_CSH;
        is_too_long.then_some(NotWrapped::TooLongForCsh(longest))
    }

    /// The value of `command` for a key with these values. `forced` is the command that the options force without the
    /// wrapper.
    ///
    /// With `exec`, the wrapper replaces the shell that sshd started. Otherwise dash would turn the death of the command by
    /// a signal into an exit status.
    ///
    /// Each argument is one word in every shell. No argument begins with `%`, because old releases of fish look for a
    /// process of that name.
    pub(super) fn command(&self, forced: Option<&str>, values: &Values<'_>) -> String {
        let mut command = format!("exec {} session", self.program);
        let mut add = |option: &str, value: &str| {
            let _ = write!(command, " --{option}={value}");
        };
        add("user", &encoded_word(&self.user));
        add("shell", &encoded_word(&self.shell));
        for (option, value) in [("principal", values.principal), ("request-id", values.request_id)] {
            if let Some(value) = value {
                add(option, &encoded_word(value));
            }
        }
        if let Some(forced) = forced {
            add("command", &encoded_all(forced));
        }
        if self.audit_required {
            command.push_str(" --audit-required");
        }
        command
    }
}

/// Whether sshd itself runs this command (OpenSSH session.c, `IS_INTERNAL_SFTP`).
#[must_use]
pub fn internal_sftp(command: &[u8]) -> Option<&[u8]> {
    let arguments = command.strip_prefix(b"internal-sftp")?;
    matches!(arguments.first(), None | Some(b' ' | b'\t')).then_some(arguments)
}

/// An argument of the wrapper without its encoding. `None` if no agent encoded it.
#[must_use]
pub fn session_argument(word: &str) -> Option<Vec<u8>> {
    decoded(word)
}

/// The variables of a wrapped session, in the form of [`super::LinePrefix::environment`]: letters, digits and `:/_+=.@-`, and all
/// other bytes as `%XX`.
#[must_use]
pub fn session_variables(
    principal: Option<&str>,
    request_id: Option<&str>,
) -> [(&'static str, Option<String>); 3] {
    let encoded = |value: Option<&str>| value.map(percent_encoded);
    [
        ("EIC_PRINCIPAL", encoded(principal)),
        ("EIC_REQUEST_ID", encoded(request_id)),
        ("EIC_ACCOUNT", encoded(principal.and_then(account_of))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{KeyOptions, LinePrefix, RuleOptions};
    use super::*;

    const CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";

    fn wrapper(audit_required: bool) -> SessionWrapper {
        let user = LoginName::try_from("ec2-user").unwrap();
        SessionWrapper::new("/usr/bin/eic-agent", &user, "/bin/sh", audit_required).unwrap()
    }

    /// The options of a key that `principal` pushed, and why there is no wrapper.
    fn line(keys: &str, rule: &str, principal: &str) -> (String, Option<NotWrapped>) {
        let options = (!keys.is_empty()).then(|| KeyOptions::parse(keys).unwrap());
        let rule = (!rule.is_empty()).then(|| RuleOptions::parse(rule).unwrap());
        let values = Values { principal: Some(principal), request_id: Some("r-1") };
        let prefix = LinePrefix { options, environment: false };
        let prefix =
            prefix.of_session(rule.as_ref(), &values, &SessionStart::Wrapped(wrapper(false))).unwrap();
        assert_eq!(prefix.is_wrapped, prefix.not_wrapped.is_none());
        (prefix.options, prefix.not_wrapped)
    }

    #[test]
    fn line_has_one_command_which_starts_the_wrapper() {
        let starts = "command=\"exec /usr/bin/eic-agent session --user=ec2-user --shell=%2Fbin/sh \
                      --principal=arn:aws:sts::123456789012:assumed-role/Admin/alice --request-id=r-1";
        for (keys, rule, before, after) in [
            ("", "", "", ""),
            ("restrict,pty", "", "restrict,pty,", ""),
            ("restrict", "pty", "restrict,pty,", ""),
            ("command=\"echo a\",pty", "", "pty,", " --command=echo%20a"),
            ("command=\"echo a\"", "command=\"x %{role} \\\"b\\\"\"", "", " --command=x%20Admin%20%22b%22"),
            ("environment=\"A=%x\"", "", "environment=\"A=%x\",", ""),
        ] {
            let (options, not_wrapped) = line(keys, rule, CALLER);
            assert_eq!(options, format!("{before}{starts}{after}\" "), "{keys} {rule}");
            assert_eq!(not_wrapped, None);
        }
        let no_values = wrapper(true).command(None, &Values::default());
        let expected = "exec /usr/bin/eic-agent session --user=ec2-user --shell=%2Fbin/sh --audit-required";
        assert_eq!(no_values, expected);
    }

    #[test]
    fn key_without_a_possible_wrapper_has_the_options_of_the_settings() {
        for command in ["internal-sftp", "internal-sftp -d /x", "internal-sftp\t-R"] {
            let keys = format!("command=\"{}\"", command.replace('\t', " "));
            assert_eq!(line(&keys, "", CALLER), (format!("{keys} "), Some(NotWrapped::InternalSftp)));
        }
        assert_eq!(line("command=\"internal-sftp2\"", "", CALLER).1, None);
        // An apostrophe has one byte on a plain line, and three in an argument.
        let long = format!("command=\"echo {}\",pty", "'".repeat(4060));
        let (options, why) = line(&long, "", CALLER);
        assert!(
            options == format!("{long} ") && matches!(why, Some(NotWrapped::TooLong(12_287..))),
            "{why:?}"
        );
        let start = SessionStart::NotWrapped("x".to_owned());
        let plain = LinePrefix::default().of_session(None, &Values::default(), &start).unwrap();
        assert_eq!(
            (plain.options.as_str(), plain.not_wrapped),
            ("", Some(NotWrapped::Machine("x".to_owned())))
        );
    }

    #[test]
    fn argument_that_csh_does_not_read_has_no_wrapper() {
        let user = LoginName::try_from("ec2-user").unwrap();
        for (shell, length, is_read) in [
            ("/bin/csh", 2600, true),
            ("/bin/csh", 2700, false),
            ("/bin/tcsh", 2700, true),
            ("/bin/sh", 2700, true),
        ] {
            let wrapper = SessionWrapper::new("/usr/bin/eic-agent", &user, shell, false).unwrap();
            let keys = KeyOptions::parse(&format!("command=\"{}\"", "'".repeat(length))).unwrap();
            let prefix = LinePrefix { options: Some(keys), environment: false };
            let line = prefix.of_session(None, &Values::default(), &SessionStart::Wrapped(wrapper)).unwrap();
            assert_eq!(line.is_wrapped, is_read, "{shell} {length}");
            assert_eq!(
                matches!(line.not_wrapped, Some(NotWrapped::TooLongForCsh(8001..))),
                !is_read,
                "{shell}"
            );
        }
    }

    #[test]
    fn paths_that_are_no_single_word_have_no_wrapper() {
        let user = LoginName::try_from("ec2-user").unwrap();
        for bad in [
            "",
            "bin/sh",
            "/opt/a b/sh",
            "/bin/sh\"",
            "/bin/%sh",
            "/bin/$sh",
            "/bin/s\u{e9}",
            "/bin/sh\n",
            "/~",
        ] {
            assert_eq!(SessionWrapper::new("/usr/bin/eic-agent", &user, bad, false), None, "{bad}");
            assert_eq!(SessionWrapper::new(bad, &user, "/bin/sh", false), None, "{bad}");
        }
    }

    #[test]
    fn arguments_are_words_of_harmless_bytes_and_decode_to_the_values() {
        let all: String = (1..=0x2ff_u32).filter_map(char::from_u32).collect();
        for value in ["", "-x", "=ls", "@f", "..", "a/../b", "//", "%41", "%{role}", CALLER, all.as_str()] {
            for word in [encoded_word(value), encoded_all(value)] {
                assert!(
                    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/_+.@%-".contains(&byte)),
                    "{word}"
                );
                assert_eq!(session_argument(&word).as_deref(), Some(value.as_bytes()), "{word}");
            }
        }
        for bad in ["%", "%4", "a%4", "%zz", "%4\u{e9}", "%2f"] {
            assert_eq!(session_argument(bad), None, "{bad}");
        }
    }

    #[test]
    fn variables_have_the_form_of_the_setting_environment() {
        let hostile = "arn:aws:iam::123456789012:user/\" \n%";
        let [principal, request_id, account] = session_variables(Some(hostile), None);
        assert_eq!(
            principal,
            ("EIC_PRINCIPAL", Some("arn:aws:iam::123456789012:user/%22%20%0A%25".to_owned()))
        );
        assert_eq!((request_id.1, account.1.as_deref()), (None, Some("123456789012")));
    }
}
