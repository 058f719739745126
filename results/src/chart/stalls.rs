//! The stall timeline: the messages of one trial an arm, on one time axis, with the packets that the
//! link dropped.
//!
//! Where every trial shown has its packets attributed to its messages, [`super::blocked`] draws it, and
//! says what was blocked. Else this module does: it shows that messages were late and when packets
//! were dropped, and must not say which drop delayed which message, for nothing in those records
//! joins them.

use samepath_model::arm::Marker;
use samepath_model::record::{MessageRecord, TrialRecord};
use samepath_model::{Arm, Workload};

use super::canvas::Canvas;
use super::choice;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::drops::data_drops;
use super::figure::Key;
use super::theme::{INK, MUTED, arm_style};
use super::timeline::{self, Layout, Sheet, StreamRows, Wait, Window};
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "stalls",
    about: "The messages of one trial an arm on one time axis, with the drops",
    absent: "The stall timeline is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

/// Longest window shown, in nanoseconds.
const WINDOW: i64 = 1_500_000_000;
/// A message counts as late beyond one base delay by more than this: serialisation and the
/// endpoints' own work take their share.
const LATE: i64 = 5_000_000;

/// One arm's trial.
struct ArmTrial<'a> {
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
    let mut trials = choice.records().map(|record| read(analysis.run(), record)).collect::<Result<Vec<_>, _>>()?;
    // The chart's order: tcp above quic.
    trials.sort_by_key(|trial| Arm::all().position(|arm| arm == trial.record.trial.arm));
    let plan = &choice.group.cells[0].plan;
    let base = plan.link.direction(plan.workload.direction()).delay.as_nanos() as i64;
    let Workload::Messages(workload) = plan.workload.scored() else {
        return Err(Absent::NoData("a stall timeline needs a schedule of messages".into()));
    };
    let window = window(&trials, base, workload.spacing.as_nanos() as i64);
    let tracks = trials.iter().map(|trial| tracks(trial, window)).max().unwrap_or(1);
    let layout = Layout::new(plan, window, tracks, (3.0, 20.0), 12.0);
    let sheet = Sheet {
        chart: &CHART,
        part,
        choice: &choice,
        layout,
        title: "Which messages were late, stream by stream, and when were packets dropped?",
        caption: "a row for each stream, a bar from each message's release to its delivery, dark beyond the link's one-way \
                  delay; a cross for each dropped data packet. The crosses say when packets were dropped, not which \
                  message each of them held up.",
        legend: vec![
            Key::Fill { colour: MUTED, opacity: 0.25, label: "from release, up to the one-way delay".into() },
            Key::Fill { colour: MUTED, opacity: 0.95, label: "late: beyond it by over 5 ms, until delivery".into() },
            Key::Mark { mark: Marker::Cross, colour: INK, label: "data packet dropped by the link".into() },
            Key::Mark { mark: Marker::Ring, colour: INK, label: "message never delivered".into() },
        ],
        chosen: "the messages of the reliable arms were latest in sum",
        note: "A cross stands where a data packet came to the link and was dropped, on the strip above its arm's rows; \
               which messages it held up is not in these records, so a bar says late, not blocked.",
    };
    let arms: Vec<Arm> = trials.iter().map(|trial| trial.record.trial.arm).collect();
    Ok(sheet.draw(&arms, table(&trials, base, window), |canvas, i, panel| {
        let of_arm = layout.rows(canvas, panel);
        draw_messages(canvas, &of_arm, &trials[i], layout, base);
    }))
}

fn read<'a>(run: &Run, record: &'a TrialRecord) -> Result<ArmTrial<'a>, StoreError> {
    Ok(ArmTrial { record, messages: run.messages(&record.trial.id)?, drops: data_drops(run, record)? })
}

/// How much later than the base delay a message was; `None` where it never came.
fn excess(message: &MessageRecord, base: i64) -> Option<i64> {
    message.delivered.map(|at| (at - message.released - base).max(0))
}

/// The window in which the messages of the reliable arms were latest in sum; of equals the first.
fn window(trials: &[ArmTrial<'_>], base: i64, spacing: i64) -> Window {
    let end = trials.iter().flat_map(|l| &l.messages).map(|m| m.released + spacing.max(base)).max().unwrap_or(WINDOW);
    let reliable = trials.iter().filter(|trial| trial.record.trial.arm.is_reliable);
    let waits = reliable.flat_map(|trial| &trial.messages).filter_map(|message| {
        let late = excess(message, base).filter(|late| *late > LATE)?;
        Some(Wait { released: message.released, until: message.released, weight: i128::from(late) })
    });
    Window::heaviest(WINDOW, end, waits)
}

fn shown(message: &MessageRecord, window: Window) -> bool {
    message.released < window.to && message.delivered.unwrap_or(message.released) > window.from
}

fn tracks(trial: &ArmTrial<'_>, window: Window) -> usize {
    let inside = trial.messages.iter().filter(|message| shown(message, window));
    timeline::tracks(inside.filter_map(|message| Some((message.stream, message.released, message.delivered?))))
}

fn draw_messages(canvas: &mut Canvas<'_>, rows: &StreamRows<'_>, trial: &ArmTrial<'_>, layout: Layout, base: i64) {
    let window = layout.window;
    let colour = arm_style(trial.record.trial.arm).colour;
    for message in trial.messages.iter().filter(|m| m.stream < layout.streams && shown(m, window)) {
        let of = (message.stream, message.seq);
        let expected = message.released + base;
        match message.delivered {
            Some(at) => {
                canvas.fill(rows.bar(of, message.released, at.min(expected)), colour, 0.25);
                if at > expected + LATE && at > window.from {
                    canvas.fill(rows.bar(of, expected.max(window.from), at), colour, 0.95);
                }
            }
            None => {
                canvas.fill(rows.bar(of, message.released, expected), colour, 0.25);
                if expected < window.to {
                    let (x, y) = rows.spot(of, expected);
                    canvas.mark(x, y, 2.5, Marker::Ring, INK);
                }
            }
        }
    }
    for &drop in trial.drops.iter().filter(|at| window.holds(**at)) {
        canvas.mark(rows.x(drop), rows.strip() + 6.0, 4.0, Marker::Cross, INK);
    }
}

fn table(trials: &[ArmTrial<'_>], base: i64, window: Window) -> Table {
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
    let rows = trials
        .iter()
        .map(|trial| {
            let inside: Vec<&MessageRecord> = trial.messages.iter().filter(|m| window.holds(m.released)).collect();
            let late: Vec<&&MessageRecord> =
                inside.iter().filter(|m| excess(m, base).is_some_and(|e| e > LATE)).collect();
            let mut streams: Vec<u16> = late.iter().map(|m| m.stream).collect();
            streams.sort_unstable();
            streams.dedup();
            let largest = inside.iter().filter_map(|m| m.delivered.map(|at| at - m.released)).max();
            vec![
                trial.record.trial.arm.to_string(),
                trial.record.trial.id.to_string(),
                inside.len().to_string(),
                late.len().to_string(),
                streams.len().to_string(),
                largest.map_or("–".into(), |ns| number(ns as f64 / 1e6)),
                inside.iter().filter(|m| m.delivered.is_none()).count().to_string(),
                trial.drops.iter().filter(|at| window.holds(**at)).count().to_string(),
            ]
        })
        .collect();
    Table { head, rows }
}
