//! Options of `[keys]` with which sshd certainly refuses every pushed key.

use eic_emulator::Config;

use super::enabled;
use crate::screens::words;
use crate::wiring::agent;
use crate::world::{BOB, Key, Syslog, on_an_instance, test_path};

const USER: &str = "ec2-user";

#[test]
fn expired_options_of_the_settings_are_a_fault_for_every_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        let fault = "expiry-time in the options of [keys] is in the past: sshd refuses every pushed key";
        for (options, is_over) in [("restrict,expiry-time=\"202001011200\"", true), ("restrict,pty", false)] {
            world.configure_unhurried(&format!("[keys]\noptions = '{options}'\n"));
            world.emulator.clear_keys();
            world.emulator.push(USER, &key.line(), BOB);
            let logs_in = world.ssh(USER, &[&key]).ok;
            assert_eq!(logs_in, !is_over, "{options}");
            let status = Some(i32::from(is_over));
            for arguments in [&["status"][..], &["doctor", "--user", USER], &["config"], &["explain", USER]] {
                let ran = agent(world, arguments);
                let said = words(&format!("{}{}", ran.out, ran.err));
                assert_eq!((ran.status, said.contains(fault)), (status, is_over), "{arguments:?}: {said}");
            }
            let ran = agent(world, &["explain", USER]);
            let told = words(&ran.out);
            assert!(told.contains("sshd would get 1 pushed key"), "the run hands it out: {told}");
            assert_eq!(told.contains("and would refuse every pushed key."), is_over, "{told}");
            let ran = agent(world, &["doctor", "--json", "--user", USER]);
            let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            let expected =
                if is_over { ("fails", "settings".into()) } else { ("works", serde_json::Value::Null) };
            assert_eq!((&report["login"], &report["cause"]), (&expected.0.into(), &expected.1), "{report:#}");
        }
    });
}
