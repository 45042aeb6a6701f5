//! What the kernel said last about the listening sockets of this host.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::State;
use crate::observation::socket::{ListenerKey, ListenerState, Listening, SocketReading};

/// The last look at the socket tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// When it was taken.
    pub at: SystemTime,
    /// What could be read, of the addresses of this host.
    pub listeners: BTreeMap<ListenerKey, ListenerState>,
}

impl State {
    /// What could not be read this time is absent; the counter keeps what it had.
    pub(super) fn sockets(&mut self, reading: SocketReading) {
        let local = |state: &ListenerState| state.listening != Listening::Remote;
        let listeners = reading
            .listeners
            .into_iter()
            .filter_map(|(key, outcome)| Some((key, outcome.ok().filter(local)?)))
            .collect();
        self.now.sockets = Some(Sockets { at: reading.at, listeners }.into());
        if let Ok(overflows) = reading.overflows {
            self.now.listen_overflows = Some(overflows.overflows);
        }
    }
}
