//! Tasks of one endpoint that read or write its connections.

use tokio::task::JoinSet;

use crate::TransportError;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It writes messages, or the book, and ends when the driver is done.
    Writer,
    /// It reads a connection, and ends with it.
    Reader,
    /// Neither.
    Helper,
}

/// The tasks of an end; one that fails is the end's failure.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<Result<Kind, TransportError>>,
    left: [usize; 3],
}

impl Tasks {
    /// Starts a task.
    pub(crate) fn spawn(
        &mut self,
        kind: Kind,
        task: impl Future<Output = Result<(), TransportError>> + Send + 'static,
    ) {
        self.left[kind as usize] += 1;
        self.set.spawn(async move { task.await.map(|()| kind) });
    }

    /// How many of a kind have not ended.
    pub(crate) const fn left(&self, kind: Kind) -> usize {
        self.left[kind as usize]
    }

    /// Waits until one more has ended; for ever where none is left.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) async fn next_ended(&mut self) -> Result<(), TransportError> {
        match self.set.join_next().await {
            Some(ended) => self.count(ended),
            None => std::future::pending().await,
        }
    }

    fn count(
        &mut self,
        ended: Result<Result<Kind, TransportError>, tokio::task::JoinError>,
    ) -> Result<(), TransportError> {
        self.left[ended.map_err(std::io::Error::other)?? as usize] -= 1;
        Ok(())
    }
}
