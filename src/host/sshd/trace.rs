//! What sshd read to find out what is in force.

use std::path::PathBuf;

use super::printed::EffectiveConfig;

/// Everything that is in force, and what sshd read to find it, in its own words.
#[derive(Clone, Debug)]
pub struct ConfigTrace {
    /// What is in force.
    pub printed: EffectiveConfig,
    /// Every file that it read.
    pub files: Vec<PathBuf>,
    /// Every pattern of an `Include`, with its folder.
    pub includes: Vec<String>,
}

/// How sshd is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryMode {
    /// `-T`: with host keys, so only root is told.
    Test,
    /// `-G`, from OpenSSH 9.3 on: every user who can read its configuration gets an answer.
    Print,
}

impl ConfigTrace {
    /// Reads what it printed, and its debug messages.
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
    fn files_and_patterns_are_found_in_what_old_and_new_releases_say() {
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
