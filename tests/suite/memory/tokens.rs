//! A remembered token that the service answers with an error.

use eic_emulator::{Config, Fault};

use super::{Compared, compare_after, filled, keys_of, run, write_bytes};
use crate::world::{on_an_instance, test_path};

#[test]
fn any_status_ends_the_run_as_without_a_remembered_token() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let mut failed = Vec::new();
        for status in [204, 302, 400, 401, 403, 404, 429, 500, 503] {
            for times in [1, 2] {
                let faulty = || {
                    world.emulator.clear_faults();
                    world.emulator.inject(Fault::at(&keys_of("ec2-user")).status(status).times(times));
                };
                let Compared { without, with } = compare_after(faulty, world, &kept, "", &["ec2-user"]);
                if without.keys() == line && with.keys() != line {
                    let (without, with) = (without.said(), with.said());
                    failed.push(format!("{status}, {times} times: without {without}, with {with}"));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    });
}

#[test]
fn overloaded_service_keeps_the_remembered_token() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        for status in [429, 503] {
            // A run on a busy machine may wait for so long that it asks for a new token too.
            let kept_it = (0..3).any(|_| {
                write_bytes(world, &kept);
                world.emulator.inject(Fault::at(&keys_of("ec2-user")).status(status).times(1));
                let (keys, paths) = run(world, "ec2-user");
                assert_eq!(keys, line, "{status}");
                paths == [keys_of("ec2-user"), keys_of("ec2-user")]
            });
            assert!(kept_it, "{status}");
        }
    });
}
