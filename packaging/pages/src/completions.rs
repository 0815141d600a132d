//! Completions of bash, zsh and fish.

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;
use eic_agent::cli::Cli;

const NAME: &str = "eic-agent";

/// Each script with its file name. The shells search for this name (bash without the extension).
pub fn scripts() -> [(&'static str, String); 3] {
    [
        ("eic-agent.bash", bash()),
        ("_eic-agent", script(Shell::Zsh, NAME)),
        ("eic-agent.fish", script(Shell::Fish, NAME)),
    ]
}

/// `clap_complete` 4.6 uses two different state names if the program name has a hyphen. bash then never completes the
/// options of a subcommand. So this generates a script for a name without a hyphen. Only the `complete` lines get the
/// real name.
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

/// The command line without hidden subcommands. `clap_complete` would offer them.
fn visible(cli: &Command) -> Command {
    let shown = cli.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new(NAME)
        .version(crate::VERSION)
        .args(cli.get_arguments().cloned())
        .subcommands(shown.cloned().map(|command| command.mut_args(with_hint)))
}

/// Sets the kind of the value, such as a path, from the name of the value.
fn with_hint(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() {
        return argument;
    }
    let name = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    argument.value_hint(match name.as_deref() {
        Some("FILE") => ValueHint::FilePath,
        Some("DIR") => ValueHint::DirPath,
        Some("USER" | "NAME") => ValueHint::Username,
        // A provider: a command with arguments.
        Some(name) if name.contains(' ') => ValueHint::Unknown,
        // The shell cannot list these values, and must not offer file names.
        _ => ValueHint::Other,
    })
}
