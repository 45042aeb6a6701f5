//! Blocking calls that nothing can cut short: lookups by the system, and files.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

/// At most one blocking call at a time. It outlives a round whose deadline passes; the next round waits for it instead
/// of starting another. Each call holds a slot for as long as it takes, so that hanging ones do not take every thread.
#[derive(Debug)]
pub(super) struct Background<T>(Option<JoinHandle<T>>);

impl<T: Send + 'static> Background<T> {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// The result of the call in progress, or of `work`. `None` when it panicked or the runtime stops.
    pub(super) async fn run(&mut self, slots: &Arc<Semaphore>, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let call = match &mut self.0 {
            Some(call) => call,
            none => {
                let slot = Arc::clone(slots).acquire_owned().await.ok()?;
                none.insert(spawn_blocking(move || {
                    let _until_done = slot;
                    work()
                }))
            }
        };
        let result = call.await;
        self.0 = None;
        result.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_call_that_hangs_is_waited_for_instead_of_repeated() {
        let (release, hanging) = mpsc::channel::<u8>();
        let (mut background, slots) = (Background::new(), Arc::new(Semaphore::new(1)));
        let first = background.run(&slots, move || hanging.recv().unwrap());
        assert!(tokio::time::timeout(Duration::from_millis(1), first).await.is_err());
        assert_eq!(slots.available_permits(), 0);
        release.send(1).unwrap();
        assert_eq!(background.run(&slots, || 2).await, Some(1));
        assert_eq!(background.run(&slots, || 2).await, Some(2));
    }
}
