//! Reads files that may lie where the kernel waits for an answer that never comes, as on a server for files that is gone.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use eic_host::trust_store::{OpenStore, TrustStore};

use crate::config::{CommandLine, ConfigError, Settings};

/// A thread that reads the settings and then opens the trust store: nobody waits for either longer than he says. It is
/// one for both, since to start a thread and to end it is most of what either costs. Where there can be no thread, the
/// caller reads himself, and the alarm is the watch.
pub(super) struct SettingsReader {
    given: CommandLine,
    thread: Option<Channels>,
}

struct Channels {
    settings: Receiver<Result<Settings, ConfigError>>,
    /// Where the store has to wait until root's rights are given up.
    wanted: Option<SyncSender<TrustStore>>,
    opened: Receiver<OpenStore>,
}

impl SettingsReader {
    /// Begins with the settings, and goes on to their trust store: at once, or where we are root still, when it is wanted.
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
            // None is wanted where nothing can be pushed.
            if let Some(store) = if waits { wishes.recv().ok() } else { theirs } {
                let _ = hand_over.send(store.open());
            }
        };
        let started = thread::Builder::new().spawn(work).is_ok();
        let wanted = waits.then_some(wanted);
        Self { given, thread: started.then_some(Channels { settings, wanted, opened }) }
    }

    /// The settings; none where that took longer than `timeout`.
    pub(super) fn settings(&self, timeout: Duration) -> Option<Result<Settings, ConfigError>> {
        match &self.thread {
            Some(thread) => thread.settings.recv_timeout(timeout).ok(),
            None => Some(Settings::resolve(&self.given)),
        }
    }

    /// The settings' trust store, opened without root's rights; none where that took longer than `timeout`. The thread ends
    /// with it.
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
