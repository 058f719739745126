//! The analysis of a recorded trial, from the files of its run.

use samepath_model::arm::AttributedBy;
use samepath_model::experiment::Trial;
use samepath_model::record::LinkReport;

use super::analysis::{AnalyseError, Analysis, Unattributed, analyse};
use super::hold::Opening;
use crate::store::{Run, StoreError};

/// Follows every message of a recorded trial, from the files of its run.
///
/// # Errors
/// As [`analyse`].
pub fn of_trial(run: &Run, trial: &Trial) -> Result<Analysis, AnalyseError<StoreError>> {
    let read = AnalyseError::Source;
    if trial.workload.is_open_ended() {
        return Err(Unattributed::OpenEnded.into());
    }
    let record = run.trial(&trial.id);
    let link = record.and_then(|record| record.link.as_ref());
    let emulated = link.is_some_and(LinkReport::counts_packets);
    // An attributed trial has every file, even an empty one: without it the records have been damaged since.
    let absent = |attributed: bool, file: &'static str, otherwise: Unattributed| {
        AnalyseError::Unattributed(if attributed { Unattributed::Gone(file) } else { otherwise })
    };
    let layout = run.layout(&trial.id).map_err(read)?;
    let layout = layout.ok_or_else(|| absent(trial.attribution, "message-ranges.parquet", Unattributed::Off))?;
    let ledger = run.ledger(&trial.id).map_err(read)?;
    let ledger = ledger.ok_or_else(|| absent(emulated, "ledger.parquet", Unattributed::NoLedger))?;
    let observations = match run.observations(&trial.id).map_err(read)? {
        Some(observations) => observations,
        // The sequence numbers of TCP are in the ledger.
        None if trial.arm.attributed_by != AttributedBy::Observations => Vec::new(),
        None => return Err(absent(trial.attribution, "packet-observations.parquet", Unattributed::Off)),
    };
    let analysis =
        analyse(trial, run.messages(&trial.id).map_err(read)?, &layout, ledger, observations.into_iter().map(Ok))?;
    let summary = record.and_then(|record| record.summary.as_ref());
    let opening = summary.map(|summary| {
        let handshake_ns = summary.handshake_ms.map(|ms| (ms * 1e6).round() as u64);
        Opening::of(trial.workload.is_cold(), summary.name_lookup, handshake_ns)
    });
    Ok(analysis.told_by(&run.series(&trial.id).map_err(read)?, opening.unwrap_or_default()))
}
