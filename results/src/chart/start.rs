//! How many round trips until the transport is ready, and until the first payload byte.

use samepath_model::{Arm, Workload};

use super::axis::{Axis, Tick};
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::analysis::Analysis;
use crate::metric;
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "start",
    about: "Handshake and first byte in round-trip times",
    absent: "Handshake and first byte are not drawn",
    is_main: false,
    suits: |_| true,
    draw,
};

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    // After a warm-up the first payload byte of a message schedule says nothing of the start.
    let cold = matches!(part.cells[0].plan.workload.scored(), Workload::Bulk(_));
    let mut shown = vec![("handshake done at the client", &metric::HANDSHAKE_RTTS)];
    if cold {
        shown.push(("first payload byte", &metric::FIRST_BYTE_RTTS));
    }
    let values = part.trials().flat_map(|r| shown.iter().filter_map(|(_, metric)| (metric.of)(r)));
    let largest = values.fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return Err(Absent::NoData(
            "the links have no delay, or no handshake was timed, so nothing can be counted in round trips".into(),
        ));
    }
    // A grid line a round trip, labels thinned where a lost handshake packet makes it long.
    let end = (largest * 1.08).ceil().max(2.0);
    let (step, lines) = ((end / 10.0).ceil(), if end <= 30.0 { end } else { 0.0 });
    let mut ticks: Vec<Tick> = (0..=lines as u32).map(|i| Tick { at: f64::from(i), label: String::new() }).collect();
    for i in 0..=(end / step) as u32 {
        let at = f64::from(i) * step;
        match ticks.iter_mut().find(|tick| tick.at == at) {
            Some(tick) => tick.label = at.to_string(),
            None => ticks.push(Tick { at, label: at.to_string() }),
        }
    }
    let axis = Axis::exact(0.0, end, 5).with_ticks(ticks);
    let column = |(heading, metric): (&str, _)| Column {
        heading: heading.into(),
        axis_name: "time since connecting began (RTT)".into(),
        axis: axis.clone(),
        metric,
    };
    let columns = shown.into_iter().map(column).collect();
    let title = if cold {
        "How many round trips until the first byte?".to_owned()
    } else {
        "How many round trips does the handshake take?".to_owned()
    };
    let caption = format!(
        "{} counted in round-trip times of the link without queues, by conditions and arm; {}. \
         udp has no handshake. A lost handshake packet costs a timeout, many round trips.",
        if cold { "Handshake and first payload byte," } else { "Handshake," },
        part.seeds()
    );
    let mut notes = vec![
        "1 RTT is the link's two delays added, without queueing. udp has no handshake (–). \
         A lost handshake packet costs a timeout of about a second."
            .into(),
    ];
    notes.extend(ends(part));
    Ok(Rows { chart: &CHART, title, caption, notes, form: Form::Dot, part, columns }.draw())
}

/// How much of the handshake was the ends' own time, by arm: medians over all trials of the part.
fn ends(part: &PartView<'_>) -> Option<String> {
    let mut by_arm: Vec<(Arm, Vec<f64>)> = Vec::new();
    for record in part.trials() {
        let Some(ms) = (metric::HANDSHAKE_ENDS.of)(record) else { continue };
        match by_arm.iter_mut().find(|(arm, _)| *arm == record.trial.arm) {
            Some((_, all)) => all.push(ms),
            None => by_arm.push((record.trial.arm, vec![ms])),
        }
    }
    by_arm.sort_by_key(|(arm, _)| *arm);
    let told: Vec<String> = by_arm
        .into_iter()
        .map(|(arm, mut all)| {
            all.sort_by(f64::total_cmp);
            format!("{arm} {:.2}", all[(all.len() - 1) / 2])
        })
        .collect();
    (!told.is_empty()).then(|| {
        format!(
            "Of the handshake, the ends' own time, in which no packet was on the link, nor a lost one waited for \
             (their CPU, mostly for keys; medians, ms): {}.",
            told.join(", ")
        )
    })
}
