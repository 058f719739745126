//! Account of a router's work: what each direction carried, how late, and what stands against it.

use samepath_model::VoidReason;
use samepath_model::record::{DirectionReport, Lateness};

use crate::capture::CaptureReport;
use crate::ledger::Cut;
use crate::link::Nanos;

/// What the router says of its work.
#[derive(Debug)]
pub(crate) struct RouterAccount {
    /// Both directions.
    pub(crate) directions: [DirectionReport; 2],
    /// How late packets left, where the kernel draws nothing that decides it.
    pub(crate) lateness: Lateness,
    /// CPU time of the thread that watches.
    pub(crate) cpu: Nanos,
    /// Lines that the ledger lost.
    pub(crate) ledger_lost: u64,
    /// What is missing at the ledger's end.
    pub(crate) ledger_cut: Option<Cut>,
    /// What came of the capture, if there was one.
    pub(crate) capture: Option<CaptureReport>,
    /// What stands against the account.
    pub(crate) doubts: Vec<VoidReason>,
}
