//! What steered the sender, and what it did to the bottleneck: congestion window, smoothed round-trip
//! time and queue depth over time, on one clock.

use samepath_model::link::Conditions;
use samepath_model::record::{DropCause, End, Metric, PacketRecord, TrialRecord};
use samepath_model::units::Duration;
use samepath_model::{Arm, Direction};

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Rect, Stroke};
use super::choice;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::theme::arm_style;
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::stats;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "path-over-time",
    about: "Congestion window, round-trip time and queue over time",
    absent: "Window, round-trip time and queue over time are not drawn",
    is_main: false,
    suits: |_| true,
    draw,
};

/// The queue's largest backlog is drawn in so many bins.
const BINS: usize = 400;
const HEIGHT: f64 = 130.0;

/// The panels: name and unit.
const PANELS: [&str; 3] = ["congestion window (kB)", "smoothed RTT (ms)", "queue (kB)"];

/// Time in seconds, and value.
type Points = Vec<(f64, f64)>;

struct Course {
    arm: Arm,
    trial: String,
    of: [Points; 3],
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let Some(choice) = choice::any(part) else {
        return Err(Absent::NoData("no trial of this part counts".into()));
    };
    let (group, seed) = (&choice.group, choice.seed);
    let mut courses = choice.records().map(|record| read(analysis.run(), record)).collect::<Result<Vec<_>, _>>()?;
    courses.sort_by_key(|course| Arm::all().position(|arm| arm == course.arm));
    // One sample is no course.
    let has = |i: usize, samples: usize| courses.iter().any(|course| course.of[i].len() >= samples);
    let shown: Vec<usize> = (0..PANELS.len()).filter(|&i| has(i, 2)).collect();
    if shown.is_empty() {
        return Err(Absent::NoData(match (0..PANELS.len()).any(|i| has(i, 1)) {
            false => "neither the senders' state nor a ledger was recorded".into(),
            true => "the trials were over before the senders' state was sampled twice".into(),
        }));
    }
    let until = courses.iter().flat_map(|c| c.of.iter().flatten()).map(|point| point.0).fold(0.0, f64::max);
    let x = Axis::exact(0.0, until.max(0.1), 10);
    let title = "What steered the senders, and how full was the queue?".to_owned();
    let conditions = if group.label.is_empty() { String::new() } else { format!("{}; ", group.label) };
    let caption = format!(
        "Congestion window and smoothed round-trip time as the sender's own transport reports them, and the bottleneck's \
         backlog in the payload's direction by the ledger, over the time since the schedule began; {conditions}one trial \
         an arm, seed {seed}. A window that falls while messages wait is sender hold, not blocking. One seed shows a \
         course, not a difference between arms."
    );
    let mut notes = vec![
        "Window and round-trip time are samples (each 10 ms); udp has neither. Queue: the largest backlog in each of \
         400 bins, bytes of IP packets waiting for the bottleneck or being transmitted."
            .to_owned(),
    ];
    notes.extend(choice.absent());
    if shown.len() < PANELS.len() {
        let missing: Vec<&str> = (0..PANELS.len()).filter(|i| !shown.contains(i)).map(|i| PANELS[i]).collect();
        notes.push(format!("Not recorded over time, or always empty: {}.", missing.join(", ")));
    }
    let figure = Figure {
        title: title.clone(),
        conditions: vec![
            format!("{}: {}; n = 1 trial an arm, the same seed {seed}", part.name, group.cells[0].plan.workload),
            format!("link: {}", group.cells[0].plan.link),
        ],
        legend: courses.iter().map(|course| Key::Arm(course.arm)).collect(),
        notes,
    };
    let stem = part.stem(CHART.name);
    let svg = figure.draw(&stem, &caption, shown.len() as f64 * (HEIGHT + 16.0) + 40.0, |canvas, area| {
        for (row, &i) in shown.iter().enumerate() {
            let left = 66.0;
            let y = area.y + 8.0 + row as f64 * (HEIGHT + 16.0);
            let place = Rect { x: area.x + left, y, w: area.w - left - 10.0, h: HEIGHT };
            let largest = courses.iter().flat_map(|c| &c.of[i]).map(|point| point.1).fold(0.0, f64::max);
            let panel = Panel { area: place, x: x.clone(), y: Axis::linear(0.0, largest.max(1e-3) * 1.05, 3) };
            let last = row + 1 == shown.len();
            let x_name = if last { "time since the schedule began (s)" } else { "" };
            let y_name = PANELS[i];
            panel.frame(canvas, Beside { x_name, y_name, x_labels: last, y_labels: true, ..Beside::default() });
            for (rank, course) in courses.iter().enumerate() {
                let style = arm_style(course.arm);
                let points = &course.of[i];
                let stroke = Stroke { colour: style.colour, width: 1.5, dash: style.dash, opacity: 0.9 };
                panel.line(canvas, points, stroke);
                let every = (points.len() / 5).max(1);
                for &point in points.iter().skip(1 + rank * every / courses.len().max(1)).step_by(every) {
                    panel.mark(canvas, point, 3.5, style);
                }
            }
        }
    });
    let table = table(&courses);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

fn read(run: &Run, record: &TrialRecord) -> Result<Course, StoreError> {
    let direction = record.trial.workload.direction();
    let sender = match direction {
        Direction::Up => End::Client,
        Direction::Down => End::Server,
    };
    let series = run.series(&record.trial.id)?;
    let of = |metric: Metric, unit: f64| -> Points {
        let mut points: Points = series
            .iter()
            .filter(|p| p.metric == metric && p.end == sender && p.at >= 0)
            .map(|p| (p.at as f64 / 1e9, p.value / unit))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let queue = queue(run, record, direction)?;
    Ok(Course {
        arm: record.trial.arm,
        trial: record.trial.id.to_string(),
        of: [of(Metric::CongestionWindow, 1e3), of(Metric::SmoothedRtt, 1e3), queue],
    })
}

/// The largest backlog in each bin of time, in kB; nothing where no packet ever waited.
fn queue(run: &Run, record: &TrialRecord, direction: Direction) -> Result<Points, StoreError> {
    let Some(ledger) = run.ledger(&record.trial.id)? else { return Ok(Points::new()) };
    let conditions = record.trial.link.direction(direction);
    let mut events: Vec<(i64, i64)> = Vec::new();
    for packet in ledger {
        let packet = packet?;
        let waited = waited(&packet, conditions);
        if packet.direction == direction && waited > 0 {
            events.push((packet.arrived, i64::from(packet.size)));
            events.push((packet.arrived + waited, -i64::from(packet.size)));
        }
    }
    Ok(backlog(events))
}

/// How long a packet was in the bottleneck's buffer, being transmitted included, in nanoseconds.
fn waited(packet: &PacketRecord, conditions: &Conditions) -> i64 {
    let queued = packet.queued.cast_signed();
    match packet.dropped {
        None | Some(DropCause::LinkDown) => queued,
        // Dropped at the head of the queue, when it would have been transmitted.
        Some(DropCause::Aqm) => {
            let over = packet.arrived + queued;
            let now = conditions.at(Duration::from_nanos(u64::try_from(over).unwrap_or(0)));
            let on_wire = now.overhead.wire_size(packet.size);
            (queued - now.mean_rate().map_or(0, |rate| rate.time_for(on_wire).as_nanos().cast_signed())).max(0)
        }
        // Lost before the bottleneck, or refused by it: the wait in its entry is the one that it would have had.
        Some(_) => 0,
    }
}

/// The largest of the sums so far in each bin of time, of bytes that come and go.
fn backlog(mut events: Vec<(i64, i64)>) -> Points {
    // At the same instant what leaves makes room for what comes.
    events.sort_unstable();
    let Some(end) = events.iter().map(|event| event.0).max().filter(|end| *end > 0) else { return Points::new() };
    let mut bins = vec![0i64; BINS];
    let (mut backlog, mut bin) = (0, 0);
    for (at, change) in events {
        let now = usize::try_from(at.max(0) as i128 * BINS as i128 / (i128::from(end) + 1)).unwrap_or(0).min(BINS - 1);
        // The backlog so far lasted through the bins until now.
        while bin < now {
            bins[bin] = bins[bin].max(backlog);
            bin += 1;
        }
        bins[bin] = bins[bin].max(backlog);
        backlog += change;
        if at >= 0 {
            bins[bin] = bins[bin].max(backlog);
        }
    }
    let width = end as f64 / 1e9 / BINS as f64;
    bins.into_iter().enumerate().map(|(i, bytes)| ((i as f64 + 0.5) * width, bytes as f64 / 1e3)).collect()
}

fn table(courses: &[Course]) -> Table {
    let mut head = vec!["arm".to_owned(), "trial".to_owned()];
    for name in PANELS {
        head.extend([format!("{name}, median"), "smallest".into(), "largest".into()]);
    }
    let rows = courses
        .iter()
        .map(|course| {
            let mut row = vec![course.arm.to_string(), course.trial.clone()];
            for points in &course.of {
                let values: Vec<f64> = points.iter().map(|point| point.1).collect();
                let low = values.iter().copied().reduce(f64::min);
                let high = values.iter().copied().reduce(f64::max);
                row.extend([stats::median(&values), low, high].map(|v| v.map_or("–".into(), number)));
            }
            row
        })
        .collect();
    Table { head, rows }
}

#[cfg(test)]
mod tests {
    use samepath_model::units::BitRate;

    use super::*;
    use crate::fixture;

    #[test]
    fn only_packets_that_entered_the_queue_count() {
        // 1500 bytes take 1 ms.
        let conditions = Conditions { rate: Some(BitRate::new(12_000_000)), ..Conditions::transparent() };
        let waited = |dropped: Option<DropCause>| {
            let packet = fixture::packets(1).next().unwrap();
            waited(&PacketRecord { size: 1500, arrived: 0, queued: 30_000_000, dropped, ..packet }, &conditions)
        };
        assert_eq!(waited(None), 30_000_000);
        assert_eq!(waited(Some(DropCause::Aqm)), 29_000_000);
        assert_eq!(waited(Some(DropCause::LinkDown)), 30_000_000);
        for cause in [DropCause::Loss, DropCause::Overflow, DropCause::Script, DropCause::Outage, DropCause::Host] {
            assert_eq!(waited(Some(cause)), 0, "{cause:?}");
        }
    }

    #[test]
    fn the_backlog_is_what_came_and_has_not_gone() {
        // Two wait together from 100 to 200, one alone until 300.
        let points = backlog(vec![(0, 1000), (200, -1000), (100, 500), (300, -500), (300, 0)]);
        let at = |ns: f64| points.iter().rev().find(|point| point.0 * 1e9 <= ns).unwrap().1;
        assert_eq!((at(50.0), at(150.0), at(250.0)), (1.0, 1.5, 0.5));
        assert!(backlog(Vec::new()).is_empty());
    }
}
