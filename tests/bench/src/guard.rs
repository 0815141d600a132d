//! `make bench-guard`: checks the cost of a run against the committed budget, in figures that do not depend on the
//! machine's speed. The budget is committed, so a review sees each raise.

use std::fs;
use std::path::Path;

use toml::Table;

use crate::callgrind::instructions;
use crate::measure::{Pushed, least_traffic};
use crate::program::{Program, Programs, Run, Start};
use crate::runner::in_turn;
use crate::service::{Metadata, Traffic, count_packets};
use crate::world::{INSTANCE, World, size};

/// The path of the budget, relative to the repository.
const BUDGET: &str = "tests/bench/budget.toml";

/// How often instructions are counted while the count exceeds the budget. The smallest count is valid: repeated waits
/// only add instructions.
const COUNTS: usize = 10;

/// Below this percentage of its budget, a figure is reported as lower, so that the budget can be lowered.
const WORTH_LOWERING: u64 = 95;

/// The fixtures for `verify`.
const CERTIFICATES: [&str; 4] = [
    include_str!("../../fixtures/certs/leaf.pem"),
    include_str!("../../fixtures/certs/intermediate.pem"),
    include_str!("../../fixtures/certs/root-by-older.pem"),
    include_str!("../../fixtures/certs/older-by-oldest.pem"),
];
const ROOT: &str = include_str!("../../fixtures/certs/root.pem");
const STAPLES: [(&str, &str); 2] = [
    ("leaf", include_str!("../../fixtures/staples/leaf")),
    ("intermediate", include_str!("../../fixtures/staples/intermediate")),
];
const KEYS: &str = include_str!("../../fixtures/bundles/good-ed25519");
const KEY: &str = include_str!("../../fixtures/keys/ed25519.pub");
const INSTANTS: &str = include_str!("../../fixtures/instants");

/// The sections of the runs without and with a memory, in the order of [`Run::ALL`].
const COLD: [&str; 3] = ["key", "no-key", "other"];
const WARM: [&str; 3] = ["key-warm", "no-key-warm", "other-warm"];

/// One figure and its budget.
struct Item {
    section: &'static str,
    name: &'static str,
    measured: u64,
}

/// Measures, compares and prints. True if every figure is within its budget.
pub(crate) fn hold(world: &World, programs: &Programs, _out: &Path) -> bool {
    count_packets();
    let text = fs::read_to_string(BUDGET).unwrap_or_else(|error| panic!("{BUDGET}: {error}"));
    let budget: Table = text.parse().unwrap_or_else(|error| panic!("{BUDGET}: {error}"));
    let architecture = std::env::consts::ARCH;
    let Some(budget) = budget.get(architecture).and_then(toml::Value::as_table) else {
        println!("{BUDGET} has no budget for {architecture}: measure a run there and add it");
        return false;
    };
    let items = measure(world, programs, budget);
    println!("{} against {BUDGET}:", programs.agent.display());
    println!("{:18} {:14} {:>12} {:>12}", "", "", "budget", "measured");
    let verdicts: Vec<_> = items.iter().map(|item| judge(item, budget)).collect();
    let good = verdicts.iter().all(|good| *good);
    let figures = budget.values().filter_map(toml::Value::as_table).flat_map(Table::keys);
    let known = figures.filter(|name| !name.ends_with("-permille")).count();
    if known != items.len() {
        println!("{BUDGET} has {known} figures for {architecture}, but {} were measured", items.len());
        return false;
    }
    if !good {
        println!(
            "\nA run costs more than its budget. If the cost is justified, raise the figure in {BUDGET} to the \
             measured one, and give the reason in the change. Another Rust release also changes figures: see that file."
        );
    }
    good
}

fn measure(world: &World, programs: &Programs, budget: &Table) -> Vec<Item> {
    let mut items = vec![Item { section: "binary", name: "bytes", measured: size(&programs.agent) }];
    let mut least = |section, command: &Start, expected: Option<&str>| {
        let name = "instructions";
        let mut item = Item { section, name, measured: instructions(world, command, expected) };
        for _ in 1..COUNTS {
            if most(&item, budget).is_none_or(|(_, most)| item.measured <= most) {
                break;
            }
            item.measured = item.measured.min(instructions(world, command, expected));
        }
        items.push(item);
    };
    least("verify", &verify(world), Some(KEY.trim_end()));
    let pushed = Pushed::new(world);
    let traffic = |metadata: &Metadata, agent: &Program, run: Run| {
        let command = agent.patient_command(run, pushed.fingerprint());
        least_traffic(world, metadata, &command, pushed.expected(run))
    };
    let mut measured = Vec::new();
    {
        let metadata = Metadata::start(world, false, pushed.line());
        for (agent, sections) in programs.agents().zip([COLD, WARM]) {
            for (section, run) in sections.into_iter().zip(Run::ALL) {
                let command = agent.patient_command(run, pushed.fingerprint());
                // A warm run needs what this run stores.
                in_turn(world, std::slice::from_ref(&command), 1, pushed.expected(run));
                least(section, &command, pushed.expected(run));
                measured.push((section, traffic(&metadata, agent, run)));
            }
        }
    }
    {
        let metadata = Metadata::start(world, true, pushed.line());
        for (section, run) in [("key-kept-alive", Run::Key), ("no-key-kept-alive", Run::NoKey)] {
            let cold = programs.agents().take(1);
            measured.extend(cold.map(|agent| (section, traffic(&metadata, agent, run))));
        }
    }
    for (section, Traffic { requests, connections, packets }) in measured {
        for (name, measured) in [("requests", requests), ("connections", connections), ("packets", packets)] {
            items.push(Item { section, name, measured });
        }
    }
    items
}

/// The command `eic-agent verify` with fixtures that never change.
fn verify(world: &World) -> Start {
    let folder = world.shared_folder();
    let place = |name: &str| folder.join(name).display().to_string();
    fs::create_dir_all(place("ocsp")).expect("a folder for the staples");
    let staples = STAPLES.map(|(name, staple)| (format!("ocsp/{name}"), staple.to_owned()));
    let files =
        [("keys", KEYS.to_owned()), ("signer-cert", CERTIFICATES.concat()), ("root.pem", ROOT.to_owned())];
    for (name, content) in files.map(|(name, content)| (name.to_owned(), content)).into_iter().chain(staples)
    {
        fs::write(place(&name), content).expect("a fixture");
    }
    let at = INSTANTS.lines().find_map(|line| line.strip_prefix("at=")).expect("the fixtures' instant");
    let agent = world.agent().display().to_string();
    let (keys, chain, staples, root) =
        (place("keys"), place("signer-cert"), place("ocsp"), place("root.pem"));
    let signer = "managed-ssh-signer.us-east-1.amazonaws.com";
    let words = [
        &agent,
        "verify",
        "--keys",
        &keys,
        "--signer-cert",
        &chain,
        "--ocsp-dir",
        &staples,
        "--ca-file",
        &root,
    ]
    .into_iter()
    .chain(["--instance-id", INSTANCE, "--signer-name", signer, "--at", at])
    .map(str::to_owned)
    .collect();
    Start { words, forgets: false }
}

/// The budget of a figure, and the largest value that passes.
fn most(item: &Item, budget: &Table) -> Option<(u64, u64)> {
    let section = budget.get(item.section)?;
    let number = |name: &str| section.get(name)?.as_integer()?.try_into().ok();
    let allowed: u64 = number(item.name)?;
    // Only instructions differ between runs of the same program.
    let permille: u64 = number(&format!("{}-permille", item.name)).unwrap_or_default();
    Some((allowed, allowed + allowed * permille / 1000))
}

/// Prints one figure. True if it is within its budget.
fn judge(item: &Item, budget: &Table) -> bool {
    let Item { section, name, measured } = item;
    let Some((allowed, most)) = most(item, budget) else {
        println!("{section:18} {name:14} {:>12} {measured:>12}  HAS NO BUDGET", "");
        return false;
    };
    let verdict = match () {
        () if *measured > most => {
            format!("TOO MUCH, by {:.1} %", (*measured as f64 / allowed as f64 - 1.0) * 100.0)
        }
        () if *measured * 100 < allowed * WORTH_LOWERING => "ok, lower the budget".to_owned(),
        () => "ok".to_owned(),
    };
    println!("{section:18} {name:14} {allowed:>12} {measured:>12}  {verdict}");
    *measured <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(measured: u64, name: &'static str) -> bool {
        let budget: Table =
            "[key]\ninstructions = 10000\ninstructions-permille = 2\nrequests = 7\n".parse().unwrap();
        judge(&Item { section: "key", name, measured }, &budget)
    }

    #[test]
    fn figure_above_its_budget_is_refused() {
        assert!(
            judged(10_000, "instructions") && judged(10_020, "instructions") && judged(1, "instructions")
        );
        assert!(!judged(10_021, "instructions"));
        assert!(judged(7, "requests"));
        assert!(!judged(8, "requests"));
    }

    #[test]
    fn figure_without_a_budget_is_refused() {
        assert!(!judged(1, "connections"));
    }

    #[test]
    fn committed_budget_has_every_section() {
        let budget: Table = include_str!("../budget.toml").parse().unwrap();
        let others = ["binary", "verify", "key-kept-alive", "no-key-kept-alive"];
        for section in others.into_iter().chain(COLD).chain(WARM) {
            assert!(budget["x86_64"].get(section).is_some_and(toml::Value::is_table), "{section}");
        }
    }
}
