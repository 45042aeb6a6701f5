//! What reads the outside world. An input has one way out, its [`Sink`], and one duty: to say what it saw, also when it
//! saw nothing because it was not allowed to. It judges nothing.

pub mod fpm;
pub mod log;
pub mod probe;
pub mod process;
pub mod socket;

use tokio::sync::mpsc;

use crate::observation::Observation;

/// Observations that may wait for the hub. A full channel makes a log reader wait: the file keeps the data.
const CHANNEL_CAPACITY: usize = 1024;

/// The only way out of an input.
#[derive(Debug, Clone)]
pub struct Sink(mpsc::Sender<Observation>);

/// The hub has gone: the program is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub has stopped")]
pub struct Closed;

impl Sink {
    /// A sink and the receiving end, which belongs to the hub.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Observation>) {
        let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
        (Self(sender), receiver)
    }

    /// Hands over an observation from an async task, waiting while the hub is behind.
    ///
    /// # Errors
    /// [`Closed`] when the hub has stopped.
    pub async fn send(&self, observation: Observation) -> Result<(), Closed> {
        self.0.send(observation).await.map_err(|_| Closed)
    }

    /// The same from a thread of its own. Must not be called on the async runtime.
    ///
    /// # Errors
    /// [`Closed`] when the hub has stopped.
    pub fn send_blocking(&self, observation: Observation) -> Result<(), Closed> {
        self.0.blocking_send(observation).map_err(|_| Closed)
    }
}
