//! One call to a service beside the operation that needs several: the share that took at least so long, logarithmic down
//! to one operation. What the tail of a call does to the whole is the distance between the two curves.

use samepath_model::fanned::Fanned;
use samepath_model::record::TrialRecord;
use samepath_model::workload::FanOut;
use samepath_model::{Arm, Workload};

use super::axis::{Axis, Panel};
use super::canvas::{Canvas, Stroke};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::delays::Delays;
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::theme::{INK, arm_style};
use crate::analysis::Analysis;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "call-and-whole",
    about: "How the latency of operations that need several services is spread, beside that of one call",
    absent: "The tails of calls and operations are not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::FanOut(_)),
    draw,
};

/// The latencies of one arm, all seeds pooled.
struct Series {
    arm: Arm,
    seeds: usize,
    call: Delays,
    whole: Delays,
}

const OF_CALL: &[f64] = &[2.0, 2.0];

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let groups = part.groups();
    let mut panels: Vec<Vec<Series>> = Vec::new();
    for group in &groups {
        let mut all = Vec::new();
        for cell in &group.cells {
            let trials = cell.trials.iter().map(|record| latencies(analysis.run(), record));
            let (calls, whole): (Vec<_>, Vec<_>) = trials.collect::<Result<Vec<_>, StoreError>>()?.into_iter().unzip();
            let (call, whole) = (Delays::pool(calls.iter()), Delays::pool(whole.iter()));
            if whole.released > 0 {
                all.push(Series { arm: cell.arm, seeds: cell.trials.len(), call, whole });
            }
        }
        panels.push(all);
    }
    let every = || panels.iter().flatten();
    let times = || every().flat_map(|series| series.call.sorted.iter().chain(&series.whole.sorted).copied());
    if times().next().is_none() {
        return Err(Absent::NoData("no call was answered, so there is no latency to show".into()));
    }
    let most = every().map(|series| series.whole.released).max().unwrap_or(1);
    let (x_axis, y_axis) = (Axis::fitting(times(), 8.0, 5), Axis::share(1.0 / most as f64));
    let log = if x_axis.is_log() { ", log" } else { "" };

    let title = "How much later than one call is the whole?".to_owned();
    let caption = format!(
        "Share of the operations (thick) and of the single calls to a service (dotted) whose latency was at least the value \
         on the x axis, on a logarithmic y axis, pooled over the seeds; {}. Of what was never answered, or too late, a level \
         end is left.",
        part.seeds()
    );
    let mut legend: Vec<Key> = part.arms().into_iter().map(Key::Arm).collect();
    legend.push(Key::Line { dash: OF_CALL, colour: INK, label: "one call".into() });
    let notes = vec![
        "Thick: operations, from the intended release until every service has answered. Dotted, in the arm's colour: \
         single calls."
            .into(),
    ];
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes,
    };
    let stem = part.stem(CHART.name);
    let grid =
        Grid { left: 62.0, gap: 16.0, top: 24.0, height: 300.0, row_height: 372.0, panels: panels.len(), kinds: 1 };
    let kind =
        Kind { x: &x_axis, y: &y_axis, x_name: &format!("latency (ms{log})"), y_name: "share at least so late (log)" };
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, (series, group)) in panels.iter().zip(&groups).enumerate() {
            let panel = grid.panel_of(canvas, area, (i, 0), group, &kind);
            for (rank, series) in series.iter().enumerate() {
                curves(canvas, &panel, rank, series);
            }
        }
    });
    let mut table = Table {
        head: ["conditions", "arm", "seeds", "of", "released", "unanswered", "p50 [ms]", "p90 [ms]", "p99 [ms]"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for (series, group) in panels.iter().zip(&groups) {
        for series in series {
            for (of, delays) in [("one call", &series.call), ("operation", &series.whole)] {
                let mut row =
                    vec![group.label.clone(), series.arm.to_string(), series.seeds.to_string(), of.to_owned()];
                row.extend([delays.released, delays.undelivered()].map(|n| n.to_string()));
                row.extend([0.5, 0.9, 0.99].map(|q| delays.quantile(q)));
                table.rows.push(row);
            }
        }
    }
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The two curves of an arm, the `rank`-th of the panel.
fn curves(canvas: &mut Canvas<'_>, panel: &Panel, rank: usize, series: &Series) {
    let style = arm_style(series.arm);
    let thin = Stroke { colour: style.colour, width: 1.0, dash: OF_CALL, opacity: 1.0 };
    panel.line(canvas, &inside(series.call.curve(panel), panel), thin);
    let thick = Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 };
    panel.line(canvas, &inside(series.whole.curve(panel), panel), thick);
    // Marks at shares of their own, so that curves that run together can be told.
    let whole = &series.whole;
    let places = [0.5, 0.05, 0.005].map(|share| {
        let share = share * 10f64.powf(0.16 * rank as f64 - 0.3);
        ((1.0 - share) * whole.released as f64) as usize
    });
    for place in places.into_iter().filter(|place| *place < whole.sorted.len()) {
        panel.mark(canvas, (whole.sorted[place], whole.share(place)), 3.5, style);
    }
}

/// A curve down to the panel's least share: there are more calls than operations.
fn inside(curve: Vec<(f64, f64)>, panel: &Panel) -> Vec<(f64, f64)> {
    curve.into_iter().map(|(at, share)| (at, share.max(panel.y.lo()))).collect()
}

/// Latencies of a trial's calls, and of its operations.
fn latencies(run: &Run, record: &TrialRecord) -> Result<(Delays, Delays), StoreError> {
    let Workload::FanOut(fan_out) = record.trial.workload.scored() else { return Ok(Default::default()) };
    let fanned = Fanned::of(fan_out, &run.messages(&record.trial.id)?);
    Ok(of_both(fan_out, &fanned))
}

fn of_both(fan_out: &FanOut, fanned: &Fanned) -> (Delays, Delays) {
    let millis = |nanos: i64| nanos as f64 / 1e6;
    let timeout = fan_out.timeout.as_millis_f64();
    let delays = |times: &mut dyn Iterator<Item = i64>, released: u32| {
        let mut sorted: Vec<f64> = times.map(millis).filter(|took| *took <= timeout).collect();
        sorted.sort_by(f64::total_cmp);
        Delays { sorted, released: released as usize }
    };
    (
        delays(&mut fanned.calls.iter().copied(), fanned.requested),
        delays(&mut fanned.whole.iter().map(|whole| whole.latency), fanned.released),
    )
}
