//! The age of the newest update as the share of the time in which it was above each value, logarithmic: what is
//! too old, and for how long.

use samepath_model::age::Age;
use samepath_model::{Arm, Workload};

use super::axis::{Axis, Panel};
use super::canvas::Stroke;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::theme::{FRAME, INK, arm_style};
use crate::analysis::Analysis;
use crate::metric::game_state;
use crate::number::number;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "age-tail",
    about: "How the age of the newest update is spread over time, with the tail on a logarithmic axis",
    absent: "The tail of the age is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::GameState(_)),
    draw,
};

struct Series {
    arm: Arm,
    trials: Vec<Age>,
    pooled: Age,
}

const ONE_WAY: &[f64] = &[2.0, 2.0];
const BOUND: &[f64] = &[6.0, 2.0, 1.0, 2.0];

/// Least share of the time that is drawn.
const LEAST: f64 = 1e-3;

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let groups = part.groups();
    let mut panels: Vec<Vec<Series>> = Vec::new();
    for group in &groups {
        let mut all = Vec::new();
        for cell in &group.cells {
            let trials =
                cell.trials.iter().map(|record| age(analysis.run(), record)).collect::<Result<Vec<_>, StoreError>>()?;
            let pooled = Age::pool(trials.iter());
            if !pooled.is_empty() {
                all.push(Series { arm: cell.arm, trials, pooled });
            }
        }
        panels.push(all);
    }
    let every = || panels.iter().flatten();
    let ends = every().flat_map(|series| [quantile(&series.pooled, 0.0), quantile(&series.pooled, 1.0 - LEAST)]);
    let ends: Vec<f64> = ends.flatten().collect();
    if ends.is_empty() {
        return Err(Absent::NoData("no trial has a time over which the age is known".into()));
    }
    let x_axis = Axis::fitting(ends, 8.0, 5);
    let y_axis = Axis::share(LEAST);
    let log = if x_axis.is_log() { ", log" } else { "" };

    let title = "For how long is the newest update too old?".to_owned();
    let caption = format!(
        "Share of the time in which the newest update that was delivered was older than the value on the x axis, on a \
         logarithmic y axis, pooled over the seeds; {}. The age grows with the time, and falls to an update's delay as \
         the update is delivered; one that comes after a newer one changes nothing.",
        part.seeds()
    );
    let mut legend: Vec<Key> = part.arms().into_iter().map(Key::Arm).collect();
    legend.push(Key::Line { dash: ONE_WAY, colour: INK, label: "one-way delay of the link, + 1 period".into() });
    legend.push(Key::Line { dash: BOUND, colour: INK, label: "too old".into() });
    let notes = vec![
        "Thick: all seeds pooled. Thin: single seeds. Where nothing is lost, the age lies between the one-way delay \
         and one period more."
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
    let kind = Kind {
        x: &x_axis,
        y: &y_axis,
        x_name: &format!("age of the newest update (ms{log})"),
        y_name: "share of the time in which it was older (log)",
    };
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, (series, group)) in panels.iter().zip(&groups).enumerate() {
            let panel = grid.panel_of(canvas, area, (i, 0), group, &kind);
            for (at, dash) in lines(&group.cells[0].plan) {
                let line = [(at, panel.y.lo()), (at, 1.0)];
                panel.line(canvas, &line, Stroke { colour: FRAME, width: 1.0, dash, opacity: 1.0 });
            }
            for series in series.iter().filter(|series| series.trials.len() > 1) {
                let colour = arm_style(series.arm).colour;
                for trial in &series.trials {
                    panel.line(canvas, &curve(trial, &panel), Stroke { colour, width: 0.5, dash: &[], opacity: 0.45 });
                }
            }
            for (rank, series) in series.iter().enumerate() {
                let style = arm_style(series.arm);
                let stroke = Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 };
                panel.line(canvas, &curve(&series.pooled, &panel), stroke);
                // Marks at shares of their own, so that curves that run together can be told.
                for share in [0.5, 0.05, 0.005].map(|share| share * 10f64.powf(0.16 * rank as f64 - 0.3)) {
                    if let Some(at) = quantile(&series.pooled, 1.0 - share) {
                        panel.mark(canvas, (at, share), 3.5, style);
                    }
                }
            }
        }
    });
    let mut table = Table {
        head: ["conditions", "arm", "seeds", "mean [ms]", "p50 [ms]", "p90 [ms]", "p99 [ms]", "p99.9 [ms]"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for (series, group) in panels.iter().zip(&groups) {
        for series in series {
            let shown = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), number);
            let mut row = vec![group.label.clone(), series.arm.to_string(), series.trials.len().to_string()];
            row.push(shown(series.pooled.mean().map(|ns| ns / 1e6)));
            row.extend([0.5, 0.9, 0.99, 0.999].map(|q| shown(quantile(&series.pooled, q))));
            table.rows.push(row);
        }
    }
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// Ages to set the curves against, in milliseconds.
fn lines(plan: &samepath_model::Trial) -> Vec<(f64, &'static [f64])> {
    let Workload::GameState(state) = plan.workload.scored() else { return Vec::new() };
    let one_way = plan.link.direction(state.direction).delay;
    let ages = [(one_way, ONE_WAY), (one_way + state.period(), ONE_WAY), (state.bound, BOUND)];
    ages.map(|(age, dash)| (age.as_millis_f64(), dash)).to_vec()
}

/// In milliseconds.
fn quantile(age: &Age, q: f64) -> Option<f64> {
    age.quantile(q).map(|ns| ns / 1e6)
}

/// The curve as far as it is drawn; points that would fall on the same spot are left out.
fn curve(age: &Age, panel: &Panel) -> Vec<(f64, f64)> {
    // Between two corners the share falls evenly, which on a logarithmic axis is no straight line.
    const STEP: f64 = 0.85;
    let least = panel.y.lo() / 2.0;
    let mut points: Vec<(f64, f64)> = vec![(panel.x.lo(), 1.0)];
    let mut drawn = (f64::MIN, f64::MIN);
    let mut add = |at: f64, share: f64| {
        let spot = panel.at(at, share.max(least));
        if (spot.0 - drawn.0).abs() >= 0.5 || (spot.1 - drawn.1).abs() >= 0.5 {
            drawn = spot;
            points.push((at, share.max(least)));
        }
    };
    let corners: Vec<(f64, f64)> = age.tail().into_iter().map(|(at, share)| (at as f64 / 1e6, share)).collect();
    for pair in corners.windows(2) {
        let ((from, most), (to, fewest)) = (pair[0], pair[1]);
        let mut share = most;
        while share > fewest.max(least) {
            add(from + (to - from) * (most - share) / (most - fewest), share);
            share *= STEP;
        }
        add(to, fewest);
    }
    points
}

fn age(run: &Run, record: &samepath_model::record::TrialRecord) -> Result<Age, StoreError> {
    let messages = run.messages(&record.trial.id)?;
    Ok(game_state::age(&record.trial, &messages).unwrap_or_default())
}
