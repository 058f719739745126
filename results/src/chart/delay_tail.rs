//! The delays of messages as the share that took at least so long, logarithmic down to one message:
//! the tail is where transports differ.
//!
//! Messages that never arrived stay in the denominator: their curve ends in a plateau.

use samepath_model::{Arm, Workload};

use super::axis::Axis;
use super::canvas::Stroke;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::delays::Delays;
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::theme::{FRAME, INK, arm_style};
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "delay-tail",
    about: "How the delays of messages are spread, with the tail on a logarithmic axis",
    absent: "The tail of the delays is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

struct Series {
    arm: Arm,
    trials: Vec<Delays>,
    pooled: Delays,
}

const ONE_WAY: &[f64] = &[2.0, 2.0];
const ONE_MORE: &[f64] = &[6.0, 2.0, 1.0, 2.0];

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let groups = part.groups();
    let mut panels: Vec<Vec<Series>> = Vec::new();
    for group in &groups {
        let mut all = Vec::new();
        for cell in &group.cells {
            let trials = cell
                .trials
                .iter()
                .map(|record| delays(analysis.run(), record))
                .collect::<Result<Vec<_>, StoreError>>()?;
            let pooled = Delays::pool(trials.iter());
            if pooled.released > 0 {
                all.push(Series { arm: cell.arm, trials, pooled });
            }
        }
        panels.push(all);
    }
    let every = || panels.iter().flatten();
    let largest = every().map(|s| s.pooled.released).max().unwrap_or(0);
    if every().all(|s| s.pooled.sorted.is_empty()) {
        return Err(Absent::NoData("no message was delivered, so there is no delay to show".into()));
    }
    let x_axis = Axis::fitting(every().flat_map(|s| s.pooled.sorted.iter().copied()), 8.0, 5);
    let y_axis = Axis::share(1.0 / largest as f64);
    let log = if x_axis.is_log() { ", log" } else { "" };

    let title = "How many messages are late, and how late?".to_owned();
    let (least, most) =
        (every().map(|s| s.pooled.released).min().unwrap_or(0), every().map(|s| s.pooled.released).max().unwrap_or(0));
    let pooled = if least == most {
        number(most as f64)
    } else {
        format!("{} to {}", number(least as f64), number(most as f64))
    };
    let counted = format!("N = {pooled} messages a curve, pooled over the seeds; {}", part.seeds());
    let caption = format!(
        "Share of all released messages whose delay from release to delivery was at least the value on the x axis, \
         on a logarithmic y axis down to one message; {counted}. Messages that never arrived count as late for ever: \
         a curve that ends in a level line lost that share."
    );
    let mut legend: Vec<Key> = part.arms().into_iter().map(Key::Arm).collect();
    legend.push(Key::Line { dash: ONE_WAY, colour: INK, label: "one-way delay of the link".into() });
    legend.push(Key::Line { dash: ONE_MORE, colour: INK, label: "+ 1 RTT".into() });
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {counted}", part.heading()), part.conditions()],
        legend,
        notes: vec![
            "Thick: all seeds pooled. Thin: single seeds. A level end is the share that never arrived; \
             messages of one trial share its losses, so N messages are not N independent trials."
                .into(),
        ],
    };
    let stem = part.stem(CHART.name);
    let grid =
        Grid { left: 62.0, gap: 16.0, top: 24.0, height: 300.0, row_height: 372.0, panels: panels.len(), kinds: 1 };
    let kind = Kind {
        x: &x_axis,
        y: &y_axis,
        x_name: &format!("delay from release to delivery (ms{log})"),
        y_name: "share of messages at least so late (log)",
    };
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, (series, group)) in panels.iter().zip(&groups).enumerate() {
            let panel = grid.panel_of(canvas, area, (i, 0), group, &kind);
            let plan = &group.cells[0].plan;
            let base = plan.link.direction(plan.workload.direction()).delay.as_millis_f64();
            for (at, dash) in [(base, ONE_WAY), (base + plan.link.rtt().as_millis_f64(), ONE_MORE)] {
                let line = [(at, panel.y.lo()), (at, 1.0)];
                panel.line(canvas, &line, Stroke { colour: FRAME, width: 1.0, dash, opacity: 1.0 });
            }
            for series in series {
                let style = arm_style(series.arm);
                if series.trials.len() > 1 {
                    for trial in series.trials.iter().filter(|t| t.released > 0) {
                        let thin = Stroke { colour: style.colour, width: 0.5, dash: &[], opacity: 0.45 };
                        panel.line(canvas, &trial.curve(&panel), thin);
                    }
                }
            }
            for (rank, series) in series.iter().enumerate() {
                let style = arm_style(series.arm);
                let stroke = Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 };
                panel.line(canvas, &series.pooled.curve(&panel), stroke);
                // Marks at shares of their own, so that curves that run together can be told.
                let n = series.pooled.sorted.len();
                let places = [0.5, 0.05, 0.005].into_iter().filter_map(|share| {
                    let share = share * 10f64.powf(0.16 * rank as f64 - 0.3);
                    let place = ((1.0 - share) * series.pooled.released as f64) as usize;
                    (place < n).then_some(place)
                });
                for place in places.chain(n.checked_sub(1)) {
                    panel.mark(canvas, (series.pooled.sorted[place], series.pooled.share(place)), 3.5, style);
                }
            }
        }
    });
    let mut table = Table {
        head: [
            "conditions",
            "arm",
            "seeds",
            "released",
            "not delivered",
            "p50 [ms]",
            "p90 [ms]",
            "p99 [ms]",
            "p99.9 [ms]",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: Vec::new(),
    };
    for (series, group) in panels.iter().zip(&groups) {
        for series in series {
            let pooled = &series.pooled;
            let mut row = vec![
                group.label.clone(),
                series.arm.to_string(),
                series.trials.len().to_string(),
                pooled.released.to_string(),
                pooled.undelivered().to_string(),
            ];
            row.extend([0.5, 0.9, 0.99, 0.999].map(|q| pooled.quantile(q)));
            table.rows.push(row);
        }
    }
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

fn delays(run: &Run, record: &samepath_model::record::TrialRecord) -> Result<Delays, StoreError> {
    let messages = run.messages(&record.trial.id)?;
    let mut sorted: Vec<f64> = messages
        .iter()
        .filter_map(|m| m.delivered.map(|at| (at - m.released) as f64 / 1e6))
        .filter(|ms| ms.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    Ok(Delays { sorted, released: messages.len() })
}
