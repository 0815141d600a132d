//! Standard output, written at once.

use std::io::{self, Write};

/// Writes all `bytes` and flushes. Writes nothing if `bytes` is empty.
///
/// A closed pipe counts as success: sshd closes its end when it has read enough.
pub fn write_once(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that accepts `room` bytes and then fails with `then`.
    struct Pipe {
        came: Vec<u8>,
        room: usize,
        then: io::ErrorKind,
        writes: usize,
        flushed: bool,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            let taken = bytes.len().min(self.room - self.came.len());
            self.came.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(self.then.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushed = true;
            Ok(())
        }
    }

    fn pipe(room: usize, then: io::ErrorKind) -> Pipe {
        Pipe { came: Vec::new(), room, then, writes: 0, flushed: false }
    }

    #[test]
    fn everything_goes_out_in_one_write() {
        let mut out = pipe(100, io::ErrorKind::Other);
        write_once(b"line\nline\n", &mut out).unwrap();
        assert_eq!((&out.came[..], out.writes, out.flushed), (&b"line\nline\n"[..], 1, true));
    }

    #[test]
    fn nothing_is_written_without_a_key() {
        let mut out = pipe(0, io::ErrorKind::Other);
        write_once(b"", &mut out).unwrap();
        assert_eq!((out.writes, out.flushed), (0, false));
    }

    #[test]
    fn closed_pipe_is_success_and_full_device_is_an_error() {
        assert!(write_once(b"line\n", &mut pipe(2, io::ErrorKind::BrokenPipe)).is_ok());
        let failure = write_once(b"line\n", &mut pipe(2, io::ErrorKind::StorageFull)).unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
    }
}
