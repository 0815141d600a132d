//! The effective configuration, and the files that sshd read for it.

use std::path::PathBuf;

use super::printed::EffectiveConfig;

/// The effective configuration and the files that sshd read, from the output of `sshd -T` or `sshd -G`.
#[derive(Clone, Debug)]
pub struct ConfigTrace {
    /// The effective settings.
    pub printed: EffectiveConfig,
    /// Every file that sshd read.
    pub files: Vec<PathBuf>,
    /// Every `Include` pattern, with its folder.
    pub includes: Vec<String>,
}

/// The option with which sshd prints its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryMode {
    /// `-T`. It loads the host keys, so only root can use it.
    Test,
    /// `-G`, since OpenSSH 9.3. Every user who can read the configuration can use it.
    Print,
}

impl ConfigTrace {
    /// Parses sshd's output and its debug messages.
    pub(super) fn of(printed: &str, debug: &str) -> Self {
        let lines = || debug.lines().filter_map(|line| line.trim_end().strip_prefix("debug2: "));
        let files = lines().filter_map(|line| line.strip_prefix("load_server_config: filename "));
        let includes = lines().filter_map(|line| Some(line.split_once(": new include ")?.1));
        Self {
            printed: EffectiveConfig::parse(printed),
            files: files.map(PathBuf::from).collect(),
            includes: includes.map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sshd::keyword::Keyword;

    #[test]
    fn files_and_patterns_are_found_in_debug_messages() {
        let debug = "debug2: load_server_config: filename /etc/ssh/sshd_config\r\n\
                     debug2: load_server_config: done config len = 29\r\n\
                     debug2: /etc/ssh/sshd_config line 1: new include /etc/ssh/sshd_config.d/*.conf\r\n\
                     debug2: /etc/ssh/sshd_config line 1: including /etc/ssh/sshd_config.d/a b.conf\r\n\
                     debug2: load_server_config: filename /etc/ssh/sshd_config.d/a b.conf\r\n\
                     debug3: /etc/ssh/sshd_config:2 setting Banner : new include /x\r\n";
        let trace = ConfigTrace::of("PermitUserEnvironment EIC_*\n", debug);
        assert_eq!(trace.files, ["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/a b.conf"].map(Path::new));
        assert_eq!(trace.includes, ["/etc/ssh/sshd_config.d/*.conf"]);
        assert_eq!(trace.printed.value(Keyword::PermitUserEnvironment), Some("EIC_*"));
    }
}
