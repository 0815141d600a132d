//! Runs the real program on every row, from files and from metadata.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eic_emulator::http::Response;
use eic_emulator::pki::Staple;
use eic_emulator::{Config, Fault};

use super::evidence::{Content, Evidence};
use super::{Outcome, Row};
use crate::fixtures::{Case, Scratch, each, fingerprint, key_line, same};
use crate::metadata::{STAPLES, USER};
use crate::world::{Measured, Syslog, World, on_an_instance};

/// 2025-01-30T12:00:00Z, the instant at which `verify` judges.
const NOW: i64 = 1_738_238_400;

/// The deadline of a run from metadata, and how long the run may take beyond it.
const TIMEOUT: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_millis(100);

/// The most refusals that a run reports, on stderr and in the log.
const MAX_TOLD: usize = 8;

/// Judges the rows with `verify`, from files, at a pinned instant.
pub(super) fn in_files(rows: &[Row]) {
    let rows: Vec<_> = rows.iter().filter(|row| row.in_files).collect();
    each(&rows, |row| row.name, |row| in_file(row));
}

fn in_file(row: &Row) -> Result<(), String> {
    let mut evidence = Evidence::new(NOW);
    (row.make)(&mut evidence);
    let scratch = Scratch::new();
    let anchors = scratch.join("anchors.pem");
    fs::write(&anchors, &evidence.anchors).unwrap();
    let now = u64::try_from(NOW).unwrap();
    let mut case = Case::good().trust("--ca-file", &anchors).at(now);
    case.keys = evidence.keys();
    case.signer_cert = evidence.signer_cert();
    let staples = evidence.staples_mut().iter();
    case.staples = staples.map(|staple| (staple.name.clone(), staple.text())).collect();
    let verdict = case.run();

    let Outcome { keys, undecided, refused } = &row.outcome;
    let expected: Vec<_> = keys.iter().map(|name| key_line(name)).collect();
    same("signer", undecided, &verdict.signer_reason())?;
    same("keys", &expected, &verdict.lines)?;
    same("refusals", refused, &if undecided.is_some() { Vec::new() } else { verdict.refusals() })?;
    read_by_openssh(keys, &verdict.lines)
}

/// OpenSSH must read each line that sshd gets, and find the fingerprint of the expected key.
fn read_by_openssh(keys: &[&str], lines: &[String]) -> Result<(), String> {
    // Some rows give thousands of lines with one key. A few of them are enough.
    let (keys, lines) = (&keys[..keys.len().min(4)], &lines[..lines.len().min(4)]);
    if lines.is_empty() {
        return Ok(());
    }
    let mut reader = Command::new("ssh-keygen")
        .args(["-lf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ssh-keygen is installed");
    reader.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let said = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    let came: Vec<_> = said.lines().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)).collect();
    same("what ssh-keygen reads", &keys.iter().map(|name| fingerprint(name)).collect::<Vec<_>>(), &came)
}

/// Judges the rows with `authorized-keys`, from metadata, on a private instance. `test` is the test's full name.
pub(super) fn on_instances(test: &str, rows: &[Row]) {
    on_an_instance(test, Config::default(), |world| {
        let syslog = Syslog::bind();
        each(
            rows,
            |row| row.name,
            |row| {
                // Only a late row is repeated, because other tests run at the same time on the same cores.
                let mut judged = on_instance(world, &syslog, row);
                for _ in 0..AGAIN {
                    if !judged.as_ref().is_err_and(|why| why.starts_with(LATE)) {
                        break;
                    }
                    judged = on_instance(world, &syslog, row);
                }
                judged
            },
        );
    });
}

const LATE: &str = "late";

/// How often a row may be judged again.
const AGAIN: usize = 5;

fn on_instance(world: &World, syslog: &Syslog, row: &Row) -> Result<(), String> {
    let mut evidence = Evidence::new(world.emulator.now());
    (row.make)(&mut evidence);
    serve(world, &mut evidence);
    syslog.clear();
    let run = world.measure(&["--timeout", &TIMEOUT.as_secs().to_string(), USER]);
    let logged = syslog.agent_lines();
    world.emulator.clear_faults();

    let Outcome { keys, undecided, refused } = &row.outcome;
    let undecided = row.served.or(*undecided);
    // A run that reached its deadline is late too, unless the service makes it wait.
    let is_cut = run.took >= TIMEOUT && row.served.is_none();
    if is_cut || run.took > TIMEOUT + SLACK {
        return Err(format!("{LATE}: {:?}; {}", run.took, run.notes));
    }
    let told = |line: &str, start: &str| {
        line.strip_prefix(start)?.split_once(": ").map(|(reason, _)| reason.to_owned())
    };
    let told_all =
        |lines: &[&str], start: &str| lines.iter().filter_map(|line| told(line, start)).collect::<Vec<_>>();
    let notes: Vec<_> = run.notes.lines().collect();
    let log: Vec<_> = logged.iter().map(String::as_str).collect();
    let expected: String = keys.iter().map(|name| key_line(name) + "\n").collect();
    same("stdout", &expected, &String::from_utf8_lossy(&run.keys).into_owned())?;
    if let Some(reason) = undecided {
        same("note", &vec![reason.to_owned()], &told_all(&notes, "eic-agent: "))?;
        let start = format!("No ssh keys from EC2 Instance Connect for user {USER}: ");
        same("log", &vec![reason.to_owned()], &told_all(&log, &start))?;
        same("lines in the log", &1, &log.len())?;
    } else {
        let few: Vec<_> = refused.iter().take(MAX_TOLD).map(|&reason| reason.to_owned()).collect();
        same("notes", &few, &told_all(&notes, "eic-agent: refused: "))?;
        let start = format!("Refusing ssh key from EC2 Instance Connect for user {USER}: ");
        same("refusals in the log", &few, &told_all(&log, &start))?;
        let more = log
            .iter()
            .filter(|line| line.starts_with("Refusing ") && line.contains(" more ssh keys "))
            .count();
        same("counts of refusals in the log", &usize::from(refused.len() > MAX_TOLD), &more)?;
        for name in keys {
            let provided = format!(
                "Providing ssh key from EC2 Instance Connect with fingerprint: {}",
                fingerprint(name)
            );
            same("lines about the key", &1, &log.iter().filter(|line| line.starts_with(&provided)).count())?;
        }
    }
    same("exit status", &Some(i32::from(undecided.is_some())), &run.status)?;
    note(row, &run);
    let most = world.most_memory();
    if run.memory > most { Err(format!("expected at most {most} KiB, got {}", run.memory)) } else { Ok(()) }
}

/// Appends the cost of a row to a file, for people to read.
fn note(row: &Row, run: &Measured) {
    let line = format!("{} | {:?} | {} KiB\n", row.name, run.took, run.memory);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-costs");
    let file = fs::File::options().create(true).append(true).open(file);
    file.unwrap().write_all(line.as_bytes()).unwrap();
}

fn serve(world: &World, evidence: &mut Evidence) {
    let emulator = &world.emulator;
    world.trust(&evidence.anchors);
    emulator.set_entries(USER, evidence.keys());
    emulator.set_item("managed-ssh-keys/signer-cert", evidence.signer_cert());
    let mut listed = Vec::new();
    for staple in evidence.staples_mut() {
        let der = match &staple.content {
            Content::Der(der) => der.clone(),
            Content::Raw(bytes) => {
                emulator.inject(
                    Fault::at(&format!("{STAPLES}{}", staple.name)).respond(Response::text(bytes.clone())),
                );
                Vec::new()
            }
        };
        listed.push(Staple { name: staple.name.clone(), der });
    }
    emulator.set_staples(listed);
}
