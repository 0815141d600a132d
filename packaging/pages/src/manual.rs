//! eic-agent(8): a frame, filled with the help texts of the command line.

use clap::{Arg, Command, CommandFactory as _};
use eic_agent::cli::Cli;

use crate::roff::{bold, escape, italic, literal, prose, tagged};
use crate::{Error, fill};

const FRAME: &str = include_str!("../man/eic-agent.8.in");

/// A part of a subcommand's closing help text that begins with this goes to the section EXIT STATUS.
const EXIT_STATUS: &str = "Exit status: ";

/// The page's source.
pub fn page(date: &str) -> Result<String, Error> {
    let mut cli = Cli::command();
    // Adds clap's own options, and the full name of each subcommand.
    cli.build();
    let about = lowercase_first(&cli.get_about().map(ToString::to_string).unwrap_or_default());
    let parts = [
        ("ABOUT", escape(&about)),
        ("SYNOPSIS", visible(&cli).map(synopsis).collect()),
        ("COMMANDS", visible(&cli).map(command).collect()),
        ("OPTIONS", cli.get_arguments().map(argument).collect()),
        ("EXIT_STATUS", visible(&cli).map(exit_statuses).collect::<Result<_, _>>()?),
    ];
    fill(FRAME, date, &parts)
}

/// The subcommands, without hidden ones and without clap's own `help`.
fn visible(cli: &Command) -> impl Iterator<Item = &Command> {
    cli.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap_or_default();
    let arguments = usage.strip_prefix(name).unwrap_or(usage);
    format!(".SY {}\n{}\n.YS\n", escape(name).replace(' ', "\\ "), usage_words(arguments.trim()))
}

/// clap's usage in the style of man pages: `<FILE>` is FILE in italics, options are bold.
fn usage_words(usage: &str) -> String {
    let mut words = String::new();
    for (index, piece) in usage.split('<').enumerate() {
        let rest = match piece.split_once('>') {
            Some((value, rest)) if index > 0 => {
                words.push_str(&italic(value));
                rest
            }
            _ => piece,
        };
        for word in rest.split_inclusive(' ') {
            let bare = word.trim_end();
            words.push_str(&if bare.starts_with("--") { bold(bare) } else { escape(bare) });
            words.push_str(&word[bare.len()..]);
        }
    }
    words
}

fn command(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = vec![format!(".SS {}\n{}.\n", escape(command.get_name()), prose(&about))];
    // Positional arguments first, as in the synopsis.
    let (positional, options): (Vec<_>, Vec<_>) =
        command.get_arguments().filter(|argument| !is_help(argument)).partition(|arg| arg.is_positional());
    page.extend(positional.into_iter().chain(options).map(argument));
    for block in blocks(&after_help(command)) {
        match block {
            Block::Prose(text) if text.starts_with(EXIT_STATUS) => {}
            Block::Prose(text) => page.push(format!(".PP\n{}\n", prose(&text))),
            Block::Literal(lines) => page.push(literal(&lines)),
        }
    }
    page.concat()
}

/// The section OPTIONS describes `--help` once for all subcommands.
fn is_help(argument: &Arg) -> bool {
    argument.get_long() == Some("help")
}

fn argument(argument: &Arg) -> String {
    let names = [
        argument.get_short().map(|short| bold(&format!("-{short}"))),
        argument.get_long().map(|long| bold(&format!("--{long}"))),
    ];
    let mut term = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if argument.get_action().takes_values() {
        let values = argument.get_value_names().unwrap_or_default().join(" ");
        if !term.is_empty() {
            term.push(' ');
        }
        term.push_str(&italic(&values));
    }
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        help = format!("{help} [default: {}]", defaults.join(" "));
    }
    tagged(&term, &prose(&help))
}

enum Block {
    Prose(String),
    Literal(String),
}

fn after_help(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// Closing words of a subcommand: lines that are indented stay as they are, others are filled.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut apart = true;
    for line in text.lines() {
        match (line.strip_prefix("  "), blocks.last_mut()) {
            (None, _) if line.trim().is_empty() => {
                apart = true;
                continue;
            }
            (Some(line), Some(Block::Literal(lines))) if !apart => {
                lines.push('\n');
                lines.push_str(line);
            }
            (None, Some(Block::Prose(words))) if !apart => {
                words.push(' ');
                words.push_str(line);
            }
            (Some(line), _) => blocks.push(Block::Literal(line.to_owned())),
            (None, _) => blocks.push(Block::Prose(line.to_owned())),
        }
        apart = false;
    }
    blocks
}

fn exit_statuses(command: &Command) -> Result<String, Error> {
    let name = command.get_name();
    let statuses = blocks(&after_help(command)).into_iter().find_map(|block| match block {
        Block::Prose(text) => text.strip_prefix(EXIT_STATUS).map(statuses),
        Block::Literal(_) => None,
    });
    let statuses = statuses.filter(|statuses| statuses.len() > 1).ok_or_else(|| {
        format!("src/agent/cli/arguments.rs, after_help of {name}: expected '{EXIT_STATUS}0 …; 1 ….'")
    })?;
    let list = statuses.iter().map(|(code, meaning)| format!(".TP 4\n{}\n{}\n", bold(code), prose(meaning)));
    // `.PD 0` removes the empty lines between the entries of the list.
    let list: String = list.collect();
    Ok(format!(".PP\n{}\n.PD 0\n.RS 4\n{list}.RE\n.PD\n", bold(&format!("eic-agent {name}"))))
}

/// `0 done; 1 it failed. A hint.` as pairs.
fn statuses(text: &str) -> Vec<(String, String)> {
    let mut statuses: Vec<(String, String)> = Vec::new();
    for piece in text.split("; ") {
        match (piece.split_once(' '), statuses.last_mut()) {
            (Some((code, meaning)), _) if code.bytes().all(|byte| byte.is_ascii_digit()) => {
                statuses.push((code.to_owned(), meaning.to_owned()));
            }
            (_, Some((_, meaning))) => {
                meaning.push_str("; ");
                meaning.push_str(piece);
            }
            (_, None) => return Vec::new(),
        }
    }
    for (_, meaning) in &mut statuses {
        if !meaning.ends_with('.') {
            meaning.push('.');
        }
    }
    statuses
}

fn lowercase_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_has_no_angle_brackets() {
        let usage = "[OPTIONS] --keys <FILE> [-- <PROVIDER [ARG]>...]";
        let words = r"[OPTIONS] \fB\-\-keys\fR \fIFILE\fR [\-\- \fIPROVIDER [ARG]\fR\&...]";
        assert_eq!(usage_words(usage), words);
    }

    #[test]
    fn exit_statuses_are_told_apart() {
        let pairs = |text| {
            let statuses = statuses(text);
            statuses.iter().map(|(code, meaning)| format!("{code}={meaning}")).collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("0 done; now or before; 1 failed; 12 wrong. A hint."),
            ["0=done; now or before.", "1=failed.", "12=wrong. A hint."]
        );
        assert!(pairs("none").is_empty());
    }

    #[test]
    fn indented_lines_stay_apart() {
        let shown: Vec<_> = blocks("In a\nfile:\n  one\n    two\n\n  three\nend")
            .into_iter()
            .map(|block| match block {
                Block::Prose(text) => format!("p {text}"),
                Block::Literal(text) => format!("l {text}"),
            })
            .collect();
        assert_eq!(shown, ["p In a file:", "l one\n  two", "l three", "p end"]);
    }
}
