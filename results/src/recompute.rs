//! The figures of a recorded trial computed again from its files, to hold against those in its line.

use samepath_model::flow::UNDER_TEST;
use samepath_model::record::{Summary, TrialRecord};

use crate::blocking::{self, AnalyseError};
use crate::flows::FlowCounts;
use crate::store::{Run, StoreError};
use crate::summary::{Reports, from_records, note_book};

/// The figures of a recorded trial's flow under test, computed again from its files. Lookup, handshake, first byte and
/// the share of the link, which stand in the trial's line alone, are taken from there.
///
/// # Errors
/// Where the trial's files are missing or damaged.
pub fn recompute(run: &Run, record: &TrialRecord) -> Result<Summary, StoreError> {
    let id = &record.trial.id;
    let reports = Reports {
        client: record.client.as_ref(),
        server: record.server.as_ref(),
        link: record.link.as_ref(),
        name_lookup: record.summary.as_ref().and_then(|summary| summary.name_lookup),
        handshake_ms: record.summary.as_ref().and_then(|summary| summary.handshake_ms),
        first_byte_ms: record.summary.as_ref().and_then(|summary| summary.first_byte_ms),
    };
    let blocking = match blocking::of_trial(run, &record.trial) {
        Ok(analysis) => analysis.figures(),
        Err(AnalyseError::Unattributed(_)) => None,
        Err(AnalyseError::Source(error)) => return Err(error),
    };
    let recorded = record.summary.as_ref();
    let (handshake, link_share) =
        (recorded.and_then(|summary| summary.handshake), recorded.and_then(|summary| summary.link_share));
    let mut summary = from_records(&record.trial, &run.messages(id)?, &run.series(id)?, reports);
    if record.trial.workload.book().is_some() {
        note_book(&mut summary, &record.trial, &run.messages(id)?, &run.book(id)?);
    }
    if !record.trial.competing.is_empty()
        && let Some(ledger) = run.ledger(id)?
    {
        let mut counts = FlowCounts::new(&record.trial);
        for packet in ledger {
            counts.see(&packet?);
        }
        counts.put(UNDER_TEST, &mut summary);
    }
    Ok(Summary { blocking, handshake, link_share, ..summary })
}
