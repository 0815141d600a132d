use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn seen(reach: &Reach) -> String {
    match reach {
        Reach::Yes => "yes".to_owned(),
        Reach::No(obstacle) => format!("{}; {:?}", obstacle.seen(), obstacle.command()),
        Reach::Unknown(why) => format!("unknown: {why}"),
    }
}

#[test]
fn rights_are_computed_by_class_and_place() {
    let root = std::env::temp_dir().join(format!("eic-agent-reach-{}", std::process::id()));
    let folder = root.join("folder");
    fs::create_dir_all(&folder).unwrap();
    let root = root.canonicalize().unwrap();
    let (folder, file) = (root.join("folder"), root.join("folder/file"));
    fs::write(&file, "x").unwrap();
    symlink("folder/file", root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("circle", root.join("circle")).unwrap();
    let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    let subject = |uid, gid, groups: &[u32]| Subject {
        name: "u".into(),
        uid,
        gid,
        groups: groups.to_vec(),
        may_lack_groups: false,
    };
    let other = subject(uid + 1, gid + 1, &[]);
    let member = subject(uid + 1, gid + 1, &[gid]);
    let ask = |subject: &Subject, path: &Path, need| seen(&Reach::computed(subject, path, need));
    mode(&root, 0o755);
    for (folder_mode, file_mode, of_other, of_member) in [
        (0o755, 0o644, "yes".to_owned(), "yes".to_owned()),
        (0o750, 0o644, denied(&folder, "0750", "enter", 'x'), "yes".to_owned()),
        (0o705, 0o644, "yes".to_owned(), denied(&folder, "0705", "enter", 'x')),
        (0o711, 0o640, denied(&file, "0640", "read", 'r'), "yes".to_owned()),
    ] {
        mode(&folder, folder_mode);
        mode(&file, file_mode);
        for path in [&file, &root.join("link")] {
            assert_eq!(ask(&other, path, Use::Read), of_other, "{folder_mode:o} {file_mode:o}");
            assert_eq!(ask(&member, path, Use::Read), of_member, "{folder_mode:o} {file_mode:o}");
        }
    }
    mode(&folder, 0o711);
    assert_eq!(
        ask(&other, &folder, Use::List),
        denied(&folder, "0711", "list and enter", 'r').replace("a+r", "a+rx")
    );
    assert!(ask(&other, &root.join("dangling"), Use::Read).contains("nowhere is missing"));
    // musl and glibc describe this error in different words.
    let a_loop = std::io::Error::from(nix::errno::Errno::ELOOP).to_string();
    assert!(ask(&other, &root.join("circle"), Use::Read).contains(&a_loop));
    assert!(ask(&other, &file.join("x"), Use::Read).contains("Not a directory"));
    assert!(ask(&other, &folder, Use::Read).contains("Is a directory"));
    assert_eq!(seen(&Reach::of(&other, Path::new("x"), Use::Read)), "unknown: x is not an absolute path");
    fs::remove_dir_all(&root).unwrap();
}

fn denied(place: &Path, mode: &str, verb: &str, right: char) -> String {
    let place = place.display();
    let command = format!("chmod a+{right} {place}");
    format!("the mode of {place} is {mode}, and u needs the right to {verb} it; {:?}", Some(command))
}

#[test]
fn own_access_is_tried() {
    let name = "u";
    let own = Subject::current(name).unwrap();
    assert!(matches!(Reach::of(&own, Path::new("/bin/sh"), Use::Execute), Reach::Yes));
    assert!(matches!(Reach::of(&own, Path::new("/etc/passwd"), Use::Read), Reach::Yes));
    assert!(matches!(Reach::of(&own, Path::new("/etc"), Use::List), Reach::Yes));
    assert!(matches!(Reach::of(&own, Path::new("/etc/passwd"), Use::Execute), Reach::No(_)));
    let Reach::No(missing) = Reach::of(&own, Path::new("/nonexistent/x"), Use::Read) else { panic!() };
    assert!(missing.is_missing());
    assert_eq!(
        missing.seen(),
        "/nonexistent/x: No such file or directory (os error 2): /nonexistent is missing"
    );
}

#[test]
fn interpreter_is_found_in_the_first_line() {
    let file = std::env::temp_dir().join(format!("eic-agent-script-{}", std::process::id()));
    for (text, interpreter) in [
        ("#! /bin/sh -e\nx", Some("/bin/sh")),
        ("#!/bin/sh", Some("/bin/sh")),
        ("#!\n/bin/sh", None),
        ("\x7fELF", None),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(interpreter_of(&file), interpreter.map(PathBuf::from), "{text}");
    }
    fs::remove_file(&file).unwrap();
}

#[test]
fn word_of_a_use_is_parsed() {
    for need in [Use::Execute, Use::Read, Use::List] {
        assert_eq!(Use::parse(need.word()), Some(need));
    }
    assert_eq!(Use::parse("write"), None);
}
