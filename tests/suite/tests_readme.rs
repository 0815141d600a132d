//! tests/README.md and the build must only name tests, modules, files and make targets that exist.

use std::collections::BTreeSet;
use std::fs;

use crate::security::{is_a_test, root};

const README: &str = include_str!("../README.md");

fn text_of(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The words between single backquotes, outside the fenced block.
fn quoted() -> Vec<&'static str> {
    let prose = README.split("\n```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

fn modules() -> BTreeSet<String> {
    let main = text_of("tests/suite/main.rs");
    main.lines()
        .filter_map(|line| Some(line.strip_prefix("mod ")?.trim_end_matches(';').to_owned()))
        .collect()
}

#[test]
fn files_that_tests_readme_names_exist() {
    let folders = ["src/", "tests/", "packaging/"];
    let files: Vec<_> =
        quoted().into_iter().filter(|text| folders.iter().any(|start| text.starts_with(start))).collect();
    assert!(files.len() > 20, "has the form of tests/README.md changed? {files:?}");
    for file in files {
        let file = file.split(' ').next().unwrap();
        assert!(root().join(file).exists(), "tests/README.md names {file}, which does not exist");
    }
}

#[test]
fn make_targets_that_tests_readme_names_exist() {
    let makefile = text_of("Makefile");
    let targets: Vec<_> = quoted().into_iter().filter_map(|text| text.strip_prefix("make ")).collect();
    assert!(targets.len() > 10, "has the form of tests/README.md changed? {targets:?}");
    for target in targets {
        assert!(
            makefile.contains(&format!("\n{target}:")),
            "tests/README.md names `make {target}`, which does not exist"
        );
    }
}

#[test]
fn tests_readme_lists_every_module_of_the_suite_and_no_other() {
    let start = "## Modules of the suite\n";
    let section = README.split(start).nth(1).and_then(|rest| rest.split("\n## ").next()).expect(start);
    let listed: BTreeSet<_> = section.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(listed, modules());
}

/// libtest succeeds if a filter matches no test. A command with a wrong name would run nothing and succeed.
#[test]
fn tests_and_modules_that_commands_name_exist() {
    let mut tests = 0;
    for file in ["Makefile", "packaging/build/test-binaries", "tests/README.md", "CONTRIBUTING.md", ".ci/run"]
    {
        let text = text_of(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for word in
            words.filter(|word| word.contains("::") && word.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            let name = word.split("::").next().unwrap();
            let is_of_the_suite = modules().contains(name);
            if word.ends_with("::") {
                let path = word.trim_end_matches("::").replace("::", "/");
                let mut crates = ["core", "host", "login", "agent"].iter();
                let is_of_the_program = crates.any(|folder| {
                    let module = root().join("src").join(folder).join(&path);
                    module.exists() || module.with_extension("rs").exists()
                });
                assert!(
                    is_of_the_suite || is_of_the_program,
                    "{file} names the module {word}, which does not exist"
                );
            } else if is_of_the_suite {
                assert!(is_a_test(word), "{file} names the test {word}, which does not exist");
                tests += 1;
            }
        }
    }
    assert!(tests > 1, "{tests}: expected the test of `make load` and one of tests/README.md");
    assert!(!is_a_test("load::was_renamed"));
}

#[test]
fn module_with_children_is_a_mod_rs() {
    let mut left: Vec<_> = ["src", "tests", "packaging"].iter().map(|folder| root().join(folder)).collect();
    let mut folders = 0;
    while let Some(folder) = left.pop() {
        folders += 1;
        let file = folder.with_extension("rs");
        assert!(
            !file.exists(),
            "{} has a folder of the same name: move it to mod.rs in that folder",
            file.display()
        );
        let inner = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let inner =
            inner.filter(|entry| entry.file_type().unwrap().is_dir() && entry.file_name() != "target");
        left.extend(inner.map(|entry| entry.path()));
    }
    assert!(folders > 50, "{folders}");
}

#[test]
fn file_of_the_suite_has_at_most_500_lines() {
    let mut left = vec![root().join("tests/suite")];
    let mut files = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines: split it by theme", path.display());
        files += 1;
    }
    assert!(files > 50, "{files}");
}
