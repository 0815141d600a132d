//! The figures of a load run: counts, times and costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use eic_emulator::RequestRecord;

use super::crowd::Attempts;
use super::evidence::token;
use super::traces::process_names;

/// The interval between two counts of the processes.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Figures<'r> {
    pub(super) attempts: &'r Attempts,
    pub(super) records: &'r [RequestRecord],
    pub(super) packets: (u64, u64),
    pub(super) peak: (usize, usize),
}

impl Figures<'_> {
    /// What `make load` prints about logins with a memory. There, the runs of a minute share a token, so their sessions
    /// cannot be told apart.
    pub(super) fn lines_with_memory(&self) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| !line.contains("metadata session"));
        lines.map(|line| line.replacen("load:", "warm:", 1)).collect()
    }

    /// What `make load` prints about logins without a memory.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn lines(&self) -> Vec<String> {
        let Attempts { logins, took, at_once } = self.attempts;
        let good = logins.iter().filter(|login| login.outcome.ok).count();
        let mut times: Vec<_> = logins.iter().map(|login| login.outcome.took.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        let requests = self.records.len() as f64;
        let mut faults = BTreeMap::new();
        for name in self.records.iter().filter_map(|record| record.fault) {
            *faults.entry(name).or_insert(0_usize) += 1;
        }
        let struck: usize = faults.values().sum();
        let faults: Vec<_> = faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let runs = self.run_times();
        let run = |share: usize| runs[(runs.len() - 1) * share / 100];
        vec![
            format!("load: logins            {} tried, {at_once} at once: {good} succeeded", logins.len()),
            format!(
                "load: rate              {:.1} logins a second ({:.1} s in all)",
                logins.len() as f64 / took.as_secs_f64(),
                took.as_secs_f64()
            ),
            format!(
                "load: login time        median {:.2} s, p99 {:.2} s, longest {:.2} s",
                at(50),
                at(99),
                at(100)
            ),
            format!(
                "load: metadata session  median {:.2} s, p99 {:.2} s, longest {:.2} s",
                run(50),
                run(99),
                run(100)
            ),
            format!("load: metadata requests {requests}, {:.2} a login", requests / logins.len() as f64),
            format!(
                "load: faults            {struck}, {:.2} % of the answers: {}",
                100.0 * struck as f64 / requests,
                faults.join(", ")
            ),
            format!(
                "load: packets           {:.1} a request: {} to metadata, {} from it",
                (self.packets.0 + self.packets.1) as f64 / requests,
                self.packets.0,
                self.packets.1
            ),
            format!("load: processes         {} at most, {} of them the agent's", self.peak.0, self.peak.1),
        ]
    }

    /// Seconds between the first and the last request of each token. This is the largest part of a run, and little of
    /// it is processor time.
    fn run_times(&self) -> Vec<f64> {
        let mut sessions = BTreeMap::new();
        for record in self.records {
            if let Some(token) = token(record) {
                sessions.entry(token).or_insert((record.at, record.at)).1 = record.at;
            }
        }
        let mut times: Vec<_> = sessions.values().map(|(from, to)| (*to - *from).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Counts the processes of the private instance, and the agent's among them. Keeps the maximum of each.
pub(super) struct Peak {
    most: Arc<[AtomicUsize; 2]>,
    stop: Arc<AtomicBool>,
    watching: JoinHandle<()>,
}

impl Peak {
    pub(super) fn watch() -> Self {
        let (most, stop) = (Arc::new([const { AtomicUsize::new(0) }; 2]), Arc::new(AtomicBool::new(false)));
        let (seen, ended) = (Arc::clone(&most), Arc::clone(&stop));
        let watching = spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let names = process_names();
                let agents = names.values().filter(|name| *name == "eic-agent").count();
                seen[0].fetch_max(names.len(), Ordering::Relaxed);
                seen[1].fetch_max(agents, Ordering::Relaxed);
                sleep(LOOK);
            }
        });
        Self { most, stop, watching }
    }

    pub(super) fn seen(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap();
        (self.most[0].load(Ordering::Relaxed), self.most[1].load(Ordering::Relaxed))
    }
}
