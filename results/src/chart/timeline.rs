//! What the two stall timelines share: one trial an arm, a panel an arm, a row for each stream, on one axis of time.

use samepath_model::Arm;
use samepath_model::experiment::Trial;

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Anchor, Canvas, Rect, Stroke, Type};
use super::choice::Choice;
use super::definition::{ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::theme::{self, GRID, INK, LABEL, MUTED, SMALL};
use crate::number::number;
use crate::part::PartView;

/// The window's start lies on a multiple of this, in nanoseconds.
pub(super) const STEP: i64 = 50_000_000;
/// Bars of a row one above the other: of more the heights would not suffice.
const MAX_TRACKS: usize = 6;
/// More rows than this cannot be told apart.
const MAX_STREAMS: u16 = 16;

/// The stretch of the schedule that is shown, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// A message that waited.
pub(super) struct Wait {
    pub(super) released: i64,
    /// A window that shows it begins at most its own length before this.
    pub(super) until: i64,
    /// How much it speaks for the windows that show it.
    pub(super) weight: i128,
}

impl Window {
    /// Of this length, up to `end` at most, the one for which most speaks; of equals the first.
    pub(super) fn heaviest(length: i64, end: i64, waits: impl Iterator<Item = Wait>) -> Window {
        if end <= length {
            return Window { from: 0, to: end.max(STEP) };
        }
        let last = (end - length + STEP - 1) / STEP;
        let mut sums = vec![0i128; usize::try_from(last + 1).unwrap_or(1)];
        for Wait { released, until, weight } in waits {
            for start in (until - length + STEP).max(0) / STEP..=(released.max(0) / STEP).min(last) {
                if let Some(sum) = usize::try_from(start).ok().and_then(|i| sums.get_mut(i)) {
                    *sum += weight;
                }
            }
        }
        let best = sums.iter().enumerate().rev().max_by_key(|(_, sum)| **sum).map_or(0, |(i, _)| i as i64);
        Window { from: best * STEP, to: best * STEP + length }
    }

    pub(super) fn holds(&self, at: i64) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// Its length in seconds, as text.
    pub(super) fn seconds(&self) -> String {
        number((self.to - self.from) as f64 / 1e9)
    }
}

/// How many messages of one stream wait at once at most, of those given: stream, release, end.
pub(super) fn tracks(messages: impl Iterator<Item = (u16, i64, i64)>) -> usize {
    let mut events: Vec<(u16, i64, i32)> =
        messages.flat_map(|(stream, released, end)| [(stream, released, 1), (stream, end, -1)]).collect();
    // An end before a start of the same instant.
    events.sort_unstable();
    let (mut most, mut waiting, mut stream) = (1, 0, None);
    for (of, _, step) in events {
        if stream != Some(of) {
            (stream, waiting) = (Some(of), 0);
        }
        waiting += step;
        most = most.max(waiting);
    }
    usize::try_from(most).unwrap_or(1)
}

/// How the rows are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) window: Window,
    /// Rows of an arm.
    pub(super) streams: u16,
    /// Bars of a row that may lie one above the other.
    tracks: usize,
    /// Whether there are more than that at once.
    crowded: bool,
    row_height: f64,
    /// Height of what is above an arm's rows.
    strip: f64,
}

impl Layout {
    /// Rows for the streams of a trial, each as high as its tracks need and no higher than `tallest`.
    pub(super) fn new(
        plan: &Trial,
        window: Window,
        tracks: usize,
        (a_track, tallest): (f64, f64),
        strip: f64,
    ) -> Layout {
        let (tracks, crowded) = (tracks.min(MAX_TRACKS), tracks > MAX_TRACKS);
        let row_height = (tracks as f64 * a_track + 2.0).clamp(8.0, tallest);
        Layout { window, streams: plan.workload.streams().min(MAX_STREAMS), tracks, crowded, row_height, strip }
    }

    fn arm_height(&self) -> f64 {
        self.strip + f64::from(self.streams) * self.row_height
    }

    /// An arm's rows, empty.
    pub(super) fn rows<'a>(&self, canvas: &mut Canvas<'_>, panel: &'a Panel) -> StreamRows<'a> {
        let area = panel.area;
        let rows = StreamRows { layout: *self, panel };
        for stream in 0..self.streams {
            let y = rows.top(stream);
            canvas.line(&[(area.x, y), (area.right(), y)], Stroke::solid(GRID, 0.5));
            if stream == 0 || stream + 1 == self.streams {
                let set = Type::new(SMALL, MUTED).anchor(Anchor::End);
                canvas.text(area.x - 5.0, y + self.row_height / 2.0, &format!("stream {stream}"), set);
            }
        }
        rows
    }
}

/// The rows of one arm, one for each stream.
pub(super) struct StreamRows<'a> {
    layout: Layout,
    panel: &'a Panel,
}

impl StreamRows<'_> {
    fn top(&self, stream: u16) -> f64 {
        self.panel.area.y + self.layout.strip + f64::from(stream) * self.layout.row_height
    }

    /// Upper edge of the strip above the rows.
    pub(super) fn strip(&self) -> f64 {
        self.panel.area.y
    }

    /// Where an instant lies; what is outside of the window, at its edge.
    pub(super) fn x(&self, at: i64) -> f64 {
        self.panel.at(at as f64 / 1e6, 0.0).0.clamp(self.panel.area.x, self.panel.area.right())
    }

    /// A message's bar from one instant to another.
    pub(super) fn bar(&self, (stream, seq): (u16, u32), from: i64, to: i64) -> Rect {
        let height = self.track_height();
        let track = seq as usize % self.layout.tracks;
        let y = self.top(stream) + 1.0 + track as f64 * height;
        Rect { x: self.x(from), y, w: self.x(to) - self.x(from), h: (height - 0.5).max(1.5) }
    }

    /// Where a mark of a message at an instant lies.
    pub(super) fn spot(&self, message: (u16, u32), at: i64) -> (f64, f64) {
        (self.x(at), self.bar(message, at, at).y + self.track_height() / 2.0)
    }

    fn track_height(&self) -> f64 {
        (self.layout.row_height - 2.0) / self.layout.tracks as f64
    }
}

/// What a timeline shows, and what is said of it.
pub(super) struct Sheet<'a> {
    pub(super) chart: &'static ChartDef,
    pub(super) part: &'a PartView<'a>,
    pub(super) choice: &'a Choice<'a>,
    pub(super) layout: Layout,
    pub(super) title: &'static str,
    /// After the words that say which trials and which window are shown.
    pub(super) caption: &'static str,
    pub(super) legend: Vec<Key>,
    /// How the window was chosen: of the trials the seconds in which …
    pub(super) chosen: &'static str,
    pub(super) note: &'static str,
}

impl Sheet<'_> {
    /// Draws it: `arm` draws what belongs into the panel of the arm with this index.
    pub(super) fn draw(
        self,
        arms: &[Arm],
        table: Table,
        mut arm: impl FnMut(&mut Canvas<'_>, usize, &Panel),
    ) -> Drawing {
        let Sheet { chart, part, choice, layout, title, caption, legend, chosen, note } = self;
        let (group, seed) = (&choice.group, choice.seed);
        let (plan, window) = (&group.cells[0].plan, layout.window);
        let conditions = if group.label.is_empty() { String::new() } else { format!("{}; ", group.label) };
        let (from, to) = (number(window.from as f64 / 1e9), number(window.to as f64 / 1e9));
        let caption = format!("One trial an arm, {conditions}seed {seed}, {from} to {to} s of the schedule: {caption}");
        let mut notes = vec![
            format!(
                "Chosen, not typical: {}, and of its trials the {} s in which {chosen}.",
                choice.words(),
                window.seconds()
            ),
            note.to_owned(),
        ];
        notes.extend(choice.absent());
        if layout.crowded {
            notes.push(format!(
                "Of some stream more than {MAX_TRACKS} messages wait at once: their bars lie on each other."
            ));
        }
        if plan.workload.streams() > MAX_STREAMS {
            notes.push(format!("The first {MAX_STREAMS} of {} streams are shown.", plan.workload.streams()));
        }
        let figure = Figure {
            title: title.to_owned(),
            conditions: vec![
                format!("{}: {}; n = 1 trial an arm, the same seed {seed}", part.name, plan.workload),
                format!("link: {}", plan.link),
            ],
            legend,
            notes,
        };
        let stem = part.stem(chart.name);
        let body = 8.0 + arms.len() as f64 * (layout.arm_height() + 12.0) + 40.0;
        let svg = figure.draw(&stem, &caption, body, |canvas, area| {
            for (i, panel) in panels(canvas, area, arms, layout).iter().enumerate() {
                arm(canvas, i, panel);
            }
        });
        Drawing { chart, part: part.name.to_owned(), stem, title: title.to_owned(), caption, svg, table }
    }
}

/// A panel for each arm, one below the other, framed and named, on one axis of time.
fn panels(canvas: &mut Canvas<'_>, area: Rect, arms: &[Arm], layout: Layout) -> Vec<Panel> {
    let (left, height) = (190.0, layout.arm_height());
    let x = Axis::exact(layout.window.from as f64 / 1e6, layout.window.to as f64 / 1e6, 10);
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
