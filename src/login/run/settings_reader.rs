//! Reads files on a separate thread. A read may block in the kernel forever, for example on an unreachable file
//! server.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use eic_host::trust_store::{OpenStore, TrustStore};

use crate::config::{CommandLine, ConfigError, Settings};

/// A thread that reads the settings and then opens the trust store. The caller waits for each only up to a time
/// limit. One thread does both, because most of the cost is starting and ending a thread. If no thread can be
/// created, the caller reads the files, and only the alarm limits the time.
pub(super) struct SettingsReader {
    given: CommandLine,
    thread: Option<Channels>,
}

struct Channels {
    settings: Receiver<Result<Settings, ConfigError>>,
    /// If set, the trust store is requested through this channel after root's privileges were dropped.
    wanted: Option<SyncSender<TrustStore>>,
    opened: Receiver<OpenStore>,
}

impl SettingsReader {
    /// Starts a thread that reads the settings and then opens the trust store that they name. If this process is
    /// root, the thread waits for a request before it opens the trust store.
    pub(super) fn start(given: CommandLine) -> Self {
        let (settings_sender, settings) = sync_channel(1);
        let (wanted, wishes) = sync_channel::<TrustStore>(1);
        let (hand_over, opened) = sync_channel(1);
        let waits = nix::unistd::geteuid().is_root();
        let aside = given.clone();
        let work = move || {
            let read = Settings::resolve(&aside);
            let theirs = read.as_ref().map(Settings::trust_store).ok();
            let _ = settings_sender.send(read);
            // No store is requested if no key can be pushed.
            if let Some(store) = if waits { wishes.recv().ok() } else { theirs } {
                let _ = hand_over.send(store.open());
            }
        };
        let started = thread::Builder::new().spawn(work).is_ok();
        let wanted = waits.then_some(wanted);
        Self { given, thread: started.then_some(Channels { settings, wanted, opened }) }
    }

    /// The settings. `None` if reading took longer than `timeout`.
    pub(super) fn settings(&self, timeout: Duration) -> Option<Result<Settings, ConfigError>> {
        match &self.thread {
            Some(thread) => thread.settings.recv_timeout(timeout).ok(),
            None => Some(Settings::resolve(&self.given)),
        }
    }

    /// The trust store, opened without root's privileges. `None` if opening took longer than `timeout`. The thread
    /// ends when it has opened the files.
    pub(super) fn open(self, store: TrustStore, timeout: Duration) -> Option<OpenStore> {
        match self.thread {
            Some(thread) => {
                if let Some(wanted) = thread.wanted {
                    wanted.send(store).ok()?;
                }
                thread.opened.recv_timeout(timeout).ok()
            }
            None => Some(store.open()),
        }
    }
}
