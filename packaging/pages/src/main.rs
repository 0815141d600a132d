//! `eic-pages FOLDER SOURCE_DATE_EPOCH`: see `make pages`.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let [folder, epoch] = words.as_slice() else {
        eprintln!("usage: eic-pages FOLDER SOURCE_DATE_EPOCH");
        return ExitCode::from(2);
    };
    let made = eic_pages::day::of_source(epoch).and_then(|day| eic_pages::write(Path::new(folder), &day));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eic-pages: {error}");
            ExitCode::FAILURE
        }
    }
}
