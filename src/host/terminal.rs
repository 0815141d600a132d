//! The terminal that standard output or standard error is connected to.

use std::os::fd::AsFd;

/// The number of columns of the terminal. `None` if `file` is no terminal, or if the terminal does not know its size.
pub fn columns(file: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(file).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_pipe_have_no_columns() {
        assert_eq!(columns(std::fs::File::open("/dev/null").unwrap()), None);
        assert_eq!(columns(std::io::pipe().unwrap().1), None);
    }
}
