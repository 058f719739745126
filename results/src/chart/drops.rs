//! When the path lost the payload's packets, by the ledger.

use samepath_model::flow::UNDER_TEST;
use samepath_model::record::{DropCause, TrialRecord};

use crate::store::{Run, StoreError};

/// When each data packet of the flow under test, in the payload's direction, that the path lost came to the link, in nanoseconds from
/// the epoch; nothing where the trial had no link of ours and so no ledger.
pub(crate) fn data_drops(run: &Run, record: &TrialRecord) -> Result<Vec<i64>, StoreError> {
    let direction = record.trial.workload.direction();
    let mut drops = Vec::new();
    let Some(ledger) = run.ledger(&record.trial.id)? else { return Ok(drops) };
    for packet in ledger {
        let packet = packet?;
        let is_data = packet.is_of(UNDER_TEST) && packet.direction == direction && packet.payload > 0;
        if is_data && packet.dropped.is_some_and(DropCause::is_loss) {
            drops.push(packet.arrived);
        }
    }
    Ok(drops)
}
