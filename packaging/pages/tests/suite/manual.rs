//! eic-agent(8) describes the complete command line. Both pages are valid for mandoc and man.

use clap::CommandFactory as _;
use eic_agent::cli::Cli;
use eic_pages::roff::{bold, escape};
use eic_pages::{manual, settings};

use crate::tools;

const DAY: &str = "2026-01-31";

#[test]
fn every_command_and_option_is_there() {
    let page = manual::page(DAY).unwrap();
    for command in Cli::command().get_subcommands() {
        let name = escape(command.get_name());
        let section = page.split("\n.S").find(|section| section.starts_with(&format!("S {name}\n")));
        assert_eq!(section.is_some(), !command.is_hide_set(), "{name}");
        let Some(section) = section else { continue };
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let tag = section.lines().zip(section.lines().skip(1)).find_map(|(line, tag)| {
                let wanted = argument.get_long().map_or_else(
                    || argument.get_value_names().unwrap().join(" "),
                    |long| bold(&format!("--{long}")),
                );
                (line == ".TP" && tag.contains(&wanted)).then_some(tag)
            });
            assert!(tag.is_some(), "{name}: {id}");
        }
        let in_synopsis = format!("\n.SY eic\\-agent\\ {name}\n");
        assert!(page.contains(&in_synopsis), "{name}");
        let in_exit_status =
            format!("\n.PP\n{}\n.PD 0\n", bold(&format!("eic-agent {}", command.get_name())));
        assert!(page.contains(&in_exit_status), "{name}");
    }
}

/// docs/troubleshooting.md explains the reasons. The page does not repeat that, and names the installed file.
#[test]
fn page_names_the_document_that_explains_reasons() {
    let page = manual::page(DAY).unwrap();
    assert!(page.contains("/usr/share/doc/eic\\-agent/docs/troubleshooting.md"));
    let package = include_str!("../../../nfpm.yaml");
    assert_eq!(package.matches("dst: /usr/share/doc/eic-agent/docs/troubleshooting.md").count(), 2);
}

#[test]
fn the_pages_are_sound() {
    for (name, page) in [("eic-agent.8", manual::page(DAY)), ("eic-agent.toml.5", settings::page(DAY))] {
        let page = page.unwrap();
        let unfilled = page
            .split_whitespace()
            .find(|word| word.len() > 2 && word.starts_with('@') && word.ends_with('@'));
        assert_eq!(unfilled, None, "{name}");
        assert!(page.contains(&format!("\"{DAY}\" \"eic\\-agent {}\"", env!("CARGO_PKG_VERSION"))), "{name}");
        let file = tools::file("pages", name, &page);
        if let Some(mut mandoc) = tools::tool("mandoc") {
            assert_eq!(tools::said(mandoc.args(["-T", "lint", "-W", "warning"]).arg(&file)), "");
        }
        // The same command as lintian's.
        if let Some(mut man) = tools::tool("man") {
            man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&file);
            man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80");
            assert!(tools::said(&mut man).contains("EIC"), "{name}");
        }
    }
}
