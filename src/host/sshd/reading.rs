//! Reads sshd's configuration with all included files, within limits, and collects ambiguous lines.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use eic_core::text::{MAX_SHOWN, printable};
use nix::unistd::Uid;

use super::command::split;
use super::globs::{MAX_NAMES, expand, folder, is_covered, wider};
use super::grammar::{Doubt, Unclear, check, odd_name};
use super::keyword::Keyword;
use super::place::MAX_BYTES;
use super::sources::{Setting, Sources};
use crate::files::{open_regular, read_open};
use crate::ownership::{Insecure, check_folder, open_trusted};

/// Maximum depth of an `Include`. This is sshd's own limit (OpenSSH servconf.c, `SERVCONF_MAX_DEPTH`).
const MAX_DEPTH: usize = 16;

/// Maximum number of files that are read.
const MAX_FILES: usize = 1000;

/// Maximum number of bytes of all files together.
const MAX_TOTAL: usize = 16 * 1024 * 1024;

/// The empty device.
const NULL: &str = "/dev/null";

/// Base folder of an `Include` with a relative path.
const FOLDER: &str = "/etc/ssh";

/// The state of the reading.
pub(super) struct Reading {
    sources: Sources,
    bytes: usize,
    /// If set, only files that no user except root can change are read.
    is_strict: bool,
}

/// The `Match` block that a line belongs to, and its number. The number is 0 outside of any block.
#[derive(Clone, Debug, Default)]
struct Block {
    within: Option<String>,
    /// The criteria of this `Match` and of those around its file, as written.
    criteria: String,
    number: usize,
}

/// An `Include`: its file, its line and its depth.
struct IncludeSite<'f> {
    file: &'f Path,
    line: usize,
    depth: usize,
}

impl Sources {
    /// Reads `config` and the files that it includes. Root reads only files that no other user can change.
    #[must_use]
    pub fn read(config: &Path) -> Self {
        Self::read_by(config, Uid::effective().is_root())
    }

    /// The same. If `is_strict` is set, files that other users can change are skipped.
    pub(super) fn read_by(config: &Path, is_strict: bool) -> Self {
        let mut reading = Reading { sources: Self::default(), bytes: 0, is_strict };
        reading.file(config, &Block::default(), 0);
        reading.sources
    }
}

impl Reading {
    /// Reads a file. A `Match` around the `Include` also applies inside the file. A `Match` in the file ends with
    /// it.
    fn file(&mut self, file: &Path, outer: &Block, depth: usize) {
        let mut block = outer.clone();
        let content = match self.content(file) {
            Ok(Some(content)) => content,
            Ok(None) => return,
            Err(Insecure::Unreadable(_, error)) => {
                return self.unread(file, Doubt::Unreadable(error.to_string()));
            }
            Err(Insecure::NotAFile(_)) => {
                // sshd reads a folder as an empty file (OpenSSH servconf.c, `load_server_config`).
                let why = Doubt::Unreadable("expected a regular file".to_owned());
                return self.doubt(file, None, why, !file.is_dir());
            }
            Err(insecure) => return self.sources.insecure.push(insecure),
        };
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > MAX_TOTAL {
            return self.unread(file, Doubt::TooMany("bytes of configuration", MAX_TOTAL));
        }
        self.sources.files.push(file.to_owned());
        for (line, bytes) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let doubt = check(bytes).err();
            let text = String::from_utf8_lossy(bytes);
            let pair = Keyword::of_line(&text);
            if let Some(why) = doubt.clone() {
                // sshd may parse the rest of the line after a NUL byte differently.
                let may_set_command = why == Doubt::Nul || Keyword::AuthorizedKeysCommand.is_in(bytes);
                self.doubt(file, Some(line), why, may_set_command);
            }
            let Some((keyword, value)) = pair else { continue };
            let setting = |value: &str| Setting {
                file: file.to_owned(),
                line,
                value: value.to_owned(),
                within: block.within.clone(),
                block: block.number,
            };
            match keyword {
                Keyword::Match => {
                    self.sources.blocks = self.sources.blocks.saturating_add(1);
                    let criteria = format!("{} {value}", outer.criteria);
                    self.sources.conditions.push(setting(&criteria));
                    block = Block {
                        within: Some(printable(value, MAX_SHOWN)),
                        criteria,
                        number: self.sources.blocks,
                    };
                }
                Keyword::AuthorizedKeysCommand => self.sources.commands.push(setting(value)),
                Keyword::AuthorizedKeysCommandUser => self.sources.users.push(setting(value)),
                Keyword::Include => {
                    for pattern in split(value) {
                        let pattern = Path::new(FOLDER).join(pattern);
                        self.sources.includes.push(setting(&pattern.to_string_lossy()));
                        self.include(&pattern, &block, &IncludeSite { file, line, depth }, doubt.is_some());
                    }
                }
                keyword => self.sources.others.push((keyword, setting(value))),
            }
        }
    }

    fn include(&mut self, pattern: &Path, block: &Block, at: &IncludeSite<'_>, is_in_doubt: bool) {
        if at.depth >= MAX_DEPTH {
            return self.doubt(at.file, Some(at.line), Doubt::TooMany("levels of Include", MAX_DEPTH), true);
        }
        if self.is_strict {
            if let Some(insecure) = insecure_folder(pattern) {
                return self.sources.insecure.push(insecure);
            }
        }
        let (found, is_whole) = expand(pattern);
        if !is_whole {
            self.doubt(at.file, Some(at.line), Doubt::TooMany("names in a folder", MAX_NAMES), true);
        }
        if is_in_doubt && self.hides_command(pattern, &found) {
            let why = Doubt::Value(Keyword::Include, "plain absolute paths");
            self.doubt(at.file, Some(at.line), why, true);
        }
        for included in found {
            if self.sources.files.len() >= MAX_FILES {
                return self.doubt(at.file, Some(at.line), Doubt::TooMany("files", MAX_FILES), true);
            }
            if let Some(why) = included.file_name().and_then(|name| odd_name(name.as_bytes())) {
                self.doubt(at.file, Some(at.line), why, false);
            }
            self.file(&included, block, at.depth.saturating_add(1));
        }
    }

    /// Whether sshd may read a file for this pattern that is not in `found` and that may set a command.
    fn hides_command(&self, pattern: &Path, found: &[PathBuf]) -> bool {
        // sshd looks for a name that begins with `~` in its current folder.
        let in_another_folder =
            pattern.components().any(|part| part.as_os_str().as_bytes().starts_with(b"~"));
        if is_covered(pattern) {
            return in_another_folder;
        }
        let (more, is_whole) = expand(&wider(pattern));
        let may_set = |file: &PathBuf| {
            self.content(file).map_or(true, |content| {
                let content = content.unwrap_or_default();
                Keyword::AuthorizedKeysCommand.is_in(&content) || Keyword::Include.is_in(&content)
            })
        };
        let mut others = more.iter().filter(|file| !found.contains(file) && file.is_file()).take(MAX_FILES);
        !is_whole || in_another_folder || others.any(may_set)
    }

    /// Returns `None` if the file no longer exists.
    fn content(&self, file: &Path) -> Result<Option<Vec<u8>>, Insecure> {
        let unreadable = |error| Insecure::Unreadable(file.to_owned(), error);
        if file.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let opened =
            match if self.is_strict { open_trusted(file) } else { open_regular(file).map_err(unreadable) } {
                // A link to /dev/null, with which administrators disable a file.
                Err(Insecure::NotAFile(path)) if path == Path::new(NULL) => return Ok(Some(Vec::new())),
                Err(_)
                    if !self.is_strict && file.canonicalize().is_ok_and(|path| path == Path::new(NULL)) =>
                {
                    return Ok(Some(Vec::new()));
                }
                opened => opened?,
            };
        read_open(&opened, MAX_BYTES).map(Some).map_err(unreadable)
    }

    fn unread(&mut self, file: &Path, why: Doubt) {
        self.doubt(file, None, why, true);
    }

    fn doubt(&mut self, file: &Path, line: Option<usize>, why: Doubt, may_set_command: bool) {
        self.sources.unclear.push(Unclear { file: file.to_owned(), line, why, may_set_command });
    }
}

/// Why a user other than root could create a file that matches the pattern. Checks the parents if the folder does
/// not exist yet.
fn insecure_folder(pattern: &Path) -> Option<Insecure> {
    let place = folder(pattern);
    for place in place.ancestors() {
        match check_folder(place) {
            Err(Insecure::Unreadable(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
            // A regular file at this path contains no files.
            Ok(()) | Err(Insecure::Unreadable(..) | Insecure::NotAFile(_)) => return None,
            Err(insecure) => return Some(insecure),
        }
    }
    None
}
