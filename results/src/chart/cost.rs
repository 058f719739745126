//! What the payload cost: CPU time at each end, and bytes on the wire.

use samepath_model::ByteCount;
use samepath_model::record::TrialRecord;

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::part::PartView;
use crate::store::Run;
use crate::{Field, summary};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "cost",
    about: "CPU time and wire bytes for the payload",
    absent: "The cost is not drawn",
    is_main: false,
    suits: |_| true,
    draw,
};

/// Bytes of IP packets offered to the link, both directions, per payload byte carried: received, and of the warm-up,
/// whose packets were counted, too.
fn wire_ratio(record: &TrialRecord) -> Option<f64> {
    let payload = summary::carried(&record.trial, None, record.summary.as_ref()?.received_bytes)?;
    Some(Field::WireBytes.of(record)? / payload as f64)
}

fn draw(_: &Run, part: &PartView<'_>) -> Result<Drawing, Absent> {
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
            let axis = Axis::linear(0.0, if largest > 0.0 { largest * 1.25 } else { 1.0 }, 4);
            columns.push(Column { heading: heading.into(), axis_name: axis_name.into(), axis, value, unit });
        }
    }
    if columns.is_empty() {
        return Err(Absent::NoData("neither CPU time nor wire bytes were recorded".into()));
    }
    let title = "What does a gigabyte of payload cost in CPU time, and on the wire?".to_owned();
    let warmup = part.cells.iter().map(|c| c.plan.workload.warmup(c.plan.arm)).max().unwrap_or(ByteCount::ZERO);
    let payload = if warmup == ByteCount::ZERO {
        "received".to_owned()
    } else {
        format!("received, and the {warmup} of warm-up before it (none over udp), whose cost is counted, too")
    };
    let caption = format!(
        "CPU seconds of each end's process per gigabyte (10⁹ bytes) of payload, and bytes of IP packets offered to \
         the link in both directions per byte of payload. Payload is what was {payload}; {}.",
        part.seeds()
    );
    let mut notes = vec![
        format!("Payload: {payload}."),
        "CPU: the whole process over the trial, start and handshake included, so short trials and few bytes look dear."
            .into(),
    ];
    if part.trials().any(|r| wire_ratio(r).is_some()) {
        notes.push("Wire: both directions, with headers, handshake, acknowledgements and retransmissions.".into());
    }
    if part.trials().any(|r| r.link.as_ref().is_some_and(|link| !link.counts_packets())) {
        notes.push("Where the ends were joined by a bare cable (--backend none), nothing counted wire bytes.".into());
    }
    Ok(Rows { chart: &CHART, title, caption, notes, form: Form::Bar, part, columns }.draw())
}
