//! Work that may never end, waited for within a bound.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// Does `work` on a thread of its own and waits for it no longer than `timeout`; none where that was not
/// enough. Where there can be no thread, it is done here, and the alarm is the watch.
pub(super) fn call_with_timeout<T: Send + 'static>(
    timeout: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> Option<T> {
    let (sender, receiver) = sync_channel(1);
    let work = Arc::new(work);
    let aside = Arc::clone(&work);
    let started = thread::Builder::new().spawn(move || {
        let _ = sender.send(aside());
    });
    if started.is_err() {
        return Some(work());
    }
    receiver.recv_timeout(timeout).ok()
}
