//! The folder of the memory: who makes it, and who removes it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use eic_emulator::Config;
use eic_login::memory::FOLDER;

use super::{file, keys_of, push, run};
use crate::wiring::{agent, lay_out};
use crate::world::{World, on_an_instance, test_path};

/// Mode and owner of the folder.
fn rights() -> (u32, u32, u32) {
    let found = fs::symlink_metadata(FOLDER).unwrap();
    (found.mode() & 0o7777, found.uid(), found.gid())
}

/// Runs `enable`. Returns its lines about the folder.
fn enable(world: &World) -> Vec<String> {
    let ran = agent(world, &["enable"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    ran.out.lines().filter(|line| line.contains(FOLDER)).map(str::to_owned).collect()
}

#[test]
fn enable_makes_the_folder_and_disable_removes_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let uid = world.uid("eic-agent");
        lay_out("UsePAM no\n", &[]);
        let (_, line) = push(world, "ec2-user", "key");
        assert_eq!(enable(world), ["made /run/eic-agent, in which runs of the agent remember evidence"]);
        assert_eq!(rights(), (0o700, uid, uid));
        assert_eq!(run(world, "ec2-user").1.len(), 7);
        assert_eq!(run(world, "ec2-user"), (line.clone(), vec![keys_of("ec2-user")]));
        // A second `enable` keeps what is remembered.
        assert!(enable(world).is_empty());
        assert_eq!(run(world, "ec2-user"), (line, vec![keys_of("ec2-user")]));

        chown(FOLDER, Some(0), Some(0)).unwrap();
        fs::set_permissions(FOLDER, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(run(world, "ec2-user").1.len(), 7, "the folder has another owner");
        assert_eq!(enable(world), ["corrected owner and mode of /run/eic-agent"]);
        assert_eq!(rights(), (0o700, uid, uid));
        assert_eq!(run(world, "ec2-user").1.len(), 1);

        let ran = agent(world, &["disable"]);
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
        assert!(!Path::new(FOLDER).exists(), "{}", ran.out);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(run(world, "ec2-user").1.len(), 7);
    });
}

#[test]
fn enable_and_disable_follow_no_link() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("UsePAM no\n", &[]);
        let other = world.path("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("evidence"), "of another program").unwrap();
        symlink(&other, FOLDER).unwrap();
        let lines = enable(world);
        assert!(lines.len() == 1 && lines[0].starts_with("warning: /run/eic-agent: "), "{lines:?}");
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(ran.out.contains("warning: /run/eic-agent: "), "{}", ran.out);
        assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
        assert_eq!(fs::read_to_string(other.join("evidence")).unwrap(), "of another program");
        fs::remove_file(FOLDER).unwrap();

        // If another user could replace the folder, root changes nothing in it.
        fs::set_permissions("/run", Permissions::from_mode(0o777)).unwrap();
        let ran = agent(world, &["enable"]);
        assert!(ran.out.contains("warning: "), "{}{}", ran.out, ran.err);
        assert!(!Path::new(FOLDER).exists());
        fs::set_permissions("/run", Permissions::from_mode(0o755)).unwrap();

        // A file that is not the agent's stays.
        assert_eq!(enable(world).len(), 1);
        fs::write(Path::new(FOLDER).join("mine"), "").unwrap();
        fs::write(file(), "").unwrap();
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(ran.out.contains("warning: /run/eic-agent: "), "{}", ran.out);
        assert!(Path::new(FOLDER).join("mine").exists() && !file().exists());
    });
}
