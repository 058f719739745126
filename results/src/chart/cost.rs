//! What the payload cost: CPU time at each end, and bytes on the wire.

use samepath_model::ByteCount;
use samepath_model::record::TrialRecord;

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::analysis::Analysis;
use crate::metric::{self, Metric, PLAIN, Unit};
use crate::part::PartView;
use crate::summary;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "cost",
    about: "CPU time and wire bytes for the payload",
    absent: "The cost is not drawn",
    is_main: false,
    suits: |_| true,
    draw,
};

/// Bytes of IP packets offered to the link, both directions, per payload byte carried.
const WIRE_RATIO: Metric =
    Metric { name: "wire_bytes_per_byte", label: "wire bytes", unit: Unit::BytesPerByte, of: wire_ratio, ..PLAIN };

/// Payload carried is what was received, and the warm-up, whose packets were counted, too.
fn wire_ratio(record: &TrialRecord) -> Option<f64> {
    let payload = summary::carried(&record.trial, [None; 2], record.summary.as_ref()?.received_bytes)?;
    Some((metric::WIRE_BYTES.of)(record)? / payload as f64)
}

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let figures: [(&Metric, &str); 3] = [
        (&metric::CLIENT_CPU, "CPU time (s per GB of payload)"),
        (&metric::SERVER_CPU, "CPU time (s per GB of payload)"),
        (&WIRE_RATIO, "IP bytes per payload byte"),
    ];
    let mut columns = Vec::new();
    for (metric, axis_name) in figures {
        let largest = part.trials().filter_map(metric.of).fold(f64::NEG_INFINITY, f64::max);
        if largest.is_finite() {
            // Room for the number at the end of the longest bar.
            let axis = Axis::linear(0.0, if largest > 0.0 { largest * 1.25 } else { 1.0 }, 4);
            columns.push(Column { heading: metric.label.into(), axis_name: axis_name.into(), axis, metric });
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
