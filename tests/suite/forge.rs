//! The files of `.github` agree with `.ci/run`, the Makefile and the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::security::root;

/// Steps that `.github/workflows/ci.yml` leaves out; its comment has the reasons.
const LEFT_OUT: [&str; 4] = ["setup", "ami", "guard", "processes"];

fn text_of(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn ci_run(arguments: &[&str]) -> Output {
    // This test may itself run inside .ci/run.
    Command::new(root().join(".ci/run")).args(arguments).env_remove("EIC_CI_INSIDE").output().unwrap()
}

/// The text of every workflow, with its name.
fn workflows() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join(".github/workflows")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// Every file below a folder of the source.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![root().join(folder)]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn workflow_runs_every_step_of_ci_run_that_it_does_not_leave_out() {
    let listed = String::from_utf8(ci_run(&["--list"]).stdout).unwrap();
    let listed: BTreeSet<_> = listed.lines().collect();
    assert!(listed.len() > 20, "has the form of .ci/run changed? {listed:?}");
    let ci = text_of(".github/workflows/ci.yml");
    let named: Vec<_> = ci
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("steps: "))
        .flat_map(str::split_whitespace)
        .chain(LEFT_OUT)
        .collect();
    assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), listed);
    assert_eq!(named.len(), listed.len(), "a step is named twice: {named:?}");
    for step in LEFT_OUT {
        assert!(ci.contains(&format!("`{step}`")), "ci.yml does not say why it leaves out {step}");
    }
}

#[test]
fn commands_that_workflows_name_exist() {
    let makefile = text_of("Makefile");
    let (mut targets, mut scripts) = (0, 0);
    for (file, text) in workflows() {
        let commands = text.lines().map(|line| line.trim_start().trim_start_matches("run: "));
        for command in commands {
            let mut words = command.split_whitespace();
            match words.next() {
                Some("make") => {
                    for target in words.take_while(|word| !word.contains('>')) {
                        assert!(
                            makefile.contains(&format!("\n{target}:")),
                            "{}: no target {target} in the Makefile",
                            file.display()
                        );
                        targets += 1;
                    }
                }
                Some(script)
                    if [".ci/", "packaging/", "tests/"].iter().any(|folder| script.starts_with(folder)) =>
                {
                    assert!(root().join(script).exists(), "{}: {script} does not exist", file.display());
                    scripts += 1;
                }
                _ => {}
            }
        }
    }
    assert!(targets > 4 && scripts > 1, "has the form of the workflows changed? {targets} {scripts}");
}

#[test]
fn workflows_find_the_release_of_rust() {
    let budget = text_of("tests/bench/budget.toml");
    let rest = budget.split("rustc ").nth(1).expect("tests/bench/budget.toml names no release of rustc");
    let release: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let release = release.trim_end_matches('.');
    let is_a_release = release.split('.').count() == 3
        && release.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    assert!(is_a_release, "expected a release such as 1.95.0, got {release:?}");
}

#[test]
fn dependabot_knows_every_folder_with_dependencies_and_no_other() {
    let settings = text_of(".github/dependabot.yml");
    let mut listed = BTreeSet::new();
    for entry in settings.split("package-ecosystem: ").skip(1) {
        let ecosystem = entry.lines().next().unwrap();
        let folder = entry.lines().find_map(|line| line.trim().strip_prefix("directory: /")).unwrap();
        listed.insert((ecosystem.to_owned(), folder.to_owned()));
    }
    let folder_of = |file: &Path| file.parent().unwrap().strip_prefix(root()).unwrap().display().to_string();
    let mut expected = BTreeSet::from([
        ("cargo".to_owned(), String::new()),
        ("cargo".to_owned(), "tests/fuzz".to_owned()),
        ("github-actions".to_owned(), String::new()),
    ]);
    for file in [".github", "packaging", "tests"].into_iter().flat_map(files_below) {
        if file.file_name().is_some_and(|name| name.to_string_lossy().ends_with("requirements.txt")) {
            expected.insert(("pip".to_owned(), folder_of(&file)));
        }
        if file.file_name().is_some_and(|name| name == "package.json") {
            expected.insert(("npm".to_owned(), folder_of(&file)));
        }
    }
    assert_eq!(listed, expected);
    assert!(root().join("tests/fuzz/Cargo.lock").exists());
}

#[test]
fn ci_run_with_names_runs_these_steps_alone() {
    let run = ci_run(&["processes"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{said}");
    let steps: Vec<_> =
        said.lines().filter(|line| line.starts_with("=== ") && !line.contains([':', ','])).collect();
    assert_eq!(steps, ["=== processes"], "{said}");
}

#[test]
fn ci_run_refuses_an_unknown_step_before_it_runs_any() {
    for arguments in [&["nonsense"][..], &["processes", "nonsense"], &["process"], &[""]] {
        let run = ci_run(arguments);
        assert_eq!((run.status.code(), run.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(
            String::from_utf8(run.stderr).unwrap().contains("expected the name of a step"),
            "{arguments:?}"
        );
    }
}

#[test]
fn release_notes_are_the_section_of_the_version() {
    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-01-02\n\n### Fixed\n\n- this\n\n## [1.2.30] - 2025-01-02\n\n- older\n";
    let cases = [
        ("the section", "1.2.3", None, Ok("### Fixed\n\n- this\n")),
        ("with its tag", "1.2.3", Some("v1.2.3"), Ok("### Fixed\n\n- this\n")),
        ("no section", "1.2.4", None, Err("expected a section '## [1.2.4] - YEAR-MONTH-DAY'")),
        ("the beginning of another version", "1.2", None, Err("expected a section")),
        ("a tag of another version", "1.2.3", Some("v1.2.4"), Err("expected the tag v1.2.3")),
    ];
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("release-notes");
    fs::create_dir_all(place.join("packaging")).unwrap();
    fs::copy(root().join("packaging/release-notes"), place.join("packaging/release-notes")).unwrap();
    fs::write(place.join("CHANGELOG.md"), CHANGELOG).unwrap();
    for (name, version, tag, expected) in cases {
        fs::write(place.join("Cargo.toml"), format!("[workspace.package]\nversion = \"{version}\"\n"))
            .unwrap();
        let run = Command::new(place.join("packaging/release-notes")).args(tag).output().unwrap();
        let (notes, error) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
        match expected {
            Ok(expected) => {
                assert_eq!((&notes[..], run.status.code()), (expected, Some(0)), "{name}: {error}");
            }
            Err(expected) => {
                assert!(error.contains(expected), "{name}: {error}");
                assert_eq!((&notes[..], run.status.code()), ("", Some(1)), "{name}");
            }
        }
    }
}

#[test]
fn only_cargo_toml_names_the_address_of_the_repository() {
    let manifest = text_of("Cargo.toml");
    let address =
        manifest.lines().find_map(|line| line.strip_prefix("repository = ")).unwrap().trim_matches('"');
    assert!(address.starts_with("https://"), "{address}");
    let name = format!("/{}", address.rsplit('/').next().unwrap());
    let folders = [".github", "docs", "packaging", "src", "systemd"];
    let top = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"];
    let files: Vec<_> = folders.into_iter().chain(top).flat_map(files_below).collect();
    assert!(files.len() > 100, "{}", files.len());
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for host in ["github.com/", "gitlab.com/", "codeberg.org/"] {
            for rest in text.split(host).skip(1) {
                let path =
                    rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c))).next().unwrap();
                assert!(
                    !path.contains(&name),
                    "{} names {host}{path}: leave that to Cargo.toml",
                    file.display()
                );
            }
        }
    }
}
