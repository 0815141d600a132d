//! `SELinux`, the log, and the agent's unit.

use std::fs;

use super::{Broken, Finding, Login, Row, Undo, row, run};
use crate::world::World;

/// Mounts these scripts over the programs in `/usr/sbin`.
fn programs(world: &World, scripts: &[(&str, &str)]) -> Broken {
    for (name, text) in scripts {
        world.script(name, text);
    }
    let layers = format!("lowerdir={}:/usr/sbin", world.path("bin").display());
    run(&["mount", "-t", "overlay", "overlay", "-o", &layers, "/usr/sbin"]);
    Box::new(Undo(|| run(&["umount", "--lazy", "/usr/sbin"])))
}

/// Imitates a running systemd that reports this state of the agent's unit.
fn systemd(world: &World, says: &str) -> Broken {
    fs::create_dir_all("/run/systemd/system").unwrap();
    programs(world, &[("systemctl", &format!("printf '{says}'"))])
}

/// Imitates `SELinux` in enforcing mode, with these modules installed.
fn selinux(world: &World, modules: &str) -> Broken {
    fs::create_dir_all("/sys/fs/selinux").unwrap();
    fs::write("/sys/fs/selinux/enforce", "1").unwrap();
    programs(world, &[("semodule", &format!("printf '{modules}'"))])
}

pub(super) fn rows() -> Vec<Row> {
    let says = |verdict, seen, fix| Finding { check: "unit", verdict, seen, fix };
    let unit = |name, state: &'static str, says| Row {
        breaks: Box::new(move |world| systemd(world, state)),
        ..row(name, |_| {}, says)
    };
    vec![
        Row {
            breaks: Box::new(|world| selinux(world, "base\\nssh\\n")),
            login: Login::Either,
            ..row(
                "SELinux without our module",
                |_| {},
                Finding {
                    check: "selinux",
                    verdict: "fail",
                    seen: "the module eic-agent is not installed",
                    fix: "semodule -X 200 -i",
                },
            )
        },
        Row {
            breaks: Box::new(|world| selinux(world, "base\\neic-agent\\t1.0\\n")),
            ..row(
                "SELinux with it",
                |_| {},
                Finding {
                    check: "selinux",
                    verdict: "ok",
                    seen: "enforcing, and eic-agent's module is installed",
                    fix: "",
                },
            )
        },
        Row {
            breaks: Box::new(|_| {
                fs::rename("/dev/log", "/dev/log.away").unwrap();
                Box::new(Undo(|| fs::rename("/dev/log.away", "/dev/log").unwrap()))
            }),
            ..row(
                "no log",
                |_| {},
                Finding {
                    check: "log",
                    verdict: "warn",
                    seen: "neither the journal nor /dev/log",
                    fix: "start a syslog daemon",
                },
            )
        },
        unit(
            "a unit that is well",
            "LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nResult=success\\n",
            says("ok", "eic-agent.service is enabled and active", ""),
        ),
        unit(
            "a unit that failed",
            "LoadState=loaded\\nActiveState=failed\\nUnitFileState=enabled\\nResult=exit-code\\n",
            says("warn", "eic-agent.service failed", "sudo systemctl restart eic-agent.service"),
        ),
        unit(
            "a unit that is not enabled",
            "LoadState=loaded\\nActiveState=inactive\\nUnitFileState=disabled\\nResult=success\\n",
            says("warn", "eic-agent.service is not enabled", "sudo systemctl enable --now eic-agent.service"),
        ),
    ]
}
