//! Tasks of one endpoint that read or write its connections.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::TransportError;
use crate::connection::Connection;

/// What reads or writes on a half's connections.
pub(crate) type Tasks = JoinSet<Result<(), TransportError>>;

/// The next connection of a half that misses one; a task that fails in the meantime is the half's failure.
pub(crate) async fn next_connection(
    connections: &mut mpsc::Receiver<Connection>,
    tasks: &mut Tasks,
) -> Result<Connection, TransportError> {
    loop {
        tokio::select! {
            connection = connections.recv() => return connection.ok_or_else(|| {
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
