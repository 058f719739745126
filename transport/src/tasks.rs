//! Tasks of one endpoint that read or write its connections.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::TransportError;
use crate::lane::Lane;

/// What reads or writes on a half's lanes.
pub(crate) type Tasks = JoinSet<Result<(), TransportError>>;

/// The next connection of a half that misses one; a task that fails in the meantime is the half's failure.
pub(crate) async fn next_lane(lanes: &mut mpsc::Receiver<Lane>, tasks: &mut Tasks) -> Result<Lane, TransportError> {
    loop {
        tokio::select! {
            lane = lanes.recv() => return lane.ok_or_else(|| {
                TransportError::Control("the session ended before its connections were up".into())
            }),
            Some(ended) = tasks.join_next() => ended.map_err(std::io::Error::other)??,
        }
    }
}

/// Aborts a task when dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(pub(crate) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
