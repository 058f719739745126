//! What the payload cost: CPU time at each end, and bytes on the wire.

use samepath_model::record::TrialRecord;

use super::axis::Axis;
use super::rows::{Column, Form, Rows};
use super::{Absent, Chart, Drawing, PartView};
use crate::Field;

/// Bytes of IP packets offered to the link, both directions, per payload byte received.
fn wire_ratio(record: &TrialRecord) -> Option<f64> {
    let (wire, payload) = (Field::WireBytes.of(record)?, Field::ReceivedBytes.of(record)?);
    (payload > 0.0).then(|| wire / payload)
}

pub(crate) fn draw(part: &PartView<'_>) -> Result<Drawing, Absent> {
    type Figure = fn(&TrialRecord) -> Option<f64>;
    let figures: [(&str, &str, &'static str, Figure); 3] = [
        ("client CPU", "CPU time (s per GB of payload)", "s/GB", |r| Field::ClientCpu.of(r)),
        ("server CPU", "CPU time (s per GB of payload)", "s/GB", |r| Field::ServerCpu.of(r)),
        ("wire bytes", "IP bytes per payload byte", "B/B", wire_ratio),
    ];
    let mut columns = Vec::new();
    for (heading, axis_name, unit, value) in figures {
        let largest = part.trials().filter_map(value).fold(f64::NEG_INFINITY, f64::max);
        if largest.is_finite() {
            // Room for the number at the end of the longest bar.
            let axis = Axis::linear(0.0, (largest * 1.25).max(1e-9), 4);
            columns.push(Column { heading: heading.into(), axis_name: axis_name.into(), axis, value, unit });
        }
    }
    if columns.is_empty() {
        return Err(Absent::NoData("neither CPU time nor wire bytes were recorded".into()));
    }
    let title = "What does a gigabyte of payload cost in CPU time, and on the wire?".to_owned();
    let caption = format!(
        "CPU seconds of each end's process per gigabyte (10⁹ bytes) of payload received, and bytes of IP packets \
         offered to the link in both directions per byte of payload received; {}.",
        part.seeds()
    );
    let notes = vec![
        "CPU: the whole process over the trial, start and handshake included, so short trials and few bytes look dear."
            .into(),
        "Wire: both directions, with headers, handshake, acknowledgements, retransmissions and any warm-up.".into(),
    ];
    Ok(Rows { chart: Chart::Cost, title, caption, notes, form: Form::Bar, part, columns }.draw())
}
