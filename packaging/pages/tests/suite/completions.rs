//! Each shell offers every command and every option, but no hidden command. The tests run the real shells.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use eic_agent::cli::Cli;
use eic_pages::completions;

use crate::tools;

/// An incomplete line, and the words that the shell must offer next.
struct Case {
    line: String,
    offered: BTreeSet<String>,
}

fn cases() -> Vec<Case> {
    let mut cli = Cli::command();
    cli.build();
    let of = |line: &str, offered: &[&str]| Case {
        line: line.to_owned(),
        offered: offered.iter().map(|word| (*word).to_owned()).collect(),
    };
    let commands: Vec<_> = cli.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let names: Vec<_> = commands.iter().map(|command| command.get_name()).collect();
    let mut cases = vec![of("eic-agent ", &names), of("eic-agent enab", &["enable"])];
    for command in commands.iter().filter(|command| command.get_name() != "help") {
        let options = command.get_arguments().filter_map(clap::Arg::get_long).map(|long| format!("--{long}"));
        cases.push(Case { line: format!("eic-agent {} --", command.get_name()), offered: options.collect() });
    }
    cases.push(of("eic-agent status --is", &["--is-ec2"]));
    cases
}

fn script(name: &str) -> std::path::PathBuf {
    let scripts = completions::scripts();
    let (_, text) = scripts.iter().find(|(file, _)| *file == name).unwrap();
    assert!(!text.contains("supervise"), "{name} offers a hidden command");
    tools::file("completions", name, text)
}

/// `answers` has a line `> LINE` for each case, in order. One line for each offered word follows it.
fn compare(shell: &str, answers: &str) {
    let mut answers = answers.lines().peekable();
    for Case { line, offered } in cases() {
        assert_eq!(answers.next(), Some(format!("> {line}").as_str()), "{shell}");
        let mut words = BTreeSet::new();
        while let Some(word) = answers.next_if(|answer| !answer.starts_with("> ")) {
            words.insert(word.to_owned());
        }
        // Compares options only if the line ends with an option. Ignores short options.
        words.retain(
            |word| if line.contains(" --") { word.starts_with("--") } else { !word.starts_with('-') },
        );
        assert_eq!(words, offered, "{shell}: {line}");
    }
    assert_eq!(answers.next(), None, "{shell}");
}

fn ask(command: &mut Command, script: &Path) -> String {
    command.arg(script).args(cases().iter().map(|case| &case.line));
    // No personal configuration and no history.
    let home = script.parent().unwrap();
    command.env("HOME", home).env("XDG_CONFIG_HOME", home).env("XDG_DATA_HOME", home).env("TERM", "dumb");
    tools::said(command)
}

#[test]
fn bash_completes() {
    let mut bash = tools::tool("bash").expect("bash is installed on every test machine");
    // Calls the function that `complete` registered for the program, with the arguments that bash passes.
    let asker = r#"
        source "$1" || exit
        compopt() { :; }
        registered=$(complete -p eic-agent) || exit
        function=${registered#*-F } function=${function%% *}
        for line in "${@:2}"; do
            read -ra COMP_WORDS <<<"$line"
            [[ $line != *' ' ]] || COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
            "$function" eic-agent "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "> $line" "${COMPREPLY[@]}"
        done"#;
    compare(
        "bash",
        &ask(bash.args(["--noprofile", "--norc", "-c", asker, "asker"]), &script("eic-agent.bash")),
    );
}

#[test]
fn fish_completes() {
    let Some(mut fish) = tools::tool("fish") else { return };
    let asker = r"
        source $argv[1]; or exit
        for line in $argv[2..]
            echo '> '$line
            complete --do-complete $line | string replace --regex '\t.*' ''
        end";
    compare("fish", &ask(fish.args(["--no-config", "-c", asker]), &script("eic-agent.fish")));
}

#[test]
fn zsh_completes() {
    let Some(mut zsh) = tools::tool("zsh") else { return };
    let asker = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/complete.zsh");
    compare("zsh", &ask(zsh.args(["-f", asker]), &script("_eic-agent")));
}
