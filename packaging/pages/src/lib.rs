//! Generates the files of eic-agent's packages except the program: man pages, shell completions and licence texts. They
//! come from the source of the program, so they always match it.

pub mod completions;
pub mod crates;
pub mod day;
pub mod licences;
pub mod manual;
pub mod roff;
pub mod settings;

use std::fs;
use std::path::Path;

use licences::Component;

/// An error with a message for the person who builds the package.
pub type Error = Box<dyn std::error::Error>;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes all files to the subfolders `man`, `completions` and `doc` of `folder`.
pub fn write(folder: &Path, day: &str) -> Result<(), Error> {
    let mut components = licences::runtime();
    for dependency in crates::linked()? {
        components.push(Component::of_crate(&dependency)?);
    }
    let mut files = vec![
        ("man/eic-agent.8".to_owned(), manual::page(day)?),
        ("man/eic-agent.toml.5".to_owned(), settings::page(day)?),
        ("doc/THIRD-PARTY-LICENSES".to_owned(), licences::document(VERSION, &components)),
        ("doc/copyright".to_owned(), licences::debian_copyright()?),
    ];
    let scripts = completions::scripts();
    files.extend(scripts.into_iter().map(|(file, script)| (format!("completions/{file}"), script)));
    for (file, text) in files {
        let path = folder.join(file);
        let place = path.parent().unwrap_or(folder);
        let said = fs::create_dir_all(place).and_then(|()| fs::write(&path, text));
        said.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Replaces each `@NAME@` in a page's frame by the part of that name.
fn fill(frame: &str, day: &str, parts: &[(&str, String)]) -> Result<String, Error> {
    let mut page = frame.to_owned();
    // The date is an argument of .TH, not text, so its hyphens need no escape.
    let usual = [("DATE", day.to_owned()), ("VERSION", roff::escape(VERSION))];
    for (name, part) in usual.iter().chain(parts) {
        let place = format!("@{name}@");
        if !page.contains(&place) {
            return Err(format!("expected {place} in the frame of the page").into());
        }
        page = page.replace(&place, part.trim_end());
    }
    Ok(page)
}
