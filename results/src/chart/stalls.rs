//! The stall timeline: the messages of one trial an arm, on one time axis, with the packets that the
//! link dropped.
//!
//! Where every trial shown has its packets mapped to its messages, [`super::blocked`] draws it, and
//! says what was blocked. Else this module does: it shows that messages were late and when packets
//! were dropped, and must not say which drop delayed which message, for nothing in those records
//! joins them.

use samepath_model::record::{MessageRecord, TrialRecord};
use samepath_model::{Arm, Workload};

use super::canvas::Canvas;
use super::choice;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::drops::data_drops;
use super::figure::Key;
use super::lanes::{self, Lanes, Layout, Sheet, Wait, Window};
use super::theme::{INK, MUTED, Mark, arm_style};
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "stalls",
    about: "The messages of one trial an arm on one time axis, with the drops",
    absent: "The stall timeline is not drawn",
    is_main: true,
    suits: |workload| matches!(workload, Workload::Messages(_)),
    draw,
};

/// Longest window shown, in nanoseconds.
const WINDOW: i64 = 1_500_000_000;
/// A message counts as late beyond one base delay by more than this: serialisation and the
/// endpoints' own work take their share.
const LATE: i64 = 5_000_000;

/// One arm's trial.
struct Lane<'a> {
    record: &'a TrialRecord,
    messages: Vec<MessageRecord>,
    /// When each dropped data packet came to the link.
    drops: Vec<i64>,
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let choice = choice::choose(part).map_err(Absent::NoData)?;
    if let Some(drawing) = super::blocked::draw(&CHART, analysis, part, &choice)? {
        return Ok(drawing);
    }
    let mut lanes = choice.records().map(|record| read(analysis.run(), record)).collect::<Result<Vec<_>, _>>()?;
    // The chart's order: tcp above quic.
    lanes.sort_by_key(|lane| Arm::all().position(|arm| arm == lane.record.trial.arm));
    let plan = &choice.group.cells[0].plan;
    let base = plan.link.direction(plan.workload.direction()).delay.as_nanos() as i64;
    let Workload::Messages(workload) = &plan.workload else {
        return Err(Absent::NoData("a stall timeline needs a schedule of messages".into()));
    };
    let window = window(&lanes, base, workload.spacing.as_nanos() as i64);
    let tracks = lanes.iter().map(|lane| tracks(lane, window)).max().unwrap_or(1);
    let layout = Layout::new(plan, window, tracks, (3.0, 20.0), 12.0);
    let sheet = Sheet {
        chart: &CHART,
        part,
        choice: &choice,
        layout,
        title: "Which messages were late, stream by stream, and when were packets dropped?",
        caption: "a lane a stream, a bar from each message's release to its delivery, dark beyond the link's one-way \
                  delay; a cross for each dropped data packet. The crosses say when packets were dropped, not which \
                  message each of them held up.",
        legend: vec![
            Key::Fill { colour: MUTED, opacity: 0.25, label: "from release, up to the one-way delay".into() },
            Key::Fill { colour: MUTED, opacity: 0.95, label: "late: beyond it by over 5 ms, until delivery".into() },
            Key::Mark { mark: Mark::Cross, colour: INK, label: "data packet dropped by the link".into() },
            Key::Mark { mark: Mark::Ring, colour: INK, label: "message never delivered".into() },
        ],
        chosen: "the messages of the reliable arms were latest in sum",
        note: "A cross stands where a data packet came to the link and was dropped, on the strip above its arm's lanes; \
               which messages it held up is not in these records, so a bar says late, not blocked.",
    };
    let arms: Vec<Arm> = lanes.iter().map(|lane| lane.record.trial.arm).collect();
    Ok(sheet.draw(&arms, table(&lanes, base, window), |canvas, i, panel| {
        let of_arm = layout.lanes(canvas, panel);
        draw_lane(canvas, &of_arm, &lanes[i], layout, base);
    }))
}

fn read<'a>(run: &Run, record: &'a TrialRecord) -> Result<Lane<'a>, StoreError> {
    Ok(Lane { record, messages: run.messages(&record.trial.id)?, drops: data_drops(run, record)? })
}

/// How much later than the base delay a message was; `None` where it never came.
fn excess(message: &MessageRecord, base: i64) -> Option<i64> {
    message.delivered.map(|at| (at - message.released - base).max(0))
}

/// The window in which the messages of the reliable arms were latest in sum; of equals the first.
fn window(lanes: &[Lane<'_>], base: i64, spacing: i64) -> Window {
    let end = lanes.iter().flat_map(|l| &l.messages).map(|m| m.released + spacing.max(base)).max().unwrap_or(WINDOW);
    let reliable = lanes.iter().filter(|lane| lane.record.trial.arm.transport.is_reliable());
    let waits = reliable.flat_map(|lane| &lane.messages).filter_map(|message| {
        let late = excess(message, base).filter(|late| *late > LATE)?;
        Some(Wait { released: message.released, until: message.released, weight: i128::from(late) })
    });
    Window::heaviest(WINDOW, end, waits)
}

fn shown(message: &MessageRecord, window: Window) -> bool {
    message.released < window.to && message.delivered.unwrap_or(message.released) > window.from
}

fn tracks(lane: &Lane<'_>, window: Window) -> usize {
    let inside = lane.messages.iter().filter(|message| shown(message, window));
    lanes::tracks(inside.filter_map(|message| Some((message.stream, message.released, message.delivered?))))
}

fn draw_lane(canvas: &mut Canvas<'_>, lanes: &Lanes<'_>, lane: &Lane<'_>, layout: Layout, base: i64) {
    let window = layout.window;
    let colour = arm_style(lane.record.trial.arm).colour;
    for message in lane.messages.iter().filter(|m| m.stream < layout.streams && shown(m, window)) {
        let of = (message.stream, message.seq);
        let expected = message.released + base;
        match message.delivered {
            Some(at) => {
                canvas.fill(lanes.bar(of, message.released, at.min(expected)), colour, 0.25);
                if at > expected + LATE && at > window.from {
                    canvas.fill(lanes.bar(of, expected.max(window.from), at), colour, 0.95);
                }
            }
            None => {
                canvas.fill(lanes.bar(of, message.released, expected), colour, 0.25);
                if expected < window.to {
                    let (x, y) = lanes.spot(of, expected);
                    canvas.mark(x, y, 2.5, Mark::Ring, INK);
                }
            }
        }
    }
    for &drop in lane.drops.iter().filter(|at| window.holds(**at)) {
        canvas.mark(lanes.x(drop), lanes.strip() + 6.0, 4.0, Mark::Cross, INK);
    }
}

fn table(lanes: &[Lane<'_>], base: i64, window: Window) -> Table {
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
            let inside: Vec<&MessageRecord> = lane.messages.iter().filter(|m| window.holds(m.released)).collect();
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
                lane.drops.iter().filter(|at| window.holds(**at)).count().to_string(),
            ]
        })
        .collect();
    Table { head, rows }
}
