//! eic-agent.toml(5) has exactly the settings that the program reads, with their defaults.

use std::collections::{BTreeMap, BTreeSet};

use eic_agent::config::show::ConfigReport;
use eic_login::config::{CommandLine, DEFAULT_PATH, Settings};
use eic_pages::settings;

const READERS: [&str; 2] = [
    include_str!("../../../../src/login/config/reader/mod.rs"),
    include_str!("../../../../src/login/config/reader/rules.rs"),
];
const COMMENTED: &str = include_str!("../../../eic-agent.toml");

/// The settings of the page, such as `imds.timeout`, with their defaults.
fn on_the_page() -> BTreeMap<String, Option<String>> {
    let page = settings::page("2026-01-31").unwrap().replace("\\-", "-");
    let mut section = "";
    let mut settings = BTreeMap::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix(".SS ") {
            section = name.trim_matches(['[', ']']);
        } else if let Some((name, about)) =
            line.strip_prefix("\\fB").and_then(|line| line.split_once("\\fR = "))
        {
            let default =
                about.split_once("[default: \\fB").map(|(_, default)| default.split_once("\\fR]").unwrap().0);
            settings.insert(format!("{section}.{name}"), default.map(str::to_owned));
        }
    }
    settings
}

/// The settings in the reader's lists of known settings. It refuses others: "no such setting; expected one of …".
fn read_by_the_program() -> BTreeSet<String> {
    let lists = READERS.iter().flat_map(|source| source.split(".nothing_else(").skip(1)).map(|rest| {
        let (list, _) = rest.trim_start().strip_prefix("&[").unwrap().split_once(']').unwrap();
        let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    });
    let lists: Vec<_> = lists.filter(|list| !list[0].starts_with('[')).collect();
    let sections = ["rule", "imds", "trust", "keys", "audit", "policy"];
    let found = sections.map(|section| {
        let list = lists.iter().find(|list| match section {
            "rule" => list.contains(&"action".to_owned()),
            "imds" => list.contains(&"endpoint".to_owned()),
            "trust" => list.contains(&"roots".to_owned()),
            "audit" => list.contains(&"required".to_owned()),
            "policy" => list.contains(&"default".to_owned()),
            _ => list.contains(&"options".to_owned()),
        });
        let list = list.unwrap_or_else(|| {
            panic!("src/login/config/reader: expected a list of the settings of [{section}]")
        });
        list.iter().map(|name| format!("{section}.{name}")).collect::<Vec<_>>()
    });
    assert_eq!(
        lists.len(),
        sections.len(),
        "the reader has a section that this test does not know: {lists:?}"
    );
    found.into_iter().flatten().collect()
}

/// The settings in a file, as `section.name`. Reads every table of an array of tables.
fn in_toml(text: &str) -> BTreeSet<String> {
    let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut settings = BTreeSet::new();
    for (section, content) in file {
        let tables = match content {
            toml::Value::Table(table) => vec![table],
            toml::Value::Array(tables) => {
                tables.into_iter().map(|table| table.as_table().unwrap().clone()).collect()
            }
            other => panic!("{section} is {other:?}"),
        };
        settings.extend(tables.iter().flat_map(|table| table.keys()).map(|name| format!("{section}.{name}")));
    }
    settings
}

#[test]
fn the_page_has_the_settings_that_the_program_reads() {
    let page: BTreeSet<_> = on_the_page().into_keys().collect();
    assert_eq!(page, read_by_the_program());
}

#[test]
fn the_settings_template_has_the_settings_that_the_program_reads() {
    // `#` with a space starts a comment. `#` without a space disables a setting.
    let lines = COMMENTED.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    assert_eq!(in_toml(&lines.collect::<Vec<_>>().join("\n")), read_by_the_program());
}

#[test]
fn the_example_has_only_known_settings() {
    let page = settings::page("2026-01-31").unwrap();
    let (_, example) = page.split_once("\n.SH EXAMPLE\n").unwrap();
    let (_, example) = example.split_once("\n.nf\n").unwrap();
    let (example, _) = example.split_once("\n.fi\n").unwrap();
    let example = in_toml(&example.replace("\\-", "-"));
    assert!(!example.is_empty() && example.is_subset(&read_by_the_program()), "{example:?}");
}

/// The defaults in `eic-agent config` without any setting.
#[test]
fn the_defaults_are_those_of_the_program() {
    let shown = Settings::resolve(&CommandLine::default())
        .map(|settings| serde_json::to_value(ConfigReport::of(&settings)));
    let shown = shown
        .unwrap_or_else(|error| panic!("this test needs a machine without a broken {DEFAULT_PATH}: {error}"));
    let shown = shown.unwrap();
    let page = on_the_page();
    for setting in shown["settings"].as_array().unwrap() {
        let key = setting["key"].as_str().unwrap();
        assert_eq!(
            setting["from"]["origin"], "default",
            "this test needs a machine without {DEFAULT_PATH}: {key} is set"
        );
        let default = match &setting["value"] {
            serde_json::Value::Null => None,
            serde_json::Value::Number(number) => Some(number.as_f64().unwrap().to_string()),
            other => Some(other.to_string()),
        };
        assert_eq!(page.get(key), Some(&default), "{key}");
    }
}
