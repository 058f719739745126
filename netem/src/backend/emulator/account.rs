//! Account that the data thread gives of its work: what it carried, how late, and how busy it was.

use samepath_model::record::{DirectionReport, Lateness};

use crate::capture::CaptureReport;
use crate::ledger::Cut;
use crate::link::Nanos;

/// What the data thread says of its work.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) directions: [DirectionReport; 2],
    pub(crate) lateness: Lateness,
    /// Packets the kernel dropped before the emulator could take them.
    pub(crate) port_drops: u64,
    pub(crate) realtime: bool,
    pub(crate) work: Work,
    /// Entries the ledger lost because its writer could not keep up.
    pub(crate) ledger_lost: u64,
    /// What is missing at the ledger's end.
    pub(crate) ledger_cut: Option<Cut>,
    /// What came of the capture, if there was one.
    pub(crate) capture: Option<CaptureReport>,
}

impl Account {
    /// Of a link without an emulator.
    pub(crate) fn of_nothing() -> Account {
        Account {
            directions: [DirectionReport::default(), DirectionReport::default()],
            lateness: Lateness::default(),
            port_drops: 0,
            realtime: false,
            work: Work::default(),
            ledger_lost: 0,
            ledger_cut: None,
            capture: None,
        }
    }
}

/// How busy the thread was from the first packet that it could have taken to the last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// CPU time.
    pub(crate) cpu: Nanos,
    /// That part of it in which it only waited.
    pub(crate) spun: Nanos,
    /// Wall-clock time.
    pub(crate) wall: Nanos,
}
