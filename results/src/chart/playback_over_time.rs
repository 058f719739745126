//! Buffer and quality of a film over time, a column for each set of conditions; one trial an arm.

use samepath_model::playback::Playback;
use samepath_model::record::TrialRecord;
use samepath_model::{Arm, Workload};

use super::axis::Axis;
use super::canvas::Stroke;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::theme::arm_style;
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::store::{Run, StoreError};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "playback-over-time",
    about: "Buffered media and quality over time",
    absent: "Buffer and quality over time are not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::VideoOnDemand(_)),
    draw,
};

type Points = Vec<(f64, f64)>;

/// The playback of one trial.
struct Course {
    arm: Arm,
    seed: u64,
    playback: Playback,
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let groups = part.groups();
    let of_group = |cells: &[&crate::cells::Cell<'_>]| -> Result<Vec<Course>, StoreError> {
        let first = cells.iter().filter_map(|cell| cell.trials.first());
        first.filter_map(|record| read(analysis.run(), record).transpose()).collect()
    };
    let all = groups.iter().map(|group| of_group(&group.cells)).collect::<Result<Vec<_>, _>>()?;
    let every = || all.iter().flatten();
    if every().next().is_none() {
        return Err(Absent::NoData("no segment came, so there is nothing to show over time".into()));
    }
    let most = |points: fn(&Playback) -> Points, of: fn(&(f64, f64)) -> f64| {
        every().flat_map(|course| points(&course.playback)).map(|point| of(&point)).fold(0.0, f64::max)
    };
    let x = Axis::exact(0.0, most(buffer, |point| point.0), 5);
    let panels = [
        (
            Axis::linear(0.0, most(buffer, |point| point.1) * 1.05, 4),
            "buffer (s of media)",
            buffer as fn(&Playback) -> Points,
        ),
        (Axis::linear(0.0, most(quality, |point| point.1) * 1.1, 4), "quality (Mbit/s)", quality),
    ];
    let title = "How full was the player's buffer, and which quality did it ask for?".to_owned();
    let caption = format!(
        "Media in the buffer and the quality of each segment that was under way, over the time since the schedule \
         began; {}. One trial an arm shows a course, not a difference between arms.",
        seeds(every())
    );
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), seeds(every())), part.conditions()],
        legend: part.arms().into_iter().map(Key::Arm).collect(),
        notes: vec![
            "Above: at 0 nothing is there to play, and playback waits. Below: the quality of each segment, from when the one \
             before it was there until it was."
                .into(),
            "One trial an arm shows a course, not a difference between arms.".into(),
        ],
    };
    let stem = part.stem(CHART.name);
    let grid =
        Grid { left: 62.0, gap: 16.0, top: 22.0, height: 120.0, row_height: 186.0, panels: groups.len(), kinds: 2 };
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (number, (group, courses)) in groups.iter().zip(&all).enumerate() {
            for (of_kind, (y, y_name, points)) in panels.iter().enumerate() {
                let kind = Kind { x: &x, y, x_name: "time since the schedule began (s)", y_name };
                let panel = grid.panel_of(canvas, area, (number, of_kind), group, &kind);
                for (rank, course) in courses.iter().enumerate() {
                    let style = arm_style(course.arm);
                    let points = points(&course.playback);
                    let stroke = Stroke { colour: style.colour, width: 1.5, dash: style.dash, opacity: 0.9 };
                    panel.line(canvas, &points, stroke);
                    for &point in points.iter().skip(1 + rank).step_by(4) {
                        panel.mark(canvas, point, 3.5, style);
                    }
                }
            }
        }
    });
    let labels: Vec<&str> = groups.iter().map(|group| group.label.as_str()).collect();
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table: table(&labels, &all) })
}

fn seeds<'a>(courses: impl Iterator<Item = &'a Course>) -> String {
    let mut seeds: Vec<u64> = courses.map(|course| course.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let all: Vec<String> = seeds.iter().map(u64::to_string).collect();
    format!("one trial an arm, seed{} {}", if all.len() == 1 { "" } else { "s" }, all.join(", "))
}

/// The playback of a trial; `None` where nothing came.
fn read(run: &Run, record: &TrialRecord) -> Result<Option<Course>, StoreError> {
    let trial = &record.trial;
    let Workload::VideoOnDemand(video) = trial.workload.scored() else { return Ok(None) };
    let playback = Playback::of(video, trial.workload.scored_streams(), &run.messages(&trial.id)?);
    let course = Course { arm: trial.arm, seed: trial.seed, playback };
    Ok((!course.playback.segments.is_empty()).then_some(course))
}

/// Seconds of media in the buffer: up with each segment, down as it is played, until the film is over.
fn buffer(playback: &Playback) -> Points {
    let mut points = vec![(0.0, 0.0)];
    let mut empty: f64 = 0.0;
    for segment in &playback.segments {
        let (at, [before, after]) = (segment.at.as_secs_f64(), segment.level.map(|level| level.as_secs_f64()));
        if before <= 0.0 {
            points.push((empty.min(at), 0.0));
        }
        points.extend([(at, before), (at, after)]);
        empty = at + after;
    }
    points.push((empty, 0.0));
    points
}

/// The quality of each segment, from when the one before was there.
fn quality(playback: &Playback) -> Points {
    let mut from = 0.0;
    let mut points = Points::new();
    for segment in &playback.segments {
        let (at, quality) = (segment.at.as_secs_f64(), segment.quality.bits_per_second() as f64 / 1e6);
        points.extend([(from, quality), (at, quality)]);
        from = at;
    }
    points
}

fn table(labels: &[&str], all: &[Vec<Course>]) -> Table {
    let head = ["conditions", "arm", "segment", "quality [Mbit/s]", "there after [s]", "buffer then [s of media]"];
    let mut rows = Vec::new();
    for (label, courses) in labels.iter().zip(all) {
        for course in courses {
            for (n, segment) in course.playback.segments.iter().enumerate() {
                rows.push(vec![
                    (*label).to_owned(),
                    course.arm.to_string(),
                    (n + 1).to_string(),
                    number(segment.quality.bits_per_second() as f64 / 1e6),
                    number(segment.at.as_secs_f64()),
                    number(segment.level[1].as_secs_f64()),
                ]);
            }
        }
    }
    Table { head: head.map(str::to_owned).to_vec(), rows }
}

#[cfg(test)]
mod tests {
    use samepath_model::playback::Segment;
    use samepath_model::{BitRate, Duration};

    use super::*;

    #[test]
    fn a_buffer_that_runs_dry_stays_at_nothing() {
        let s = Duration::from_secs;
        let video = samepath_model::workload::VideoOnDemand::default();
        let segment = |at, before, after, kbit: u64| Segment {
            at: s(at),
            quality: BitRate::new(kbit * 1000),
            level: [s(before), s(after)],
        };
        let mut playback = Playback::of(&video, 0..1, &[]);
        playback.segments = vec![segment(1, 0, 4, 300), segment(3, 2, 6, 750), segment(11, 0, 4, 750)];
        let expected =
            [(0., 0.), (0., 0.), (1., 0.), (1., 4.), (3., 2.), (3., 6.), (9., 0.), (11., 0.), (11., 4.), (15., 0.)];
        assert_eq!(buffer(&playback), expected);
        assert_eq!(quality(&playback), [(0., 0.3), (1., 0.3), (1., 0.75), (3., 0.75), (3., 0.75), (11., 0.75)]);
    }
}
