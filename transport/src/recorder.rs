//! Recorder of one endpoint: what it has sent or received of each message, and when.
//!
//! The sender's part is in `sent`, the receiver's in `received`, with what datagrams need beside it in `arrivals`.

mod arrivals;
mod received;
mod sent;

pub use received::Received;
pub(crate) use received::Sink;
pub(crate) use sent::SendLog;
pub use sent::{Released, Sent};
