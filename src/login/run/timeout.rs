//! Work with a time limit.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// Does `work` on a separate thread and waits at most `timeout` for the result. Returns `None` if the work takes
/// longer. If no thread can be created, this thread does the work, and only the alarm limits the time.
pub(super) fn call_with_timeout<T: Send + 'static>(
    timeout: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> Option<T> {
    let (sender, receiver) = sync_channel(1);
    do_aside(move || {
        let _ = sender.send(work());
    });
    receiver.recv_timeout(timeout).ok()
}

/// Does `work` on a separate thread, and does not wait for it. If no thread can be created, this thread does it.
pub(super) fn do_aside(work: impl Fn() + Send + Sync + 'static) {
    let work = Arc::new(work);
    let aside = Arc::clone(&work);
    if thread::Builder::new().spawn(move || aside()).is_err() {
        work();
    }
}
