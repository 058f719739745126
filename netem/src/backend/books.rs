//! What is kept of the packets that cross a link.

use crate::capture::Capture;
use crate::ledger::Spool;
use crate::link::entry::Entry;

/// What is kept of the packets.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The fate of each.
    pub(crate) ledger: Option<Spool>,
    /// Each packet, with its fate.
    pub(crate) capture: Option<Capture>,
}

impl Books {
    #[inline]
    pub(super) fn append(&mut self, entry: Entry) {
        if let Some(ledger) = &mut self.ledger {
            ledger.append(entry);
        }
        if let Some(capture) = &mut self.capture {
            capture.fate(entry);
        }
    }
}
