//! The stall timeline as measured: what of each message's delay was blocked, and by which lost packet.

use std::rc::Rc;

use plotters::style::RGBColor;
use samepath_model::arm::{Arm, Marker};
use samepath_model::record::{MessageRecord, TrialRecord};

use super::canvas::{Canvas, Stroke};
use super::choice::Choice;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::Key;
use super::theme::{INK, MUTED, arm_style};
use super::timeline::{self, Layout, STEP, Sheet, StreamRows, Wait, Window};
use crate::analysis::Analysis;
use crate::blocking::{self, Account, AnalyseError, Loss, NEVER};
use crate::number::number;
use crate::part::PartView;
use crate::store::StoreError;

/// Shortest and longest window shown, in nanoseconds.
const WINDOW: (i64, i64) = (300_000_000, 1_500_000_000);
/// The window in round trips: a drop, its retransmission, and what is before and after.
const ROUND_TRIPS: i64 = 10;
/// Rows of arrows above an arm's streams.
const ROWS: usize = 3;
const ROW: f64 = 11.0;

/// One arm's trial.
struct ArmTrial<'a> {
    record: &'a TrialRecord,
    blocking: Rc<blocking::Analysis>,
    losses: Vec<Loss>,
}

/// Draws it; `None` where not every trial shown is attributed.
pub(super) fn draw(
    chart: &'static ChartDef,
    analysis: &Analysis<'_>,
    part: &PartView<'_>,
    choice: &Choice<'_>,
) -> Result<Option<Drawing>, Absent> {
    let Some(mut trials) = read(analysis, choice)? else { return Ok(None) };
    trials.sort_by_key(|trial| Arm::all().position(|arm| arm == trial.record.trial.arm));
    let plan = &choice.group.cells[0].plan;
    let window = window(&trials, plan.link.rtt().as_nanos().cast_signed());
    let tracks = trials.iter().map(|trial| tracks(trial, window)).max().unwrap_or(1);
    let layout = Layout::new(plan, window, tracks, (3.5, 22.0), ROWS as f64 * ROW + 2.0);
    let sheet = Sheet {
        chart,
        part,
        choice,
        layout,
        title: "What was blocked, stream by stream, and by which lost packet?",
        caption: "a row for each stream, a bar from each message's release until the host had all that the transport wanted \
                  first. Dark: waiting for a further copy of its own bytes. Hatched: blocked, its own bytes having all \
                  arrived. A cross stands where a packet was lost, its arrow ends where the bytes came to the link \
                  again. One window of one seed: it shows how blocking comes about, not how often.",
        legend: vec![
            Key::Fill { colour: MUTED, opacity: 0.3, label: "from release, had nothing been lost".into() },
            Key::Fill { colour: MUTED, opacity: 0.95, label: "own loss: waiting for its own bytes".into() },
            Key::Hatch { colour: MUTED, back: false, label: "blocked by other bytes".into() },
            Key::Mark { mark: Marker::Cross, colour: INK, label: "packet lost: dropped, or corrupted".into() },
            Key::Arrow { colour: INK, label: "until its bytes came to the link again".into() },
            Key::Mark { mark: Marker::Ring, colour: INK, label: "message never delivered".into() },
        ],
        chosen: "messages were blocked, or waited for their own bytes (which counts a quarter), longest in sum",
        note: "Followed byte by byte through the ledger, not inferred from delays. Blocked by bytes before its own (shared: \
               those of all streams; per stream: those of its own stream alone), and by the rest of its TLS record.",
    };
    let arms: Vec<Arm> = trials.iter().map(|trial| trial.record.trial.arm).collect();
    Ok(Some(sheet.draw(&arms, table(&trials, window), |canvas, i, panel| {
        let of_arm = layout.rows(canvas, panel);
        messages(canvas, &of_arm, &trials[i], layout);
        arrows(canvas, &of_arm, &trials[i], layout.window);
    })))
}

/// The trials of the seed, followed; `None` where one of them cannot be.
fn read<'a>(analysis: &Analysis<'_>, choice: &Choice<'a>) -> Result<Option<Vec<ArmTrial<'a>>>, StoreError> {
    let mut trials = Vec::new();
    for record in choice.records() {
        match analysis.blocking(record) {
            Ok(blocking) => {
                let losses = blocking.losses();
                trials.push(ArmTrial { record, blocking, losses });
            }
            Err(AnalyseError::Unattributed(_)) => return Ok(None),
            Err(AnalyseError::Source(error)) => return Err(error),
        }
    }
    Ok(Some(trials))
}

/// The window in which messages were blocked longest in sum, else were waiting for their own bytes.
fn window(trials: &[ArmTrial<'_>], rtt: i64) -> Window {
    let length = (ROUND_TRIPS * rtt / STEP * STEP).clamp(WINDOW.0, WINDOW.1);
    let end = trials.iter().flat_map(|trial| &trial.blocking.messages).map(|m| m.released).max().unwrap_or(0) + 2 * rtt;
    let waits = trials.iter().flat_map(|trial| trial.blocking.accounts()).map(|(_, message, account)| Wait {
        released: message.released,
        until: account.complete,
        // A drop shows in its own message too; what is blocked by it counts more.
        weight: 4 * i128::from(account.parts.blocked()) + i128::from(account.parts.own_loss),
    });
    Window::heaviest(length, end, waits)
}

/// Bars of a row that should lie one above the other.
fn tracks(trial: &ArmTrial<'_>, window: Window) -> usize {
    let inside = trial.blocking.accounts().filter(|(_, m, a)| m.released < window.to && a.complete > window.from);
    timeline::tracks(inside.map(|(_, m, a)| (m.stream, m.released, a.complete)))
}

fn messages(canvas: &mut Canvas<'_>, rows: &StreamRows<'_>, trial: &ArmTrial<'_>, layout: Layout) {
    let Window { from, to } = layout.window;
    let colour = arm_style(trial.record.trial.arm).colour;
    let of = |message: &MessageRecord| (message.stream, message.seq);
    let inside = |message: &MessageRecord| message.stream < layout.streams && message.released < to;
    let shown: Vec<_> = trial.blocking.accounts().filter(|(_, m, a)| inside(m) && a.complete > from).collect();
    for (_, message, account) in &shown {
        let lossless = account.arrived - account.parts.own_loss;
        if lossless > from {
            // Bars that lie on each other must not look like a dark one.
            canvas.fill(rows.bar(of(message), message.released, lossless), tint(colour, 0.3), 1.0);
        }
    }
    for (_, message, account) in shown {
        let lossless = account.arrived - account.parts.own_loss;
        if account.parts.own_loss > 0 && account.arrived > from && lossless < to {
            canvas.fill(rows.bar(of(message), lossless, account.arrived), colour, 0.95);
        }
        if account.parts.blocked() > 0 && account.arrived < to {
            let blocked = rows.bar(of(message), account.arrived, account.complete);
            canvas.fill(blocked, colour, 0.12);
            canvas.hatch(blocked, colour, 4.0, false);
            canvas.outline(blocked, Stroke::solid(colour, 0.5));
        }
    }
    for (place, message) in trial.blocking.messages.iter().enumerate() {
        let never = message.delivered.is_none() && trial.blocking.account(place).is_none();
        if never && inside(message) && message.released >= from {
            let (x, y) = rows.spot(of(message), message.released);
            canvas.mark(x, y, 2.5, Marker::Ring, INK);
        }
    }
}

/// A colour as it looks on white paper where it covers this share of it.
fn tint(colour: RGBColor, share: f64) -> RGBColor {
    let mix = |part: u8| (255.0 - (255.0 - f64::from(part)) * share).round() as u8;
    RGBColor(mix(colour.0), mix(colour.1), mix(colour.2))
}

/// The drops on the strip, each with an arrow to when its bytes came again.
fn arrows(canvas: &mut Canvas<'_>, rows: &StreamRows<'_>, trial: &ArmTrial<'_>, window: Window) {
    let mut free = [f64::MIN; ROWS];
    for loss in trial.losses.iter().filter(|loss| window.holds(loss.packet.arrived)) {
        let from = rows.x(loss.packet.arrived);
        let row = free.iter().position(|right| *right < from - 6.0).unwrap_or(ROWS - 1);
        let y = rows.strip() + 2.0 + (row as f64 + 0.5) * ROW;
        canvas.mark(from, y, 3.5, Marker::Cross, INK);
        free[row] = from;
        if let Some(again) = loss.again {
            let to = rows.x(again.arrived);
            if to > from + 10.0 {
                canvas.arrow((from + 5.0, y), (to, y), Stroke::solid(INK, 1.0));
            }
            free[row] = to.max(from);
        }
    }
}

fn table(trials: &[ArmTrial<'_>], window: Window) -> Table {
    let head = [
        "arm",
        "trial",
        "messages released in the window",
        "blocked for over 1 ms",
        "streams with a blocked message",
        "longest blocked [ms]",
        "waited for own bytes",
        "never delivered",
        "packets lost in the window",
        "of these not sent again",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows = trials
        .iter()
        .map(|trial| {
            let released = |m: &samepath_model::record::MessageRecord| window.holds(m.released);
            let inside: Vec<(u16, &Account)> =
                trial.blocking.accounts().filter(|(_, m, _)| released(m)).map(|(_, m, a)| (m.stream, a)).collect();
            let blocked: Vec<_> = inside.iter().filter(|(_, a)| a.parts.blocked() > blocking::BLOCKED).collect();
            let mut streams: Vec<u16> = blocked.iter().map(|(stream, _)| *stream).collect();
            streams.sort_unstable();
            streams.dedup();
            let longest = inside.iter().map(|(_, a)| a.parts.blocked()).max().unwrap_or(0);
            let dropped: Vec<_> = trial.losses.iter().filter(|l| window.holds(l.packet.arrived)).collect();
            let messages = || trial.blocking.messages.iter().filter(|m| released(m));
            vec![
                trial.record.trial.arm.to_string(),
                trial.record.trial.id.to_string(),
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
