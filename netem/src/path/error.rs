//! What goes wrong with a path, whichever of its parts it was.

use crate::backend::Backend;
use crate::backend::emulator::EmulatorError;
use crate::backend::kernel::KernelError;
use crate::capture::CaptureError;
use crate::device::DeviceError;
use crate::ledger::LedgerError;
use crate::namespace::NamespaceError;
use crate::nest::NestError;

/// A path that could not be set up, or failed.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Super-packets are asked of a backend that has none.
    #[error(
        "fast mode needs TUN devices, and `{0}` has none; choose `--mode exact`, or `--backend tun` with access to \
         /dev/net/tun"
    )]
    NotFast(Backend),
    /// Servers at different distances are asked of a backend that has one delay for all.
    #[error(
        "the backend `{0}` has one delay for all servers; leave out `extra-rtt`, or use the embedded link (`--backend auto`)"
    )]
    Equidistant(Backend),
    /// A NAT has no other address to give.
    #[error(
        "a link so deep inside others has no other address for its client: leave out `rebind` of the address, or rebind \
         the port"
    )]
    Crowded,
    /// The emulator.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The router with the kernel's netem.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The outer link.
    #[error("the link around it: {0}")]
    Nest(NestError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

impl PathError {
    /// Whether it is something that this machine does not permit or does not have.
    pub fn is_lack(&self) -> bool {
        match self {
            PathError::Namespace(error) => error.is_lack(),
            PathError::Kernel(error) => error.is_lack(),
            PathError::Device(error) => error.is_lack(),
            _ => false,
        }
    }
}

impl From<NestError> for PathError {
    fn from(error: NestError) -> PathError {
        PathError::Nest(error)
    }
}
