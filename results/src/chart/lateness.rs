//! How late packets left the link against the instant computed for each: the emulator's own error.
//!
//! Drawn from the histograms of the trials, so each step of a curve stands at the upper bound of a bin,
//! an octave wide: the curve may say a packet up to twice as late as it was, never less late.

use std::collections::BTreeMap;

use samepath_model::Arm;

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Rect, Stroke};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::theme::{INK, arm_style};
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "lateness",
    about: "How late packets left the link",
    absent: "The lateness of the link is not drawn",
    is_main: false,
    suits: |_| true,
    draw,
};

const BOUND: &[f64] = &[6.0, 3.0];

/// The packets of an arm, over its conditions and seeds.
struct Series {
    arm: Arm,
    packets: u64,
    /// The share of packets that may be at least so late, by the upper bound of their bin in µs; descending.
    shares: Vec<(f64, f64)>,
}

impl Series {
    fn of(part: &PartView<'_>, arm: Arm) -> Option<Series> {
        let mut bins: BTreeMap<u64, u64> = BTreeMap::new();
        let trials = part.trials().filter(|record| record.trial.arm == arm);
        for bin in trials.filter_map(|record| record.link.as_ref()).flat_map(|link| &link.lateness.histogram) {
            *bins.entry(bin.up_to_ns).or_default() += bin.count;
        }
        let packets: u64 = bins.values().sum();
        let mut later = packets;
        let shares = bins
            .into_iter()
            .map(|(up_to, count)| {
                let share = later as f64 / packets as f64;
                later -= count;
                (up_to as f64 / 1e3, share)
            })
            .collect();
        (packets > 0).then_some(Series { arm, packets, shares })
    }

    /// The steps of the curve.
    fn curve(&self, panel: &Panel) -> Vec<(f64, f64)> {
        let mut points = vec![(panel.x.lo(), 1.0)];
        for (at, share) in &self.shares {
            let before = points[points.len() - 1].0;
            points.extend([(before, *share), (*at, *share)]);
        }
        points.extend(self.shares.last().map(|(at, _)| (*at, panel.y.lo())));
        points
    }

    /// The share that is later than the bound, at most.
    fn beyond(&self, bound: f64) -> f64 {
        self.shares.iter().find(|(at, _)| *at > bound).map_or(0.0, |(_, share)| *share)
    }
}

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let series: Vec<Series> = part.arms().into_iter().filter_map(|arm| Series::of(part, arm)).collect();
    if series.is_empty() {
        return Err(Absent::NoData(
            "the trials have no histogram of lateness: their link had no instants to keep".into(),
        ));
    }
    let bound = part.cells[0].plan.tolerance.lateness.as_millis_f64() * 1e3;
    let packets = series.iter().map(|one| one.packets).max().unwrap_or(1);
    let latest = series.iter().flat_map(|one| one.shares.last()).map(|(at, _)| *at).fold(bound, f64::max);
    let x_axis = Axis::log(0.1, latest * 1.5);
    let y_axis = Axis::share(1.0 / packets as f64);
    let fewest = series.iter().map(|one| one.packets).min().unwrap_or(0);
    let pooled = format!("at least {} packets an arm, pooled over conditions and seeds", number(fewest as f64));
    let title = "How late did packets leave the link?".to_owned();
    let caption = format!(
        "Share of packets that left at least so long after the instant computed for them, in microseconds, both axes \
         logarithmic; {pooled}; {}. It is the emulator's own error. A trial is void where more than 1 % of its packets are \
         later than {} µs.",
        part.seeds(),
        number(bound)
    );
    let mut legend: Vec<Key> = series.iter().map(|one| Key::Arm(one.arm)).collect();
    legend.push(Key::Line { dash: BOUND, colour: INK, label: "bound of a valid trial, for 1 % of packets".into() });
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes: vec![
            format!("A curve an arm: {pooled}."),
            "From histograms whose bins are an octave wide: a packet may be drawn up to twice as late as it was, never \
             less late."
                .into(),
        ],
    };
    let stem = part.stem(CHART.name);
    let (left, height) = (66.0, 240.0);
    let svg = figure.draw(&stem, &caption, height + 60.0, |canvas, area| {
        let place = Rect { x: area.x + left, y: area.y + 8.0, w: area.w - left - 8.0, h: height };
        let panel = Panel { area: place, x: x_axis.clone(), y: y_axis.clone() };
        panel.frame(
            canvas,
            Beside {
                x_name: "lateness (µs, log)",
                y_name: "share of packets at least so late (log)",
                x_labels: true,
                y_labels: true,
                ..Beside::default()
            },
        );
        for line in [[(bound, panel.y.lo()), (bound, 1.0)], [(panel.x.lo(), 0.01), (panel.x.hi(), 0.01)]] {
            panel.line(canvas, &line, Stroke { colour: INK, width: 1.0, dash: BOUND, opacity: 1.0 });
        }
        for (rank, one) in series.iter().enumerate() {
            let style = arm_style(one.arm);
            let stroke = Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 };
            panel.line(canvas, &one.curve(&panel), stroke);
            // Marks on steps of their own, so that curves that run together can be told.
            for spot in one.shares.iter().skip(rank % 3).step_by(3) {
                panel.mark(canvas, *spot, 3.5, style);
            }
        }
    });
    let table = Table {
        head: [
            "arm",
            "packets",
            "later than 10 µs [%]",
            "later than 100 µs [%]",
            "later than the bound [%]",
            "latest [µs]",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: series
            .iter()
            .map(|one| {
                let beyond = |bound: f64| number(100.0 * one.beyond(bound));
                let latest = one.shares.last().map_or(0.0, |(at, _)| *at);
                vec![
                    one.arm.to_string(),
                    one.packets.to_string(),
                    beyond(10.0),
                    beyond(100.0),
                    beyond(bound),
                    number(latest),
                ]
            })
            .collect(),
    };
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}
