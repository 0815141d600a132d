//! The output format of the demo.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

const TITLE_WIDTH: usize = 68;

/// Standard output, in colour on a terminal unless `NO_COLOR` is set.
pub(crate) struct Screen {
    out: io::Stdout,
    colour: bool,
    step: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let out = io::stdout();
        Self { colour: out.is_terminal() && !unwanted, out, step: 0 }
    }

    /// Prints the title line.
    pub(crate) fn title(&self, text: &str) -> io::Result<()> {
        self.line(&self.paint("1", text))
    }

    /// Prints the title of a finished step, with its duration if given.
    pub(crate) fn step(&mut self, text: &str, took: Option<Duration>) -> io::Result<()> {
        self.step += 1;
        let time = took.map_or_else(String::new, |took| format!("{:>8.1} ms", took.as_secs_f64() * 1000.0));
        let space = " ".repeat(if time.is_empty() { 0 } else { TITLE_WIDTH.saturating_sub(text.len()) });
        self.line("")?;
        let head = self.paint("1;36", &format!("{:>2}  {text}", self.step));
        self.line(&format!("{head}{space}{}", self.paint("2", &time)))
    }

    /// Prints a named detail below a step.
    pub(crate) fn detail(&self, name: &str, value: impl Display) -> io::Result<()> {
        self.line(&format!("    {} {value}", self.paint("2", &format!("{name:<10}"))))
    }

    /// Prints the output of another program, line by line, without control characters.
    pub(crate) fn quote(&self, name: &str, text: &str) -> io::Result<()> {
        let mut name = name;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.detail(name, line.trim_end().chars().filter(|c| !c.is_control()).collect::<String>())?;
            name = "";
        }
        Ok(())
    }

    /// Prints the result of a step.
    pub(crate) fn verdict(&self, good: bool, text: &str) -> io::Result<()> {
        let (code, mark) = if good { ("1;32", "ok") } else { ("1;31", "FAILED") };
        self.line(&format!("    {:<10} {}", self.paint(code, &format!("{mark:<10}")), self.paint(code, text)))
    }

    /// Prints a line.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        writeln!(&self.out, "{text}")
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
