//! Reads files on a separate thread. A read may block in the kernel forever, for example on an unreachable file
//! server.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use eic_host::trust_store::{OpenStore, TrustStore};

use super::timeout::do_aside;
use crate::config::{CommandLine, ConfigError, DEFAULT_PATH, Settings};
use crate::memory::{FOLDER, Memory};

/// The files that a run opens after root's privileges were dropped.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// `None` if opening took too long.
    pub(super) trust: Option<OpenStore>,
    pub(super) memory: Option<Memory>,
}

/// Where a thread puts each file as soon as it is open.
struct Opening {
    trust: SyncSender<OpenStore>,
    memory: SyncSender<Option<Memory>>,
}

/// Where the caller gets them.
struct Opened {
    trust: Receiver<OpenStore>,
    memory: Receiver<Option<Memory>>,
}

/// Reads the settings and then opens the other files. In two cases, a thread does it, and the caller waits for the settings
/// and for the other files only up to a time limit:
///
/// - There are providers. Their output must reach sshd even if a file server does not answer.
/// - The operator named the file, or made it a link. It may be on a file server.
///
/// Otherwise the files are the distribution's own below `/etc` and `/var`. If these do not answer, neither does sshd. Then
/// the caller reads them, because a thread costs a tenth of a run. The alarm limits the time.
///
/// One thread does both, because most of the cost is starting and ending a thread. If no thread can be created, the caller
/// reads the files, and only the alarm limits the time.
///
/// In a process that is root, this thread only reads the settings, and it has ended when the caller gets them. The C
/// library signals every other thread for each step of a change of the user, and a file must not be opened before that
/// change. So a second thread opens the other files later.
pub(super) struct SettingsReader {
    given: CommandLine,
    has_providers: bool,
    thread: Option<ReaderThread>,
}

struct ReaderThread {
    settings: Receiver<Result<Settings, ConfigError>>,
    /// `None` in a process that is root.
    opened: Option<Opened>,
    handle: JoinHandle<()>,
}

impl SettingsReader {
    /// Starts the thread, if one is needed.
    pub(super) fn start(given: CommandLine, has_providers: bool) -> Self {
        let is_own = given.config.is_none() && !Path::new(DEFAULT_PATH).is_symlink();
        if is_own && !has_providers {
            return Self { given, has_providers, thread: None };
        }
        let is_root = nix::unistd::geteuid().is_root();
        let (settings_sender, settings) = sync_channel(1);
        let (opening, opened) = opening();
        let aside = given.clone();
        let work = move || {
            let read = Settings::resolve(&aside);
            let files = read.as_ref().map(|settings| (settings.trust_store(), settings.remember.value)).ok();
            let _ = settings_sender.send(read);
            if let Some((store, remember)) = files.filter(|_| !is_root) {
                opening.open(&store, remember);
            }
        };
        let handle = thread::Builder::new().spawn(work).ok();
        let opened = (!is_root).then_some(opened);
        Self { given, has_providers, thread: handle.map(|handle| ReaderThread { settings, opened, handle }) }
    }

    /// The settings. `None` if reading took longer than `timeout`.
    pub(super) fn settings(&mut self, timeout: Duration) -> Option<Result<Settings, ConfigError>> {
        match self.thread.take() {
            Some(thread) => {
                let read = thread.settings.recv_timeout(timeout).ok()?;
                if thread.opened.is_none() {
                    // The thread has nothing else to do.
                    let _ = thread.handle.join();
                } else {
                    self.thread = Some(thread);
                }
                Some(read)
            }
            None => Some(Settings::resolve(&self.given)),
        }
    }

    /// The other files, opened without root's privileges. If a thread opens them: as far as they are open after
    /// `timeout`.
    pub(super) fn open(self, store: TrustStore, remember: Duration, timeout: Duration) -> OpenFiles {
        match self.thread.and_then(|thread| thread.opened) {
            Some(opened) => opened.wait(timeout),
            None if !self.has_providers && !store.may_block() => {
                OpenFiles { trust: Some(store.open()), memory: open_memory(remember) }
            }
            None => start_opening(store, remember).wait(timeout),
        }
    }
}

/// Opens the files on a separate thread.
fn start_opening(store: TrustStore, remember: Duration) -> Opened {
    let (opening, opened) = opening();
    do_aside(move || opening.open(&store, remember));
    opened
}

fn opening() -> (Opening, Opened) {
    let (to_trust, trust) = sync_channel(1);
    let (to_memory, memory) = sync_channel(1);
    (Opening { trust: to_trust, memory: to_memory }, Opened { trust, memory })
}

fn open_memory(remember: Duration) -> Option<Memory> {
    Memory::open(Path::new(FOLDER), remember)
}

impl Opening {
    /// Opens the memory last. A run does not need it, so its file system must not delay the trust store.
    fn open(&self, store: &TrustStore, remember: Duration) {
        let _ = self.trust.send(store.open());
        let _ = self.memory.send(open_memory(remember));
    }
}

impl Opened {
    fn wait(self, timeout: Duration) -> OpenFiles {
        let begun = Instant::now();
        let Ok(trust) = self.trust.recv_timeout(timeout) else { return OpenFiles::default() };
        let left = timeout.saturating_sub(begun.elapsed());
        OpenFiles { trust: Some(trust), memory: self.memory.recv_timeout(left).ok().flatten() }
    }
}
