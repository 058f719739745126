//! The stall timeline as measured: what of each message's delay was blocked, and by which dropped
//! packet.

use samepath_model::Arm;
use samepath_model::record::TrialRecord;

use super::axis::{Panel, number};
use super::canvas::{Anchor, Canvas, Rect, Stroke, Type};
use super::figure::{Figure, Key};
use super::stalls::{MAX_LANES, STEP, arm_panels};
use super::theme::{GRID, INK, MUTED, Mark, SMALL, arm_style};
use super::{Absent, Chart, Drawing, Group, PartView, Table};
use crate::blocking::{self, Account, AnalyseError, Analysis, Loss, NEVER};
use crate::store::{Run, StoreError};

/// Shortest and longest window shown, in nanoseconds.
const WINDOW: (i64, i64) = (300_000_000, 1_500_000_000);
/// The window in round trips: a drop, its retransmission, and what is before and after.
const ROUND_TRIPS: i64 = 10;
/// Rows of arrows above an arm's lanes.
const ROWS: usize = 3;
const ROW: f64 = 11.0;

/// One arm's trial.
struct Lane<'a> {
    record: &'a TrialRecord,
    analysis: Analysis,
    losses: Vec<Loss>,
}

/// Draws it; `None` where not every trial shown is mapped.
pub(super) fn draw(run: &Run, part: &PartView<'_>, group: &Group<'_>, seed: u64) -> Result<Option<Drawing>, Absent> {
    let Some(mut lanes) = read(run, group, seed)? else { return Ok(None) };
    lanes.sort_by_key(|lane| Arm::all().position(|arm| arm == lane.record.trial.arm));
    let plan = &group.cells[0].plan;
    let (from, to) = window(&lanes, plan.link.rtt().as_nanos().cast_signed());
    let streams = plan.workload.streams().min(MAX_LANES);
    let tracks = lanes.iter().map(|lane| tracks(lane, from, to)).max().unwrap_or(1);
    let lane_height = (tracks as f64 * 3.5 + 2.0).clamp(8.0, 22.0);
    let strip = ROWS as f64 * ROW + 2.0;
    let arm_height = strip + f64::from(streams) * lane_height;
    let body = 8.0 + lanes.len() as f64 * (arm_height + 12.0) + 40.0;

    let title = "What was blocked, stream by stream, and by which dropped packet?".to_owned();
    let conditions = if group.label.is_empty() { String::new() } else { format!("{}; ", group.label) };
    let span = format!("{} to {} s of the schedule", number(from as f64 / 1e9), number(to as f64 / 1e9));
    let caption = format!(
        "One trial an arm, {conditions}seed {seed}, {span}: a lane a stream, a bar from each message's release until the \
         host had all that the transport wanted first. Dark: waiting for a further copy of its own bytes. Hatched: \
         blocked, its own bytes having all arrived. A cross stands where a packet was dropped, its arrow ends where the \
         bytes came to the link again. One window of one seed: it shows how blocking comes about, not how often."
    );
    let legend = vec![
        Key::Fill { colour: MUTED, opacity: 0.3, label: "from release, had nothing been lost".into() },
        Key::Fill { colour: MUTED, opacity: 0.95, label: "own loss: waiting for its own bytes".into() },
        Key::Hatch { colour: MUTED, back: false, label: "blocked by bytes before its own".into() },
        Key::Mark { mark: Mark::Cross, colour: INK, label: "packet dropped by the link".into() },
        Key::Arrow { colour: INK, label: "until its bytes came to the link again".into() },
        Key::Mark { mark: Mark::Ring, colour: INK, label: "message never delivered".into() },
    ];
    let mut notes = vec![
        format!(
            "Chosen, not typical: of the lossy conditions the ones with the least loss, the first seed that counts for \
             every arm, and of its trials the {} s in which messages were blocked longest in sum.",
            number((to - from) as f64 / 1e9)
        ),
        "Followed byte by byte through the ledger, not inferred from delays. Shared: own bytes and others' lie in one \
         order; per stream: a stream's own bytes alone."
            .into(),
    ];
    if plan.workload.streams() > MAX_LANES {
        notes.push(format!("The first {MAX_LANES} of {} streams are shown.", plan.workload.streams()));
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
            let view = View { panel: &panel, from, to, streams, strip, lane_height, tracks };
            view.lanes(canvas, lane);
            view.arrows(canvas, lane);
        }
    });
    let table = table(&lanes, from, to);
    Ok(Some(Drawing { chart: Chart::Stalls, part: part.name.to_owned(), stem, title, caption, svg, table }))
}

/// The trials of the seed, followed; `None` where one of them cannot be.
fn read<'a>(run: &Run, group: &Group<'a>, seed: u64) -> Result<Option<Vec<Lane<'a>>>, StoreError> {
    let mut lanes = Vec::new();
    for cell in &group.cells {
        let Some(record) = cell.trials.iter().copied().find(|record| record.trial.seed == seed) else { continue };
        match blocking::of_trial(run, &record.trial) {
            Ok(analysis) => {
                let losses = analysis.losses();
                lanes.push(Lane { record, analysis, losses });
            }
            Err(AnalyseError::Unmapped(_)) => return Ok(None),
            Err(AnalyseError::Source(error)) => return Err(error),
        }
    }
    Ok(Some(lanes))
}

/// The window in which messages were blocked longest in sum, else were waiting for their own bytes.
fn window(lanes: &[Lane<'_>], rtt: i64) -> (i64, i64) {
    let length = (ROUND_TRIPS * rtt / STEP * STEP).clamp(WINDOW.0, WINDOW.1);
    let end = lanes.iter().flat_map(|lane| &lane.analysis.messages).map(|m| m.released).max().unwrap_or(0) + 2 * rtt;
    if end <= length {
        return (0, end.max(STEP));
    }
    let last = (end - length + STEP - 1) / STEP;
    let mut sums = vec![0i128; usize::try_from(last + 1).unwrap_or(1)];
    for (_, message, account) in lanes.iter().flat_map(|lane| lane.analysis.accounts()) {
        // A drop shows in its own message too; what is blocked by it counts more.
        let weight = 4 * i128::from(account.parts.blocked()) + i128::from(account.parts.own_loss);
        let (first, final_) = ((account.complete - length + STEP).max(0) / STEP, message.released.max(0) / STEP);
        for start in first..=final_.min(last) {
            if let Some(sum) = usize::try_from(start).ok().and_then(|i| sums.get_mut(i)) {
                *sum += weight;
            }
        }
    }
    let best = sums.iter().enumerate().rev().max_by_key(|(_, sum)| **sum).map_or(0, |(i, _)| i as i64);
    (best * STEP, best * STEP + length)
}

/// How many messages of one stream wait at once at most, within the window: 1 to 6.
fn tracks(lane: &Lane<'_>, from: i64, to: i64) -> usize {
    let inside = lane.analysis.accounts().filter(|(_, m, a)| m.released < to && a.complete > from);
    let mut events: Vec<(u16, i64, i32)> =
        inside.flat_map(|(_, m, a)| [(m.stream, m.released, 1), (m.stream, a.complete, -1)]).collect();
    events.sort_unstable();
    let (mut most, mut waiting, mut stream) = (1, 0, None);
    for (of, _, step) in events {
        if stream != Some(of) {
            (stream, waiting) = (Some(of), 0);
        }
        waiting += step;
        most = most.max(waiting);
    }
    usize::try_from(most).unwrap_or(1).clamp(1, 6)
}

/// Where an arm's lanes lie.
struct View<'a> {
    panel: &'a Panel,
    from: i64,
    to: i64,
    streams: u16,
    strip: f64,
    lane_height: f64,
    tracks: usize,
}

impl View<'_> {
    fn x(&self, at: i64) -> f64 {
        self.panel.at(at as f64 / 1e6, 0.0).0.clamp(self.panel.area.x, self.panel.area.right())
    }

    fn lanes(&self, canvas: &mut Canvas<'_>, lane: &Lane<'_>) {
        let area = self.panel.area;
        let top = area.y + self.strip;
        for stream in 0..self.streams {
            let y = top + f64::from(stream) * self.lane_height;
            canvas.line(&[(area.x, y), (area.right(), y)], Stroke::solid(GRID, 0.5));
            if stream == 0 || stream + 1 == self.streams {
                let set = Type::new(SMALL, MUTED).anchor(Anchor::End);
                canvas.text(area.x - 5.0, y + self.lane_height / 2.0, &format!("stream {stream}"), set);
            }
        }
        let colour = arm_style(lane.record.trial.arm).colour;
        let height = (self.lane_height - 2.0) / self.tracks as f64;
        for (place, message) in lane.analysis.messages.iter().enumerate() {
            if message.stream >= self.streams || message.released >= self.to {
                continue;
            }
            let track = message.seq as usize % self.tracks;
            let y = top + f64::from(message.stream) * self.lane_height + 1.0 + track as f64 * height;
            let bar = |a: i64, b: i64| Rect { x: self.x(a), y, w: self.x(b) - self.x(a), h: (height - 0.5).max(1.5) };
            let Some(account) = lane.analysis.account(place) else {
                if message.released >= self.from && message.delivered.is_none() {
                    canvas.mark(self.x(message.released), y + height / 2.0, 2.5, Mark::Ring, INK);
                }
                continue;
            };
            if account.complete <= self.from {
                continue;
            }
            let unharmed = account.arrived - account.parts.own_loss;
            if unharmed > self.from {
                canvas.fill(bar(message.released, unharmed), colour, 0.3);
            }
            if account.parts.own_loss > 0 && account.arrived > self.from && unharmed < self.to {
                canvas.fill(bar(unharmed, account.arrived), colour, 0.95);
            }
            if account.parts.blocked() > 0 && account.arrived < self.to {
                let blocked = bar(account.arrived, account.complete);
                canvas.fill(blocked, colour, 0.12);
                canvas.hatch(blocked, colour, 4.0, false);
                canvas.outline(blocked, Stroke::solid(colour, 0.5));
            }
        }
    }

    /// The drops on the strip, each with an arrow to when its bytes came again.
    fn arrows(&self, canvas: &mut Canvas<'_>, lane: &Lane<'_>) {
        let mut free = [f64::MIN; ROWS];
        for loss in lane.losses.iter().filter(|loss| (self.from..self.to).contains(&loss.packet.arrived)) {
            let from = self.x(loss.packet.arrived);
            let row = free.iter().position(|right| *right < from - 6.0).unwrap_or(ROWS - 1);
            let y = self.panel.area.y + 2.0 + (row as f64 + 0.5) * ROW;
            canvas.mark(from, y, 3.5, Mark::Cross, INK);
            free[row] = from;
            if let Some(again) = loss.again {
                let to = self.x(again.arrived);
                if to > from + 10.0 {
                    canvas.arrow((from + 5.0, y), (to, y), Stroke::solid(INK, 1.0));
                }
                free[row] = to.max(from);
            }
        }
    }
}

fn table(lanes: &[Lane<'_>], from: i64, to: i64) -> Table {
    let head = [
        "arm",
        "trial",
        "messages released in the window",
        "blocked for over 1 ms",
        "streams with a blocked message",
        "longest blocked [ms]",
        "waited for own bytes",
        "never delivered",
        "packets dropped in the window",
        "of these not sent again",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows = lanes
        .iter()
        .map(|lane| {
            let released = |m: &samepath_model::record::MessageRecord| (from..to).contains(&m.released);
            let inside: Vec<(u16, &Account)> =
                lane.analysis.accounts().filter(|(_, m, _)| released(m)).map(|(_, m, a)| (m.stream, a)).collect();
            let blocked: Vec<_> = inside.iter().filter(|(_, a)| a.parts.blocked() > blocking::BLOCKED).collect();
            let mut streams: Vec<u16> = blocked.iter().map(|(stream, _)| *stream).collect();
            streams.sort_unstable();
            streams.dedup();
            let longest = inside.iter().map(|(_, a)| a.parts.blocked()).max().unwrap_or(0);
            let dropped: Vec<_> = lane.losses.iter().filter(|l| (from..to).contains(&l.packet.arrived)).collect();
            let messages = || lane.analysis.messages.iter().filter(|m| released(m));
            vec![
                lane.record.trial.arm.to_string(),
                lane.record.trial.id.to_string(),
                messages().count().to_string(),
                blocked.len().to_string(),
                streams.len().to_string(),
                number(longest as f64 / 1e6),
                inside.iter().filter(|(_, a)| a.parts.own_loss > blocking::BLOCKED).count().to_string(),
                messages().filter(|m| m.delivered.is_none()).count().to_string(),
                dropped.len().to_string(),
                dropped.iter().filter(|l| l.again.is_none_or(|p| p.left == NEVER)).count().to_string(),
            ]
        })
        .collect();
    Table { head, rows }
}
