//! What goes wrong with a link that is run, within its contained process and outside.

use serde::{Deserialize, Serialize};

use crate::namespace::NamespaceError;
use crate::path::PathError;

/// A link that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No namespaces, or they ended before their time.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The path could not be set up, or failed.
    #[error("{said}")]
    Path {
        /// Why, with the remedy.
        said: String,
        /// Whether it is something that this machine does not permit or does not have.
        lack: bool,
    },
    /// The contained process spoke nonsense.
    #[error("the process that held the link gave no sense: {0}; this is a fault of the program")]
    Nonsense(serde_json::Error),
}

impl From<serde_json::Error> for LinkError {
    fn from(error: serde_json::Error) -> LinkError {
        LinkError::Nonsense(error)
    }
}

impl LinkError {
    /// Whether it is something that this machine does not permit or does not have.
    pub fn is_lack(&self) -> bool {
        match self {
            LinkError::Namespace(error) => error.is_lack(),
            LinkError::Path { lack, .. } => *lack,
            LinkError::Nonsense(_) => false,
        }
    }
}

/// An error on its way out of the contained process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) said: String,
    pub(super) lack: bool,
}

impl From<String> for Failure {
    fn from(said: String) -> Failure {
        Failure { said, lack: false }
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Failure {
        Failure { said: error.to_string(), lack: error.is_lack() }
    }
}

impl From<Failure> for LinkError {
    fn from(Failure { said, lack }: Failure) -> LinkError {
        LinkError::Path { said, lack }
    }
}
