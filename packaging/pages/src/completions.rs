//! Completions of bash, zsh and fish.

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;
use eic_agent::cli::Cli;

const NAME: &str = "eic-agent";

/// Each script with its name, by which the shells look for it (bash: without the ending).
pub fn scripts() -> [(&'static str, String); 3] {
    [
        ("eic-agent.bash", bash()),
        ("_eic-agent", script(Shell::Zsh, NAME)),
        ("eic-agent.fish", script(Shell::Fish, NAME)),
    ]
}

/// `clap_complete` 4.6 names the states of a program with a hyphen in two ways, so that bash never finds the options
/// of a subcommand. Without a hyphen it works; only the lines that say what to complete need the true name.
fn bash() -> String {
    let plain = NAME.replace('-', "_");
    let named = |line: &str| match line.strip_suffix(&plain) {
        Some(start) if line.trim_start().starts_with("complete -F") => format!("{start}{NAME}\n"),
        _ => format!("{line}\n"),
    };
    script(Shell::Bash, &plain).lines().map(named).collect()
}

fn script(shell: Shell, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line without what is hidden, which `clap_complete` would offer.
fn visible(cli: &Command) -> Command {
    let shown = cli.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new(NAME)
        .version(crate::VERSION)
        .args(cli.get_arguments().cloned())
        .subcommands(shown.cloned().map(|command| command.mut_args(with_hint)))
}

/// Says what a value is, which its name tells.
fn with_hint(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() {
        return argument;
    }
    let name = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    argument.value_hint(match name.as_deref() {
        Some("FILE") => ValueHint::FilePath,
        Some("DIR") => ValueHint::DirPath,
        Some("USER" | "NAME") => ValueHint::Username,
        // A provider: any command's words.
        Some(name) if name.contains(' ') => ValueHint::Unknown,
        // Nothing that could be listed: no file names either.
        _ => ValueHint::Other,
    })
}
