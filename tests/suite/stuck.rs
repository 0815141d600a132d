//! Files on a file system that never answers, for example because its server is gone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use eic_emulator::Config;

use crate::metadata::pushed;
use crate::world::{Run, World, installed, on_an_instance, test_path};

/// The mount point of a file system that never answers.
pub(crate) const GONE: &str = "/mnt/gone";

/// A file system in user space whose server never answers: fuse(4).
const SERVER: &str = "import ctypes, os, sys, time\n\
    place, device, mode, uid = sys.argv[1:]\n\
    os.mknod(device, 0o20666, os.makedev(10, 229))\n\
    channel = os.open(device, os.O_RDWR)\n\
    options = f'fd={channel},rootmode={mode},user_id={uid},group_id={uid},allow_other'\n\
    mount = ctypes.CDLL(None, use_errno=True).mount\n\
    if mount(b'gone', place.encode(), b'fuse', 0, options.encode()) != 0:\n\
    \x20   sys.exit(os.strerror(ctypes.get_errno()))\n\
    print('mounted', flush=True)\n\
    time.sleep(600)\n";

/// A mounted file system that never answers. A process that waits for it ends when this is dropped.
pub(crate) struct Gone(Child);

impl Gone {
    pub(crate) fn mount(world: &World) -> Self {
        fs::create_dir_all(GONE).unwrap();
        Self::mount_over(world, GONE, "40000", "root")
    }

    /// Mounts it over this folder. `mode` and `user` are those of its root.
    pub(crate) fn mount_over(world: &World, folder: &str, mode: &str, user: &str) -> Self {
        let uid = world.uid(user).to_string();
        let mut server = Command::new(installed("python3"))
            .args(["-c", SERVER, folder])
            .arg(world.path("dev-fuse"))
            .args([mode, &uid])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n");
        Self(server)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the agent with a provider whose output is larger than a pipe's buffer.
fn run(world: &World, user: &str, arguments: &[&str]) -> Run {
    let provider = world.script("provider", "head -c 100000 /dev/zero | tr '\\0' x; echo");
    let mut words = vec!["--provider-user", "nobody"];
    words.extend(arguments);
    words.extend(["ec2-user", "--", provider.to_str().unwrap()]);
    world.run_out_of_time(user, &words, |run| run.keys().len() > 100_000)
}

#[test]
fn provider_keys_survive_settings_on_a_hung_file_server() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _gone = Gone::mount(world);
        for user in ["root", "eic-agent"] {
            let run = run(world, user, &["--config", "/mnt/gone/eic-agent.toml"]);
            assert_eq!((run.status(), run.keys().len()), (Some(0), 100_001), "{user}: {}", run.notes());
            assert!(run.notes().contains("settings-unreadable"), "{user}: {}", run.notes());
            assert!(run.is_soon(), "{user}: {:?}", run.took);
        }
    });
}

#[test]
fn provider_keys_survive_roots_on_a_hung_file_server() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        let _gone = Gone::mount(world);
        for user in ["root", "eic-agent"] {
            let run = run(world, user, &["--ca-file", "/mnt/gone/ca.pem"]);
            assert_eq!((run.status(), run.keys().len()), (Some(0), 100_001), "{user}: {}", run.notes());
            assert!(run.notes().contains("trust-store-unusable"), "{user}: {}", run.notes());
            assert!(run.is_soon(), "{user}: {:?}", run.took);
        }
        // One of the system's own files of roots is a link to the hung file system.
        fs::create_dir_all("/etc/ssl").unwrap();
        symlink("/mnt/gone/ca.pem", "/etc/ssl/ca-bundle.pem").unwrap();
        let run = run(world, "root", &[]);
        assert_eq!((run.status(), run.keys().len()), (Some(0), 100_001), "{}", run.notes());
        assert!(run.is_soon(), "{:?}", run.took);
    });
}
