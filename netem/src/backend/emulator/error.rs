//! What goes wrong with a data thread: a device, the thread itself, or the ledger.

use std::io;

use crate::ledger::LedgerError;

/// A data thread that failed.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// A device failed.
    #[error("the link's {side} device failed: {cause}")]
    Port {
        /// Whose device.
        side: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The thread could not be started, or waited for.
    #[error("the link's data thread: {}", samepath_model::shortage::told_of_start(.0))]
    Thread(io::Error),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The thread panicked.
    #[error("the link's data thread panicked; this is a fault of the program")]
    Panicked,
}

impl EmulatorError {
    /// Of the port with this index.
    pub(super) fn of_port(port: usize, cause: io::Error) -> EmulatorError {
        EmulatorError::Port { side: ["client", "server"][port], cause }
    }
}
