//! Files of roots that users other than root can change. No login may depend on them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use eic_emulator::Config;

use crate::failures::assert_undecided;
use crate::metadata::{USER, pushed};
use crate::world::{Key, World, on_an_instance, test_path};

/// A folder of root's with a copy of the emulator's root, as a file and in a hashed directory.
struct Store(PathBuf);

impl Store {
    fn new(world: &World) -> Self {
        let store = Self(world.path("etc/trust"));
        let _ = fs::remove_dir_all(&store.0);
        fs::create_dir_all(store.path("hashed")).unwrap();
        fs::write(store.path("ca.pem"), world.emulator.ca_pem()).unwrap();
        fs::write(store.path("hashed/0123abcd.0"), world.emulator.ca_pem()).unwrap();
        store
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The name of the case, a function that lets other users change the store, and the option that names the store.
type Case = (&'static str, fn(&World, &Store), &'static [&'static str]);

const CASES: &[Case] = &[
    ("others may write the file", |_, store| mode(&store.path("ca.pem"), 0o646), &["--ca-file", "ca.pem"]),
    ("a group may write the file", |_, store| mode(&store.path("ca.pem"), 0o664), &["--ca-file", "ca.pem"]),
    (
        "the file is another user's",
        |world, store| chown(store.path("ca.pem"), Some(world.uid(USER)), None).unwrap(),
        &["--ca-file", "ca.pem"],
    ),
    ("others may write the folder", |_, store| mode(&store.0, 0o777), &["--ca-file", "ca.pem"]),
    (
        "others may write the folder, which is sticky",
        |_, store| mode(&store.0, 0o1777),
        &["--ca-file", "ca.pem"],
    ),
    (
        "the folder is another user's",
        |world, store| chown(&store.0, Some(world.uid(USER)), None).unwrap(),
        &["--ca-file", "ca.pem"],
    ),
    (
        "a link is in a folder that others may write",
        |world, store| {
            symlink(store.path("ca.pem"), world.shared_folder().join("link")).unwrap();
            symlink(world.shared_folder().join("link"), store.path("first")).unwrap();
        },
        &["--ca-file", "first"],
    ),
    (
        "a folder on the way is a link in a folder that others may write",
        |world, store| {
            symlink(&store.0, world.shared_folder().join("folder")).unwrap();
            symlink(world.shared_folder().join("folder"), store.path("way")).unwrap();
        },
        &["--ca-file", "way/ca.pem"],
    ),
    (
        "others may write the hashed directory",
        |_, store| mode(&store.path("hashed"), 0o777),
        &["--ca-dir", "hashed"],
    ),
    (
        "others may write all that a hashed directory holds",
        |_, store| mode(&store.path("hashed/0123abcd.0"), 0o666),
        &["--ca-dir", "hashed"],
    ),
];

#[test]
fn roots_that_others_can_change_are_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        for user in ["root", "eic-agent", "ubuntu"] {
            for options in [["--ca-file", "ca.pem"], ["--ca-dir", "hashed"]] {
                let place = Store::new(world).text(options[1]);
                let run = world.run_as(user, &[options[0], &place, USER]);
                assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{user}: {options:?}: {run:?}");
            }
            for (case, spoil, options) in CASES {
                let store = Store::new(world);
                let _ = fs::remove_dir_all(world.shared_folder());
                spoil(world, &store);
                let run = world.run_as(user, &[options[0], &store.text(options[1]), USER]);
                assert_undecided(&run, "trust-store-insecure", &format!("{user}: {case}"));
            }
        }
        // The same rule holds for roots that the settings name.
        let store = Store::new(world);
        mode(&store.path("ca.pem"), 0o666);
        world.configure(&format!("[trust]\nca_file = \"{}\"\n", store.text("ca.pem")));
        let run = world.run(&[USER]);
        assert_undecided(&run, "trust-store-insecure", "named by the settings");
        let remedy = format!("run: chmod go-w {}", store.text("ca.pem"));
        assert!(run.notes().contains(&remedy), "{}", run.notes());
        symlink("circle", store.path("circle")).unwrap();
        let run = world.run(&["--ca-file", &store.text("circle"), USER]);
        assert_undecided(&run, "trust-store-unusable", "a link that leads to itself");
        // A relative path starts in the caller's directory.
        let run = world.run(&["--ca-file", "ca.pem", USER]);
        assert_undecided(&run, "trust-store-insecure", "a relative path");
    });
}

#[test]
fn a_distribution_bundle_that_others_can_change_is_not_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let bundles = [
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/certs/ca-certificates.crt",
        ];
        let bundles: Vec<_> = bundles.iter().map(Path::new).filter(|bundle| bundle.exists()).collect();
        for bundle in &bundles {
            mode(bundle, 0o666);
        }
        let run = world.run(&[USER]);
        // If the distribution also has a hashed directory, its roots are used.
        let reasons = ["trust-store-insecure", "signer-untrusted"];
        assert_eq!((run.status(), run.keys().as_str()), (Some(1), ""), "{run:?}");
        assert!(reasons.iter().any(|reason| run.notes().contains(reason)), "{}", run.notes());
        assert!(run.notes().contains("chmod go-w "), "{}", run.notes());
        for bundle in &bundles {
            mode(bundle, 0o644);
        }
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
    });
}

#[test]
fn a_distribution_bundle_in_a_sticky_store_of_a_group_is_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
        let roots = fs::read(bundle).unwrap();
        // This is NixOS's layout: root owns the store, its builders may add to it, and links in /etc lead there.
        let (store, package) = (world.path("etc/store"), world.path("etc/store/0a1b-cacert"));
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("ca-bundle.crt"), &roots).unwrap();
        let group = world.uid("ubuntu");
        chown(&store, Some(0), Some(group)).unwrap();
        mode(&store, 0o1775);
        fs::remove_file(bundle).unwrap();
        symlink(package.join("ca-bundle.crt"), bundle).unwrap();
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        // A file that an option or the settings name must obey sshd's own rule.
        let named = package.join("ca-bundle.crt");
        let run = world.run(&["--ca-file", named.to_str().unwrap(), USER]);
        assert_undecided(&run, "trust-store-insecure", "a file that is named");

        let is_refused = |case: &str| {
            let run = world.run(&[USER]);
            assert_eq!((run.status(), run.keys().as_str()), (Some(1), ""), "{case}: {run:?}");
            assert!(run.notes().contains("0a1b-cacert") || run.notes().contains("store"), "{}", run.notes());
        };
        for (case, bits) in [("not sticky", 0o775), ("of everybody", 0o1777)] {
            mode(&store, bits);
            is_refused(case);
        }
        mode(&store, 0o1775);
        chown(&package, Some(world.uid("ubuntu")), None).unwrap();
        is_refused("a builder's own package");
        // A link in the store is followed if root owns it. A builder's own link is refused.
        chown(&package, Some(0), None).unwrap();
        let real = world.path("etc/real");
        fs::rename(&package, &real).unwrap();
        symlink(&real, &package).unwrap();
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        std::os::unix::fs::lchown(&package, Some(world.uid("ubuntu")), None).unwrap();
        is_refused("a builder's own link");
    });
}

#[test]
fn insecure_root_does_not_affect_the_other_roots() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let store = Store::new(world);
        // update-ca-certificates(8) links files that an operator puts into /usr/local/share. On older releases of
        // Debian, a group can write there.
        fs::create_dir_all(store.path("local")).unwrap();
        mode(&store.path("local"), 0o2775);
        fs::write(store.path("local/site.crt"), world.emulator.ca_pem()).unwrap();
        symlink("../local/site.crt", store.path("hashed/89abcdef.0")).unwrap();
        // A link without a target removes no root and is not reported.
        symlink("../local/gone.crt", store.path("hashed/89abcdef.1")).unwrap();
        world.configure_unhurried(&format!("[trust]\nca_dir = \"{}\"\n", store.text("hashed")));
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));

        let doctor = Command::new(world.agent()).args(["doctor", "--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == "trust-store").unwrap();
        let local = format!("expected {} to be writable by its owner only", store.text("local"));
        let seen = check["seen"].as_str().unwrap();
        assert!(check["verdict"] == "warn" && seen.contains("trusted roots: 1"), "{check}");
        assert!(seen.contains(&local) && !seen.contains("more"), "{check}");

        // If the signer needs the root that is left out, the log names the cause.
        fs::write(store.path("hashed/0123abcd.0"), other_root(world)).unwrap();
        let run = world.run(&[USER]);
        assert_undecided(&run, "signer-untrusted", "the root is left out");
        assert!(run.notes().contains(&local), "{}", run.notes());
    });
}

fn other_root(world: &World) -> String {
    let file = world.path("etc/other.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Other", "-keyout", "/dev/null"])
        .arg("-out")
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(file).unwrap()
}

#[test]
fn verify_accepts_roots_that_the_caller_owns() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key: Key = pushed(world, "key");
        world.configure_unhurried("");
        let own = world.path(&format!("home/{USER}"));
        let capture = own.join("capture.json");
        let uid = world.uid(USER);
        let agent = |words: &[&str]| {
            use std::os::unix::process::CommandExt as _;
            Command::new(world.agent()).args(words).current_dir(&own).uid(uid).gid(uid).output().unwrap()
        };
        let said = agent(&["capture", "--user", USER, capture.to_str().unwrap()]);
        assert!(said.status.success(), "{said:?}");
        fs::write(own.join("ca.pem"), world.emulator.ca_pem()).unwrap();
        chown(own.join("ca.pem"), Some(uid), Some(uid)).unwrap();
        let said = agent(&["verify", "--capture", "capture.json", "--ca-file", "ca.pem"]);
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{}\n", key.bare_line()), "{said:?}");
        // sshd acts on the output of `authorized-keys`, which still refuses such roots.
        let run = world.run_as(USER, &["--ca-file", own.join("ca.pem").to_str().unwrap(), USER]);
        assert_undecided(&run, "trust-store-insecure", "authorized-keys");
    });
}
