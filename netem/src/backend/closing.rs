//! Closes what the kernel takes its time to close.
//!
//! Before a packet socket is gone, the kernel waits until nobody reads it any more: for an RCU grace period, some
//! ten milliseconds, and with a ring for another (`packet_release` of `net/packet/af_packet.c`). Those that are
//! closed at the same time wait for the same one.

use std::thread::{Builder, JoinHandle};

/// Things that are being closed, each in a thread of its own. Dropping it waits until they are.
#[must_use = "dropping it waits"]
pub(super) struct Closing(Vec<JoinHandle<()>>);

impl Closing {
    /// Begins to close them. What no thread can be had for is closed at once.
    pub(super) fn of<T: Send + 'static>(things: impl IntoIterator<Item = T>) -> Closing {
        let close = |thing: T| Builder::new().name("closing".into()).spawn(move || drop(thing)).ok();
        Closing(things.into_iter().filter_map(close).collect())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|thread| drop(thread.join()));
    }
}
