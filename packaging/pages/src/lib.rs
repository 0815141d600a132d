//! What goes into eic-agent's packages beside the program: man pages, shell completions, licence texts. All of it comes
//! from what the program itself is made from, so that it cannot tell another story.

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

/// Why nothing was made, for whoever builds.
pub type Error = Box<dyn std::error::Error>;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes everything below `folder`: `man`, `completions` and `doc`.
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

/// Puts the parts into a page's frame: `@NAME@`, where it stands.
fn fill(frame: &str, day: &str, parts: &[(&str, String)]) -> Result<String, Error> {
    let mut page = frame.to_owned();
    // A day is data of .TH, not text: its hyphens stay as they are.
    let usual = [("DATE", day.to_owned()), ("VERSION", roff::escape(VERSION))];
    for (name, part) in usual.iter().chain(parts) {
        let place = format!("@{name}@");
        if !page.contains(&place) {
            return Err(format!("the page's frame has no {place}").into());
        }
        page = page.replace(&place, part.trim_end());
    }
    Ok(page)
}
