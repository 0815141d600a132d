//! THIRD-PARTY-LICENSES: the components of the binary, and the licence texts that must accompany it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::crates::Crate;

/// Prefixes of the names of licence files, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A library that is linked into the binary.
#[derive(Debug)]
pub struct Component {
    name: String,
    licence: String,
    texts: Vec<String>,
}

/// Components of a static binary that are not crates.
pub fn runtime() -> Vec<Component> {
    let apache = include_str!("../../../LICENSE-APACHE");
    let of = |name: &str, licence: &str, texts: &[&str]| Component {
        name: name.to_owned(),
        licence: licence.to_owned(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    vec![
        of(
            "Rust standard library",
            "(MIT OR Apache-2.0) AND Unicode-3.0 AND (Apache-2.0 WITH LLVM-exception)",
            &[include_str!("../notices/rust-std.txt"), apache],
        ),
        of("musl", "MIT AND BSD-2-Clause AND BSD-3-Clause AND ISC", &[include_str!("../notices/musl.txt")]),
    ]
}

impl Component {
    /// A crate with the licence texts in its folder. A crate without a text is an error, because a package must contain
    /// the texts.
    pub fn of_crate(dependency: &Crate) -> Result<Self, Error> {
        let Crate { name, version, licence, folder } = dependency;
        let mut texts = Vec::new();
        collect(folder, &mut texts).map_err(|error| format!("{}: {error}", folder.display()))?;
        if texts.is_empty() {
            return Err(format!(
                "{name} {version} ({licence}) has no licence text in {}; copy its authors' text to \
                 packaging/pages/notices, and add it to packaging/pages/src/licences.rs",
                folder.display()
            )
            .into());
        }
        Ok(Self { name: format!("{name} {version}"), licence: licence.clone(), texts })
    }
}

/// Collects all licence files of a folder and its subfolders, which may contain foreign code (fiat-crypto in `ring`).
fn collect(folder: &Path, texts: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), texts)?;
        } else if kind.is_file() && is_licence(&entry.file_name().to_string_lossy()) {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).into_owned());
        }
    }
    Ok(())
}

/// Matches `LICENSE-MIT`, `LICENSE.txt` and `COPYING`, but not source files such as `licenses.rs`.
fn is_licence(file: &str) -> bool {
    let upper = file.to_uppercase();
    let ending = Path::new(&upper).extension().map(|ending| ending.to_string_lossy().into_owned());
    NAMES.iter().any(|name| upper.starts_with(name))
        && ending.is_none_or(|ending| ["MD", "TXT"].contains(&&*ending) || ending.parse::<u8>().is_ok())
}

/// The content of THIRD-PARTY-LICENSES. Texts that differ only in white space appear once.
pub fn document(version: &str, components: &[Component]) -> String {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    let mut list = Vec::new();
    let width = components.iter().map(|component| component.name.chars().count()).max().unwrap_or_default();
    for Component { name, licence, texts: own } in components {
        let mut used = Vec::new();
        for text in own {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let next = numbers.len() + 1;
            let number = *numbers.entry(words).or_insert(next);
            if number == next {
                texts.push(format!("\n{}\nText {number}\n\n{}\n", "=".repeat(80), tidy(text)));
            }
            if !used.contains(&number) {
                used.push(number);
            }
        }
        used.sort_unstable();
        let used: Vec<_> = used.iter().map(ToString::to_string).collect();
        list.push(format!("{name:<width$}  {licence}\n{:width$}  text {}\n", "", used.join(", ")));
    }
    format!(
        "Third-party components of eic-agent {version}\n\n\
         The binary is statically linked. It contains code of every component in this list. Each has its licence as\n\
         an SPDX expression. The licence texts follow, each once, as their authors wrote them.\n\n{}{}",
        list.concat(),
        texts.concat()
    )
}

/// Removes carriage returns, and white space at the ends of lines.
fn tidy(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The file `copyright` of the Debian package, in the machine-readable format.
pub fn debian_copyright() -> Result<String, Error> {
    let mit = include_str!("../../../LICENSE-MIT");
    let holder = mit.lines().find_map(|line| line.strip_prefix("Copyright (c) "));
    let holder = holder.ok_or("LICENSE-MIT: expected a line 'Copyright (c) …'")?;
    let (_, terms) =
        mit.split_once("\n\nPermission").ok_or("LICENSE-MIT: expected a paragraph 'Permission …'")?;
    // Continuation lines begin with a space. An empty line is a dot.
    let terms = format!("Permission{terms}");
    let terms: Vec<_> =
        terms.lines().map(|line| [" ", if line.is_empty() { "." } else { line }, "\n"].concat()).collect();
    let terms = terms.concat();
    Ok(format!(
        "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: eic-agent
Comment:
 The program is statically linked. /usr/share/doc/eic-agent/THIRD-PARTY-LICENSES.gz lists the crates and libraries
 that it contains, with their licences and the licence texts.

Files: *
Copyright: {holder}
License: MIT or Apache-2.0

License: MIT
{terms}
License: Apache-2.0
 On Debian systems, the text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_files_are_recognised_by_name() {
        for good in
            ["LICENSE", "LICENSE-MIT", "license.txt", "LICENSE-Apache", "COPYING", "LICENSE-2.0", "NOTICE.md"]
        {
            assert!(is_licence(good), "{good}");
        }
        for bad in ["licenses.rs", "my-license", "LICENSE.html", "authorized_keys", "Cargo.toml"] {
            assert!(!is_licence(bad), "{bad}");
        }
    }

    #[test]
    fn equal_texts_appear_once_and_have_one_number() {
        let of = |name: &str, texts: &[&str]| Component {
            name: name.to_owned(),
            licence: "MIT".to_owned(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let document = document("1", &[of("a 1", &["The  text\r\n"]), of("long 2", &["Other", "The\ntext"])]);
        assert_eq!(document.matches("The  text").count(), 1);
        assert!(
            document.contains("a 1     MIT\n        text 1\nlong 2  MIT\n        text 1, 2\n"),
            "{document}"
        );
        assert!(!document.contains('\r') && document.ends_with("Text 2\n\nOther\n"), "{document}");
    }

    #[test]
    fn a_crate_without_a_text_is_an_error() {
        let folder = std::env::temp_dir().join(format!("eic-pages-{}", std::process::id()));
        fs::create_dir_all(folder.join("third_party")).unwrap();
        let [name, version, licence] = ["bare", "1", "MIT"].map(str::to_owned);
        let bare = Crate { name, version, licence, folder: folder.clone() };
        let error = Component::of_crate(&bare).unwrap_err().to_string();
        assert!(error.starts_with("bare 1 (MIT) has no licence text"), "{error}");
        fs::write(folder.join("third_party/LICENSE"), "theirs").unwrap();
        assert_eq!(Component::of_crate(&bare).unwrap().texts, ["theirs"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn debians_file_has_no_empty_line_in_a_licence() {
        let copyright = debian_copyright().unwrap();
        assert!(copyright.contains("\n .\n THE SOFTWARE IS PROVIDED"), "{copyright}");
        assert!(copyright.contains("SOFTWARE.\n\nLicense: Apache-2.0\n"), "{copyright}");
    }
}
