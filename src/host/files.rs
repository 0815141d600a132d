//! Bounded reads of small regular files that decide about a login. They do not block on pipes and devices.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

/// Reads a regular file of at most `limit` bytes. A longer file is an error of kind
/// [`io::ErrorKind::FileTooLarge`].
///
/// A pipe or a device is an error. The kernel would block when it opens a FIFO without a writer, and no deadline
/// of the agent applies there.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_open(&open_regular(path)?, limit)
}

/// Reads the first `limit` bytes of a regular file.
pub fn head_of_regular(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    head_of(&open_regular(path)?, limit)
}

/// Opens a regular file for reading.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Reads an open file of at most `limit` bytes, like [`read_regular`].
pub fn read_open(file: &File, limit: usize) -> io::Result<Vec<u8>> {
    let bytes = head_of(file, limit.saturating_add(1))?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn head_of(file: &File, limit: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut file = file;
    // Seek for the length. This also works in a confined run. On kernel files, such as those of /proc, the seek
    // fails.
    let size = file.seek(SeekFrom::End(0)).unwrap_or_default().saturating_add(1).min(limit);
    file.rewind()?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_their_bound_are_read() {
        let folder = std::env::temp_dir().join(format!("eic-agent-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, pipe) = (folder.join("file"), folder.join("pipe"));
        std::fs::write(&file, "12345").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_regular(&file, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(head_of_regular(&file, 4).unwrap(), b"1234");
        assert_eq!(read_regular(&pipe, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(read_regular(&folder, 5).is_err());
        assert_eq!(read_regular(&folder.join("absent"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
