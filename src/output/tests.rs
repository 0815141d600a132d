use super::*;
use crate::policy::Policy;
use crate::verification::testing::{KEY, verified};

fn permitted(principal: &str) -> PermittedKey {
    Policy::default().permit(verified(Some(principal))).unwrap()
}

#[test]
fn each_key_is_one_line_behind_its_own_prefix() {
    let keys = [permitted("arn:x"), permitted("arn:y")];
    assert_eq!(authorized_keys(&keys, &LinePrefix::default()), format!("{KEY}\n{KEY}\n"));
    let environment = LinePrefix { environment: true, ..LinePrefix::default() };
    let line = |principal| {
        format!("environment=\"EIC_PRINCIPAL={principal}\",environment=\"EIC_REQUEST_ID=r-1\" {KEY}\n")
    };
    assert_eq!(authorized_keys(&keys, &environment), line("arn:x") + &line("arn:y"));
    assert_eq!(authorized_keys([], &environment), "");
}

/// A pipe that takes `room` bytes, and then fails like this.
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
fn nothing_is_written_where_there_is_no_key() {
    let mut out = pipe(0, io::ErrorKind::Other);
    write_once(b"", &mut out).unwrap();
    assert_eq!((out.writes, out.flushed), (0, false));
}

#[test]
fn a_reader_that_closed_its_end_is_no_failure_and_a_full_device_is() {
    assert!(write_once(b"line\n", &mut pipe(2, io::ErrorKind::BrokenPipe)).is_ok());
    let failure = write_once(b"line\n", &mut pipe(2, io::ErrorKind::StorageFull)).unwrap_err();
    assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
}
