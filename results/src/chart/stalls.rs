//! The stall timeline: the messages of one trial an arm, on one time axis, with the packets that the
//! link dropped.
//!
//! Where every trial shown has its packets mapped to its messages, [`super::blocked`] draws it, and
//! says what was blocked. Else this module does: it shows that messages were late and when packets
//! were dropped, and must not say which drop delayed which message, for nothing in those records
//! joins them.

use samepath_model::record::{MessageRecord, TrialRecord};
use samepath_model::{Arm, Workload};

use super::axis::{Axis, Beside, Panel, number};
use super::canvas::{Anchor, Canvas, Rect, Stroke, Type};
use super::figure::{Figure, Key};
use super::theme::{self, GRID, INK, LABEL, MUTED, Mark, SMALL, arm_style};
use super::{Absent, Chart, Drawing, Group, PartView, Table, data_drops};
use crate::store::{Run, StoreError};

/// Longest window shown, in nanoseconds.
const WINDOW: i64 = 1_500_000_000;
/// The window's start lies on a multiple of this.
pub(super) const STEP: i64 = 50_000_000;
/// A message counts as late beyond one base delay by more than this: serialisation and the
/// endpoints' own work take their share.
const LATE: i64 = 5_000_000;
/// More lanes than this cannot be told apart.
pub(super) const MAX_LANES: u16 = 16;

/// One arm's trial.
struct Lane<'a> {
    record: &'a TrialRecord,
    messages: Vec<MessageRecord>,
    /// When each dropped data packet came to the link.
    drops: Vec<i64>,
}

pub(crate) fn draw(run: &Run, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let Some((group, seed)) = choose(part) else {
        return Err(Absent::NoData(
            "no seed has a trial that counts for every arm under one set of conditions with loss".into(),
        ));
    };
    let mut lanes = Vec::new();
    for cell in &group.cells {
        let record = cell.trials.iter().find(|record| record.trial.seed == seed);
        if let Some(record) = record {
            lanes.push(read(run, record)?);
        }
    }
    // The chart's order: tcp above quic.
    lanes.sort_by_key(|lane| Arm::all().position(|arm| arm == lane.record.trial.arm));
    if let Some(drawing) = super::blocked::draw(run, part, &group, seed)? {
        return Ok(drawing);
    }
    let plan = &group.cells[0].plan;
    let base = plan.link.direction(plan.workload.direction()).delay.as_nanos() as i64;
    let Workload::Messages(workload) = &plan.workload else {
        return Err(Absent::NoData("a stall timeline needs a schedule of messages".into()));
    };
    let (from, to) = window(&lanes, base, workload.spacing.as_nanos() as i64);
    let streams = workload.streams.min(MAX_LANES);

    // Messages of one stream may wait at the same time; each gets a track within the lane.
    let tracks = tracks(&lanes, from, to);
    let lane_height = (tracks as f64 * 3.0 + 2.0).clamp(8.0, 20.0);
    let view = View { streams, lane_height, tracks, base, from, to };
    let arm_height = 12.0 + f64::from(streams) * lane_height;
    let body = 8.0 + lanes.len() as f64 * (arm_height + 12.0) + 40.0;
    let title = "Which messages were late, stream by stream, and when were packets dropped?".to_owned();
    let conditions = if group.label.is_empty() { String::new() } else { format!("{}; ", group.label) };
    let span = format!("{} to {} s of the schedule", number(from as f64 / 1e9), number(to as f64 / 1e9));
    let caption = format!(
        "One trial an arm, {conditions}seed {seed}, {span}: a lane a stream, a bar from each message's release to its \
         delivery, dark beyond the link's one-way delay; a cross for each dropped data packet. The crosses say when \
         packets were dropped, not which message each of them held up."
    );
    let legend = vec![
        Key::Fill { colour: MUTED, opacity: 0.25, label: "from release, up to the one-way delay".into() },
        Key::Fill { colour: MUTED, opacity: 0.95, label: "late: beyond it by over 5 ms, until delivery".into() },
        Key::Mark { mark: Mark::Cross, colour: INK, label: "data packet dropped by the link".into() },
        Key::Mark { mark: Mark::Ring, colour: INK, label: "message never delivered".into() },
    ];
    let mut notes = vec![
        format!(
            "Chosen, not typical: of the lossy conditions the ones with the least loss, the first seed that counts for every \
             arm, and of its trials the {} s in which the messages of the reliable arms were latest in sum.",
            number((to - from) as f64 / 1e9)
        ),
        "A cross stands where a data packet came to the link and was dropped, on the strip above its arm's lanes; \
         which messages it held up is not in these records, so a bar says late, not blocked."
            .into(),
    ];
    if workload.streams > MAX_LANES {
        notes.push(format!("The first {MAX_LANES} of {} streams are shown.", workload.streams));
    }
    let figure = Figure {
        title: title.clone(),
        conditions: vec![
            format!("{}: {}; n = 1 trial an arm, the same seed {seed}", part.name, plan.workload),
            format!("link: {}", plan.link),
        ],
        legend,
        notes,
    };
    let stem = part.stem(Chart::Stalls);
    let svg = figure.draw(&stem, &caption, body, |canvas, area| {
        let arms: Vec<Arm> = lanes.iter().map(|lane| lane.record.trial.arm).collect();
        for (lane, panel) in lanes.iter().zip(arm_panels(canvas, area, &arms, arm_height, (from, to))) {
            draw_lane(canvas, &panel, lane, view);
        }
    });
    let table = table(&lanes, base, from, to);
    Ok(Drawing { chart: Chart::Stalls, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// A panel for each arm, one below the other, framed and named, on one axis of time from and to these
/// nanoseconds.
pub(super) fn arm_panels(
    canvas: &mut Canvas<'_>,
    area: Rect,
    arms: &[Arm],
    height: f64,
    (from, to): (i64, i64),
) -> Vec<Panel> {
    let left = 190.0;
    let x = Axis::exact(from as f64 / 1e6, to as f64 / 1e6, 10);
    let mut panels = Vec::new();
    for (i, arm) in arms.iter().enumerate() {
        let y = area.y + 8.0 + i as f64 * (height + 12.0);
        let place = Rect { x: area.x + left, y, w: area.w - left - 10.0, h: height };
        let panel = Panel { area: place, x: x.clone(), y: Axis::linear(0.0, 1.0, 1).with_ticks(Vec::new()) };
        let last = i + 1 == arms.len();
        let x_name = if last { "time since the schedule's start (ms)" } else { "" };
        panel.frame(canvas, Beside { x_name, x_labels: last, ..Beside::default() });
        let name = theme::fit(&arm.to_string(), LABEL, true, 136.0);
        canvas.text(area.x, y + height / 2.0, &name, Type::new(LABEL, INK).bold());
        panels.push(panel);
    }
    panels
}

/// The conditions with the least loss above 0 and the first seed that counts for every arm there.
pub(super) fn choose<'a>(part: &PartView<'a>) -> Option<(Group<'a>, u64)> {
    let loss = |group: &Group<'_>| {
        let plan = &group.cells[0].plan;
        let conditions = plan.link.direction(plan.workload.direction());
        let scripted = !conditions.drops.is_empty() || !conditions.outages.is_empty();
        let rate = conditions.loss.rate();
        (rate > 0.0 || scripted).then_some(rate)
    };
    let mut lossy: Vec<(f64, Group<'a>)> =
        part.groups().into_iter().filter_map(|group| Some((loss(&group)?, group))).collect();
    lossy.sort_by(|a, b| a.0.total_cmp(&b.0));
    lossy.into_iter().find_map(|(_, group)| {
        let seeds: Vec<u64> = group.cells.first()?.trials.iter().map(|record| record.trial.seed).collect();
        let everywhere = |seed: &u64| group.cells.iter().all(|c| c.trials.iter().any(|r| r.trial.seed == *seed));
        let seed = seeds.into_iter().find(everywhere)?;
        Some((group, seed))
    })
}

fn read<'a>(run: &Run, record: &'a TrialRecord) -> Result<Lane<'a>, StoreError> {
    Ok(Lane { record, messages: run.messages(&record.trial.id)?, drops: data_drops(run, record)? })
}

/// How much later than the base delay a message was; `None` where it never came.
fn excess(message: &MessageRecord, base: i64) -> Option<i64> {
    message.delivered.map(|at| (at - message.released - base).max(0))
}

/// The window in which the messages of the reliable arms were latest in sum; of equals the first.
fn window(lanes: &[Lane<'_>], base: i64, spacing: i64) -> (i64, i64) {
    let end = lanes.iter().flat_map(|l| &l.messages).map(|m| m.released + spacing.max(base)).max().unwrap_or(WINDOW);
    if end <= WINDOW {
        return (0, end.max(STEP));
    }
    let last = (end - WINDOW + STEP - 1) / STEP;
    let mut sums = vec![0i128; usize::try_from(last + 1).unwrap_or(1)];
    for message in lanes.iter().filter(|l| l.record.trial.arm.transport.is_reliable()).flat_map(|l| &l.messages) {
        let Some(late) = excess(message, base).filter(|late| *late > LATE) else { continue };
        // Every window that starts at most its length before the release holds the message.
        let (first, final_) = ((message.released - WINDOW + STEP).max(0) / STEP, message.released / STEP);
        for start in first..=final_.min(last) {
            if let Some(sum) = usize::try_from(start).ok().and_then(|i| sums.get_mut(i)) {
                *sum += i128::from(late);
            }
        }
    }
    let best = sums.iter().enumerate().rev().max_by_key(|(_, sum)| **sum).map_or(0, |(i, _)| i as i64);
    (best * STEP, best * STEP + WINDOW)
}

fn shown(message: &MessageRecord, from: i64, to: i64) -> bool {
    message.released < to && message.delivered.unwrap_or(message.released) > from
}

/// How many messages of one stream wait at once at most, within the window: 1 to 6.
fn tracks(lanes: &[Lane<'_>], from: i64, to: i64) -> usize {
    let mut most = 1;
    for lane in lanes {
        let mut events: Vec<(u16, i64, i32)> = Vec::new();
        for message in lane.messages.iter().filter(|m| shown(m, from, to)) {
            if let Some(end) = message.delivered {
                events.push((message.stream, message.released, 1));
                events.push((message.stream, end, -1));
            }
        }
        // An end before a start of the same instant.
        events.sort_unstable();
        let mut waiting = 0;
        let mut stream = None;
        for (of, _, step) in events {
            if stream != Some(of) {
                (stream, waiting) = (Some(of), 0);
            }
            waiting += step;
            most = most.max(waiting);
        }
    }
    usize::try_from(most).unwrap_or(1).clamp(1, 6)
}

/// What all arms' lanes share.
#[derive(Debug, Clone, Copy)]
struct View {
    streams: u16,
    lane_height: f64,
    tracks: usize,
    base: i64,
    from: i64,
    to: i64,
}

fn draw_lane(canvas: &mut Canvas<'_>, panel: &Panel, lane: &Lane<'_>, view: View) {
    let View { streams, lane_height, tracks, base, from, to } = view;
    let area = panel.area;
    let colour = arm_style(lane.record.trial.arm).colour;
    let x = |at: i64| panel.at(at as f64 / 1e6, 0.0).0.clamp(area.x, area.right());
    let top = area.y + 12.0;
    for stream in 0..streams {
        let y = top + f64::from(stream) * lane_height;
        canvas.line(&[(area.x, y), (area.right(), y)], Stroke::solid(GRID, 0.5));
        if stream == 0 || stream + 1 == streams {
            let label = format!("stream {stream}");
            canvas.text(area.x - 5.0, y + lane_height / 2.0, &label, Type::new(SMALL, MUTED).anchor(Anchor::End));
        }
    }
    let track_height = (lane_height - 2.0) / tracks as f64;
    for message in lane.messages.iter().filter(|m| m.stream < streams && shown(m, from, to)) {
        let track = message.seq as usize % tracks;
        let y = top + f64::from(message.stream) * lane_height + 1.0 + track as f64 * track_height;
        let bar = |a: i64, b: i64| Rect { x: x(a), y, w: x(b) - x(a), h: (track_height - 0.5).max(1.5) };
        let expected = message.released + base;
        match message.delivered {
            Some(at) => {
                canvas.fill(bar(message.released, at.min(expected)), colour, 0.25);
                if at > expected + LATE && at > from {
                    canvas.fill(bar(expected.max(from), at), colour, 0.95);
                }
            }
            None => {
                canvas.fill(bar(message.released, expected), colour, 0.25);
                if expected < to {
                    canvas.mark(x(expected), y + track_height / 2.0, 2.5, Mark::Ring, INK);
                }
            }
        }
    }
    for &drop in lane.drops.iter().filter(|at| (from..to).contains(*at)) {
        canvas.mark(x(drop), area.y + 6.0, 4.0, Mark::Cross, INK);
    }
}

fn table(lanes: &[Lane<'_>], base: i64, from: i64, to: i64) -> Table {
    let head = [
        "arm",
        "trial",
        "messages released in the window",
        "later than one-way delay + 5 ms",
        "streams with a late message",
        "largest delay [ms]",
        "never delivered",
        "data packets dropped in the window",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows = lanes
        .iter()
        .map(|lane| {
            let inside: Vec<&MessageRecord> =
                lane.messages.iter().filter(|m| (from..to).contains(&m.released)).collect();
            let late: Vec<&&MessageRecord> =
                inside.iter().filter(|m| excess(m, base).is_some_and(|e| e > LATE)).collect();
            let mut streams: Vec<u16> = late.iter().map(|m| m.stream).collect();
            streams.sort_unstable();
            streams.dedup();
            let largest = inside.iter().filter_map(|m| m.delivered.map(|at| at - m.released)).max();
            vec![
                lane.record.trial.arm.to_string(),
                lane.record.trial.id.to_string(),
                inside.len().to_string(),
                late.len().to_string(),
                streams.len().to_string(),
                largest.map_or("–".into(), |ns| number(ns as f64 / 1e6)),
                inside.iter().filter(|m| m.delivered.is_none()).count().to_string(),
                lane.drops.iter().filter(|at| (from..to).contains(*at)).count().to_string(),
            ]
        })
        .collect();
    Table { head, rows }
}
