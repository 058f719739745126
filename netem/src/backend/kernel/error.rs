//! What goes wrong with a router: what the kernel lacks or refuses, and what netem has no word for.

use std::io;

use super::plan::Inexpressible;
use crate::device::DeviceError;
use crate::ledger::LedgerError;
use crate::namespace::{NamespaceError, StepError};

/// A router that could not be set up, or failed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Conditions that netem has no word for.
    #[error(transparent)]
    Inexpressible(#[from] Inexpressible),
    /// The kernel has no such queueing discipline.
    #[error("the kernel has no queueing discipline `{kind}`: {}", missing_remedy(.kind))]
    Missing {
        /// Its name.
        kind: &'static str,
    },
    /// The kernel's netem has no seed.
    #[error(
        "this kernel's netem takes no seed, so its losses could not be repeated: it takes kernel 6.6 or later, or the \
         embedded backend (`--backend auto`)"
    )]
    Seedless,
    /// The kernel refused one.
    #[error("the kernel refused the queueing discipline `{kind}`: {cause}")]
    Refused {
        /// Its name.
        kind: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Another step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The thread that reads the taps panicked.
    #[error("the thread that watches the router panicked; this is a fault of the program")]
    Panicked,
}

impl KernelError {
    /// Whether it is something that this machine does not permit or does not have.
    pub fn is_lack(&self) -> bool {
        match self {
            KernelError::Missing { .. } | KernelError::Seedless => true,
            KernelError::Namespace(error) => error.is_lack(),
            KernelError::Device(error) => error.is_lack(),
            KernelError::Inexpressible(_)
            | KernelError::Refused { .. }
            | KernelError::Step(_)
            | KernelError::Ledger(_)
            | KernelError::Panicked => false,
        }
    }
}

/// What to do where the kernel lacks a queueing discipline.
fn missing_remedy(kind: &str) -> String {
    format!(
        "run `sudo modprobe sch_{kind}` (on some distributions it comes with the package of the kernel's extra \
         modules), or use the embedded backend (`--backend auto`), which needs none"
    )
}
